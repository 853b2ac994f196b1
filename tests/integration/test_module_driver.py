"""The module as a driver, in a guest: what it takes, what it refuses, and what sysfs and udev see.

What is copied through memory that it provides is a matter of the scenarios.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from boot.artifacts import built_in
from boot.drives import create_filled
from boot.kernel_log import complaints
from boot.machine import Guest, running
from boot.setup import Setup, serving
from boot.topology import load_topology
from host.tools import require_programs
from kernel.external import build_module
from kernel.kbuild import Kbuild
from rootfs.closure import closure
from rootfs.initramfs import ImageFile, Parts, find_busybox, pack
from settings.paths import CONFIGS, PROJECT, Workspace, accel_cache
from verify.timeouts import Timeouts, timeouts_for

pytestmark = pytest.mark.kernel

DRIVER = "/sys/bus/pci/drivers/p2pmem_pci"
PARAMETER = "/sys/module/p2pmem_pci/parameters/bar"
CLASS = "/sys/class/p2pmem_device"
CARD, TESTDEV, DRIVE, LATE = "0000:00:10.0", "0000:00:11.0", "0000:04:00.0", "0000:05:00.0"
DEVICES = (
    "-object", "memory-backend-ram,id=memory,size=32M,share=on",
    "-device", f"ivshmem-plain,memdev=memory,bus=pcie.0,addr={CARD[8:10]}",
    "-device", f"pci-testdev,membar=32M,bus=pcie.0,addr={TESTDEV[8:10]}",
    # Its window has no place for what is plugged in below: firmware gives it 2 MiB at most.
    "-device", "pcie-root-port,id=narrow,bus=pcie.0,addr=0x12,chassis=20,slot=20",
    "-object", "memory-backend-ram,id=late,size=64M,share=on",
)  # fmt: skip
CMBSZ, CMBMSC = 0x3C, 0x50
FUNCTION = f"/sys/bus/pci/devices/{DRIVE}"
RESET = f"echo flr > {FUNCTION}/reset_method; echo 1 > {FUNCTION}/reset"


@dataclass(frozen=True)
class Machine:
    """A guest with the module's devices."""

    guest: Guest
    timeouts: Timeouts

    def run(self, command: str) -> str:
        """Run a command that has to succeed and return its output."""
        answer = self.guest.console.run(command, self.timeouts.command)
        assert answer.status == 0, answer.output
        return answer.output

    def refused(self, command: str) -> tuple[str, list[str]]:
        """Run a command that has to fail and return what it says, and what the kernel says."""
        self.run("dmesg -c >/dev/null")
        answer = self.guest.console.run(command, self.timeouts.command)
        assert answer.status != 0, answer.output
        said = re.findall(r"\] (.*)", self.run("dmesg -c"))
        return answer.output.rpartition(": ")[2].strip(), said

    def register(self, address: int) -> int:
        """Return the 32 bits of device memory at a guest physical address, read by QEMU."""
        line = {"command-line": f"xp /1wx {address:#x}"}
        text: str = self.guest.qmp.execute("human-monitor-command", **line)
        return int(text.split()[-1], 16)

    def controller_register(self, offset: int) -> int:
        """Return a register of the drive."""
        bars = self.guest.qmp.bars()
        (registers,) = (bar for bar in bars if bar.bdf == DRIVE and bar.number == 0)
        return self.register(registers.address + offset)

    def take_over(self) -> None:
        """Unbind the drive from nvme and give it to the module."""
        self.run(f"echo {DRIVE} > /sys/bus/pci/drivers/nvme/unbind")
        self.run(f"echo p2pmem_pci > {FUNCTION}/driver_override")
        self.run(f"echo {DRIVE} > {DRIVER}/bind")


