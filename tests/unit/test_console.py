"""The console against the guest's own script, and against guests that go wrong."""

import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boot import console
from boot.console import Answer, Console, GuestEnded, parse_frame
from boot.console_log import ConsoleLog
from boot.outcome import Outcome
from boot.qmp import QmpError
from host.errors import LabError
from tests.unit.fake_guest import BreakKey, Once, console_on, serving, silent

KERNEL = b"[   12.345678] nvme nvme0: 2/0/0 default/read/poll queues\r\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait fractions of seconds where the real guest gets several."""
    for name in ("REMIND", "SYSRQ_ANSWER", "SYSRQ_LIST", "AFTER_PANIC"):
        monkeypatch.setattr(console, name, 0.2)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


# --- frames ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("<a1|one\n<a1|two\n", "one\ntwo\n"),
        ("<a1|one\r\n<a1|two\r\n", "one\ntwo\n"),
        ("<a1|one\n[ 1.0] a kernel line\r\n<a1|two\n", "one\ntwo\n"),
        ("[ 1.0] before\r\n<a1|one\n", "one\n"),
        ("<a1|no newline\n", "no newline"),
        ("<a1|\n", "\n"),
        ("<a1|\n<a1|\n", "\n\n"),
        ("", ""),
        ("run a1 echo\n", ""),
        ("<b2|of the frame before\n<b2=0 0>\n<a1|mine\n", "mine\n"),
        ("<a1|<b2|other\n<a1|<b2=0 d41d>\n", "<b2|other\n<b2=0 d41d>\n"),
        ("<a1|<a1|itself\n", "<a1|itself\n"),
    ],
)
def test_frame(text: str, output: str) -> None:
    assert parse_frame("a1", text, 3, md5(output)) == Answer(3, output)


@pytest.mark.parametrize(
    "text",
    [
        "<a1|on[ 1.0] inside\r\ne\n<a1|two\n",
        "<a[ 1.0] inside the mark\r\n1|one\n<a1|two\n",
        "<a1|one\n",
        "<a1|one\n<a1|one\n<a1|two\n",
        "",
    ],
)
def test_damaged_frame(text: str) -> None:
    assert parse_frame("a1", text, 0, md5("one\ntwo\n")) is None


# --- the guest's own script -----------------------------------------------------------------


def test_conversation(tmp_path: Path) -> None:
    with serving(tmp_path, silent) as (guest, log):
        guest.wait_ready(5)
        assert guest.run("echo hello", 5) == Answer(0, "hello\n")
        assert guest.run("printf 'no newline'", 5) == Answer(0, "no newline")
        assert guest.run("true", 5) == Answer(0, "")
        assert guest.run("echo out; echo err >&2; exit 7", 5) == Answer(7, "out\nerr\n")
        assert guest.run("echo 'a  b' \"\\$x\" | cat", 5) == Answer(0, "a  b $x\n")
        assert guest.run("no-such-program", 5).status == 127
        assert guest.run("cat", 5) == Answer(0, "")  # there is no input to wait for
    assert not [line for line in log.lines if line.startswith("run ")], "a request was echoed"


def test_a_command_that_prints_marks_of_others(tmp_path: Path) -> None:
    text = "<p2plab=ready>\\n<abc0|x\\n<abc0=0 d41d8cd98f00b204e9800998ecf8427e>\\n"
    with serving(tmp_path, silent) as (guest, _log):
        guest.wait_ready(5)
        assert guest.run(f"printf '{text}'", 5).output == text.replace("\\n", "\n")
        assert guest.run("echo next", 5).output == "next\n"


def test_kernel_lines_between_the_lines_do_no_harm(tmp_path: Path) -> None:
    with serving(tmp_path, lambda line: KERNEL + line + KERNEL) as (guest, log):
        guest.wait_ready(5)
        assert guest.run("echo one; echo two", 5) == Answer(0, "one\ntwo\n")
    assert KERNEL.decode().strip() in log.lines


