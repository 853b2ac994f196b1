"""Run named checks in order, with a result for every one of them, also for those not reached."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from boot.console import GuestEnded
from host.errors import LabError
from verify.session import Session


class Status(Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Check:
    """Something to verify: ``run`` returns what was seen, or raises a LabError."""

    title: str
    run: Callable[[Session], str]


@dataclass(frozen=True)
class Result:
    """How a check ended.

    Attributes:
        detail: what was seen if it passed, what is wrong if it failed, why it did not run.
        seconds: wall time.
    """

    title: str
    status: Status
    detail: str
    seconds: float


@dataclass(frozen=True)
class Run:
    """The results of some checks, and how the guest ended if it did so before they did."""

    results: tuple[Result, ...]
    ended: GuestEnded | None = None


def run_checks(checks: Sequence[Check], session: Session, report: Callable[[Result], None]) -> Run:
    """Run checks in order and report each as it ends.

    A failed check does not stop the ones after it; a guest that is gone does.
    """
    results: list[Result] = []
    for number, check in enumerate(checks):
        result, ended = _run_one(check, session)
        report(result)
        results.append(result)
        if ended:
            rest = skip_checks(checks[number + 1 :], ended, report)
            return Run((*results, *rest), ended)
    return Run(tuple(results))


def skip_checks(
    checks: Iterable[Check], ended: GuestEnded, report: Callable[[Result], None]
) -> list[Result]:
    """Report checks that were never started, since the guest had gone before."""
    why = f"the guest was gone ({ended.outcome.word})"
    results = [Result(check.title, Status.NOT_RUN, why, 0.0) for check in checks]
    for result in results:
        report(result)
    return results


def _run_one(check: Check, session: Session) -> tuple[Result, GuestEnded | None]:
    start = time.monotonic()
    ended: GuestEnded | None = None
    try:
        status, detail = Status.PASSED, check.run(session)
    except GuestEnded as error:
        status, detail, ended = Status.FAILED, error.message, error
    except LabError as error:
        status, detail = Status.FAILED, str(error)
    except Exception as error:  # what a check stumbles over is a result too, and needs a verdict
        status, detail = Status.FAILED, f"{type(error).__name__}: {error}"
    return Result(check.title, status, detail, time.monotonic() - start), ended
