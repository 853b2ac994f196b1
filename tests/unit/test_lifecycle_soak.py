"""Soaks of the life-cycle suite and their reports, without a guest."""

import json
import random
import string
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from boot.outcome import Outcome
from host.errors import SettingError
from host.progress import Progress
from kernel.selection import Selection, select
from kernel.source import SourceRecord
from tests.lifecycle import task
from tests.lifecycle.cases import all_cases, chosen_cases
from tests.lifecycle.events import EVENTS
from tests.lifecycle.report import Report, print_result, print_summary, write_report
from tests.lifecycle.suite import DOWN, LEAKS, Result, Suite, Work, never
from tests.lifecycle.task import lifecycle, orders, soak, soak_until
from tests.unit.test_dodo import Checkout


class FakeSuite(Suite):
    """Hands out results without a guest."""

    def __init__(self, failing: str = "", log: Path = Path("console.log")) -> None:
        self.failing = failing
        self.log = log
        self.begun = 0

    def run(  # type: ignore[override]
        self, work: Sequence[Work], enough: Callable[[], bool] = never
    ) -> Iterator[Result]:
        self.begun += 1
        for item in work:
            if enough():
                break
            bad = item.case.name == self.failing and self.begun > 1
            yield self.result(item.case.name, item.seed, bad=bad)
            if bad:
                return
        yield from (self.result(name) for name in (LEAKS, DOWN))

    def result(self, name: str, seed: int = 0, *, bad: bool = False) -> Result:
        outcome = Outcome.OOPS if bad else Outcome.PASSED
        return Result(name, seed, outcome, "the kernel says: BUG" * bad, 0.0, (), self.log)


def report(folder: Path) -> Report:
    kernel = SourceRecord("6.12", "6.12", "", "apt", "6.12.117", folder)
    return Report(
        folder / "soak.json", kernel, "6.12.117", ("debug",), "tcg", tuple(all_cases()), 7
    )


def test_a_soak_is_one_whole_pass_at_least(tmp_path: Path) -> None:
    told = report(tmp_path)

    soak_until(FakeSuite(), told, time.monotonic() - 1, Progress("soak"))

    assert told.passes == 1
    names = [case.name for case in all_cases()]
    assert [item.name for item in told.results] == [*names, LEAKS, DOWN]
    assert told.outcome is Outcome.PASSED


