"""Talk to the guest over its serial console: requests, framed answers, and how it can go wrong.

The guest's end is ``rootfs/serve``. A request is ``run ID COMMAND``; the answer is the command's
output with ``<ID|`` before each line, closed by ``<ID=STATUS MD5>``. The request holds only the
bare ID, so its own echo cannot be taken for an answer. Kernel messages may come at any time: a
line of their own lacks the mark; one that lands inside a line spoils the checksum, and the frame
is asked for again (``again ID``) without running the command twice.
"""

import hashlib
import itertools
import re
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import pexpect
from pexpect.fdpexpect import fdspawn

from boot.console_log import ConsoleLog
from boot.kernel_log import complaints
from boot.outcome import Outcome
from boot.qmp import Qmp, QmpError
from host.errors import LabError

Expected = (
    re.Pattern[str] | re.Pattern[bytes] | str | bytes | type[pexpect.EOF] | type[pexpect.TIMEOUT]
)
READY = "<p2plab=ready>"
PANIC = r"Kernel panic - not syncing[^\n]*\n"
LONGEST_REQUEST = 4000  # bytes; the guest's terminal takes lines of up to 4095 (N_TTY_BUF_SIZE)
REMIND = 10.0  # seconds without an answer after which the guest is asked again
MOST_DAMAGED = 5  # damaged copies of one frame that are tolerated
SYSRQ_ANSWER = 15.0  # seconds that a living kernel may take to answer a SysRq
SYSRQ_LIST = 2.0  # seconds for it to list its blocked tasks
AFTER_PANIC = 20.0  # seconds for QEMU to end after a panic


class GuestEnded(LabError):
    """The conversation with the guest cannot go on.

    Attributes:
        outcome: what happened: panic, oops, hang, lost VM or timeout.
    """

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.exit_code = outcome.exit_code


@dataclass(frozen=True)
class Answer:
    """What a command in the guest gave back: its exit status, and stdout and stderr together."""

    status: int
    output: str


class _Line(fdspawn):  # type: ignore[type-arg] # generic in the stubs only
    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> str:
        try:
            text: str = super().read_nonblocking(size, timeout)
        except ConnectionResetError as error:
            # What a socket's end looks like if QEMU dies before it has read all that was sent.
            self.flag_eof = True
            raise pexpect.EOF(str(error)) from error
        return text


