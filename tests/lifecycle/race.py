"""Look for the lookout: a data race is planted in the module, and a KCSAN kernel has to find it.

Without this, that `doit config=kcsan lifecycle` finds no race could also mean that it sees none.
"""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from boot.outcome import Outcome
from boot.qemu import QEMU
from host.errors import LabError, SettingError
from host.files import emptied
from host.progress import Progress
from host.terminal import harmless
from host.tools import require_programs
from kernel.choice import announce
from kernel.external import build_module
from kernel.fragments import read_fragment
from kernel.selection import Selection
from kernel.task import kbuild
from settings.paths import PROJECT
from tests.lifecycle.cases import chosen_cases
from tests.lifecycle.mutations import RACE, mutate
from tests.lifecycle.suite import Result, Suite, Work
from tests.lifecycle.task import inputs_of, require_topology

MOST = 10_000  # turns of the case, more than any number of minutes has room for


class NotFound(LabError):
    """The race was not found, or something else was."""

    exit_code = Outcome.FAILED.exit_code


def fits(selection: Selection) -> None:
    """See, before anything is built for it, that a race in our module can be looked for.

    Raises:
        SettingError: the kernel is not to have KCSAN, or module or topology are not the lab's.
    """
    require_topology(selection)
    requests = (it for path in selection.fragments for it in read_fragment(path))
    if {it.symbol: it.value for it in requests}.get("KCSAN") != "y":
        raise SettingError(
            "only a kernel with KCSAN finds data races", hint="./doit config=kcsan race"
        )
    if selection.settings.module:
        raise SettingError("the race is planted in the lab's own module", hint="leave out module=")


def race(selection: Selection) -> None:
    """Run a case on the module with a race in it, again and again until the race is found.

    Raises:
        NotFound: it was not within ``minutes=``, or the case failed for another reason.
        LabError: nothing could be run.
    """
    require_programs(QEMU)
    if text := announce(selection.choice):
        print(text, flush=True)
    root = selection.workspace.root
    inputs = inputs_of(selection, root / "race", _planted(selection, root / "race-module"))
    suite = Suite(inputs, lambda text: print(text, flush=True))
    print(f"   planted: {RACE.name}; Linux {inputs.artifacts.release}, {suite.accel}", flush=True)
    minutes = selection.settings.minutes
    deadline = time.monotonic() + 60 * minutes
    with Progress(f"race, at most {minutes} min") as progress:
        found = first_failure(suite, lambda: time.monotonic() >= deadline, progress)
    require_race(found, minutes)


def first_failure(suite: Suite, enough: Callable[[], bool], progress: Progress) -> Result | None:
    """Run the race's case until something does not pass, or there is enough; return that."""
    (case,) = chosen_cases((RACE.case,))
    with closing(suite.run([Work(case, seed) for seed in range(1, MOST)], enough)) as results:
        for count, result in enumerate(results, 1):
            progress.update(f"{result.name}, {count} times")
            if not result.passed:
                return result
    return None


def require_race(found: Result | None, minutes: int) -> None:
    """Tell that it was the race that was found.

    Raises:
        NotFound: it was not.
    """
    if found is None:
        raise NotFound(
            f"nobody found the race within {minutes} min: {RACE.name}",
            hint="more minutes= give it more turns",
        )
    if RACE.says not in found.detail:
        raise NotFound(
            f"not the race was found, but: {found.name}: {found.detail}", hint=f"see {found.log}"
        )
    print(f"   found: {harmless(found.detail)}\n   {found.log}", flush=True)


def _planted(selection: Selection, folder: Path) -> Path:
    """Build the module with the race in it, and return it."""
    emptied(folder)
    sources = mutate(PROJECT / "p2pmem-pci", RACE, folder / "p2pmem-pci")
    built = folder / "module"
    build_module(kbuild(selection), sources, built, folder / "module.log")
    return built / selection.workspace.module.name
