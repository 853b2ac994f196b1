"""Running checks: a failed one stops nothing, a guest that is gone stops everything."""

import pytest

from boot.console import GuestEnded
from boot.outcome import Outcome
from host.errors import LabError
from tests.unit.fake_session import FakeGuest, session_on
from verify.check import CheckFailed, require
from verify.runner import Check, Result, Run, Status, run_checks
from verify.session import Session

PASSED, FAILED, NOT_RUN = Status.PASSED, Status.FAILED, Status.NOT_RUN
ENDED = GuestEnded(Outcome.PANIC, "the kernel panicked")


def check(title: str, error: Exception | None = None) -> Check:
    def run(_session: Session) -> str:
        if error:
            raise error
        return f"saw {title}"

    return Check(title, run)


def run(*checks: Check) -> tuple[Run, list[Result]]:
    reported: list[Result] = []
    done = run_checks(checks, session_on("switch-q35", FakeGuest()), reported.append)
    return done, reported


def test_all_pass() -> None:
    done, reported = run(check("a"), check("b"))
    assert [(r.title, r.status, r.detail) for r in done.results] == [
        ("a", PASSED, "saw a"),
        ("b", PASSED, "saw b"),
    ]
    assert list(done.results) == reported
    assert done.ended is None


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (CheckFailed("wrong"), "wrong"),
        (LabError("wrong", hint="do this"), "wrong\n  hint: do this"),
        (ValueError("not enough values to unpack"), "ValueError: not enough values to unpack"),
        (KeyError("x"), "KeyError: 'x'"),
        (BrokenPipeError("gone"), "BrokenPipeError: gone"),
    ],
)
def test_failed_check_does_not_stop_the_rest(error: Exception, detail: str) -> None:
    done, _reported = run(check("a", error), check("b"))
    assert [result.status for result in done.results] == [FAILED, PASSED]
    assert done.results[0].detail == detail
    assert done.ended is None


def test_guest_that_is_gone_stops_the_rest() -> None:
    done, reported = run(check("a"), check("b", ENDED), check("c"), check("d"))
    assert [result.status for result in done.results] == [PASSED, FAILED, NOT_RUN, NOT_RUN]
    assert [result.title for result in reported] == ["a", "b", "c", "d"]
    assert done.results[1].detail == "the kernel panicked"
    assert done.results[2].detail == "the guest was gone (panic)"
    assert done.ended is ENDED


def test_interruption_is_no_result() -> None:
    def interrupted(_session: Session) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Check("a", interrupted))


def test_require() -> None:
    require([1], "never")
    with pytest.raises(CheckFailed, match="empty"):
        require([], "empty")
