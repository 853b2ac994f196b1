"""The userspace tool told to overwrite drives that are in use: refused, unless it is meant.

The shim makes block devices of the drives' files, and /proc and /sys of a folder. A drive that is
really mounted, and one that is really held, are in tests/integration/test_tool_in_guest.py.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.p2pmem_tool import DRIVES, Tool, contents

pytest_plugins = ["tests.unit.p2pmem_fixtures"]

A, B, B1, B2, MD, DM, C = 0x801, 0x810, 0x811, 0x812, 0x900, 0xFD00, 0x820  # major << 8 | minor
NAMES = {A: "sda1", B: "sdb", B1: "sdb1", B2: "sdb2", MD: "md0", DM: "dm-0", C: "sdc"}


def number(dev: int) -> str:
    return f"{dev >> 8}:{dev & 0xFF}"


class Machine:
    """Folders that stand for /proc and /sys; a disk sdb with two partitions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.block = root / "sys/dev/block"
        self.block.mkdir(parents=True)
        (root / "proc/self").mkdir(parents=True)
        for dev, name in NAMES.items():
            if dev not in (B1, B2):
                self.add(f"devices/{name}", dev)
        for part, dev in enumerate((B1, B2), 1):
            folder = self.add(f"devices/sdb/sdb{part}", dev)
            (folder / "partition").write_text(f"{part}\n")
            (folder / "start").write_text(f"{part * 2048}\n")
        (self.block / "devices/sdb/device").mkdir()
        (self.block / "devices/sdb/device/dev").write_text(f"{number(C)}\n")
        (self.block / "devices/sdb/device/model").write_text("  Fast Disk  \n")
        (self.block / "devices/sdb/serial").write_text("S42\n")

    def add(self, folder: str, dev: int) -> Path:
        path = self.block / folder
        (path / "holders").mkdir(parents=True)
        (path / "dev").write_text(f"{number(dev)}\n")
        (self.block / number(dev)).symlink_to(folder)
        return path

    def hold(self, below: int, holder: int) -> None:
        where = self.block / number(below) / "holders" / NAMES[holder]
        where.symlink_to(self.block / number(holder))

    def mount(self, numbers: str, point: str, source: str = "none", more: str = "") -> None:
        with (self.root / "proc/self/mountinfo").open("a") as file:
            file.write(f"36 35 {numbers} / {point} rw,noatime {more}- ext4 {source} rw\n")

    def swap(self, path: str) -> None:
        text = f"Filename Type Size Used Priority\n{path}  partition 1 0 -2\n"
        (self.root / "proc/swaps").write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def block(name: str, dev: int) -> str:
    return f"stat,{name},0,block,{dev};ioctl,{name},0,block,0"


def on(shimmed: Tool, machine: Machine) -> Tool:
    return replace(shimmed, env={"P2PMEM_SHIM_ROOT": str(machine.root)})


def refused(tool: Tool, rules: str, *args: str) -> str:
    """Check that nothing was written, and that the named reasons are what it takes to do it."""
    before = contents(tool)
    report = tool.json(*DRIVES, *args, "-c1", rules=rules)
    assert (report["result"], report["exit_code"], report["overwrites"]) == ("in_use", 5, [])
    assert contents(tool) == before
    assert not tool.calls()
    message: str = report["message"]
    option = message[message.index("--force=") :].split()[0]
    for missing in option.removeprefix("--force=").split(","):
        others = {"root", "mounted", "swap", "held", "busy"} - {missing}
        force = f"--force={','.join(sorted(others))}"
        assert tool.json(*DRIVES, *args, force, "-c1", rules=rules)["exit_code"] == 5
    assert tool.json(*DRIVES, *args, option, "-c1", rules=rules)["exit_code"] == 0
    assert ("pwrite", "b.img", "host") in {call.kind for call in tool.calls()}
    return message


