"""The tool on real drives and real device memory: io_uring, drives in use, signals, removal."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bench.guest import machine, ready
from bench.plan import BASE, OTHER, OWN, Plan
from bench.report import compared
from bench.task import Bench, measured
from boot.artifacts import built_in
from boot.drives import create_filled
from boot.setup import Setup
from boot.topology import load_topology
from boot.trace import Memory, total
from host.errors import LabError
from kernel.external import build_module
from kernel.kbuild import Kbuild
from rootfs.initramfs import ImageFile
from rootfs.task import pack_with
from settings.paths import CONFIGS, PROJECT, Workspace, accel_cache
from verify.guest import traced
from verify.session import Session

pytestmark = pytest.mark.kernel

MOUNTABLE = PROJECT / "tests/fixtures/mountable"
TOPOLOGY = CONFIGS / "topologies/switch-q35.toml"
IO_URING_SYSCTL = "/proc/sys/kernel/io_uring_disabled"  # since Linux 6.6
KIB = 1 << 10


@dataclass(frozen=True)
class Run:
    """How the tool ended in the guest: exit status, its JSON, and everything else it said."""

    status: int
    report: dict[str, Any]
    words: str


@dataclass(frozen=True)
class Bed:
    """A guest with two drives, the first of which has device memory."""

    session: Session

    @property
    def drives(self) -> list[str]:
        return [self.session.drive(item.serial).block for item in self.session.topology.drives]

    @property
    def memory(self) -> str:
        return self.session.node(self.session.topology.drives[0].serial)

    @property
    def peer(self) -> str:
        return f"{' '.join(self.drives)} {self.memory}"

    def bdf(self, number: int) -> str:
        return self.session.drive(self.session.topology.drives[number].serial).bdf

    def shell(self, command: str) -> Run:
        answer = self.session.guest.console.run(command, self.session.timeouts.copy)
        lines = answer.output.splitlines()
        reports = [json.loads(line) for line in lines if line.startswith("{")]
        words = "\n".join(line for line in lines if not line.startswith("{"))
        return Run(answer.status, reports[-1] if reports else {}, words)

    def tool(self, arguments: str, prefix: str = "") -> Run:
        run = self.shell(f"{prefix} p2pmem-test {arguments} --json")
        assert run.report["exit_code"] == run.status
        return run

    def driver(self, word: str, bdf: str) -> str:
        return f"echo {bdf} >/sys/bus/pci/drivers/nvme/{word}"


def booted(workspace: Workspace, folder: Path, *more: ImageFile) -> AbstractContextManager[Session]:
    """Boot the tested build with further files; the drives' DMA is traced."""
    artifacts = built_in(workspace)
    if more:
        image = pack_with(workspace, more, folder / "rootfs")
        artifacts = replace(artifacts, initramfs=image)
    topology = load_topology(TOPOLOGY)
    setup = Setup(artifacts, topology, topology.cpu, "auto", accel_cache(), folder)
    return ready(traced(machine(setup, create_filled(topology, folder)), folder), setup)


@pytest.fixture(scope="module")
def bed(
    workspace: Workspace, kbuild: Kbuild, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bed]:
    """One boot for all that leaves the guest as it was; with a file system that can be mounted."""
    folder = tmp_path_factory.mktemp("guest")
    module = folder / "module"
    build_module(kbuild, MOUNTABLE, module, folder / "module.log")
    mountable = ImageFile("/lib/mountable.ko", module / "mountable.ko", "644")
    with booted(workspace, folder, mountable) as session:
        session.run("insmod /lib/mountable.ko && mkdir /run/mount")
        yield Bed(session)


@pytest.fixture
def own_bed(workspace: Workspace, tmp_path: Path) -> Iterator[Bed]:
    """A boot of its own, for what takes a drive away."""
    with booted(workspace, tmp_path) as session:
        yield Bed(session)


# --- io_uring --------------------------------------------------------------------


def test_io_uring_goes_peer_to_peer(bed: Bed) -> None:
    """QEMU's trace has every byte in the memory of the drive, and none in RAM but the check's."""
    bed.session.trace.take()
    run = bed.tool(f"{bed.peer} --check -c 64 -s 64k -t 2 --iodepth 8")
    report = run.report
    assert (report["result"], report["engine"]) == ("match", "io_uring")
    source, destination = (drive.serial for drive in bed.session.topology.drives)
    ways = [
        (source, "write", Memory.RAM, ""),
        (source, "read", Memory.OWN, bed.bdf(0)),
        (destination, "write", Memory.PEER, bed.bdf(0)),
        (destination, "read", Memory.RAM, ""),
    ]
    moved = bed.session.transfers(bed.session.trace.take())
    assert total(moved) == dict.fromkeys(ways, 64 * 64 * KIB)


