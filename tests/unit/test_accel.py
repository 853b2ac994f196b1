"""KVM or TCG; the probe boot is played, except where it meets a QEMU that fails."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from boot import accel
from boot.qemu import SERVE, Vm
from host.errors import LabError
from tests.unit.fake_qemu import BOOTS, FAILS_AT_ITS_DEVICES, PANICS, install, vm


@dataclass
class Machine:
    """A machine whose /dev/kvm can be used by a guest, or only opened."""

    folder: Path
    reason: str = ""
    probed: list[Vm] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def cache(self) -> Path:
        return self.folder / "cache/accel.json"

    def probe(self, guest: Vm, _folder: Path) -> str:
        self.probed.append(guest)
        return self.reason

    def resolve(self, asked: str, guest: Vm | None = None) -> str:
        probe = self.folder / "probe"
        return accel.resolve(asked, guest or vm(""), probe, self.cache, self.said.append)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine with a /dev/kvm that can be opened."""
    install(tmp_path / "bin", monkeypatch, BOOTS)
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(accel, "KVM", tmp_path / "kvm")
    made = Machine(tmp_path)
    monkeypatch.setattr(accel, "_probe", made.probe)
    return made


def test_probe_once_and_remember(machine: Machine) -> None:
    guest = replace(vm(""), kernel_arguments=("x",), extra=("-S",))
    assert machine.resolve("auto", guest) == "kvm"
    assert machine.resolve("auto", guest) == "kvm"
    (probed,) = machine.probed
    assert (probed.accel, probed.kernel_arguments, probed.extra) == ("kvm", SERVE, ())
    before, after = machine.said
    assert "trying once" in before
    assert after == "accel=auto: yes, using KVM"


def test_a_device_under_which_no_guest_runs(machine: Machine) -> None:
    machine.reason = "the guest's init did not end within 10 s"
    assert machine.resolve("auto") == "tcg"
    assert machine.resolve("auto") == "tcg"
    assert len(machine.probed) == 1
    assert "no, using TCG: the guest's init did not end" in machine.said[1]


def test_another_processor_model_is_probed_for_itself(machine: Machine) -> None:
    machine.resolve("auto")
    machine.reason = "no"
    assert machine.resolve("auto", replace(vm(""), cpu="EPYC")) == "tcg"
    assert machine.resolve("auto") == "kvm"
    assert len(machine.probed) == 2


def test_another_qemu_is_probed_again(machine: Machine) -> None:
    machine.resolve("auto")
    program = machine.folder / "bin/qemu-system-x86_64"
    program.write_text(program.read_text().replace("7.2.22", "9.0.0"))
    machine.resolve("auto")
    assert len(machine.probed) == 2


def test_another_host_kernel_is_probed_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.resolve("auto")
    monkeypatch.setattr("platform.release", lambda: "7.0.0")
    machine.resolve("auto")
    assert len(machine.probed) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '"kvm"', "null", '{"x": 1}', "\udcff"])
def test_damaged_cache(machine: Machine, content: str) -> None:
    machine.cache.parent.mkdir()
    machine.cache.write_bytes(content.encode(errors="surrogateescape"))
    assert machine.resolve("auto") == "kvm"
    assert list(json.loads(machine.cache.read_text()).values()) == ["kvm"]


def test_damaged_value(machine: Machine) -> None:
    machine.resolve("auto")
    machine.cache.write_text(machine.cache.read_text().replace('"kvm"', '"whpx"'))
    assert machine.resolve("auto") == "kvm"
    assert len(machine.probed) == 2


def test_no_device(machine: Machine) -> None:
    (machine.folder / "kvm").unlink()
    assert machine.resolve("auto") == "tcg"
    with pytest.raises(LabError, match=r"accel=kvm: .*/kvm cannot be opened") as caught:
        machine.resolve("kvm")
    assert "accel=tcg" in caught.value.hint
    assert not machine.probed


@pytest.mark.parametrize("asked", ["kvm", "tcg"])
def test_what_was_asked_for_is_not_probed(machine: Machine, asked: str) -> None:
    assert machine.resolve(asked) == asked
    assert not machine.probed
    assert not machine.cache.exists()


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [(BOOTS, ""), (PANICS, ""), (FAILS_AT_ITS_DEVICES, "qemu: no such drive")],
)
def test_real_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, reason: str
) -> None:
    install(tmp_path / "bin", monkeypatch, behaviour)
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(accel, "KVM", tmp_path / "kvm")
    said: list[str] = []
    chosen = accel.resolve("auto", vm(""), tmp_path / "probe", tmp_path / "c.json", said.append)
    assert chosen == ("tcg" if reason else "kvm")
    assert reason in said[-1]
    assert (tmp_path / "probe/qemu.sh").exists()
