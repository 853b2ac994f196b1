"""How doit runs the test programs: their output on the terminal, their failure as one line."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from host.errors import LabError
from host.files import write_text
from kernel.selection import Selection, select
from settings.paths import TESTS

# Tell the tests with a real kernel which build to use, and how to name it to another doit; see
# tests/integration/conftest.py.
WORKSPACE_VARIABLE = "P2PLAB_TEST_WORKSPACE"
SETTINGS_VARIABLE = "P2PLAB_TEST_SETTINGS"


class TestsFailed(LabError):
    """A linter, a type checker or a test has something to say."""


def build(selection: Selection) -> None:
    """Build what the tests with a real kernel use, in a run of doit that ends before they begin.

    doit notes down at the end of a run what is up to date. A test that starts doit goes by that:
    it would build the kernel again, while others boot it.

    Raises:
        TestsFailed: the build failed, and said why; with its exit code.
    """
    settings = (f"{name}={text}" for name, text in selection.given.items())
    argv = [sys.executable, "-m", "doit", *settings, "build"]
    if code := subprocess.run(argv, check=False).returncode:
        failed = TestsFailed("there is no build to test, see above")
        failed.exit_code = code
        raise failed


def run(step: str, argv: list[str], selection: Selection) -> None:
    """Run one test program, and write down how it ended.

    Args:
        step: its name, one of ``bundle.records.TEST_STEPS``.
        argv: the program.
        selection: the build that tests with a real kernel use.

    Raises:
        TestsFailed: it did not end with 0, or did without the report that it was to make.
    """
    report = _report_of(step, argv)
    environment = {
        **os.environ,
        WORKSPACE_VARIABLE: str(selection.workspace.root),
        SETTINGS_VARIABLE: json.dumps(selection.given),
    }
    # Of a run that is killed there must be no older report to take for its own.
    (TESTS / f"{step}.xml").unlink(missing_ok=True)
    if report:
        report.unlink(missing_ok=True)
    started, clock = datetime.now(UTC), time.monotonic()
    _write_record(step, started, 0.0, None)
    done = subprocess.run(argv, env=environment, check=False)
    nothing = report is not None and not report.is_file()
    code = done.returncode or int(nothing)
    _write_record(step, started, time.monotonic() - clock, code)
    if done.returncode != 0:
        raise TestsFailed(f"`{' '.join(argv[1:])}` ended with {done.returncode}")
    if nothing:
        raise TestsFailed(f"`{' '.join(argv[1:])}` ended with 0, but made no {report}")


def _report_of(step: str, argv: list[str]) -> Path | None:
    """Return what a program leaves behind if it did anything; None of those that only look."""
    if any(word.startswith("--junitxml=") for word in argv):
        return TESTS / f"{step}.xml"
    if argv[-1] == "soak":
        return select(argv[argv.index("doit") + 1 :]).workspace.root / "soak/soak.json"
    return None


def _write_record(step: str, started: datetime, seconds: float, exit_code: int | None) -> None:
    record = {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "exit_code": exit_code,
    }
    write_text(TESTS / f"{step}.json", json.dumps(record) + "\n")
