"""Run cases in guests: one guest for many, and a new one after each that failed."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from boot.console import GuestEnded
from boot.machine import running
from boot.outcome import Outcome
from boot.setup import Setup, serving
from host.errors import LabError
from host.files import emptied
from tests.lifecycle.aftermath import (
    Complained,
    check_aftermath,
    check_leaks,
    check_lockdep,
    check_log,
    check_whole_log,
)
from tests.lifecycle.cases import Case
from tests.lifecycle.drives import create_patterned
from tests.lifecycle.limits import limits_for
from tests.lifecycle.rig import Rig
from verify.system_checks import power_off

BOOT = "boot"
LEAKS = "no memory leaked by the kernel"
DOWN = "power-off"


def never() -> bool:
    """Go on until all is done."""
    return False


@dataclass(frozen=True)
class Inputs(Setup):
    """What the suite runs on; its program is in the root file system.

    The folder is emptied first, and gets another one for each guest.

    Attributes:
        instrumented: whether the kernel is one of the slow ones.
    """

    instrumented: bool


@dataclass(frozen=True)
class Result:
    """How a case ended.

    Attributes:
        name: of the case.
        seed: that it got; the same seed does the same again.
        outcome: passed, or what is wrong.
        detail: what was seen, or what is wrong.
        seconds: wall time.
        known: names of complaints of the kernel that were excused.
        log: the console log of the guest it ran in.
    """

    name: str
    seed: int
    outcome: Outcome
    detail: str
    seconds: float
    known: tuple[str, ...]
    log: Path

    @property
    def passed(self) -> bool:
        """Whether everything was as it has to be."""
        return self.outcome is Outcome.PASSED


@dataclass(frozen=True)
class Work:
    """A case with the seed that it is to get."""

    case: Case
    seed: int


class Suite:
    """Runs cases and hands out each result as it comes."""

    def __init__(self, inputs: Inputs, say: Callable[[str], None]) -> None:
        emptied(inputs.folder)
        self._inputs = inputs
        self._guests = 0
        self._vm = serving(inputs, create_patterned(inputs.topology, inputs.folder), say)
        self.accel = self._vm.accel
        self._limits = limits_for(self.accel, instrumented=inputs.instrumented)

    def run(self, work: Sequence[Work], enough: Callable[[], bool] = never) -> Generator[Result]:
        """Run cases in order, those of one kind of guest after the other.

        A case that fails costs its guest: the next one begins in a new guest. When there is
        ``enough``, no further case begins, but the guest comes to its end with all checks of that.
        Close the generator to stop at once.
        """
        for kind in dict.fromkeys(item.case.guest for item in work):
            waiting = [item for item in work if item.case.guest == kind]
            while waiting and not enough():
                done = 0
                for result in self._in_one_guest(waiting, enough):
                    yield result
                    if result.name == BOOT:
                        return  # the next guest would not come up either
                    done += 1
                waiting = waiting[done:]

    def _in_one_guest(
        self, waiting: Sequence[Work], enough: Callable[[], bool]
    ) -> Iterator[Result]:
        """Run cases until one fails, or all are done; then the guest's end has a result too."""
        self._guests += 1
        folder = self._inputs.folder / f"guest-{self._guests}"
        folder.mkdir()
        run = _Runner(folder / "console.log", self._inputs.artifacts.release)
        with running(self._vm, folder) as guest:
            rig = Rig(
                guest,
                self._inputs.topology,
                self._limits,
                module=self._inputs.artifacts.module,
            )
            booted = run.one(BOOT, 0, lambda: self._prepare(rig), rig)
            if not booted.passed:
                yield booted
                return
            for item in waiting:
                if enough():
                    break
                result = run.case(item, rig)
                yield result
                if not result.passed:
                    return
            yield run.one(LEAKS, 0, lambda: self._last_look(rig), rig)
            yield run.one(DOWN, 0, lambda: self._power_off(rig), rig)

    def _prepare(self, rig: Rig) -> str:
        rig.guest.console.wait_ready(self._limits.boot)
        rig.run(f"modprobe {rig.module}")
        rig.begin()
        return ""

    def _last_look(self, rig: Rig) -> str:
        check_lockdep(rig)
        return check_leaks(rig)

    def _power_off(self, rig: Rig) -> str:
        seen = power_off(rig.guest, self._limits.shutdown)
        check_whole_log(rig, self._inputs.artifacts.release)
        return seen


class _Runner:
    """Turns what one guest does into results."""

    def __init__(self, log: Path, release: str) -> None:
        self._log = log
        self._release = release

    def case(self, item: Work, rig: Rig) -> Result:
        def steps() -> str:
            detail = item.case.run(rig, item.seed)
            check_aftermath(rig, self._release)
            return detail

        return self.one(item.case.name, item.seed, steps, rig)

    def one(self, name: str, seed: int, steps: Callable[[], str], rig: Rig) -> Result:
        start = time.monotonic()
        excused = len(rig.known)
        outcome, detail = self._outcome(steps, rig)
        return Result(
            name,
            seed,
            outcome,
            detail,
            time.monotonic() - start,
            tuple(rig.known[excused:]),
            self._log,
        )

    def _outcome(self, steps: Callable[[], str], rig: Rig) -> tuple[Outcome, str]:
        outcome, detail = Outcome.PASSED, ""
        try:
            detail = steps()
        except GuestEnded as error:
            outcome, detail = error.outcome, error.message
        except Complained as error:
            return error.outcome, error.message
        except LabError as error:
            outcome, detail = Outcome.FAILED, str(error)
        try:
            # What the kernel says of itself is the cause, or worse than what was seen of it.
            check_log(rig, self._release)
        except Complained as error:
            return error.outcome, f"{error.message}; {detail}" if detail else error.message
        return outcome, detail
