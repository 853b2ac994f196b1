"""What all guests have in common, and what makes one serve the lab."""

from dataclasses import replace
from pathlib import Path

import pytest

from boot.artifacts import Artifacts
from boot.qemu import SERVE
from boot.setup import Setup, machine, serving
from boot.topology import load_topology
from host.errors import LabError
from kernel.source import SourceRecord
from settings.paths import CONFIGS

SETUP = Setup(
    artifacts=Artifacts(
        source=SourceRecord("auto", "6.3.2", "", "url", "6.3.2", Path("/source")),
        release="6.3.2",
        bzimage=Path("/bzImage"),
        initramfs=Path("/initramfs"),
    ),
    topology=load_topology(CONFIGS / "topologies/switch-q35.toml"),
    cpu="qemu64",
    accel="tcg",
    accel_cache=Path("/nowhere/accel.json"),
    folder=Path("/nowhere"),
)
IMAGES = {"d00d0001": Path("/1.img"), "d00d0002": Path("/2.img")}


def test_machine_for_a_person_and_for_the_lab() -> None:
    vm = machine(SETUP, IMAGES, print)
    assert (vm.kernel, vm.initramfs, vm.drives) == (Path("/bzImage"), Path("/initramfs"), IMAGES)
    assert (vm.topology, vm.cpu, vm.accel) == (SETUP.topology, "qemu64", "tcg")
    assert vm.kernel_arguments == ()
    assert serving(SETUP, IMAGES, print) == replace(vm, kernel_arguments=SERVE)


def test_accelerator_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boot.accel.KVM", Path("/nowhere/kvm"))
    with pytest.raises(LabError, match="accel=kvm: /nowhere/kvm cannot be opened"):
        serving(replace(SETUP, accel="kvm"), IMAGES, print)
