"""One verification from start to verdict."""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from boot import accel, trace
from boot.artifacts import Artifacts
from boot.console import GuestEnded
from boot.drives import create_filled, image_paths
from boot.machine import QemuFailed, running
from boot.outcome import Outcome
from boot.qemu import SERVE, Vm, version
from boot.topology import Topology
from host.files import remove, require_space, sha256_file
from verify.images import Images
from verify.own_tool import for_own_tool
from verify.plan import guest_checks, image_checks, log_checks
from verify.runner import Result, Run, run_checks, skip_checks
from verify.scenario import Scenario
from verify.session import Session
from verify.timeouts import timeouts_for
from verify.verdict import Subject, Verdict, decide

# QEMU says nothing when it cannot write its trace, and the drives' images are whole beforehand.
SPACE_FOR_LOGS = 32 << 20  # bytes; a run of the standard scenario writes about 3 MiB
SPACE_LEFT = 1 << 20


@dataclass(frozen=True)
class Inputs:
    """What is verified, and how.

    Attributes:
        artifacts: the build to boot.
        topology: the machine to boot it on.
        scenario: what is to be copied on this topology.
        accel: the setting: ``auto``, ``kvm`` or ``tcg``.
        accel_cache: where results of probing KVM are remembered.
        cpu: QEMU CPU model.
        folder: gets everything that the run leaves behind; emptied first.
    """

    artifacts: Artifacts
    topology: Topology
    scenario: Scenario
    accel: str
    accel_cache: Path
    cpu: str
    folder: Path


def verify(inputs: Inputs, report: Callable[[Result], None], say: Callable[[str], None]) -> Verdict:
    """Boot the guest, run every check, and decide.

    Raises:
        LabError: nothing could be verified at all (no QEMU, KVM asked for and absent).
        DiskFullError: there was no space for drives and logs, or it ran out.
    """
    inputs = replace(inputs, scenario=_scenario(inputs))
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    clock = time.monotonic()
    # Files of an earlier run must not be there to be taken for this one's.
    remove(inputs.folder)
    inputs.folder.mkdir(parents=True)
    vm = _machine(inputs, say)
    require_space(inputs.folder, SPACE_FOR_LOGS)
    subject = _subject(inputs, vm)
    try:
        finished = _checked(inputs, vm, report)
    except QemuFailed as error:
        finished = _never_started(inputs, GuestEnded(Outcome.LOST, str(error)), report)
    verdict = _verdict(inputs, subject, finished, started, time.monotonic() - clock)
    if verdict.outcome is not Outcome.PASSED:
        # A log that ended for this says nothing about the guest.
        require_space(inputs.folder, SPACE_LEFT)
    return verdict


def _scenario(inputs: Inputs) -> Scenario:
    """Return what is verified with these artifacts: with what they have, and as their tool can."""
    artifacts, scenario = inputs.artifacts, inputs.scenario
    fitting = for_own_tool(scenario) if artifacts.own_tool else scenario
    return replace(fitting, clients=artifacts.clients)


@dataclass(frozen=True)
class _Finished:
    run: Run
    session: Session | None


def _machine(inputs: Inputs, say: Callable[[str], None]) -> Vm:
    vm = Vm(
        topology=inputs.topology,
        kernel=inputs.artifacts.bzimage,
        initramfs=inputs.artifacts.initramfs,
        drives=create_filled(inputs.topology, inputs.folder),
        cpu=inputs.cpu,
        kernel_arguments=SERVE,
    )
    chosen = accel.resolve(inputs.accel, vm, inputs.folder / "probe", inputs.accel_cache, say)
    return replace(vm, accel=chosen, extra=trace.options(inputs.folder / "trace.log"))


def _subject(inputs: Inputs, vm: Vm) -> Subject:
    return Subject(
        kernel=inputs.artifacts.source,
        topology=inputs.topology.name,
        scenario=inputs.scenario.name,
        accel=vm.accel,
        cpu=vm.cpu,
        qemu=version(),
        files={path.name: sha256_file(path) for path in (vm.kernel, vm.initramfs)},
        command="",
        own=_own(inputs.artifacts),
    )


def _own(artifacts: Artifacts) -> dict[str, str]:
    own = {"module": artifacts.own_module, "tool": artifacts.own_tool}
    return {kind: name for kind, name in own.items() if name}


def _checked(inputs: Inputs, vm: Vm, report: Callable[[Result], None]) -> _Finished:
    """Run every check that can be run: in the guest, then on what it left behind."""
    with running(vm, inputs.folder) as guest:
        session = Session(
            topology=inputs.topology,
            guest=guest,
            images=Images(inputs.topology, image_paths(inputs.topology, inputs.folder)),
            trace=trace.TraceReader(inputs.folder / "trace.log"),
            timeouts=timeouts_for(vm.accel),
            release=inputs.artifacts.release,
            module=inputs.artifacts.module,
            own_tool=bool(inputs.artifacts.own_tool),
        )
        run = run_checks(guest_checks(inputs.scenario), session, report)
    images = image_checks(inputs.scenario)
    if run.ended:
        rest = skip_checks(images, run.ended, report)
    else:
        rest = list(run_checks(images, session, report).results)
    log = run_checks(log_checks(), session, report)
    return _Finished(Run((*run.results, *rest, *log.results), run.ended), session)


def _never_started(
    inputs: Inputs, ended: GuestEnded, report: Callable[[Result], None]
) -> _Finished:
    planned = (*guest_checks(inputs.scenario), *image_checks(inputs.scenario), *log_checks())
    return _Finished(Run(tuple(skip_checks(planned, ended, report)), ended), None)


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