@contextmanager
def booted(
    workspace: Workspace, folder: Path, module: Path, more: tuple[ImageFile, ...] = ()
) -> Iterator[Machine]:
    """Boot a guest whose module is this one, and load it."""
    image = folder / "image"
    image.mkdir()
    parts = Parts(find_busybox(), module, workspace.tool, workspace.vmlinux, more)
    pack(parts, workspace.gen_init_cpio, image / "initramfs")
    topology = load_topology(CONFIGS / "topologies/switch-q35.toml")
    artifacts = replace(built_in(workspace), initramfs=image / "initramfs")
    setup = Setup(artifacts, topology, topology.cpu, "auto", accel_cache(), folder)
    vm = replace(serving(setup, create_filled(topology, image), print), extra=DEVICES)
    timeouts = timeouts_for(vm.accel)
    with running(vm, folder) as guest:
        guest.console.wait_ready(timeouts.boot)
        machine = Machine(guest, timeouts)
        machine.run("modprobe p2pmem_pci")
        yield machine


@pytest.fixture(scope="module")
def installed(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root directory into which the module was installed as its Makefile does it."""
    require_programs("systemd-sysusers")
    folder = tmp_path_factory.mktemp("installed")
    root = folder / "root"
    make(workspace, shutil.copytree(PROJECT / "p2pmem-pci", folder / "p2pmem-pci"), root, "install")
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    group = root / "usr/local/lib/sysusers.d/p2pmem.conf"
    subprocess.run(["systemd-sysusers", f"--root={root}", str(group)], check=True)
    return root


def make(workspace: Workspace, folder: Path, root: Path, target: str) -> None:
    """Make a target of the module's Makefile, with an empty directory for a file system."""
    words = ["make", "-C", str(folder), f"KDIR={workspace.linux}", f"DESTDIR={root}", target]
    subprocess.run(words, check=True, env={"PATH": os.environ["PATH"]})


def files_below(root: Path) -> dict[str, Path]:
    """Return all files of a root directory by the path that they have in it."""
    return {f"/{path.relative_to(root)}": path for path in root.rglob("*") if path.is_file()}


def installed_module(root: Path) -> Path:
    """Return the module in a root directory."""
    (module,) = root.glob("lib/modules/*/updates/p2pmem_pci.ko")
    return module


def udev(root: Path) -> tuple[ImageFile, ...]:
    """Return udev with its libraries, and what was installed for it, for an image."""
    require_programs("udevadm")
    program = ImageFile("/sbin/udevadm", Path(str(shutil.which("udevadm"))).resolve(), "755")
    data = {at: path for at, path in files_below(root).items() if not at.startswith("/lib/")}
    return (
        program,
        *closure([program]),
        *(ImageFile(at, path, "644") for at, path in data.items()),
    )


@pytest.fixture(scope="module")
def machine(
    workspace: Workspace, installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Return a guest with the installed module, whose kernel has nothing to complain about."""
    folder = tmp_path_factory.mktemp("guest")
    with booted(workspace, folder, installed_module(installed), udev(installed)) as machine:
        yield machine
        assert complaints(machine.guest.log.lines) == []


def test_uninstalling_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    copy = shutil.copytree(PROJECT / "p2pmem-pci", tmp_path / "p2pmem-pci")
    make(workspace, copy, tmp_path / "root", "install")
    assert len(files_below(tmp_path / "root")) == 3
    make(workspace, copy, tmp_path / "root", "uninstall")
    assert files_below(tmp_path / "root") == {}


def test_the_module_says_what_it_is(installed: Path) -> None:
    data = installed_module(installed).read_bytes()
    for field in ("license=GPL", "author=", "description=", "alias=pci:v00001AF4d00001110s"):
        assert f"\0{field}".encode() in b"\0" + data, field
    assert b"parm=bar:" in data


def test_only_the_shared_memory_card_is_taken_unasked(machine: Machine) -> None:
    addresses = machine.run(f"cat {CLASS}/*/pci_address").split()
    assert addresses == [CARD, "0000:03:00.0", DRIVE]
    assert machine.run(f"ls {DRIVER}").split()[0] == CARD
    assert f"ffff : {DRIVER.rpartition('/')[2]}" in machine.run("cat /proc/iomem")
    assert machine.refused(f"echo {TESTDEV} > {DRIVER}/bind") == ("No such device", [])


def test_a_node_tells_of_its_memory(machine: Machine) -> None:
    first = f"{CLASS}/p2pmem0"
    assert machine.run(f"cat {first}/size {first}/available").split() == ["33554432"] * 2
    assert machine.run(f"cat {first}/bars") == (
        "BAR 0: no, it is 256 bytes; device memory must be a multiple of 2 MiB\n"
        "BAR 2: yes, 32 MiB\n"
    )
    # The drive keeps its submission queues there.
    size, available = machine.run(f"cd {CLASS}/p2pmem1; cat size available").split()
    assert int(available) < int(size) == 16 << 20


def test_what_a_parameter_cannot_be_is_refused(machine: Machine) -> None:
    for text in ("6", "-1", "x", "0x2", ""):
        assert machine.refused(f"echo '{text}' > {PARAMETER}") == ("Invalid argument", [])
    assert machine.run(f"cat {PARAMETER}") == "auto\n"


@pytest.mark.parametrize(
    ("bar", "why"),
    [
        (0, "is 4 KiB; device memory must be a multiple of 2 MiB"),
        (1, "is an I/O BAR"),
        (3, "is absent"),
        (5, "is absent"),
    ],
)
def test_a_bar_that_cannot_be_is_refused_in_one_line(machine: Machine, bar: int, why: str) -> None:
    override = f"/sys/bus/pci/devices/{TESTDEV}/driver_override"
    machine.run(f"echo p2pmem_pci > {override}; echo {bar} > {PARAMETER}")
    answer, said = machine.refused(f"echo {TESTDEV} > {DRIVER}/bind")
    assert answer == "No such device or address"
    assert said == [f"p2pmem_pci {TESTDEV}: BAR {bar} {why}; BAR 2 (32 MiB) would do"]
    # Refusing has left nothing behind that would be in the way of the right one.
    machine.run(f"echo 2 > {PARAMETER}; echo {TESTDEV} > {DRIVER}/bind; test -c /dev/p2pmem3")
    machine.run(f"echo {TESTDEV} > {DRIVER}/unbind; test ! -e /dev/p2pmem3")
    machine.run(f"echo > {override}; echo auto > {PARAMETER}")


def test_a_bar_without_a_place_is_not_called_absent(machine: Machine) -> None:
    machine.run("dmesg -c >/dev/null")
    machine.guest.qmp.execute(
        "device_add", driver="ivshmem-plain", id="late", memdev="late", bus="narrow"
    )
    said = f"{LATE}: BAR 2 has no address: PCI found no place for it; no BAR would do"
    machine.run(f"until dmesg | grep -q '{LATE}: BAR 2 has no'; do sleep 0.1; done")
    assert said in machine.run("dmesg")


def test_udev_names_a_node_by_its_function(machine: Machine, installed: Path) -> None:
    group = re.findall(r"p2pmem:x:(\d+):", (installed / "etc/group").read_text())
    said = machine.run(f"udevadm test --action=add {CLASS}/p2pmem1 2>&1")
    assert "DEVLINKS=/dev/p2pmem/by-path/pci-0000:03:00.0\n" in said
    assert re.search(rf"GROUP\W.*\b{group[0]}\b", said), said
    assert re.search(r"MODE\W.*\b0660\b", said), said


def test_a_controller_is_asked_where_its_memory_is(machine: Machine) -> None:
    enabled = machine.controller_register(CMBMSC)
    machine.take_over()
    assert machine.run(f"cat {CLASS}/p2pmem2/size") == f"{16 << 20}\n"
    assert machine.controller_register(CMBMSC) == enabled != 0
    machine.run(f"echo {DRIVE} > {DRIVER}/unbind")
    # Left as it was before anybody enabled it: QEMU, too, then tells of no memory.
    assert machine.controller_register(CMBMSC) == 0
    assert machine.controller_register(CMBSZ) == 0
    machine.run(f"echo {DRIVE} > {DRIVER}/bind")
    assert machine.controller_register(CMBMSC) == enabled
    machine.run(f"rmmod p2pmem_pci; test ! -e {DRIVER}; test ! -e /dev/p2pmem0")
    machine.run(f"modprobe p2pmem_pci; test -e {DRIVER}/{DRIVE} -a -c /dev/p2pmem2")


def planted(source: Path, *faults: tuple[str, str]) -> None:
    """Change a source in places that are there once."""
    text = source.read_text()
    for old, new in faults:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    source.write_text(text)


def test_a_controller_that_nobody_enabled_has_no_memory(
    workspace: Workspace, kbuild: Kbuild, tmp_path: Path
) -> None:
    """The fault that the test before would find: CMBMSC.CRE is not set."""
    copy = shutil.copytree(PROJECT / "p2pmem-pci", tmp_path / "p2pmem-pci")
    planted(copy / "p2pmem_cmb.c", ("\tp2pmem_cmb_write(cmb, NVME_CMBMSC_CRE);\n", ""))
    build_module(kbuild, copy, tmp_path / "out", tmp_path / "log")
    with booted(workspace, tmp_path, tmp_path / "out/p2pmem_pci.ko") as machine:
        machine.take_over()
        machine.run(f"echo {DRIVE} > {DRIVER}/unbind")
        answer, said = machine.refused(f"echo {DRIVE} > {DRIVER}/bind")
        assert answer == "No such device or address"
        assert said == [f"p2pmem_pci {DRIVE}: controller memory buffer is absent: CMBSZ is 0"]


@pytest.fixture(scope="module")
def talkative(
    workspace: Workspace, kbuild: Kbuild, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Return a guest whose drive says of its memory what the tests want it to say."""
    folder = tmp_path_factory.mktemp("talkative")
    copy = shutil.copytree(PROJECT / "p2pmem-pci", folder / "p2pmem-pci")
    planted(
        copy / "p2pmem_cmb.c",
        (
            "static int p2pmem_cmb_read(",
            "#include <linux/moduleparam.h>\nstatic uint said_size, said_place;\n"
            "static unsigned long long said_base;\nmodule_param(said_base, ullong, 0644);\n"
            "module_param(said_size, uint, 0644);\nmodule_param(said_place, uint, 0644);\n"
            "static int p2pmem_cmb_read(",
        ),
        ("readl(regs + NVME_REG_CMBSZ)", "said_size"),
        ("readl(regs + NVME_REG_CMBLOC)", "said_place"),
        ("\tbase = pci_bus_address(", "\tbase = said_base ?: pci_bus_address("),
        (
            "\tp2pmem_cmb_write(cmb, cmb->control);",
            "\tp2pmem_cmb_write(cmb, said_base ? said_base | 3 : cmb->control);",
        ),
    )
    build_module(kbuild, copy, folder / "out", folder / "log")
    with booted(workspace, folder, folder / "out/p2pmem_pci.ko") as machine:
        machine.run(f"echo {cmbsz(16)} > {SAID_SIZE}; echo 2 > {SAID_PLACE}")
        machine.take_over()
        machine.run(f"echo {DRIVE} > {DRIVER}/unbind")
        yield machine
        assert complaints(machine.guest.log.lines) == []


SAID_SIZE = "/sys/module/p2pmem_pci/parameters/said_size"
SAID_PLACE = "/sys/module/p2pmem_pci/parameters/said_place"
SAID_BASE = "/sys/module/p2pmem_pci/parameters/said_base"
# From here the memory would go beyond 2^64. QEMU refuses that, and any other address from then on.
IMPOSSIBLE = (1 << 64) - 4096


def cmbsz(size: int, unit: int = 2, uses: int = 0b11000) -> int:
    """Return CMBSZ: units of memory, 16 to the power of ``unit`` pages each; WDS and RDS."""
    return size << 12 | unit << 8 | uses


def cmbloc(bar: int, offset: int = 0) -> int:
    """Return CMBLOC: the BAR, and how many units into it."""
    return offset << 12 | bar


@pytest.mark.parametrize(
    ("size", "place", "why"),
    [
        (0xFFFFFFFF, 0, "is unknown: the controller does not answer"),
        (0, cmbloc(2), "is absent: CMBSZ is 0"),
        (cmbsz(16, uses=0b10000), cmbloc(2), "is not for reads and writes: RDS or WDS is 0"),
        (cmbsz(16, uses=0b01000), cmbloc(2), "is not for reads and writes: RDS or WDS is 0"),
        # With 16 of this unit, size and offset would both be 0 modulo 2^64.
        (cmbsz(16, unit=13), cmbloc(2), "is of unknown size: the unit in CMBSZ is reserved"),
        (cmbsz(16, unit=7), cmbloc(2), "is of unknown size: the unit in CMBSZ is reserved"),
        (cmbsz(16), cmbloc(5), "is in BAR 5, which is absent"),
        (cmbsz(16), cmbloc(7), "is in BAR 7, which no function has"),
        (cmbsz(2), cmbloc(2, 16), "is in BAR 2, which is 16 MiB, but the offset is 0x1000000"),
        (cmbsz(1), cmbloc(2), "is 1 MiB; device memory must be a multiple of 2 MiB"),
        (cmbsz(16), cmbloc(0), "is 16 KiB; device memory must be a multiple of 2 MiB"),
    ],
)
def test_what_a_controller_says_is_not_believed(
    talkative: Machine, size: int, place: int, why: str
) -> None:
    talkative.run(f"echo {size} > {SAID_SIZE}; echo {place} > {SAID_PLACE}")
    answer, said = talkative.refused(f"echo {DRIVE} > {DRIVER}/bind")
    assert answer == "No such device or address"
    assert said == [f"p2pmem_pci {DRIVE}: controller memory buffer {why}"]


@pytest.mark.parametrize(
    ("size", "place", "mebibytes", "offset"),
    [
        (cmbsz(16), cmbloc(2), 16, 0),
        (cmbsz(64), cmbloc(2), 16, 0),  # larger than its BAR, as behind a bridge
        (cmbsz(8), cmbloc(2, 8), 8, 8 << 20),
        (cmbsz(512, unit=0), cmbloc(2, 512), 2, 2 << 20),
    ],
)
def test_memory_is_where_the_controller_says(
    talkative: Machine, size: int, place: int, mebibytes: int, offset: int
) -> None:
    talkative.run(f"echo {size} > {SAID_SIZE}; echo {place} > {SAID_PLACE}")
    talkative.run(f"echo {DRIVE} > {DRIVER}/bind")
    assert talkative.run(f"cat {CLASS}/p2pmem2/size") == f"{mebibytes << 20}\n"
    claimed = re.findall(r"(\w+)-\w+ : p2pmem_pci", talkative.run("cat /proc/iomem"))
    (memory,) = (bar for bar in talkative.guest.qmp.bars() if bar.bdf == DRIVE and bar.number == 2)
    assert f"{memory.address + offset:08x}" in claimed
    talkative.run(f"echo {DRIVE} > {DRIVER}/unbind")


def test_a_controller_that_refuses_the_address_after_a_reset_is_told_of(talkative: Machine) -> None:
    talkative.run(f"echo {cmbsz(16)} > {SAID_SIZE}; echo {cmbloc(2)} > {SAID_PLACE}")
    talkative.run(f"echo {DRIVE} > {DRIVER}/bind; echo {IMPOSSIBLE} > {SAID_BASE}")
    talkative.run(f"dmesg -c >/dev/null; {RESET}")
    said = "controller memory buffer stays off after a reset: its address is refused (CMBSTS.CBAI)"
    assert f"p2pmem_pci {DRIVE}: {said}" in talkative.run("dmesg")
    talkative.run(f"echo 0 > {SAID_BASE}; {RESET}; echo {DRIVE} > {DRIVER}/unbind")


def test_a_controller_that_refuses_the_address_has_no_memory(talkative: Machine) -> None:
    talkative.run(f"echo {cmbsz(16)} > {SAID_SIZE}; echo {cmbloc(2)} > {SAID_PLACE}")
    talkative.run(f"echo {IMPOSSIBLE} > {SAID_BASE}")
    answer, said = talkative.refused(f"echo {DRIVE} > {DRIVER}/bind")
    assert answer == "No such device or address"
    assert said == [
        f"p2pmem_pci {DRIVE}: controller memory buffer stays off: its address is refused "
        "(CMBSTS.CBAI)"
    ]
    assert talkative.controller_register(CMBMSC) == 0
