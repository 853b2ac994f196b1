"""Run a guest under control of the host: QEMU with its console and QMP on private sockets."""

import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from boot.console import Console
from boot.console_log import ConsoleLog
from boot.qemu import Vm, command, shown
from boot.qmp import Qmp, QmpError
from host.errors import LabError
from host.files import write_text
from host.process import tied
from host.tools import require_programs

CONNECT_TIMEOUT = 30.0  # seconds for QEMU to open its sockets
ENDING_TIMEOUT = 5.0  # seconds for QEMU to end after it has closed its QMP connection
EXIT_TIMEOUT = 30.0  # seconds for QEMU to end after its guest powered off


class QemuFailed(LabError):
    """QEMU did not start, or did not end as it should."""


@dataclass(frozen=True)
class Guest:
    """A running guest.

    Attributes:
        console: its serial console.
        qmp: QEMU's monitor.
        log: everything the console printed.
        process: QEMU itself.
    """

    console: Console
    qmp: Qmp
    log: ConsoleLog
    process: "subprocess.Popen[bytes]"

    def wait_exit(self) -> int:
        """Wait for QEMU to end and return its exit code.

        Raises:
            QemuFailed: it does not end.
        """
        try:
            return self.process.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise QemuFailed(f"QEMU still runs {EXIT_TIMEOUT:.0f} s after power-off") from error


@contextmanager
def running(vm: Vm, folder: Path) -> Iterator[Guest]:
    """Start QEMU with console and QMP under control; it is gone when the block ends.

    ``folder`` gets ``console.log``, ``qemu.log`` (QEMU's own words), ``qemu.sh`` (the command)
    and ``qemu.pid``.

    Raises:
        MissingToolError: there is no QEMU on this machine.
        QemuFailed: QEMU ends before its guest starts; its words are in the message.
    """
    with ExitStack() as stack:
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="p2plab-")))
        listeners = [stack.enter_context(_listen(sockets / name)) for name in ("console", "qmp")]
        argv = command(replace(vm, console=_console(sockets), extra=(*_qmp(sockets), *vm.extra)))
        write_text(folder / "qemu.sh", f"{shown(argv)}\n")
        log = stack.enter_context(ConsoleLog(folder / "console.log"))
        process = _start(argv, folder / "qemu.log")
        stack.callback(_stop, process)
        write_text(folder / "qemu.pid", f"{process.pid}\n")
        stack.callback((folder / "qemu.pid").unlink, missing_ok=True)
        serial, monitor = (
            stack.enter_context(_accept(listener, process, folder / "qemu.log"))
            for listener in listeners
        )
        qmp = _qmp_of(monitor, process, folder / "qemu.log")
        stack.callback(qmp.close)
        yield Guest(Console(serial, log, qmp), qmp, log, process)


def _console(sockets: Path) -> tuple[str, ...]:
    return (
        "-chardev", f"socket,id=console,path={sockets / 'console'}",
        "-serial", "chardev:console",
    )  # fmt: skip


def _qmp(sockets: Path) -> tuple[str, ...]:
    return (
        "-chardev", f"socket,id=qmp,path={sockets / 'qmp'}",
        "-mon", "chardev=qmp,mode=control",
    )  # fmt: skip


@contextmanager
def _listen(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(0.2)
        yield listener


def _start(argv: list[str], log: Path) -> "subprocess.Popen[bytes]":
    require_programs(argv[0])
    with log.open("wb") as sink:
        # A session of its own: Ctrl-C is for the lab, which then ends QEMU in order. But a lab
        # that is killed must not leave it running.
        return subprocess.Popen(
            tied(argv),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _accept(
    listener: socket.socket, process: "subprocess.Popen[bytes]", log: Path
) -> socket.socket:
    deadline = time.monotonic() + CONNECT_TIMEOUT
    while time.monotonic() < deadline:
        try:
            return listener.accept()[0]
        except TimeoutError:
            if process.poll() is not None:
                raise _ended_early(process, log) from None
    raise QemuFailed(f"QEMU did not open its sockets within {CONNECT_TIMEOUT:.0f} s")


def _qmp_of(connection: socket.socket, process: "subprocess.Popen[bytes]", log: Path) -> Qmp:
    """Begin to talk QMP; QEMU connects before it makes the devices, and may fail at those."""
    try:
        return Qmp(connection)
    except QmpError as error:
        try:
            process.wait(ENDING_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise QemuFailed(f"QEMU runs, but: {error.message}") from error
        raise _ended_early(process, log) from error


def _ended_early(process: "subprocess.Popen[bytes]", log: Path) -> QemuFailed:
    words = log.read_text(encoding="utf-8", errors="replace").strip()
    return QemuFailed(
        f"QEMU ended with {process.returncode} before the guest started: {words}",
        hint=f"the command is in {shlex.quote(str(log.with_name('qemu.sh')))}",
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
