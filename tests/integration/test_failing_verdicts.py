"""What is broken on purpose is found, and each kind of end is told from the others."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from boot import console
from boot.console import Console
from boot.outcome import Outcome
from boot.trace import Memory
from kernel.external import build_module
from kernel.kbuild import Kbuild
from rootfs.initramfs import Parts, find_busybox, pack
from settings.paths import PROJECT, Workspace
from tests.integration.conftest import Act, Lab
from tests.integration.results import failed
from verify import guest, run
from verify.plan import guest_checks
from verify.run import Inputs
from verify.runner import Check, Status
from verify.scenario import Scenario
from verify.session import Session
from verify.timeouts import Timeouts

pytestmark = pytest.mark.kernel

SHORT = Timeouts(boot=120, command=10, copy=30, shutdown=30)
FAULTY = PROJECT / "tests/fixtures/faulty_module"


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[Act], None]:
    """Return a function that puts one more act right before the copies."""

    def insert(act: Act) -> None:
        def planned(scenario: Scenario) -> list[Check]:
            checks = guest_checks(scenario)
            first = next(number for number, item in enumerate(checks) if "copy" in item.title)
            return [*checks[:first], Check("broken on purpose", act), *checks[first:]]

        monkeypatch.setattr(run, "guest_checks", planned)
        monkeypatch.setattr(guest, "timeouts_for", lambda _accel: SHORT)

    return insert


def flip(path: Path, offset: int) -> None:
    """Invert one byte of a file."""
    with path.open("r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ 0xFF]))


@pytest.mark.parametrize(
    ("topology", "provider"), [("switch-q35", "d00d0002"), ("ivshmem", "shared")]
)
def test_a_flipped_byte_in_the_destination_is_found(
    lab: Lab, after: Callable[[Act], None], topology: str, provider: str
) -> None:
    """Through a drive's memory, and through a card's."""
    inputs = lab.inputs(topology, "copy" if topology == "switch-q35" else topology)
    through = [copy for copy in inputs.scenario.copies if copy.provider == provider]
    copy = max(through, key=lambda copy: copy.length)
    place = copy.offset + copy.length - 4321  # in the last chunk of several

    def tamper(session: Session) -> str:
        flip(session.images.paths[copy.destination], place)
        return "flipped"

    after(tamper)
    verdict = lab.verify(inputs)
    assert verdict.outcome is Outcome.FAILED
    assert list(failed(verdict)) == ["host: copied ranges are the same on both images"]
    assert f"byte {place} of {copy.destination}" in verdict.cause


def test_a_stray_write_is_found(lab: Lab, after: Callable[[Act], None]) -> None:
    inputs = lab.inputs()
    serial = inputs.scenario.copies[0].source
    last = inputs.topology.drive(serial).drive_mib * (1 << 20) - 1

    def tamper(session: Session) -> str:
        flip(session.images.paths[serial], last)
        return "flipped"

    after(tamper)
    verdict = lab.verify(inputs)
    assert verdict.outcome is Outcome.FAILED
    assert f"byte {last} of {serial}" in verdict.cause


def test_a_copy_through_ram_is_no_pass_although_the_data_is_right(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verify.copy_check.memory_words", lambda _session, _copy: [])
    verdict = lab.verify(lab.inputs())
    assert verdict.outcome is Outcome.FAILED
    copies = [title for title in failed(verdict) if title.startswith("copy")]
    assert len(copies) == len(verdict.copies) - 1  # the control through host RAM is what it says
    assert Memory.RAM.value in verdict.cause


def test_a_panic_is_a_panic(lab: Lab, during: Callable[[Act], None]) -> None:
    during(lambda session: session.run("echo c >/proc/sysrq-trigger"))
    verdict = lab.verify(lab.inputs())
    assert verdict.outcome is Outcome.PANIC
    assert "sysrq triggered crash" in verdict.cause
    assert any(result.status is Status.NOT_RUN for result in verdict.results)


def test_a_killed_qemu_is_a_lost_vm(lab: Lab, during: Callable[[Act], None]) -> None:
    def kill(session: Session) -> str:
        os.kill(session.guest.process.pid, signal.SIGKILL)
        return session.run("true")

    during(kill)
    assert lab.verify(lab.inputs()).outcome is Outcome.LOST


def test_a_command_that_does_not_end_is_a_timeout(lab: Lab, during: Callable[[Act], None]) -> None:
    during(lambda session: session.run("sleep 1000"))
    inputs = lab.inputs()
    verdict = lab.verify(inputs)
    assert verdict.outcome is Outcome.TIMEOUT
    assert "Show Blocked State" in (inputs.folder / "console.log").read_text()


def test_a_guest_that_is_slow_to_power_off_gets_a_sysrq(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Console.send
    monkeypatch.setattr(console, "REMIND", 2.0)
    monkeypatch.setattr(
        Console, "send", lambda self, line: send(self, line.replace("bye ", "bye sleep 5; "))
    )
    inputs = lab.inputs()
    verdict = lab.verify(inputs)
    assert verdict.outcome is Outcome.PASSED
    assert "sysrq: Show Blocked State" in (inputs.folder / "console.log").read_text()
    (down,) = (item for item in verdict.results if item.title == "power-off ends QEMU")
    assert "it got a SysRq" in down.detail


def test_a_frozen_guest_is_a_hang(lab: Lab, during: Callable[[Act], None]) -> None:
    def freeze(session: Session) -> str:
        session.guest.qmp.execute("stop")
        return session.run("true")

    during(freeze)
    assert lab.verify(lab.inputs()).outcome is Outcome.HANG


@pytest.fixture(scope="module")
def faulty(workspace: Workspace, kbuild: Kbuild, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root file system of a module that fails on purpose."""
    folder = tmp_path_factory.mktemp("faulty")
    build_module(kbuild, FAULTY, folder / "module", folder / "module.log")
    image = folder / "initramfs.cpio.lz4"
    parts = Parts(
        busybox=find_busybox(),
        module=folder / "module/p2pmem_pci.ko",
        tool=workspace.tool,
        vmlinux=workspace.vmlinux,
    )
    pack(parts, workspace.gen_init_cpio, image)
    return image


