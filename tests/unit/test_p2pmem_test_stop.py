"""The userspace tool stopped by signals, and what it says meanwhile."""

import os
import pty
import signal
import subprocess
import time

import pytest

from tests.unit.p2pmem_tool import DRIVES, PEER, TIMEOUT_S, Tool

pytest_plugins = ["tests.unit.p2pmem_fixtures"]

SIGNALS = [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_stopped_in_the_copy(shimmed: Tool, number: signal.Signals, code: int) -> None:
    """The chunk that was begun is completed, and the figures are of what was done."""
    rules = f"pread,a.img,5,signal,{number}"
    result = shimmed.run(*PEER, "-c512", rules=rules)
    assert result.code == code
    assert f"stopped by {number.name}" in result.stderr
    assert "copy        20 KiB in " in result.stdout
    assert "  write     p50" in result.stdout
    report = shimmed.json(*PEER, "-c512", rules=rules)
    assert (report["result"], report["exit_code"], report["bytes"]) == ("stopped", code, 5 * 4096)
    assert report["errno"] is None
    assert shimmed.calls()[-1].call == "pwrite"


def test_stopped_with_chunks_in_flight(shimmed: Tool) -> None:
    """What was read is written, nothing more is begun, and the ring is empty at the end."""
    report = shimmed.json(*PEER, "-c64", "--iodepth=4", rules="io_uring_enter,*,1,signal,2")
    assert (report["result"], report["bytes"]) == ("stopped", 4 * 4096)
    assert sorted(c.call for c in shimmed.calls()) == ["read"] * 4 + ["write"] * 4


@pytest.mark.parametrize(
    ("rules", "args", "last"),
    [("mmap,mem,1,signal,2", ("--init", "--host_access"), "init"),
     ("mmap,mem,1,signal,2", ("--host_access",), "host_access"),
     ("pwrite,a.img,1,signal,2", ("--check",), "seed"),
     ("pread,a.img,1,signal,2", ("--check",), "copy"),
     ("pread,b.img,1,signal,2", ("--check",), "verify")],
)  # fmt: skip
def test_stopped_in_each_phase(shimmed: Tool, rules: str, args: tuple[str, ...], last: str) -> None:
    """No phase comes after the one that was stopped, and nothing is called a match."""
    report = shimmed.json(*PEER, "-c512", *args, rules=rules)
    assert (report["result"], report["exit_code"]) == ("stopped", 130)
    ran = [phase for phase, seconds in report["seconds"].items() if seconds is not None]
    assert ran[-1] == last
    assert "MATCH" not in shimmed.run(*PEER, "-c512", *args, rules=rules).stdout


def test_a_difference_is_told_all_the_same(shimmed: Tool) -> None:
    """That data differs is more than that the run was stopped."""
    rules = "pread,b.img,1,flip,7;pwrite,b.img,512,signal,2"
    assert shimmed.json(*PEER, "-c512", "--check", rules=rules)["exit_code"] == 130
    rules = "pread,b.img,1,flip,7;pread,b.img,1,signal,2"
    report = shimmed.json(*PEER, "-c512", "--check", rules=rules)
    assert (report["result"], report["exit_code"]) == ("mismatch", 1)


def test_the_second_signal_ends_it_at_once(shimmed: Tool) -> None:
    rules = "pread,a.img,1,signal,2;pwrite,b.img,1,signal,2"
    result = shimmed.run(*PEER, "-c512", rules=rules)
    assert result.code == -signal.SIGINT
    assert "copy" not in result.stdout


def test_what_is_ignored_stays_ignored(shimmed: Tool) -> None:
    """As under nohup, or behind a shell's &."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        report = shimmed.json(*PEER, "-c8", rules="pread,a.img,1,signal,2")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (report["result"], report["bytes"]) == ("copied", 8 * 4096)


def test_stopped_by_another_process(tool: Tool) -> None:
    """As by Ctrl-C: a long run ends soon, and in order."""
    process = subprocess.Popen(
        [tool.program, *DRIVES, "-c8", "-D600", "-t2"], cwd=tool.folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert "overwriting" in lines[-1]
    assert process.returncode == 130
    assert stdout.startswith("copy ")
    assert "stopped by SIGINT" in stderr


def errors_on_terminal(tool: Tool, *args: str) -> str:
    """Return what a run writes to standard error, that being a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [tool.program, *args], cwd=tool.folder, stdout=subprocess.DEVNULL, stderr=theirs,
            check=True, timeout=TIMEOUT_S,
        )  # fmt: skip
        # The terminal holds what was written as long as one end of it is open.
        os.set_blocking(ours, False)
        text = terminal.read(1 << 16) or b""
        os.close(theirs)
    assert done.returncode == 0
    return text.decode()


def test_a_line_tells_how_far_it_is(tool: Tool) -> None:
    """Written anew each second, and gone at the end; not for a phase that is over at once."""
    text = errors_on_terminal(tool, *DRIVES, "-c8", "-D2", "--json")
    shows = text.split("\r\x1b[K")
    assert shows[0] == shows[-1] == ""
    assert len(shows) > 2
    assert all(show.startswith("copy ") and show.endswith("B/s") for show in shows[1:-1])
    assert errors_on_terminal(tool, *DRIVES, "-c8", "--check") == ""