@pytest.mark.parametrize("struck", [b"hello", b"|hello", b"=5 "])
def test_a_damaged_frame_is_asked_for_again_but_not_run_again(
    tmp_path: Path, struck: bytes
) -> None:
    noise = Once(struck, struck[:1] + KERNEL + struck[1:])
    with serving(tmp_path, noise) as (guest, log):
        guest.wait_ready(5)
        command = f"echo ran >>{tmp_path}/times; echo hello; (exit 5)"
        assert guest.run(command, 5) == Answer(5, "hello\n")
        assert guest.run("echo next", 5).output == "next\n"
    assert noise.struck == 1
    assert (tmp_path / "times").read_text() == "ran\n"
    assert KERNEL.decode().split()[-1] in "".join(log.lines)


def test_a_slow_command_is_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path, silent) as (guest, _log):
        guest.wait_ready(5)
        command = f"echo ran >>{tmp_path}/times; sleep 0.7; echo done"
        assert guest.run(command, 5) == Answer(0, "done\n")
        assert guest.run("echo next", 5).output == "next\n"
    assert (tmp_path / "times").read_text() == "ran\n"


def test_an_answer_that_is_always_damaged(tmp_path: Path) -> None:
    with serving(tmp_path, lambda line: line.replace(b"hello", b"hel[ 1.0]lo")) as (guest, _log):
        guest.wait_ready(5)
        with pytest.raises(LabError, match=r"`echo hello` was damaged 5 times") as caught:
            guest.run("echo hello", 5)
        assert not isinstance(caught.value, GuestEnded)
        assert guest.run("echo next", 5).output == "next\n"


def test_a_lost_byte_in_a_binary_answer_is_not_accepted(tmp_path: Path) -> None:
    with serving(tmp_path, silent) as (guest, _log):
        guest.wait_ready(5)
        with pytest.raises(LabError, match="damaged"):
            guest.run("printf '\\377\\n'", 5)


# --- guests that go wrong -------------------------------------------------------------------


class Far:
    """The guest's end of a socket, played by the test."""

    def __init__(self, end: socket.socket, guest: Console, log: ConsoleLog, key: BreakKey) -> None:
        self.guest, self.log, self.key = guest, log, key
        self._end = end

    def say(self, *lines: str) -> None:
        self._end.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def die(self) -> None:
        self._end.close()


@contextmanager
def far_end(folder: Path, pressed: Callable[[], None] = lambda: None) -> Iterator[Far]:
    near, end = socket.socketpair()
    key = BreakKey(pressed)
    with near, end, ConsoleLog(folder / "console.log") as log:
        yield Far(end, console_on(near, log, key), log, key)


def outcome(guest: Console, seconds: float = 0.3) -> tuple[Outcome, str]:
    with pytest.raises(GuestEnded) as caught:
        guest.run("true", seconds)
    assert caught.value.exit_code == caught.value.outcome.exit_code != 0
    return caught.value.outcome, caught.value.message


