"""One verification from start to verdict."""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boot import accel, trace
from boot.console import GuestEnded
from boot.drives import create_filled
from boot.machine import QemuFailed, running
from boot.outcome import Outcome
from boot.qemu import PROGRAM, SERVE, Vm
from boot.topology import Topology
from host.files import remove, sha256_file
from host.process import output_of
from verify.images import Images
from verify.plan import LOG_CHECK, guest_checks, host_checks
from verify.runner import Check, Result, Run, not_run, run_checks
from verify.scenario import Scenario
from verify.session import Session
from verify.timeouts import timeouts_for
from verify.verdict import Subject, Verdict, decide


@dataclass(frozen=True)
class Inputs:
    """What is verified, and how.

    Attributes:
        kernel: the source record of the kernel, as data.
        bzimage: kernel image to boot.
        initramfs: root file system with module and tool.
        release: what ``uname -r`` has to say in the guest.
        scenario: what is to be copied on this topology.
        accel: the setting: ``auto``, ``kvm`` or ``tcg``.
        accel_cache: where results of probing KVM are remembered.
        cpu: QEMU CPU model.
        folder: gets everything that the run leaves behind; emptied first.
    """

    kernel: dict[str, Any]
    bzimage: Path
    initramfs: Path
    topology: Topology
    release: str
    scenario: Scenario
    accel: str
    accel_cache: Path
    cpu: str
    folder: Path


def verify(inputs: Inputs, report: Callable[[Result], None], say: Callable[[str], None]) -> Verdict:
    """Boot the guest, run every check, and decide.

    Raises:
        LabError: nothing could be verified at all (no QEMU, no space, KVM asked for and absent).
    """
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    clock = time.monotonic()
    # Files of an earlier run must not be there to be taken for this one's.
    remove(inputs.folder)
    inputs.folder.mkdir(parents=True)
    vm = _machine(inputs, say)
    subject = _subject(inputs, vm)
    copies = list(inputs.scenario.copies)
    guest_part, host_part = guest_checks(copies), host_checks(copies)
    try:
        finished = _in_guest(inputs, vm, guest_part, host_part, report)
    except QemuFailed as error:
        ended = GuestEnded(Outcome.LOST, str(error))
        finished = _Finished(
            Run(tuple(not_run([*guest_part, *host_part], str(error))), ended), None
        )
    return _verdict(inputs, subject, finished, started, time.monotonic() - clock)


@dataclass(frozen=True)
class _Finished:
    run: Run
    session: Session | None


def _machine(inputs: Inputs, say: Callable[[str], None]) -> Vm:
    vm = Vm(
        topology=inputs.topology,
        kernel=inputs.bzimage,
        initramfs=inputs.initramfs,
        drives=create_filled(inputs.topology, inputs.folder),
        accel="",
        cpu=inputs.cpu,
        console=(),
        kernel_arguments=SERVE,
        extra=(),
    )
    chosen = accel.resolve(inputs.accel, vm, inputs.folder / "probe", inputs.accel_cache, say)
    return replace(vm, accel=chosen, extra=trace.options(inputs.folder / "trace.log"))


def _subject(inputs: Inputs, vm: Vm) -> Subject:
    return Subject(
        kernel=inputs.kernel,
        topology=inputs.topology.name,
        scenario=inputs.scenario.name,
        accel=vm.accel,
        cpu=vm.cpu,
        qemu=output_of([PROGRAM, "--version"]).split("\n", 1)[0],
        files={path.name: sha256_file(path) for path in (vm.kernel, vm.initramfs)},
        command="",
    )


def _in_guest(
    inputs: Inputs,
    vm: Vm,
    guest_part: list[Check],
    host_part: list[Check],
    report: Callable[[Result], None],
) -> _Finished:
    with running(vm, inputs.folder) as guest:
        session = Session(
            topology=inputs.topology,
            guest=guest,
            images=Images(inputs.topology, vm.drives),
            trace=trace.TraceReader(inputs.folder / "trace.log"),
            timeouts=timeouts_for(vm.accel),
            release=inputs.release,
        )
        run = run_checks(guest_part, session, report)
    if run.ended:
        # The images of a guest that went down half way prove nothing; its log still does.
        skipped = [check for check in host_part if check is not LOG_CHECK]
        rest = not_run(skipped, f"the guest was gone ({run.ended.outcome.word})")
        for result in rest:
            report(result)
        log = run_checks([LOG_CHECK], session, report)
        return _Finished(Run((*run.results, *rest, *log.results), run.ended), session)
    after = run_checks(host_part, session, report)
    return _Finished(Run((*run.results, *after.results)), session)


def _verdict(
    inputs: Inputs, subject: Subject, finished: _Finished, started: str, seconds: float
) -> Verdict:
    session = finished.session
    lines = session.guest.log.lines if session else []
    outcome, cause = decide(finished.run.results, finished.run.ended, lines)
    script = inputs.folder / "qemu.sh"
    return Verdict(
        outcome=outcome,
        cause=cause,
        subject=replace(subject, command=script.read_text() if script.exists() else ""),
        results=finished.run.results,
        copies=tuple(session.copies) if session else (),
        started=started,
        seconds=seconds,
    )
