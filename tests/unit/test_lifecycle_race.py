"""The planted data race: when it may be looked for, and what counts as found. Without a guest."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from boot.outcome import Outcome
from host.errors import SettingError
from host.progress import Progress
from kernel.selection import select
from settings.paths import PROJECT
from tests.lifecycle.mutations import RACE
from tests.lifecycle.race import NotFound, first_failure, fits, require_race
from tests.lifecycle.suite import Result, Suite, Work, never

SEEN = Result(
    RACE.case,
    3,
    Outcome.OOPS,
    f"the kernel says: {RACE.says}[p2pmem_pci] / p2pmem_vma_fault [p2pmem_pci]",
    1.0,
    (),
    Path("console.log"),
)


class Racing(Suite):
    """Fails in one of the turns, or in none."""

    def __init__(self, failing: int) -> None:
        self.failing = failing
        self.begun: list[str] = []

    def run(  # type: ignore[override]
        self, work: Sequence[Work], enough: Callable[[], bool] = never
    ) -> Iterator[Result]:
        for item in work:
            if enough():
                return
            self.begun.append(item.case.name)
            bad = len(self.begun) == self.failing
            yield SEEN if bad else replace(SEEN, outcome=Outcome.PASSED)


def test_the_case_is_repeated_until_the_race_is_seen() -> None:
    suite = Racing(failing=4)
    assert first_failure(suite, never, Progress("race")) == SEEN
    assert suite.begun == [RACE.case] * 4


def test_there_is_an_end_to_looking() -> None:
    suite = Racing(failing=0)
    assert first_failure(suite, lambda: len(suite.begun) == 7, Progress("race")) is None
    assert len(suite.begun) == 7


def test_only_the_race_itself_is_a_find(capsys: pytest.CaptureFixture[str]) -> None:
    require_race(SEEN, 10)
    assert "found: the kernel says: BUG: KCSAN: data-race in p2pmem" in capsys.readouterr().out

    for found, told in (
        (None, "nobody found the race within 10 min"),
        (replace(SEEN, detail="the kernel says: BUG: KCSAN: data-race in a / b"), "not the race"),
        (replace(SEEN, name="boot", detail="no such device"), "not the race .*: boot: no such"),
    ):
        with pytest.raises(NotFound, match=told) as caught:
            require_race(found, 10)
        assert caught.value.exit_code == 10


def test_what_a_guest_says_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    require_race(replace(SEEN, detail=f"{SEEN.detail} \x1b[2J"), 10)
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "only a kernel with KCSAN"),
        (["config=debug"], "only a kernel with KCSAN"),
        (["config=kcsan", f"module={PROJECT}/p2pmem-pci"], "the lab's own module"),
        (["config=kcsan", "topology=root-ports"], "runs on switch-q35"),
    ],
)
def test_where_no_race_can_be_looked_for(words: list[str], told: str) -> None:
    fits(select(["kernel=6.12", "config=kcsan", "race"]))
    with pytest.raises(SettingError, match=told):
        fits(select(["kernel=6.12", *words, "race"]))