def test_panic(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        far.say("[ 1.0] Kernel panic - not syncing: sysrq triggered crash", "[ 1.1] CPU: 0")
        far.die()
        assert outcome(far.guest) == (
            Outcome.PANIC,
            "the kernel panicked during `true`: Kernel panic - not syncing: sysrq triggered crash",
        )
        assert "[ 1.1] CPU: 0" in far.log.lines, "the rest of the log is kept"


def test_panic_of_a_guest_that_stays(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        far.say("[ 1.0] Kernel panic - not syncing: x")
        assert outcome(far.guest)[0] is Outcome.PANIC


def test_end_of_qemu(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        far.die()
        assert outcome(far.guest) == (Outcome.LOST, "QEMU ended during `true`")


def test_end_of_qemu_with_input_that_it_never_read(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        far.guest.send("nobody reads this")
        far.say("[ 1.0] last words")
        far.die()
        assert outcome(far.guest)[0] is Outcome.LOST
        assert "[ 1.0] last words" in far.log.lines


def test_end_of_qemu_after_an_oops(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        far.say("[ 1.0] BUG: kernel NULL pointer dereference, address: 0000000000000008")
        far.die()
        what, message = outcome(far.guest)
        assert what is Outcome.OOPS
        assert "the guest went down during `true`" in message
        assert "NULL pointer dereference" in message


def test_silent_guest_whose_kernel_answers(tmp_path: Path) -> None:
    with far_end(tmp_path, lambda: far.say("[ 9.0] sysrq: Show Blocked State")) as far:
        what, message = outcome(far.guest)
        assert what is Outcome.TIMEOUT
        assert "`true` did not end within 0 s" in message


def test_silent_guest_whose_kernel_is_gone(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        assert outcome(far.guest)[0] is Outcome.HANG


def test_silent_guest_without_monitor(tmp_path: Path) -> None:
    def refuse() -> None:
        raise QmpError("QEMU does not answer")

    with far_end(tmp_path, refuse) as far:
        assert outcome(far.guest)[0] is Outcome.HANG


def test_chatter_is_no_answer(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        far.say("<a0|x", "<a0=0 d41d8cd98f00b204e9800998ecf8427e>", "run a0 true")
        assert outcome(far.guest)[0] is Outcome.HANG


def test_init_that_never_comes(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        far.say("[ 1.0] Linux version 6.3.2")
        with pytest.raises(GuestEnded, match="the guest's init did not end within"):
            far.guest.wait_ready(0.3)


def test_drain(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        far.say("[ 1.0] reboot: Power down")
        far.die()
        assert not far.guest.drain(1)
        assert far.log.lines == ["[ 1.0] reboot: Power down"]


def test_drain_reminds_a_guest_that_sleeps_on(tmp_path: Path) -> None:
    def wake() -> None:
        far.say("[ 1.0] sysrq: Show Blocked State", "[ 1.1] reboot: Power down")
        far.die()

    with far_end(tmp_path, wake) as far:
        assert far.guest.drain(5)
        assert far.log.lines[-1] == "[ 1.1] reboot: Power down"


def test_kernel_that_died_after_a_reminder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer to the reminder still waits to be read, and is not one to the last question."""
    monkeypatch.setattr(console, "REMIND", 0.1)
    answers = iter(["[ 1.0] sysrq: Show Blocked State"])

    def answer() -> None:
        if said := next(answers, None):
            far.say(said)

    with far_end(tmp_path, answer) as far:
        with pytest.raises(GuestEnded) as caught:
            far.guest.drain(0.5)
        assert caught.value.outcome is Outcome.HANG


def test_data_race_is_not_why_a_guest_went_down(tmp_path: Path) -> None:
    """It may have been long before, and be excused: whoever looks through the log decides."""
    with far_end(tmp_path) as far:
        far.say("[ 1.0] BUG: KCSAN: data-race in a / b", "[ 2.0] reboot: Power down")
        far.die()
        assert not far.guest.drain(1)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("Kernel panic - not syncing: Attempted to kill init!", Outcome.PANIC),
        ("Oops: 0000 [#1] PREEMPT SMP", Outcome.OOPS),
    ],
)
def test_drain_does_not_swallow_a_crash(tmp_path: Path, last: str, expected: Outcome) -> None:
    with far_end(tmp_path) as far:
        far.say(f"[ 1.0] {last}")
        far.die()
        with pytest.raises(GuestEnded) as caught:
            far.guest.drain(1)
        assert caught.value.outcome is expected


def test_drain_of_a_guest_that_stays(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        start = time.monotonic()
        with pytest.raises(GuestEnded, match="power-off did not end"):
            far.guest.drain(0.2)
        assert time.monotonic() - start < 5


@pytest.mark.parametrize("command", ["x" * 4000, "echo one\necho two"])
def test_commands_that_no_terminal_line_takes(tmp_path: Path, command: str) -> None:
    with far_end(tmp_path) as far, pytest.raises(LabError, match="not one line of at most 4000"):
        far.guest.run(command, 1)
