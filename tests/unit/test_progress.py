"""Progress on a terminal and on a pipe."""

import contextlib
import fcntl
import io
import os
import pty
import struct
import termios
from pathlib import Path

import pytest

from host import progress
from host.progress import Progress, mebibytes


class Terminal:
    """A pseudo terminal of a given width, and what was written to it."""

    def __init__(self, columns: int) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(slave, "w")

    def close(self) -> str:
        self.stream.close()
        text = b""
        # What the terminal still holds comes first, then EIO.
        with contextlib.suppress(OSError):
            while True:
                text += os.read(self.master, 1 << 16)
        os.close(self.master)
        return text.decode()


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TERMINAL_INTERVAL", 0.0)
    monkeypatch.setattr(progress, "PIPE_INTERVAL", 0.0)


@pytest.mark.usefixtures("always")
def test_terminal_has_one_line_that_is_cleared_at_the_end() -> None:
    terminal = Terminal(80)

    with Progress("building", terminal.stream) as shown:
        shown.update("CC a.o")
        shown.update("CC b.o")

    assert terminal.close() == (
        "\r\x1b[Kbuilding [0 s] CC a.o\r\x1b[Kbuilding [0 s] CC b.o\r\x1b[K"
    )


@pytest.mark.parametrize(("columns", "width"), [(20, 19), (0, 79)])
@pytest.mark.usefixtures("always")
def test_line_never_wraps(columns: int, width: int) -> None:
    terminal = Terminal(columns)

    Progress("building", terminal.stream).update("x" * 200)

    assert len(terminal.close().removeprefix("\r\x1b[K")) == width


@pytest.mark.usefixtures("always")
def test_what_a_program_prints_does_not_steer_the_terminal() -> None:
    stream = io.StringIO()
    Progress("building", stream).update("\x1b[2J\ta\rb")
    assert stream.getvalue() == "building [0 s] ?[2J     a?b\n"


@pytest.mark.usefixtures("always")
def test_pipe_gets_plain_lines() -> None:
    stream = io.StringIO()

    with Progress("building", stream) as shown:
        shown.update("CC a.o")
        shown.update("CC b.o")

    assert stream.getvalue() == "building [0 s] CC a.o\nbuilding [0 s] CC b.o\n"


def test_pipe_is_not_flooded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()

    with Progress("building", stream) as shown:
        for second in range(13):
            now[0] = 100.0 + second
            shown.update(str(second))

    assert stream.getvalue() == "building [5 s] 5\nbuilding [10 s] 10\n"


def test_short_work_says_nothing() -> None:
    stream = io.StringIO()

    with Progress("building", stream) as shown:
        shown.update("done at once")

    assert stream.getvalue() == ""


def test_say_does_not_wait() -> None:
    stream = io.StringIO()

    Progress("fetching", stream).say("12 MiB")

    assert stream.getvalue() == "fetching [0 s] 12 MiB\n"


def test_stderr_is_where_progress_goes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Progress("fetching").say("x")

    assert capsys.readouterr() == ("", "fetching [0 s] x\n")


def test_mebibytes() -> None:
    assert mebibytes(1_572_864) == "1.5 MiB"