def with_image(inputs: Inputs, initramfs: Path) -> Inputs:
    """Return the same verification with another root file system."""
    return replace(inputs, artifacts=replace(inputs.artifacts, initramfs=initramfs))


def test_a_module_that_does_not_load(lab: Lab, faulty: Path) -> None:
    verdict = lab.verify(with_image(lab.inputs(), faulty))
    assert verdict.outcome is Outcome.FAILED
    assert "No such device" in failed(verdict)["module loads without a warning"]


@pytest.mark.parametrize(("fault", "outcome"), [("warn", Outcome.WARNING), ("oops", Outcome.OOPS)])
def test_a_module_that_makes_the_kernel_complain(
    lab: Lab, faulty: Path, monkeypatch: pytest.MonkeyPatch, fault: str, outcome: Outcome
) -> None:
    monkeypatch.setattr(guest, "timeouts_for", lambda _accel: SHORT)
    inputs = with_image(lab.inputs(), faulty)
    artifacts = replace(inputs.artifacts, module=f"p2pmem_pci fault={fault}")
    verdict = lab.verify(replace(inputs, artifacts=artifacts))
    assert verdict.outcome is outcome
    assert "no oops, WARN or BUG in the log" in failed(verdict)


def test_qemu_that_cannot_start_is_no_pass(lab: Lab) -> None:
    inputs = lab.inputs(cpu="no-such-model")
    verdict = lab.verify(replace(inputs, accel="tcg"))
    assert verdict.outcome is Outcome.LOST
    assert "no-such-model" in verdict.cause
    assert {result.status for result in verdict.results} == {Status.NOT_RUN}
