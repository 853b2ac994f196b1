"""A topology and a kernel as a QEMU command line, readable from top to bottom."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from boot.topology import Card, Item, Nvme, Topology
from host.process import output_of

QEMU = "qemu-system-x86_64"
PROCESSORS = 2
# nokaslr: a high BAR may lie outside the randomized direct map, and gdb finds its symbols.
# panic=-1 with -no-reboot: a panic ends QEMU at once instead of leaving it to a timeout.
# nvme_core.multipath=N: a drive that is in a subsystem would be served as one of several ways to
# it (CONFIG_NVME_MULTIPATH), by another block device, and that one may know no peer-to-peer DMA.
KERNEL_ARGUMENTS = ("console=ttyS0,115200", "nokaslr", "panic=-1", "nvme_core.multipath=N")
# Added for a guest that is to serve requests on its console: see rootfs/init. With the kernel's
# own default of 7, whatever its configuration says: a quieter console would hide warnings.
SERVE = ("p2plab.mode=verify", "loglevel=7")
# For an emulated processor. The kernel measures its TSC against the PIT, and on a busy host finds a
# frequency that may be a 36th of the real one (arch/x86/kernel/tsc.c takes the smallest of three
# tries): the guest's time then runs away until a watchdog compares it, and RCU reports stalls that
# are none. An HPET tells its frequency. Under KVM the kernel has a better clock than either.
STEADY_CLOCK = "clocksource=hpet"


def version() -> str:
    """Return what QEMU calls itself, with its version.

    Raises:
        MissingToolError: there is no QEMU.
    """
    return output_of([QEMU, "--version"]).split("\n", 1)[0]


@dataclass(frozen=True)
class Vm:
    """All that a QEMU command line is made from.

    Attributes:
        topology: the machine and its PCI tree.
        kernel: bzImage.
        initramfs: the root file system.
        drives: a raw image for each drive serial; None for a blank drive that is gone afterwards.
        cpu: QEMU CPU model.
        accel: ``kvm`` or ``tcg``.
        console: QEMU options that say where the serial ports lead.
        kernel_arguments: added to the lab's own.
        steady_clock: an emulated guest shall know the time also on a busy host; to read its clock
            then takes some microseconds.
        extra: further QEMU options (QMP, trace, gdb).
    """

    topology: Topology
    kernel: Path
    initramfs: Path
    drives: Mapping[str, Path | None]
    cpu: str
    accel: str = "tcg"
    console: tuple[str, ...] = ()
    kernel_arguments: tuple[str, ...] = ()
    steady_clock: bool = True
    extra: tuple[str, ...] = ()


def command(vm: Vm) -> list[str]:
    """Return the complete QEMU command."""
    topology = vm.topology
    return [
        QEMU,
        "-name", f"p2plab-{topology.name}",
        "-machine", f"{topology.machine},accel={vm.accel}",
        "-cpu", vm.cpu,
        "-smp", str(PROCESSORS),
        "-m", f"{topology.memory_mib}M",
        "-no-user-config",
        "-nodefaults",
        "-display", "none",
        "-no-reboot",
        *vm.console,
        *vm.extra,
        "-kernel", str(vm.kernel),
        "-initrd", str(vm.initramfs),
        "-append", " ".join((*KERNEL_ARGUMENTS, *_clock(vm), *vm.kernel_arguments)),
        *_ports(topology),
        *_drives(topology, vm.drives),
        *_cards(topology),
    ]  # fmt: skip


def shown(argv: list[str], quote: Callable[[str], str] = shlex.quote) -> str:
    """Return a command as text for a shell, one option a line, each word made safe by ``quote``."""
    lines: list[list[str]] = []
    for word in argv:
        if word.startswith("-") or not lines:
            lines.append([quote(word)])
        else:
            lines[-1].append(quote(word))
    return " \\\n  ".join(" ".join(line) for line in lines)


def _clock(vm: Vm) -> tuple[str, ...]:
    return (STEADY_CLOCK,) if vm.accel == "tcg" and vm.steady_clock else ()


def _ports(topology: Topology) -> list[str]:
    words = []
    for number, port in enumerate(topology.ports, 1):
        # chassis and slot name a physical slot; QEMU wants the pair unique for hot-plug ports.
        slot = "" if port.model == "x3130-upstream" else f",chassis={number},slot={number}"
        words += ["-device", f"{port.model},id={port.name},{_place(topology, port)}{slot}"]
    return words


def controller(serial: str) -> str:
    """Return QEMU's id of the PCI function of a drive."""
    return f"nvme-{serial}"


def subsystem(serial: str) -> str:
    """Return QEMU's id of what holds a drive's namespace; it stays when the function is unplugged.

    Without it a namespace with an ID of its own cannot be plugged in again: QEMU gives it to each
    function that joins the subsystem, and takes none for a function alone while the guest runs.
    """
    return f"subsystem-{serial}"


def namespace(serial: str) -> str:
    """Return QEMU's id of what has the data of a drive."""
    return f"namespace-{serial}"


def _drives(topology: Topology, images: Mapping[str, Path | None]) -> list[str]:
    words = []
    for nsid, serial in topology.namespaces.items():
        drive = topology.drive(serial)
        image = _image(drive, images[serial])
        words += ["-drive", f"if=none,id=image-{serial},format=raw,{image}"]
        cmb = f",cmb_size_mb={drive.cmb_mib}" if drive.cmb_mib else ""
        words += [
            "-device", f"nvme-subsys,id={subsystem(serial)}",
            "-device",
            f"nvme,id={controller(serial)},{_place(topology, drive)},subsys={subsystem(serial)},"
            f"serial={serial}{cmb}",
            "-device",
            f"nvme-ns,id={namespace(serial)},bus={controller(serial)},drive=image-{serial},"
            f"nsid={nsid}",
        ]  # fmt: skip
    return words


def _cards(topology: Topology) -> list[str]:
    words = []
    for card in topology.cards:
        device, *backend = CARD_WORDS[card.kind](card)
        words += [*backend, "-device", f"{device},id={card.name},{_place(topology, card)}"]
    return words


def _ivshmem(card: Card) -> list[str]:
    memory = f"memory-{card.name}"
    backend = f"memory-backend-ram,id={memory},size={card.size_mib}M,share=on"
    return [f"ivshmem-plain,memdev={memory}", "-object", backend]


def _testdev(card: Card) -> list[str]:
    return [f"pci-testdev,membar={card.size_mib}M"]


# The device, and the options that go before it.
CARD_WORDS = {"ivshmem": _ivshmem, "testdev": _testdev}


def _image(drive: Nvme, path: Path | None) -> str:
    if path is not None:
        return f"file={escaped(path)}"
    # Nothing below, and what is written goes to a file of QEMU's own that has no name.
    return f"snapshot=on,file.driver=null-co,file.size={drive.drive_bytes},file.read-zeroes=on"


def _place(topology: Topology, item: Item) -> str:
    return f"bus={item.parent or topology.root_bus},addr={item.addr:#x}"


def escaped(path: Path) -> str:
    """Return a path for use inside a QEMU option list, where a comma separates options."""
    return str(path).replace(",", ",,")
