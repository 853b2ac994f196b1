"""How the failure of a stage reaches the terminal and the exit code, through the real doit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from settings.paths import PROJECT

DODO = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(PROJECT)!r}, "."]
from doit.tools import run_once
from host.task import Reporter, as_made, as_then, stage

LOCK = Path("lock")
DOIT_CONFIG = {{"reporter": Reporter, "verbosity": 2, "sort": "definition", "dep_file": "state"}}


def task_fine():
    return {{"actions": [(stage("stages", "fine", lock=LOCK), ["said"])], "uptodate": [run_once]}}


def task_made():
    return {{
        "actions": ["cp input made"],
        "file_dep": ["input"],
        "targets": ["made"],
        "uptodate": [as_made],
    }}


def task_linked():
    return {{
        "actions": ["cat library >>linked; echo library >record"],
        "uptodate": [as_then("linked", lambda: [open(name.strip()).read() for name in record()])],
    }}


def record():
    return open("record") if Path("record").exists() else []


def task_bad():
    return {{"actions": [(stage("stages", "bad"), [])]}}


def task_worse():
    return {{"actions": [(stage("stages", "worse"), [])]}}


def task_system():
    return {{"actions": [(stage("stages", "system"), [])]}}


def task_bug():
    return {{"actions": [(stage("stages", "bug"), [])]}}


def task_slow():
    return {{"actions": [(stage("stages", "slow", lock=LOCK), [])]}}


def task_reader():
    return {{"actions": [(stage("stages", "fine", reads=LOCK), ["read"])]}}


def task_slow_reader():
    return {{"actions": [(stage("stages", "slow", reads=LOCK), [])]}}


def task_last():
    return {{"actions": [(stage("stages", "fine"), ["last"])]}}
"""

STAGES = """
from contextlib import suppress
from pathlib import Path
from host.errors import LabError, MissingToolError
from host.process import run_logged


def fine(text):
    print(text)


def bad():
    raise MissingToolError("no lz4", hint="install it")


def worse():
    raise LabError("worse")


def system():
    Path("/nowhere/file").read_text()


def bug():
    return 1 / 0


def slow():
    with suppress(Exception):  # as a verification does, for which any error is a result
        run_logged(["sh", "-c", "echo on >started; sleep 60"], title="slow", log=Path("slow.log"))
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "dodo.py").write_text(DODO)
    (tmp_path / "stages.py").write_text(STAGES)
    return tmp_path


def doit(*args: str) -> list[str]:
    return [sys.executable, "-m", "doit", *args]


def run(lab: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(doit(*args), cwd=lab, capture_output=True, text=True, check=False)


def test_task_that_runs_shows_its_name(lab: Path) -> None:
    done = run(lab, "fine")

    assert (done.returncode, done.stdout, done.stderr) == (0, "== fine\nsaid\n", "")


def test_exit_code_of_a_stage_is_that_of_doit(lab: Path) -> None:
    done = run(lab, "bad", "last")

    assert done.returncode == 69
    assert done.stderr == "error: no lz4\n  hint: install it\n"
    assert done.stdout == "== bad\n"


def test_what_succeeded_before_a_failure_is_remembered(lab: Path) -> None:
    run(lab, "fine", "bad")

    assert run(lab, "fine").stdout == ""


def test_first_failure_gives_the_exit_code(lab: Path) -> None:
    done = run(lab, "--continue", "bad", "worse", "last")

    assert done.returncode == 69
    assert done.stderr == "error: no lz4\n  hint: install it\nerror: worse\n"
    assert done.stdout.endswith("last\n")


def test_failures_of_parallel_tasks(lab: Path) -> None:
    done = run(lab, "-n", "2", "-P", "thread", "bad", "fine")

    assert done.returncode == 69
    assert "Traceback" not in done.stderr


def test_error_of_the_system_is_one_line(lab: Path) -> None:
    done = run(lab, "system")

    assert done.returncode == 1
    assert done.stderr == "error: [Errno 2] No such file or directory: '/nowhere/file'\n"


def test_mistake_of_the_lab_keeps_its_traceback(lab: Path) -> None:
    done = run(lab, "bug")

    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stdout + done.stderr


def test_target_that_the_task_did_not_make(lab: Path) -> None:
    source, target = lab / "input", lab / "made"
    source.write_text("one")
    assert run(lab, "made").stdout == "== made\n"
    assert run(lab, "made").stdout == ""

    # As after a run on another input that was killed before doit noted it down.
    target.write_text("another")

    assert run(lab, "made").stdout == "== made\n"
    assert target.read_text() == "one"
    assert run(lab, "made").stdout == ""


def test_what_the_task_found_out_itself(lab: Path) -> None:
    (lab / "library").write_text("one")
    assert run(lab, "linked").stdout == "== linked\n"
    assert run(lab, "linked").stdout == ""

    (lab / "library").write_text("upgraded")

    assert run(lab, "linked").stdout == "== linked\n"
    assert run(lab, "linked").stdout == ""


def test_what_is_ignored_is_no_success(lab: Path) -> None:
    run(lab, "ignore", "last")

    done = run(lab, "last")

    assert done.returncode == 1
    assert done.stderr == (
        "error: last was not done: `doit ignore` told so\n  hint: ./doit forget last\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_what_the_stage_started(lab: Path, number: int) -> None:
    with subprocess.Popen(
        doit("slow", "last"), cwd=lab, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lab / "started")
        process.send_signal(number)  # doit alone; what it runs gets no signal of its own
        out, err = process.communicate(timeout=20)

    assert process.returncode == 143
    assert err == "error: terminated; the same command carries on\n"
    assert out == "== slow\n"


@pytest.mark.parametrize(
    ("first", "second"), [("slow", "reader"), ("slow_reader", "fine"), ("slow", "fine")]
)
def test_nobody_reads_where_another_one_writes(lab: Path, first: str, second: str) -> None:
    with subprocess.Popen(doit(first), cwd=lab, stderr=subprocess.DEVNULL) as one:
        wait_for(lab / "started")
        with subprocess.Popen(doit(second), cwd=lab, stderr=subprocess.PIPE, text=True) as other:
            assert other.stderr is not None
            assert "waiting: another process is at it" in other.stderr.readline()
            one.terminate()
            assert other.wait(timeout=20) == 0


def test_two_may_read_at_once(lab: Path) -> None:
    with subprocess.Popen(doit("slow_reader"), cwd=lab, stderr=subprocess.DEVNULL) as one:
        wait_for(lab / "started")
        done = run(lab, "reader")
        one.terminate()

    assert (done.returncode, done.stderr) == (0, "")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.parametrize("options", [[], ["--continue"]])
def test_interruption_is_one_line_and_ends_everything(lab: Path, options: list[str]) -> None:
    with subprocess.Popen(
        doit(*options, "slow", "last"),
        cwd=lab,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for(lab / "started")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everybody gets it
        out, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert err == "error: interrupted; the same command carries on\n"
    assert out == "== slow\n"