def test_a_drive_that_nobody_uses(shimmed: Tool, machine: Machine) -> None:
    """It is claimed, written to, and what is overwritten is said with model and serial."""
    machine.mount(number(A), "/")
    tool = on(shimmed, machine)
    report = tool.json(*DRIVES, "-c2", "-o4k", rules=block("b.img", B))
    assert report["overwrites"] == [
        {"drive": "b.img", "first_byte": 4096, "last_byte": 12287,
         "model": "Fast Disk", "serial": "S42"}
    ]  # fmt: skip
    text = tool.run(*DRIVES, "-c2", "-o4k", rules=block("b.img", B1)).stdout
    assert "overwriting bytes 4096 to 12287 of b.img (Fast Disk, serial S42)\n" in text


@pytest.mark.parametrize("point", ["/mnt/data", "/home", "/bootlegs"])
@pytest.mark.parametrize(
    ("mounted", "drive"), [(B, B), (B1, B), (B1, B1), (B, B1)], ids=lambda dev: NAMES[dev]
)
def test_mounted(shimmed: Tool, machine: Machine, mounted: int, drive: int, point: str) -> None:
    """The disk, a partition of it, or the disk of the partition."""
    machine.mount(number(mounted), point, more="master:1 shared:7 ")
    message = refused(on(shimmed, machine), block("b.img", drive))
    assert f"/dev/{NAMES[mounted]} is mounted on {point} (--force=mounted " in message


@pytest.mark.parametrize("point", ["/", "/boot", "/boot/efi", "/usr", "/efi"])
def test_the_disk_that_the_machine_runs_from(shimmed: Tool, machine: Machine, point: str) -> None:
    """It has a reason of its own, which --force=mounted does not name."""
    machine.mount(number(B2), point)
    message = refused(on(shimmed, machine), block("b.img", B))
    assert f"/dev/sdb2 is mounted on {point} (--force=root " in message


def test_another_partition_is_mounted(shimmed: Tool, machine: Machine) -> None:
    """That is no reason: the bytes are others."""
    machine.mount(number(B2), "/")
    report = on(shimmed, machine).json(*DRIVES, "-c1", rules=block("b.img", B1))
    assert report["exit_code"] == 0


def test_held_by_device_mapper_on_md(shimmed: Tool, machine: Machine) -> None:
    """Through all layers: a partition in an array, a mapping of that, which is mounted."""
    machine.hold(B1, MD)
    machine.hold(MD, DM)
    message = refused(on(shimmed, machine), block("b.img", B))
    assert "/dev/md0 is made of it (--force=held " in message
    machine.mount(number(DM), "/srv\\040files")
    message = refused(on(shimmed, machine), block("b.img", B))
    assert "/dev/dm-0 is mounted on /srv files; /dev/md0 is made of it" in message
    assert "(--force=mounted,held " in message


@pytest.mark.parametrize("length", range(505, 512))
def test_a_mount_point_that_is_too_long(shimmed: Tool, machine: Machine, length: int) -> None:
    """It is cut off after 511 bytes, perhaps in the middle of an escaped blank."""
    machine.mount(number(B), f"/{'a' * (length - 1)}\\040b")
    report = on(shimmed, machine).json(*DRIVES, "-c1", rules=block("b.img", B))
    assert report["exit_code"] == 5
    assert "/dev/sdb is mounted on /aaa" in report["message"]


def test_several_devices_in_one_file_system(shimmed: Tool, machine: Machine) -> None:
    """Btrfs has a number of its own; then the source counts."""
    machine.mount("0:45", "/data", source=str(shimmed.folder / "b.img"))
    assert "is mounted on /data" in refused(on(shimmed, machine), block("b.img", B))


def test_swap(shimmed: Tool, machine: Machine) -> None:
    """A device, and a regular file."""
    machine.swap(str(shimmed.folder / "b.img"))
    tool = on(shimmed, machine)
    assert "b.img is swap space (--force=swap " in refused(tool, block("b.img", B))
    assert "b.img is swap space (--force=swap " in refused(tool, "")


