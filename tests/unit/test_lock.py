"""Locks between processes."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.errors import LabError
from host.lock import HeldError, held, locked
from settings.paths import PROJECT

HOLD = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from pathlib import Path
from host.lock import held, locked
import subprocess
with locked(Path(sys.argv[1]), "work", shared="shared" in sys.argv):
    if "child" in sys.argv:
        subprocess.Popen(["sleep", "60"], pass_fds=held())
    print(flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Let another process hold the lock until its stdin is closed."""
    command = [sys.executable, "-c", HOLD, str(path), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def is_free(path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_second_one_is_refused_where_nobody_waits(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        holder(path),
        pytest.raises(HeldError, match="booting: another process is at it") as caught,
        locked(path, "booting", "end that one", waits=False),
    ):
        pass
    assert caught.value.hint == "end that one"
    with locked(path, "booting", waits=False):
        assert not is_free(path)


def test_second_one_waits_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep/lock"
    with holder(path) as other:
        assert not is_free(path)
        assert other.stdin is not None
        threading.Timer(0.3, other.stdin.close).start()
        with locked(path, "building"):
            assert other.wait() == 0
    assert capsys.readouterr().err.startswith("building [0 s] waiting: another process is at it")
    assert is_free(path)


def test_readers_share_and_keep_a_writer_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path, "shared"), locked(path, "reading", shared=True):
        assert is_free(path, fcntl.LOCK_SH)
        assert not is_free(path)


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as other:
        other.kill()
    assert is_free(tmp_path / "lock")


def test_programs_of_a_killed_process_still_hold_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path, "child") as other:
        (child,) = Path(f"/proc/{other.pid}/task/{other.pid}/children").read_text().split()
        other.kill()
        other.wait()
        assert not is_free(path)
        os.kill(int(child), 9)
        with locked(path, "after it"):
            pass


def test_program_that_lives_on_does_not_hold_the_lock_of_one_that_ended_well(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    with locked(path, "work"):
        child = subprocess.Popen(["sleep", "60"], pass_fds=held())
    try:
        assert is_free(path)
    finally:
        child.kill()
        child.wait()
    assert held() == ()


def test_removed_lock_file_is_not_mistaken_for_the_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lock"
    entered, leave = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        with locked(path, "second"):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=wait_for_it)
    with locked(path, "first"):
        thread.start()
        while "waiting" not in capsys.readouterr().err:
            assert thread.is_alive()
        path.unlink()
    entered.wait()
    assert path.exists()
    assert not is_free(path)
    leave.set()
    thread.join()


def test_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(LabError, match=f"cannot write in {tmp_path}/file") as caught,
        locked(tmp_path / "file/lock", "work", "look elsewhere"),
    ):
        pass
    assert caught.value.hint == "look elsewhere"
