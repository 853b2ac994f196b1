"""The far end of a console: the guest's real script on a pseudo terminal, or a silent socket."""

import os
import pty
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from boot.console import Console
from boot.console_log import ConsoleLog
from boot.qmp import Qmp
from settings.paths import PROJECT

SERVE = PROJECT / "rootfs/serve"
Noise = Callable[[bytes], bytes]


class BreakKey:
    """The only part of QMP that a console uses: the serial break that begins a SysRq."""

    def __init__(self, pressed: Callable[[], None] = lambda: None) -> None:
        self._pressed = pressed

    def send_break(self, chardev: str) -> None:
        assert chardev == "console"
        self._pressed()


def console_on(near: socket.socket, log: ConsoleLog, key: BreakKey | None = None) -> Console:
    """Return the host's end on a socket."""
    return Console(near, log, cast(Qmp, key or BreakKey()))


@contextmanager
def serving(folder: Path, noise: Noise) -> Iterator[tuple[Console, ConsoleLog]]:
    """Run rootfs/serve; ``noise`` may change every line on its way to the host."""
    near, far = socket.socketpair()
    master, slave = pty.openpty()
    environment = {**os.environ, "P2PLAB_ANSWERS": str(folder / "answers")}
    with (
        near,
        far,
        ConsoleLog(folder / "console.log") as log,
        subprocess.Popen(
            ["busybox", "sh", str(SERVE)], stdin=slave, stdout=slave, stderr=slave, env=environment
        ) as guest,
    ):
        os.close(slave)
        wire = threading.Thread(target=_carry, args=(master, far, noise))
        wire.start()
        try:
            yield console_on(near, log), log
        finally:
            guest.kill()
            guest.wait()
            wire.join()
            os.close(master)


def _carry(master: int, far: socket.socket, noise: Noise) -> None:
    waiting = b""
    while True:
        ready, _, _ = select.select([master, far.fileno()], [], [])
        if far.fileno() in ready:
            os.write(master, far.recv(4096))
        if master in ready:
            try:
                waiting += os.read(master, 4096)
            except OSError:  # EIO: the guest has closed its terminal
                return
            *lines, waiting = waiting.split(b"\n")
            far.sendall(b"".join(noise(line + b"\n") for line in lines))


def silent(line: bytes) -> bytes:
    """No noise."""
    return line


class Once:
    """Noise that strikes the first line that has a certain text, at that text."""

    def __init__(self, text: bytes, instead: bytes) -> None:
        self._text, self._instead = text, instead
        self.struck = 0

    def __call__(self, line: bytes) -> bytes:
        if self.struck or self._text not in line:
            return line
        self.struck += 1
        return line.replace(self._text, self._instead)
