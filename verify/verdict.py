"""The verdict: what was verified, how it ended, and everything that led to it, as plain data."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from boot.console import GuestEnded
from boot.kernel_log import complaints
from boot.outcome import Outcome
from kernel.source import SourceRecord
from verify.record import CopyRecord
from verify.runner import Result, Status

FORMAT = 2  # of verdict.json; raised when a field changes its meaning

# What a kernel says of itself outweighs a failed check: it is the cause, or worse than it.
GRAVITY = (Outcome.PANIC, Outcome.HANG, Outcome.OOPS, Outcome.WARNING)


@dataclass(frozen=True)
class Subject:
    """What was verified.

    Attributes:
        kernel: where the kernel's source came from, and why another one than asked for is used.
        topology: name of the topology.
        scenario: name of the scenario.
        accel: ``kvm`` or ``tcg``.
        cpu: QEMU CPU model.
        qemu: QEMU's version.
        files: sha256 of the files that were booted, by name.
        command: the QEMU command as text.
        own: names of what is a user's own, by kind (``module``, ``tool``); the rest is the lab's.
    """

    kernel: SourceRecord
    topology: str
    scenario: str
    accel: str
    cpu: str
    qemu: str
    files: dict[str, str]
    command: str
    own: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """The end of a verification."""

    outcome: Outcome
    cause: str
    subject: Subject
    results: tuple[Result, ...]
    copies: tuple[CopyRecord, ...]
    started: str
    seconds: float


def decide(
    results: Iterable[Result], ended: GuestEnded | None, log_lines: Iterable[str]
) -> tuple[Outcome, str]:
    """Return the outcome and, if it is not a pass, its cause in one line.

    A guest that ended early decides; then the worst complaint of its kernel; then the first check
    that did not pass. With no results at all nothing has been shown, and that is a failure.
    """
    if ended:
        return ended.outcome, ended.message
    found = complaints(log_lines)
    for outcome in GRAVITY:
        for item in found:
            if item.outcome is outcome:
                return outcome, item.line
    listed = list(results)
    for result in listed:
        if result.status is not Status.PASSED:
            return Outcome.FAILED, f"{result.title}: {result.detail}"
    if not listed:
        return Outcome.FAILED, "no check was made"
    return Outcome.PASSED, ""


def as_data(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict as it stands in ``verdict.json``; the kernel used comes first."""
    return {
        "kernel": verdict.subject.kernel.as_data(),
        "format": FORMAT,
        "outcome": verdict.outcome.word,
        "meaning": verdict.outcome.meaning,
        "exit_code": verdict.outcome.exit_code,
        "cause": verdict.cause,
        "started": verdict.started,
        "seconds": round(verdict.seconds, 3),
        **{key: value for key, value in asdict(verdict.subject).items() if key != "kernel"},
        "checks": [
            {
                "title": result.title,
                "status": result.status.value,
                "seconds": round(result.seconds, 3),
                "detail": result.detail,
            }
            for result in verdict.results
        ],
        "copies": [_copy_as_data(record) for record in verdict.copies],
    }


def _copy_as_data(record: CopyRecord) -> dict[str, Any]:
    return {
        **asdict(record.copy),
        "predicted": record.predicted,
        "allowed": record.allowed,
        "expected": record.expected.value,
        "traced_bytes": record.traced,
        "tool": record.tool,
    }