def test_busy(shimmed: Tool, machine: Machine) -> None:
    """O_EXCL knows of uses that cannot be seen; other errors of it are errors."""
    rules = block("b.img", B) + ";excl,b.img,0,errno,"
    message = refused(on(shimmed, machine), f"{rules}16")
    assert "has it for itself (O_EXCL) (--force=busy " in message
    report = on(shimmed, machine).json(*DRIVES, "-c1", rules=f"{rules}13")
    assert (report["exit_code"], report["errno_name"]) == (4, "EACCES")


@pytest.mark.parametrize("dev", [B, B1])
def test_a_drive_that_changes_under_its_name(shimmed: Tool, machine: Machine, dev: int) -> None:
    """What was looked at, a device that is free, is not what is opened then."""
    rules = f"stat,b.img,1,block,{dev};ioctl,b.img,0,block,0"
    before = contents(shimmed)
    report = on(shimmed, machine).json(*DRIVES, "-c1", rules=rules)
    assert (report["exit_code"], report["overwrites"]) == (4, [])
    assert "b.img became another drive while it was opened" in report["message"]
    assert contents(shimmed) == before
    other = f"stat,b.img,2,block,{dev};ioctl,b.img,0,block,0"
    assert on(shimmed, machine).json(*DRIVES, "-c1", rules=other)["exit_code"] == 4
    assert contents(shimmed) == before


def test_force_may_be_repeated(shimmed: Tool, machine: Machine) -> None:
    machine.mount(number(B1), "/")
    machine.mount(number(B2), "/home")
    tool, rules = on(shimmed, machine), block("b.img", B)
    for force in (["--force=root", "--force=mounted"], ["--force", "mounted,root"]):
        assert tool.json(*DRIVES, *force, "-c1", rules=rules)["exit_code"] == 0


def test_only_what_is_written_to_counts(shimmed: Tool, machine: Machine) -> None:
    """The drive that is read may be in use, unless --check overwrites it."""
    machine.mount(number(A), "/home")
    tool, rules = on(shimmed, machine), f"{block('a.img', A)};{block('b.img', B)}"
    assert tool.json(*DRIVES, "-c1", rules=rules)["exit_code"] == 0
    assert "a.img is in use" in refused(tool, rules, "--check")
    busy = f"{block('b.img', B)};excl,b.img,0,errno,16"
    assert tool.json(*DRIVES, "--skip-write", "-c1", rules=busy)["exit_code"] == 0


def test_the_same_disk_twice(shimmed: Tool, machine: Machine) -> None:
    """The tool's own claim is not in its own way, whichever end is the whole disk."""
    tool = on(shimmed, machine)
    once = "excl,a.img,0,errno,16"
    for args in (("--check", "-o8k"), ("--overlap",)):
        rules = f"{block('a.img', B1)};{block('b.img', B)};{once}"
        assert tool.json(*DRIVES, "-c1", *args, rules=rules)["exit_code"] == 0
    rules = f"{block('a.img', B)};{block('b.img', B1)};excl,b.img,0,errno,16"
    assert tool.json(*DRIVES, "-c1", "--check", rules=rules)["exit_code"] == 0
    rules = f"{block('a.img', B)};excl,a.img,2,errno,16"
    assert tool.json("a.img", "a.img", "--overlap", "-c1", rules=rules)["exit_code"] == 0


def test_the_size_is_never_forced(shimmed: Tool, machine: Machine) -> None:
    """A range that is longer than the drive is no matter of --force."""
    every = "--force=root,mounted,swap,held,busy"
    (shimmed.folder / "b.img").write_bytes(bytes(8192))
    report = on(shimmed, machine).json(*DRIVES, every, "-c3", rules=block("b.img", B))
    assert report["exit_code"] == 4
    assert "b.img is too short" in report["message"]


@pytest.mark.parametrize("words", ["", "all", "root,", ",root", "root;swap", "ROOT", "roots"])
def test_unknown_reasons(either: Tool, words: str) -> None:
    result = either.run(*DRIVES, f"--force={words}")
    assert result.code == 2
    assert f"--force '{words}' is not a list of root, mounted, swap, held, busy" in result.stderr
