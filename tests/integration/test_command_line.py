"""The commands of the README, as a person types them."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from boot.interactive import GDB_PORT
from host.files import remove
from settings.paths import PROJECT, Workspace
from tests.integration.conftest import doit_argv

pytestmark = pytest.mark.kernel

PROMPT = r"p2plab:\S+# "
BOOT_TIMEOUT = 120  # seconds; emulated, on a machine that may be busy


@pytest.fixture
def console() -> Iterator[Callable[..., "pexpect.spawn[str]"]]:
    """Return a function that starts `doit boot` on a terminal; it is ended after the test."""
    started = []

    def start(*settings: str) -> "pexpect.spawn[str]":
        argv = doit_argv(*settings, "boot")
        child = pexpect.spawn(
            argv[0],
            argv[1:],
            cwd=str(PROJECT),
            encoding="utf-8",
            timeout=BOOT_TIMEOUT,
            dimensions=(31, 91),
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def wait_prompt(child: "pexpect.spawn[str]") -> None:
    """Wait for the shell; late messages of the kernel then stay out of what commands print."""
    child.expect(PROMPT)
    run(child, "dmesg -n 1")


def run(child: "pexpect.spawn[str]", command: str) -> str:
    """Type a command at the guest's prompt and return what it prints."""
    child.sendline(command)
    child.expect(rf"{re.escape(command)}\r+\n")
    child.expect(PROMPT)
    return str(child.before)


def test_boot_gives_a_terminal_that_works(console: Callable[..., "pexpect.spawn[str]"]) -> None:
    child = console()
    child.expect("qemu-system-x86_64")
    child.expect("Ctrl-A X")
    wait_prompt(child)
    assert run(child, "stty size").split() == ["31", "91"]

    child.setwinsize(44, 123)
    time.sleep(1)
    assert run(child, "stty size").split() == ["44", "123"]

    child.sendline("sleep 1000")
    time.sleep(1)
    child.sendcontrol("c")
    child.expect(PROMPT)

    run(child, "modprobe p2pmem_pci")
    output = run(child, "p2pmem-test /dev/nvme0n1 /dev/nvme1n1 /dev/p2pmem0 -c 1 -s 4k --check")
    assert "MATCH" in output

    child.sendline("poweroff")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_ctrl_a_x_leaves(console: Callable[..., "pexpect.spawn[str]"]) -> None:
    child = console()
    child.expect(PROMPT)
    child.send("\x01x")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_gdb_waits_and_says_how_to_connect(
    console: Callable[..., "pexpect.spawn[str]"], workspace: Workspace
) -> None:
    child = console("gdb=1")
    child.expect(f"gdb {re.escape(str(workspace.vmlinux))} .*target remote 127.0.0.1:{GDB_PORT}")
    child.expect("Ctrl-A X")
    with connected(("127.0.0.1", GDB_PORT)) as stub:
        stub.sendall(b"$?#3f")  # "why did you stop?": the gdb remote protocol, Appendix E
        assert re.match(rb"\+\$[TS]05", answer_of(stub))
        stub.sendall(b"+$D#44")  # detach: the guest runs
        child.expect(PROMPT)


def answer_of(stub: socket.socket) -> bytes:
    """Return the acknowledgement and the packet after it: these may come one by one."""
    answer = b""
    while not re.search(rb"#[0-9a-f]{2}", answer):
        more = stub.recv(100)
        assert more, f"the gdb server has closed the connection after {answer!r}"
        answer += more
    return answer


def connected(address: tuple[str, int]) -> socket.socket:
    """Connect to a server that may still be starting."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(address, timeout=30)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_kept_drives_are_for_one_guest_at_a_time(
    console: Callable[..., "pexpect.spawn[str]"], workspace: Workspace
) -> None:
    """Two would write the same images; those that are gone afterwards are each guest's own."""
    remove(workspace.run_dir("boot", "switch"))
    first = console("topology=switch", "keep=1")
    first.expect("Ctrl-A X")

    second = console("topology=switch", "keep=1")
    second.expect(pexpect.EOF)
    second.close()
    assert second.exitstatus == 1
    (error,) = re.findall(r"error: (.*)\r", str(second.before))
    assert error.endswith("boot/switch: another process is at it")
    assert "leave out keep=yes" in str(second.before)
    assert "qemu-system" not in str(second.before)

    third = console("topology=switch", "keep=0")
    third.expect("Ctrl-A X")
    wait_prompt(first)


def test_drive_images_are_kept_only_if_asked_for(
    console: Callable[..., "pexpect.spawn[str]"], workspace: Workspace
) -> None:
    kept = workspace.run_dir("boot", "switch")
    remove(kept)
    for setting, expected in (("keep=0", ""), ("keep=1", ""), ("keep=1", "hello"), ("keep=0", "")):
        child = console("topology=switch", setting)
        wait_prompt(child)
        # Both drives, since their numbers change from boot to boot.
        for drive in ("/dev/nvme0n1", "/dev/nvme1n1"):
            assert run(child, f"head -c 5 {drive} | tr -d '\\0'").strip() == expected
            run(child, f"printf hello | dd of={drive} conv=fsync")
        child.sendline("poweroff -f")
        child.expect(pexpect.EOF)


def test_a_killed_qemu_has_its_own_exit_code(workspace: Workspace) -> None:
    argv = doit_argv("topology=switch-q35", "verify")
    folder = workspace.run_dir("verify", "switch-q35")
    before = time.time()
    child = subprocess.Popen(
        argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    pid = folder / "qemu.pid"
    log = folder / "console.log"
    wait_until(lambda: newer(pid, before) and log.exists() and "modprobe" in log.read_text())
    os.kill(int(pid.read_text()), signal.SIGKILL)
    output, _ = child.communicate(timeout=BOOT_TIMEOUT)
    assert child.returncode == 15, output
    assert "LOST" in output
    assert json.loads((folder / "verdict.json").read_text())["outcome"] == "lost"


def newer(path: Path, moment: float) -> bool:
    """Return whether a file is there and was written after a moment (seconds since the epoch)."""
    return path.exists() and path.stat().st_mtime >= moment


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + BOOT_TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