class Console:
    """One guest's serial console."""

    def __init__(self, connection: socket.socket, log: ConsoleLog, qmp: Qmp) -> None:
        self._spawn = _Line(
            connection, timeout=None, encoding="utf-8", codec_errors="replace", maxread=1 << 16
        )
        self._spawn.logfile_read = log
        self._log = log
        self._qmp = qmp
        self._asked = 0  # SysRqs so far
        self._ids = (f"{secrets.token_hex(3)}{number}" for number in itertools.count())

    def wait_ready(self, timeout: float) -> None:
        """Wait until the guest's init serves requests.

        Raises:
            GuestEnded: it did not come that far.
        """
        self._expect([READY], timeout, "the guest's init")

    def run(self, command: str, timeout: float) -> Answer:
        """Run a shell command in the guest; ``timeout`` in seconds.

        Raises:
            GuestEnded: the guest panicked, hangs, has gone, or the command does not end.
            LabError: the command is too long for a terminal line.
        """
        identity = next(self._ids)
        request = f"run {identity} {command}"
        if len(request.encode()) > LONGEST_REQUEST or "\n" in command:
            raise LabError(f"not one line of at most {LONGEST_REQUEST} bytes: {command[:60]}...")
        self._log.note(f"run: {command}")
        self._send(f"{request}\n")
        for _ in range(MOST_DAMAGED):
            answer = self._receive(identity, timeout, command)
            if answer is not None:
                return answer
            self._log.note("the answer was damaged by a kernel message; asking for it again")
            self._send(f"again {identity}\n")
        raise LabError(f"the answer to `{command}` was damaged {MOST_DAMAGED} times")

    def drain(self, timeout: float) -> bool:
        """Read until the guest closes its console (it has been told to power off).

        An emulated guest on a busy host, one of some hundred, has been seen to stay in
        synchronize_rcu() until an interrupt came. Commands get one with each reminder; so that
        power-off does, too, it is reminded by a SysRq, which also lists what the kernel waits for.

        Returns:
            Whether it had to be reminded.

        Raises:
            GuestEnded: it does not go down in time.
        """
        before = self._asked
        try:
            self._expect([], timeout, "power-off", self._ask_for_blocked)
        except GuestEnded as ended:
            if ended.outcome is not Outcome.LOST:
                raise
        return self._asked > before

    def send(self, line: str) -> None:
        """Send a line whose answer nobody waits for."""
        self._log.note(f"send: {line}")
        self._send(f"{line}\n")

    def _send(self, text: str) -> None:
        # With QEMU gone this fails; the next look at the console meets its end, and says so.
        with suppress(OSError):
            self._spawn.send(text)

    def _receive(self, identity: str, timeout: float, command: str) -> Answer | None:
        end = rf"<{identity}=(\d+) ([0-9a-f]{{32}})>\r?\n"
        ask_again = partial(self._send, f"again {identity}\n")
        self._expect([end], timeout, f"`{command}`", ask_again)
        match, before = self._spawn.match, self._spawn.before
        assert isinstance(match, re.Match)
        return parse_frame(identity, str(before), int(match[1]), match[2])

    def _expect(
        self,
        wanted: list[str],
        timeout: float,
        what: str,
        remind: Callable[[], object] = lambda: None,
    ) -> None:
        deadline = time.monotonic() + timeout
        patterns: list[Expected] = [PANIC, pexpect.EOF, pexpect.TIMEOUT, *wanted]
        while True:
            left = deadline - time.monotonic()
            found = self._spawn.expect(patterns, timeout=min(max(left, 0.1), REMIND))
            if found == 0:
                self._panicked(what)
            if found == 1:
                raise self._ended(what)
            if found > 2:
                return
            if time.monotonic() >= deadline:
                raise self._timed_out(what, timeout)
            remind()

    def _panicked(self, what: str) -> None:
        line = str(self._spawn.after).strip()
        self._spawn.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=AFTER_PANIC)
        raise GuestEnded(Outcome.PANIC, f"the kernel panicked during {what}: {line}")

    def _ended(self, what: str) -> GuestEnded:
        for found in complaints(self._log.lines):
            if found.outcome in (Outcome.OOPS, Outcome.PANIC):
                return GuestEnded(found.outcome, f"the guest went down during {what}: {found.line}")
        return GuestEnded(Outcome.LOST, f"QEMU ended during {what}")

    def _timed_out(self, what: str, timeout: float) -> GuestEnded:
        """Tell a command that does not end from a kernel that is gone: ask for blocked tasks."""
        if self._kernel_answers():
            return GuestEnded(
                Outcome.TIMEOUT,
                f"{what} did not end within {timeout:.0f} s; the kernel still answers, and has "
                "listed its blocked tasks in the console log",
            )
        return GuestEnded(
            Outcome.HANG,
            f"{what} did not end within {timeout:.0f} s, and the kernel does not answer to SysRq",
        )

    def _kernel_answers(self) -> bool:
        # What an earlier one brought, and still waits to be read, is no answer to this one.
        self._spawn.expect([pexpect.EOF, pexpect.TIMEOUT, r".+"], timeout=0)
        if not self._ask_for_blocked():
            return False
        answers: list[Expected] = [pexpect.EOF, pexpect.TIMEOUT, r"sysrq: Show Blocked State"]
        alive = self._spawn.expect(answers, timeout=SYSRQ_ANSWER) == 2
        if alive:  # let it finish its list
            self._spawn.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=SYSRQ_LIST)
        return alive

    def _ask_for_blocked(self) -> bool:
        """Press SysRq w: the kernel, if it lives, lists its blocked tasks. QEMU may have gone."""
        self._log.note("no end yet: SysRq w, to see whether the kernel is alive")
        try:
            self._qmp.send_break("console")
        except QmpError:
            return False
        self._asked += 1
        self._send("w")
        return True


def parse_frame(identity: str, text: str, status: int, checksum: str) -> Answer | None:
    """Return the answer that a frame holds, or None if a kernel message damaged it."""
    mark = f"<{identity}|"
    lines = [line.rstrip("\r") for line in text.split("\n")]
    body = "\n".join(line.removeprefix(mark) for line in lines if line.startswith(mark))
    # Whether the last line ended with a newline is not in the frame, only in the checksum.
    for output in (f"{body}\n", body):
        if hashlib.md5(output.encode(), usedforsecurity=False).hexdigest() == checksum:
            return Answer(status, output)
    return None
