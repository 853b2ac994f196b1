"""One verification from start to verdict."""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from boot.artifacts import Artifacts
from boot.console import GuestEnded
from boot.drives import create_filled
from boot.machine import QemuFailed
from boot.outcome import Outcome
from boot.qemu import Vm, version
from boot.setup import Setup, serving
from host.files import remove, require_space, sha256_file
from verify.guest import session_with, traced
from verify.own_tool import for_own_tool
from verify.plan import guest_checks, image_checks, log_checks
from verify.runner import Result, Run, run_checks, skip_checks
from verify.scenario import Scenario
from verify.session import Session
from verify.verdict import Subject, Verdict, decide

# QEMU says nothing when it cannot write its trace, and the drives' images are whole beforehand.
SPACE_FOR_LOGS = 32 << 20  # bytes; a run of the standard scenario writes about 3 MiB
SPACE_LEFT = 1 << 20


@dataclass(frozen=True)
class Inputs(Setup):
    """What is verified, and how; the folder is emptied first.

    Attributes:
        scenario: what is to be copied on this topology.
    """

    scenario: Scenario


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
    images = create_filled(inputs.topology, inputs.folder)
    vm = traced(serving(inputs, images, say), inputs.folder)
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
    with session_with(vm, inputs) as session:
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
