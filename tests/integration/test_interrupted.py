"""Stages of the real build that are killed and carried on; two doit at once."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from settings.paths import PROJECT, Workspace
from tests.integration.conftest import doit_argv

pytestmark = pytest.mark.kernel

PATIENCE = 30  # seconds

STAGE = """
import sys
from pathlib import Path
import kernel.task
import rootfs.task
from kernel.choice import Choice
from kernel.registry import tree_kernel
from kernel.selection import Selection
from settings.command_line import read_settings
from settings.parse import Root
from settings.paths import CONFIGS, PROJECT, Workspace
at = Workspace(Path(sys.argv[1]))
settings = read_settings({}, Root(CONFIGS, PROJECT))
selection = Selection(settings, Choice("", tree_kernel(at.source)), at, {})
if sys.argv[2] == "module":
    kernel.task.module(selection, PROJECT / "p2pmem-pci")
if sys.argv[2] == "tool":
    rootfs.task.tool(selection, PROJECT / "p2pmem-test")
if sys.argv[2] == "initramfs":
    rootfs.task.initramfs(selection)
"""


@pytest.fixture
def own(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace with the kernel of the tested one, and nothing else built."""
    own = Workspace(tmp_path / "own")
    own.root.mkdir()
    for name in ("source", "linux", "source.json"):
        if (workspace.root / name).exists():
            (own.root / name).symlink_to(workspace.root / name)
    return own


def start(own: Workspace, stage: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", STAGE, str(own.root), stage]
    return subprocess.Popen(command, cwd=PROJECT, start_new_session=True)


@pytest.mark.parametrize("stage", ["module", "tool", "initramfs"])
def test_killed_stage_ends_in_the_same_bytes(own: Workspace, stage: str) -> None:
    made = {"module": own.module, "tool": own.tool, "initramfs": own.initramfs}[stage]
    if stage == "initramfs":
        assert [start(own, needed).wait() for needed in ("module", "tool")] == [0, 0]
    begun = time.monotonic()
    assert start(own, stage).wait() == 0
    whole, seconds = made.read_bytes(), time.monotonic() - begun
    chance = random.Random(stage)

    for _ in range(4):
        made.unlink(missing_ok=True)
        process = start(own, stage)
        time.sleep(seconds * chance.uniform(0.3, 0.95))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    assert start(own, stage).wait() == 0
    assert made.read_bytes() == whole


def verify() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        doit_argv("verify"),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_second_verification_waits_for_the_first() -> None:
    first = verify()
    _until(first, "boot")
    second = verify()
    assert second.stderr is not None
    said = second.stderr.readline()
    outputs = [process.communicate()[0] for process in (first, second)]

    assert "waiting: another process is at it" in said
    assert [process.returncode for process in (first, second)] == [0, 0]
    assert all("PASSED" in output for output in outputs)


def test_killed_verification_leaves_no_guest_and_no_verdict(workspace: Workspace) -> None:
    killed = verify()
    _until(killed, "boot")
    (pid_file,) = workspace.root.glob("verify/*/qemu.pid")
    guest = int(pid_file.read_text())
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    deadline = time.monotonic() + PATIENCE
    while _runs(guest):
        assert time.monotonic() < deadline, f"QEMU, process {guest}, outlives the lab"
        time.sleep(0.1)
    assert not pid_file.with_name("verdict.json").exists()

    again = verify()
    output, errors = again.communicate()

    assert again.returncode == 0, errors
    assert "PASSED" in output


def _until(process: "subprocess.Popen[str]", word: str) -> None:
    """Read what a verification prints until it tells of the check ``word``."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.split()[-1:] == [word]:
            return
    raise AssertionError(f"the check {word!r} was never reached")


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
