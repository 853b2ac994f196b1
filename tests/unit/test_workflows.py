"""The CI workflows: of the vendors' form, with the commands of the README, and nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundle import summary
from settings.model import SETTINGS
from settings.paths import CONFIGS, PROJECT
from tests.unit.summary_project import FINE, GOOD, Project, junit
from tests.workflows import GITHUB, GITLAB, SCHEMAS, github_steps, gitlab_steps, read, steps
from verify.reports import write_reports

OFFICIAL = re.compile(r"actions/[a-z/-]+@v[0-9]+")
# What breaks each workflow, as the vendor's schema must notice.
DAMAGES = {
    GITHUB: {
        "runs-on:": "run-on:",
        "run: ./doit test": "runs: ./doit test",
        "contents: read": "contents: all",
    },
    GITLAB: {
        "script:": "scripts:",
        "when: always": "when: ever",
        "junit:": "junits:",
    },
}


def github_jobs() -> dict[str, Any]:
    jobs: dict[str, Any] = read(GITHUB)["jobs"]
    return jobs


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_vendors_schema_takes_ours_and_no_damaged_copy(tmp_path: Path, path: Path) -> None:
    damaged = []
    for number, (old, new) in enumerate(DAMAGES[path].items()):
        text = path.read_text()
        assert old in text
        damaged.append(tmp_path / f"{number}.yml")
        damaged[-1].write_text(text.replace(old, new))
    # All at once: the program takes seconds to start.
    argv = ["--builtin-schema", SCHEMAS[path], "--output-format", "json", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *argv, *map(str, damaged)],
        capture_output=True,
        text=True,
        check=False,
    )

    told = json.loads(done.stdout)
    assert {error["filename"] for error in told["errors"]} == set(map(str, damaged))
    assert told["parse_errors"] == []


@pytest.mark.parametrize("found", [github_steps, gitlab_steps])
def test_commands_are_those_of_the_readme(found: Any) -> None:  # noqa: ANN401 - a function
    promised = re.findall(
        r"^    (\./doit \S+) +# prepares", (PROJECT / "README.md").read_text(), re.M
    )
    assert promised == ["./doit verify", "./doit test"]
    scripts = [step.script for step in found() if step.job == "verify"]
    assert scripts[:3] == [*promised, "./doit bundle"]
    assert scripts[3].endswith('./doit verify bundle="$archive"\n')
    assert scripts[4:] == ["./doit summary"]


def test_both_services_run_the_same() -> None:
    ours, theirs = (
        [(step.script, step.always) for step in found()] for found in (github_steps, gitlab_steps)
    )
    assert ours == theirs


def test_ci_run_has_all_commands_of_the_first_job() -> None:
    text = (PROJECT / ".ci/run").read_text()
    for step in steps():
        if step.job != "topology" and step.script != "./doit verify":
            assert step.script.splitlines()[-1] in text


def test_no_command_needs_the_service() -> None:
    for step in steps():
        assert "${{" not in step.script
        used = set(re.findall(r"\$\{?([A-Z_]+)", step.script))
        assert used <= set(step.variables), step


def test_summary_ends_every_job_whatever_happened() -> None:
    for found in (github_steps(), gitlab_steps()):
        last = {step.job: step for step in found}
        assert set(last) == {"verify", "topology", "reproduce"}
        assert {(step.script, step.always) for step in last.values()} == {("./doit summary", True)}


def test_every_topology_is_verified() -> None:
    (default,) = (setting.default for setting in SETTINGS if setting.name == "topology")
    known = {path.stem for path in (CONFIGS / "topologies").glob("*.toml")}
    for found in (github_steps(), gitlab_steps()):
        chosen = {step.variables["TOPOLOGY"] for step in found if step.job == "topology"}
        assert {default, *chosen} == known


def test_no_archive_is_no_pass(tmp_path: Path) -> None:
    # An empty setting would verify the build once more, and prove nothing about a bundle.
    (tmp_path / "doit").write_text("#!/bin/sh\necho called with $*\n")
    (tmp_path / "doit").chmod(0o755)
    (script,) = {step.script for step in steps() if "bundle=" in step.script}
    argv = ["bash", "-e", "-c", script]

    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode != 0, done.stdout) == (True, "")

    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/p2plab-6.12-switch.tar.xz").touch()
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = "called with verify bundle=dist/p2plab-6.12-switch.tar.xz\n"
    assert (done.returncode, done.stdout) == (0, told)


# --- GitHub -------------------------------------------------------------------------------------


def test_github_uses_official_actions_of_a_fixed_major_version() -> None:
    uses = [
        step["uses"] for job in github_jobs().values() for step in job["steps"] if "uses" in step
    ]
    assert uses
    assert [name for name in uses if not OFFICIAL.fullmatch(name)] == []


def test_github_may_only_read_and_every_job_ends() -> None:
    workflow = read(GITHUB)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 90


def test_github_keeps_dist_of_every_job_whatever_happened() -> None:
    for job in github_jobs().values():
        last = job["steps"][-1]
        assert last["uses"].startswith("actions/upload-artifact@")
        assert last["if"] == "always()"
        assert last["with"]["path"] == "dist/"


def test_github_cache_keys_are_made_of_files_that_are_there() -> None:
    keys = [
        step["with"]["key"]
        for job in github_jobs().values()
        for step in job["steps"]
        if "cache" in step.get("uses", "")
    ]
    assert len(set(keys)) == 2
    for key in keys:
        patterns = re.findall(r"'([^']+)'", key)
        assert patterns
        assert [pattern for pattern in patterns if not any(PROJECT.glob(pattern))] == []


# --- GitLab -------------------------------------------------------------------------------------


def test_gitlab_cache_keys_are_made_of_files_that_are_there() -> None:
    caches = read(GITLAB)["default"]["cache"]
    assert len(caches) == 2
    for cache in caches:
        files = cache["key"]["files"]
        assert 1 <= len(files) <= 2, "GitLab takes no more than two"
        assert [name for name in files if not (PROJECT / name).is_file()] == []
        assert all(path.startswith(".cache/") for path in cache["paths"]), "inside the project"


def test_gitlab_cache_holds_what_the_variables_name() -> None:
    workflow = read(GITLAB)
    cached = {
        f"$CI_PROJECT_DIR/{path}".rstrip("/")
        for cache in workflow["default"]["cache"]
        for path in cache["paths"]
    }
    assert set(workflow["variables"].values()) == cached
    ignored = (PROJECT / ".gitignore").read_text().splitlines()
    assert "/.cache/" in ignored


def test_gitlab_keeps_dist_and_finds_the_junit_files(tmp_path: Path) -> None:
    artifacts = read(GITLAB)["default"]["artifacts"]
    assert (artifacts["when"], artifacts["paths"]) == ("always", ["dist/"])
    project = Project(tmp_path)
    project.built()
    project.verified(GOOD)
    project.tested("unit", 0, junit(FINE))
    write_reports(GOOD, tmp_path / "dist/p2plab-6.12-switch-q35.evidence")
    summary.run(project.build, project.dist)

    found = [[*tmp_path.glob(pattern)] for pattern in artifacts["reports"]["junit"]]
    assert [len(files) for files in found] == [1, 1, 1]
