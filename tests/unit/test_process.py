"""Programs with a log, and programs for their output."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from host.errors import LabError, MissingToolError
from host.files import DiskFullError
from host.process import TAIL_LINES, ProgramFailed, ProgramKilled, output_of, run_logged, tail
from settings.paths import PROJECT


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_all_output_is_in_the_log_under_the_command(tmp_path: Path) -> None:
    log = tmp_path / "logs/a.log"

    run_logged(
        shell("echo out; echo err >&2; echo $NAME; pwd"),
        title="a",
        log=log,
        cwd=tmp_path,
        env={"NAME": "a b"},
    )

    command, *rest = log.read_text().splitlines()
    assert command.startswith(f"+ cd {tmp_path} && NAME='a b' sh -c ")
    assert rest == ["out", "err", "a b", str(tmp_path)]
    again = subprocess.check_output(["sh", "-c", command[2:]], stderr=subprocess.STDOUT, text=True)
    assert again.splitlines() == rest


def test_only_the_variables_of_a_list_are_passed_and_their_values_are_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "a.log"
    for name in ("LAB_A", "LAB_B", "OTHER"):
        monkeypatch.setenv(name, "of the caller")

    run_logged(
        shell("echo $LAB_A, $LAB_B, $OTHER"),
        title="a",
        log=log,
        env={"LAB_B": "of the lab"},
        passing=("PATH", "LAB_*"),
    )

    command, said = log.read_text().splitlines()
    assert said == "of the caller, of the lab,"
    assert command.startswith('+ env -i LAB_A="$LAB_A" PATH="$PATH" LAB_B=\'of the lab\' sh -c ')
    again = subprocess.check_output(["sh", "-c", command[2:]], text=True)
    assert again.strip() == said


def test_failure_shows_the_last_lines_and_where_the_log_is(tmp_path: Path) -> None:
    log = tmp_path / "a.log"

    with pytest.raises(ProgramFailed) as caught:
        run_logged(shell("seq 1000; printf '\\377 no newline'; exit 7"), title="a", log=log)

    head, *lines = caught.value.message.splitlines()
    assert head == f"a: `sh` ended with 7; the end of {log}:"
    assert len(lines) == TAIL_LINES
    assert lines[-2:] == ["    1000", "    \ufffd no newline"]
    assert caught.value.hint == f"the whole log is {log}"


def test_program_that_is_killed(tmp_path: Path) -> None:
    with pytest.raises(ProgramKilled, match="`sh` was killed by SIGKILL"):
        run_logged(shell("kill -9 $$"), title="a", log=tmp_path / "a.log")


def test_program_that_meets_a_full_disk(tmp_path: Path) -> None:
    say = "echo 'ld: a.o: No space left on device'; seq 100; exit 2"
    with pytest.raises(DiskFullError) as caught:
        run_logged(shell(say), title="a", log=tmp_path / "a.log", writes=tmp_path / "linux")
    assert caught.value.message == (
        f"no space left while writing {tmp_path}/linux: ld: a.o: No space left on device"
    )
    run_logged(shell(say.replace("exit 2", "exit 0")), title="a", log=tmp_path / "a.log")


def test_missing_program_is_named_with_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingToolError, match="bison is not on this machine") as logged:
        run_logged(["bison"], title="a", log=tmp_path / "a.log")
    with pytest.raises(MissingToolError) as read:
        output_of(["bison"])

    assert str(logged.value) == str(read.value)


def test_missing_directory_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=f"cannot run sh in {tmp_path}/no: there is no such dir"):
        run_logged(shell("true"), title="a", log=tmp_path / "a.log", cwd=tmp_path / "no")


def test_nothing_waits_for_the_keyboard(tmp_path: Path) -> None:
    run_logged(["cat"], title="a", log=tmp_path / "a.log")


def test_progress_shows_the_last_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("host.progress.PIPE_INTERVAL", 0.0)

    run_logged(
        shell("printf 'CC a'; sleep 0.1; printf '.o\\n\\nCC b'; sleep 0.1; echo .o"),
        title="building",
        log=tmp_path / "a.log",
    )

    states = [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert states[0] == ""
    assert set(states[1:]) == {"CC a.o", "CC b.o"}


def test_output_of_a_program() -> None:
    assert output_of(shell("echo out; echo err >&2")) == "out\n"


def test_output_of_a_program_that_fails() -> None:
    with pytest.raises(ProgramFailed, match=r"`sh -c 'echo why.*'` ended with 3: why$"):
        output_of(shell("echo why >&2; exit 3"))


def test_tail_of_a_short_log(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n2\n")

    assert tail(tmp_path / "a", 5) == "    1\n    2"


def test_interruption_ends_the_program_too(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    deadline = time.monotonic() + 10
    program = (
        "import sys\nfrom pathlib import Path\nfrom host.process import run_logged\n"
        "run_logged(['sh', '-c', 'echo on; echo $$; exec sleep 30'], title='a',"
        " log=Path(sys.argv[1]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(log)], cwd=PROJECT, stderr=subprocess.DEVNULL
    ) as lab:
        # The log is written while the program runs: its last line is the process id.
        while not (log.exists() and len(log.read_text().splitlines()) == 3):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        lab.send_signal(signal.SIGINT)  # to the lab alone: a terminal would tell both
        try:
            lab.wait(timeout=10)
        finally:
            lab.kill()

    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text().splitlines()[-1]), 0)


def test_full_disk_while_logging() -> None:
    with pytest.raises(LabError, match="no space left while writing /dev/full"):
        run_logged(shell("seq 100000"), title="a", log=Path("/dev/full"))
