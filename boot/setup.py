"""A build and a topology as a machine that can be booted here: the accelerator is decided."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from boot import accel
from boot.artifacts import Artifacts
from boot.qemu import SERVE, Vm
from boot.topology import Topology


@dataclass(frozen=True)
class Setup:
    """What a guest is booted from, and on what.

    Attributes:
        artifacts: the build to boot.
        topology: the machine to boot it on.
        cpu: QEMU CPU model.
        accel: the setting: ``auto``, ``kvm`` or ``tcg``.
        accel_cache: where results of probing KVM are remembered.
        folder: gets everything that the guest leaves behind, and the log of a probe for KVM.
    """

    artifacts: Artifacts
    topology: Topology
    cpu: str
    accel: str
    accel_cache: Path
    folder: Path


def machine(setup: Setup, drives: Mapping[str, Path], say: Callable[[str], None]) -> Vm:
    """Return the machine with these drive images; its guest comes up for a person at the console.

    ``say`` gets a line before and after a probe for KVM.

    Raises:
        LabError: KVM was asked for and is not accessible.
    """
    vm = Vm(
        topology=setup.topology,
        kernel=setup.artifacts.bzimage,
        initramfs=setup.artifacts.initramfs,
        drives=drives,
        cpu=setup.cpu,
    )
    probe = setup.folder / "probe"
    return replace(vm, accel=accel.resolve(setup.accel, vm, probe, setup.accel_cache, say))


def serving(setup: Setup, drives: Mapping[str, Path], say: Callable[[str], None]) -> Vm:
    """Return the same machine, but its guest serves the requests of the lab.

    Raises:
        LabError: KVM was asked for and is not accessible.
    """
    return replace(machine(setup, drives, say), kernel_arguments=SERVE)