def test_more_in_flight_than_one(bed: Bed) -> None:
    """The reads of a full ring wait for each other, which a latency of each can but show."""
    slow = bed.tool(f"{bed.peer} -c 256 -s 64k --iodepth 16 --skip-write").report
    one = bed.tool(f"{bed.peer} -c 64 -s 64k --skip-write").report
    for report, count in ((slow, 256), (one, 64)):
        read = report["latency_ns"]["read"]
        assert read["count"] == count
        assert 0 < read["p50"] <= read["p99"] <= read["p99_9"] <= read["max"]
        assert read["max"] <= report["seconds"]["copy"] * 1e9
        assert report["latency_ns"]["write"] is None
    # All were in flight for a time that adds up to more than has passed: one at a time cannot.
    assert slow["latency_ns"]["read"]["p50"] * 256 > slow["seconds"]["copy"] * 1e9 * 2
    assert one["latency_ns"]["read"]["p50"] * 32 <= one["seconds"]["copy"] * 1e9


def test_threads_where_io_uring_is_forbidden(bed: Bed) -> None:
    """By the sysctl, where the kernel has it; older ones can only be built without io_uring."""
    release = tuple(map(int, bed.session.release.split("-")[0].split(".")[:2]))
    has_sysctl = bed.shell(f"test -e {IO_URING_SYSCTL}").status == 0
    assert has_sysctl == (release >= (6, 6))
    if not has_sysctl:
        return
    bed.session.run(f"echo 2 >{IO_URING_SYSCTL}")
    run = bed.tool(f"{bed.peer} --check -c 64 -s 16k --iodepth 8")
    bed.session.run(f"echo 0 >{IO_URING_SYSCTL}")
    assert (run.report["result"], run.report["engine"]) == ("match", "threads")
    assert "8 threads with one chunk each instead" in run.words
    assert "sysctl kernel.io_uring_disabled" in run.report["no_io_uring"]


# --- drives in use ---------------------------------------------------------------


def test_a_mounted_drive_is_refused(bed: Bed) -> None:
    """A drive that the kernel really has mounted, until it is forced, and until it is unmounted."""
    one, two = bed.drives
    bed.session.run(f"mount -t mountable {two} /run/mount")
    before = bed.session.run(f"md5sum {two}")
    run = bed.tool(f"{bed.peer} -c 16")
    assert (run.status, run.report["result"]) == (5, "in_use")
    assert f"{two} is mounted on /run/mount (--force=mounted " in run.words
    assert bed.tool(f"{bed.peer} -c 16 --force=busy,swap,held,root").status == 5
    assert bed.tool(f"{two} {one} {bed.memory} -c 16 --check").status == 5
    assert bed.session.run(f"md5sum {two}") == before
    assert bed.tool(f"{two} {one} {bed.memory} -c 16").status == 0, "it may be read"
    assert bed.tool(f"{bed.peer} -c 16 --check --force=mounted").report["result"] == "match"
    bed.session.run("umount /run/mount")
    assert bed.tool(f"{bed.peer} -c 16").status == 0


def test_a_drive_that_was_claimed_cannot_be_mounted(bed: Bed) -> None:
    """And a second run is refused as long as the first one lasts, unless that is meant."""
    hold = f"p2pmem-test {bed.peer} -c 16 -D 600 >/dev/null & sleep 1;"
    two = bed.drives[1]
    run = bed.tool(f"{bed.peer} -c 16", prefix=hold)
    assert run.status == 5
    assert "has it for itself (O_EXCL) (--force=busy " in run.words
    assert bed.shell(f"mount -t mountable {two} /run/mount").status != 0
    assert bed.tool(f"{bed.peer} -c 16 --force=busy").status == 0
    bed.session.run("killall p2pmem-test; while pidof p2pmem-test; do sleep 0.1; done")
    bed.session.run(f"mount -t mountable {two} /run/mount && umount /run/mount")


def test_what_is_overwritten_is_said(bed: Bed) -> None:
    run = bed.tool(f"{bed.peer} --check -c 3 -s 4k -o 8k")
    assert run.report["overwrites"] == [
        {"drive": drive, "first_byte": 8192, "last_byte": 20479,
         "model": "QEMU NVMe Ctrl", "serial": item.serial}
        for drive, item in zip(bed.drives, bed.session.topology.drives, strict=True)
    ]  # fmt: skip


# --- signals ---------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 8])
@pytest.mark.parametrize(("name", "code"), [("INT", 130), ("TERM", 143)])
def test_stopped(bed: Bed, name: str, code: int, depth: int) -> None:
    """The figures so far, a status that is not 0, and memory that is free again."""
    free = f"/sys/bus/pci/devices/{bed.bdf(0)}/p2pmem/available"
    before = bed.session.run(f"cat {free}")
    arguments = f"{bed.peer} -c 64 -s 16k -D 600 --iodepth {depth}"
    run = bed.tool(arguments, prefix=f"timeout -s {name} 1")
    assert (run.status, run.report["result"]) == (code, "stopped"), run.words
    assert run.report["bytes"] > 0
    assert run.report["latency_ns"]["write"]["count"] * 16 * KIB == run.report["bytes"]
    assert f"stopped by SIG{name}" in run.words
    assert bed.session.run(f"cat {free}") == before


