"""Every command of the CI workflows, in a clean clone, with what the services would set."""

import os
from pathlib import Path

import pytest

from host.process import output_of, run_logged
from settings.paths import downloads_dir
from tests.integration.conftest import git
from tests.workflows import Step, steps

pytestmark = pytest.mark.kernel

# What is not run again here. The first runs this very test; .ci/run runs both, and
# tests/unit/test_workflows.py sees to it that it does.
RUN_ELSEWHERE = {"./doit test", "./doit reproduce"}
# Of whoever runs these tests; a service knows nothing of them.
NOT_OF_A_SERVICE = ("P2PLAB_", "PYTEST_", "CCACHE_", "GITHUB_", "CI_", "VIRTUAL_ENV")


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
