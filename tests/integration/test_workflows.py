"""Every command of the CI workflows, in a clean clone, with what the services would set."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.process import output_of, run_logged
from settings.paths import PROJECT, downloads_dir
from tests.workflows import Step, steps

pytestmark = pytest.mark.kernel

# What is not run again here. The first runs this very test; .ci/run runs both, and
# tests/unit/test_workflows.py sees to it that it does.
RUN_ELSEWHERE = {"./doit test", "./doit reproduce"}
# Of whoever runs these tests; a service knows nothing of them.
NOT_OF_A_SERVICE = ("P2PLAB_", "PYTEST_", "CCACHE_", "GITHUB_", "CI_", "VIRTUAL_ENV")


def git(*words: str, cwd: Path) -> str:
    """Run git as on a machine where nobody has configured it; return what it prints."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    done = subprocess.run(
        ["git", *identity, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """Return a clone of the project as it stands, committed or not; it is gone after the test.

    It comes from a repository of its own, so that the project need not be one, and need not
    belong to whoever runs the tests.
    """
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    git("init", "--quiet", str(origin), cwd=tmp_path)
    of_project = (f"--git-dir={origin / '.git'}", f"--work-tree={PROJECT}")
    git(*of_project, "add", "--all", cwd=PROJECT)
    git(*of_project, "commit", "--quiet", "--message=as it stands", cwd=PROJECT)
    git("clone", "--quiet", str(origin), str(clone), cwd=tmp_path)
    try:
        yield clone
    finally:
        shutil.rmtree(clone)  # a whole kernel build


def restore_caches(clone: Path) -> None:
    """Put this machine's caches where GitLab would unpack those of an earlier pipeline."""
    (clone / ".cache").mkdir()
    (clone / ".cache/downloads").symlink_to(downloads_dir())
    ccache = output_of(["ccache", "--get-config", "cache_dir"]).strip()
    (clone / ".cache/ccache").symlink_to(ccache)


def each_once() -> list[Step]:
    """Return what to run: a command of both services is one, with the variables of both."""
    found: dict[tuple[str, str, str], Step] = {}
    for step in steps():
        key = step.job, step.script, step.variables.get("TOPOLOGY", "")
        before = found[key].variables if key in found else {}
        found[key] = Step(step.job, step.script, {**before, **step.variables}, step.always)
    return [step for step in found.values() if step.script not in RUN_ELSEWHERE]


def test_every_command_runs_in_a_clean_clone(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    restore_caches(clone)
    for name in os.environ:
        if name.startswith(NOT_OF_A_SERVICE):
            monkeypatch.delenv(name)
    page = tmp_path / "step-summary.md"
    service = {
        "CI": "true",
        "GITHUB_WORKSPACE": str(clone),
        "GITHUB_STEP_SUMMARY": str(page),
        "CI_PROJECT_DIR": str(clone),
    }
    todo = each_once()
    for number, step in enumerate(todo, 1):
        title = f"CI command {number} of {len(todo)}: {step.script.splitlines()[-1]}"
        script = tmp_path / f"{number}.sh"
        script.write_text(step.script)
        variables = {
            name: text.replace("$CI_PROJECT_DIR", str(clone))
            for name, text in step.variables.items()
        }
        with capfd.disabled():
            print(f"\n{title} {step.variables.get('TOPOLOGY', '')}", flush=True)
            run_logged(
                ["bash", "-e", str(script)],  # as GitHub does
                title=step.job,
                log=tmp_path / f"{number}.log",
                cwd=clone,
                env={**service, **variables},
            )

    told = page.read_text()
    assert "**Not good:**" not in told
    for topology in ("switch-q35", "switch", "root-ports"):
        assert f"\n| {topology} | passed |" in told
    assert told.count("# p2plab\n") == sum(step.script == "./doit summary" for step in todo)
    assert list(clone.glob("dist/p2plab-*.tar.xz"))
    assert git("status", "--porcelain", cwd=clone) == "", "all that CI writes is ignored"