# --- memory and drives that go away ----------------------------------------------


def test_memory_goes_away_under_the_processor(own_bed: Bed) -> None:
    """SIGBUS is told in words, with the exit code of an error."""
    unbind = f"{{ sleep 1; {own_bed.driver('unbind', own_bed.bdf(0))}; }} &"
    words = f"{own_bed.peer} --skip-read --skip-write --host_access=8:4000000000"
    run = own_bed.tool(words, prefix=unbind)
    assert (run.status, run.report["result"]) == (4, "error")
    assert f"SIGBUS on access to {own_bed.memory}" in run.words
    assert "its provider was unbound or removed" in run.words


@pytest.mark.parametrize("depth", [1, 8])
def test_memory_goes_away_under_a_drive(own_bed: Bed, depth: int) -> None:
    """EFAULT: the drive that is read is still there, the memory of the other one is not."""
    unbind = f"{{ sleep 1; {own_bed.driver('unbind', own_bed.bdf(0))}; }} &"
    words = f"{own_bed.drives[1]} none {own_bed.memory} --skip-write -c 64 -D 600"
    run = own_bed.tool(f"{words} --iodepth {depth}", prefix=unbind)
    assert (run.status, run.report["errno_name"]) == (4, "EFAULT")
    assert f"by {own_bed.memory}" in run.words
    assert "its provider was unbound or removed" in run.words


@pytest.mark.parametrize("depth", [1, 8])
def test_the_drive_goes_away(own_bed: Bed, depth: int) -> None:
    """Whatever the kernel gives, also that the drive has no bytes, it is said what to look at."""
    unbind = f"{{ sleep 1; {own_bed.driver('unbind', own_bed.bdf(1))}; }} &"
    words = f"{own_bed.drives[1]} none {own_bed.memory} --skip-write -c 64 -D 600"
    run = own_bed.tool(f"{words} --iodepth {depth}", prefix=unbind)
    assert run.status == 4
    assert run.report["errno_name"] in ("EIO", "ENODEV", "ENXIO", None)
    assert "look in dmesg" in run.words


# --- doit bench ------------------------------------------------------------------


def test_bench(workspace: Workspace, tmp_path: Path) -> None:
    """In short: each memory and size, ours held against itself as the other program."""
    topology = load_topology(TOPOLOGY)
    folder = tmp_path / "bench"
    bench = Bench(workspace, topology, topology.cpu, "auto", workspace.tool, folder)
    groups = measured(bench, Plan(against=True, runs=2, seconds=0.05))
    assert [group.size for group in groups] == [4 * KIB, 64 * KIB, 1024 * KIB] * 2
    assert [item.variant for item in groups[0].series] == [BASE, OTHER, *OWN]
    assert all(rate > 0 for group in groups for item in group.series for rate in item.rates)
    assert len(compared(groups)) == 6
    data = json.loads((folder / "bench.json").read_text())
    assert [variant["name"] for variant in data["groups"][0]["variants"]][:2] == ["ours", "against"]
    assert len(set(data["subject"]["programs"].values())) == 1
    assert "| CMB of d00d0001 | 4k | ours, iodepth 16 | " in (folder / "bench.md").read_text()
    assert not list(folder.glob("*.img"))


FAILS = 'puts("no such option"); return 7;'
# Ours, without the memory that it was to use: its third argument.
IGNORES_MEMORY = """
memmove(argv + 3, argv + 4, (argc - 3) * sizeof(*argv));
execv("/bin/p2pmem-test", argv);
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (FAILS, r"ended with 7: no such option"),
        (IGNORES_MEMORY, r"QEMU traced {'.*read host RAM': 65536, '.*write host RAM': 65536}"),
    ],
)
def test_bench_with_a_program_that_cannot_be_compared(
    workspace: Workspace, tmp_path: Path, body: str, words: str
) -> None:
    """What is wrong is told; nothing is called a figure."""
    wrong = tmp_path / "wrong"
    heads = "".join(f"#include <{name}.h>\n" for name in ("stdio", "string", "unistd"))
    source = f"{heads}int main(int argc, char **argv) {{ {body} }}\n"
    argv = ["gcc", "-static", "-x", "c", "-", "-o", str(wrong)]
    subprocess.run(argv, input=source, text=True, check=True)
    topology = load_topology(TOPOLOGY)
    bench = Bench(workspace, topology, topology.cpu, "auto", wrong, tmp_path / "bench")
    with pytest.raises(LabError, match=words):
        measured(bench, Plan(against=True, runs=1, seconds=0.05))
    assert not (tmp_path / "bench/bench.json").exists()
