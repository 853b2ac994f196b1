"""``doit boot``: the guest's serial console in the user's own terminal."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from boot.qemu import Vm, command, shown
from host.errors import LabError
from host.lock import held
from host.tools import missing_tool
from kernel.kbuild import MAPPED_BUILD, MAPPED_SOURCE

GDB_PORT = 1234
NO_TERMINAL = (80, 24)  # columns and rows where standard input is no terminal
LEAVE = (
    "Leave with `poweroff` in the guest, or with Ctrl-A X at any time; Ctrl-C goes to the guest."
)


def with_terminal(vm: Vm, size_socket: Path) -> Vm:
    """Return the guest with its console on this terminal, at this terminal's size.

    The second serial port carries later changes of the size: see :func:`_follow_size`.
    """
    columns, rows = _terminal_size()
    return replace(
        vm,
        console=(
            "-chardev", "stdio,id=console,mux=on,signal=off",
            "-serial", "chardev:console",
            "-mon", "chardev=console,mode=readline",
            "-chardev", f"socket,id=size,path={size_socket},server=on,wait=off",
            "-serial", "chardev:size",
        ),
        kernel_arguments=(
            *vm.kernel_arguments,
            "p2plab.mode=interactive",
            f"p2plab.size={rows}x{columns}",
            f"p2plab.term={os.environ.get('TERM', 'vt100')}",
        ),
    )  # fmt: skip


def waiting_for_gdb(vm: Vm) -> Vm:
    """Return the guest stopped before its first instruction, with a gdb server on loopback."""
    return replace(vm, extra=(*vm.extra, "-gdb", f"tcp:127.0.0.1:{GDB_PORT}", "-S"))


def gdb_command(vmlinux: Path, source: Path, build: Path) -> str:
    """Return the gdb command for another terminal.

    The paths in the debug information are mapped (the same bytes at any place), so gdb is told
    where the sources really are.
    """
    return (
        f"gdb {vmlinux} -ex 'set substitute-path {MAPPED_SOURCE} {source}' "
        f"-ex 'set substitute-path {MAPPED_BUILD} {build}' "
        f"-ex 'target remote 127.0.0.1:{GDB_PORT}'"
    )


def boot(vm: Vm) -> None:
    """Give the terminal to the guest until it ends.

    Raises:
        MissingToolError: there is no QEMU.
        LabError: QEMU ended with an error; its words are on the terminal. Or this is not the
            main thread, the only one that may say what a signal does.
    """
    if threading.current_thread() is not threading.main_thread():
        raise LabError(
            "`doit boot` cannot share its terminal with other tasks",
            hint="run it without doit's option -n",
        )
    with tempfile.TemporaryDirectory(prefix="p2plab-") as folder:
        size_socket = Path(folder) / "size"
        argv = command(with_terminal(vm, size_socket))
        print(f"{shown(argv)}\n\n{LEAVE}\n", file=sys.stderr, flush=True)
        code = _run(argv, size_socket)
    if code != 0:
        raise LabError(f"QEMU ended with {code}", hint="its message is above")


def _run(argv: list[str], size_socket: Path) -> int:
    # Ctrl-C is an ordinary key for QEMU (raw terminal); should it arrive while QEMU starts or
    # ends, it must not take the lab down and leave QEMU behind. Should the lab be killed all the
    # same, QEMU keeps the lock of its drives.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _follow_size(size_socket):
            return subprocess.run(argv, check=False, pass_fds=held()).returncode
    except FileNotFoundError as error:
        raise missing_tool(argv[0]) from error
    finally:
        signal.signal(signal.SIGINT, before)


def _terminal_size() -> tuple[int, int]:
    """Return columns and rows of the terminal that QEMU gets.

    Not shutil's: the variables COLUMNS and LINES stay as they were when the window changes.
    """
    try:
        return os.get_terminal_size(sys.__stdin__.fileno() if sys.__stdin__ else 0)
    except OSError:
        return NO_TERMINAL


@contextmanager
def _follow_size(size_socket: Path) -> Iterator[None]:
    """Tell the guest the terminal's size whenever it changes: a serial line does not carry it."""

    def changed(_number: int, _frame: FrameType | None) -> None:
        columns, rows = _terminal_size()
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(size_socket))
                line.sendall(f"{rows} {columns}\n".encode())
        except OSError:
            return  # QEMU is starting or ending; there is no guest to tell

    before = signal.signal(signal.SIGWINCH, changed)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