def test_a_guest_whose_time_is_over_is_looked_at_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the last guest of a soak has leaked counts too."""
    told = report(tmp_path)
    first = len(all_cases()) + 2
    monkeypatch.setattr(time, "monotonic", lambda: float(len(told.results)))

    soak_until(FakeSuite(), told, first + 3, Progress("soak"))

    assert told.passes == 1
    assert [item.name for item in told.results[first + 3 :]] == [LEAKS, DOWN]


@pytest.mark.parametrize("absent", ["dup", LEAKS, DOWN])
def test_a_suite_of_which_something_was_never_run_has_not_passed(
    tmp_path: Path, absent: str
) -> None:
    told = report(tmp_path)
    work = next(orders(7, all_cases()))
    told.results = [item for item in FakeSuite().run(work) if item.name != absent]

    assert told.outcome is Outcome.FAILED
    assert told.cause == f"never run: {absent}"


def test_a_soak_ends_at_the_first_complaint(tmp_path: Path) -> None:
    told = report(tmp_path)

    soak_until(FakeSuite("dup"), told, time.monotonic() + 3600, Progress("soak"))

    assert told.passes == 1
    assert [item.name for item in told.bad] == ["dup"]
    assert told.results[-1].name == "dup"
    assert (told.outcome, told.cause) == (Outcome.OOPS, "dup: the kernel says: BUG")


@pytest.mark.parametrize("kind", [soak, lifecycle])
def test_interrupted_run_keeps_what_is_known(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: Callable[[Selection], None],
) -> None:
    """Even if every case had its turn by then: it has not done what it was asked for."""

    class Stopped(FakeSuite):
        def run(  # type: ignore[override]
            self, work: Sequence[Work], enough: Callable[[], bool] = never
        ) -> Iterator[Result]:
            yield from super().run(work, enough)
            raise KeyboardInterrupt

    told = report(tmp_path)
    monkeypatch.setattr(task, "_begin", lambda *_: (Stopped(), told))
    with pytest.raises(KeyboardInterrupt):
        kind(select(["soak", "minutes=1"]))

    assert "interrupted after 0 s" in capsys.readouterr().out
    written = json.loads(told.path.read_text())
    assert (written["outcome"], written["exit_code"]) == ("failed", 10)
    assert written["cause"] == "interrupted after 0 s"
    assert len(written["cases"]) == len(all_cases()) + 2


def test_the_same_seed_gives_the_same_soak() -> None:
    def first_three(seed: int) -> list[list[tuple[str, int]]]:
        found = orders(seed, all_cases())
        return [[(item.case.name, item.seed) for item in next(found)] for _ in range(3)]

    assert first_three(7) == first_three(7)
    assert first_three(7) != first_three(8)
    one, two, three = first_three(random.SystemRandom().randrange(1 << 32))
    assert [name for name, _ in one] == [case.name for case in all_cases()]
    assert [name for name, _ in two] != [name for name, _ in three]
    assert sorted(name for name, _ in two) == sorted(name for name, _ in one)


def test_cases_are_chosen_by_their_names() -> None:
    names = [case.name for case in chosen_cases(["mapping x *", "fuzz"])]

    assert names[0] == "fuzz"
    assert set(names[1:]) == {f"mapping x {event.name}" for event in EVENTS}
    assert [case.name for case in chosen_cases([])] == [case.name for case in all_cases()]
    with pytest.raises(SettingError, match=r"cases=fuz: there is no such case") as caught:
        chosen_cases(["fuzz", "fuz"])
    assert "mapping x driver unbind" in caught.value.hint


def test_a_report_tells_that_cases_were_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tuple(chosen_cases(["fuzz"]))
    told = replace(report(tmp_path), cases=few)

    soak_until(FakeSuite(), told, time.monotonic() - 1, Progress("soak"))
    print_summary(told)

    assert told.outcome is Outcome.PASSED
    assert [item.name for item in told.results] == ["fuzz", LEAKS, DOWN]
    assert f"only 1 cases of {len(all_cases())}, as cases= says" in capsys.readouterr().out


def test_the_report_tells_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = report(tmp_path)
    assert told.outcome is Outcome.FAILED  # nothing was run
    good = Result("a", 1, Outcome.PASSED, "fine", 0.5, ("known fault",), tmp_path / "log")
    told.results += [
        good,
        replace(good, name="b", outcome=Outcome.WARNING, detail="leak", known=()),
    ]

    write_report(told)
    print_summary(told)

    data = json.loads(told.path.read_text())
    assert (data["outcome"], data["exit_code"], data["cause"]) == ("warning", 11, "b: leak")
    assert data["excused"] == {"known fault": 1}
    assert [case["seed"] for case in data["cases"]] == [1, 1]
    printed = capsys.readouterr().out
    assert "WARNING: 1 of 2 cases passed" in printed
    assert "Linux 6.12.117 +debug" in printed
    assert "excused 1 times: known fault" in printed


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_a_guest_says_does_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], interrupted: bool
) -> None:
    told = replace(report(tmp_path), interrupted=interrupted)
    bad = FakeSuite().result("dup", 3, bad=True)
    told.results.append(replace(bad, detail="`cat` ended with 1: \x1b[2J\x9b2J\rone\ntwo"))

    print_result(told.results[0])
    print_summary(told)

    printed = capsys.readouterr().out
    assert "dup: `cat` ended with 1: ?[2J?2J\none\ntwo\n" in printed
    assert set(printed) <= set(string.printable) - set("\r\v\f")


@pytest.mark.parametrize("task", ["lifecycle", "soak"])
def test_a_topology_that_does_not_serve_is_refused_before_anything_is_built(
    tmp_path: Path, task: str
) -> None:
    done = Checkout(tmp_path).doit("kernel=6.12", "topology=root-ports", task)
    assert done.returncode == SettingError.exit_code
    assert "runs on switch-q35, not on root-ports" in done.stderr
    assert "== source" not in done.stdout
