"""Every case of the suite, as data."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

from host.errors import SettingError
from tests.lifecycle.events import EVENTS, RESET, Event
from tests.lifecycle.holders import HOLDERS, Holder, cross
from tests.lifecycle.rig import PROGRAM, Rig
from verify.check import CheckFailed, require

MAIN = "main"
# On kernels whose lockdep complains about this reset (known.py) lockdep is off from then on: no
# other case may come after it in the same guest.
RESETS = "resets"


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: what it is called, in reports and on the command line of pytest.
        run: does it with a seed, and returns what was seen.
        guest: cases of the same word share a guest.
    """

    name: str
    run: Callable[[Rig, int], str]
    guest: str = MAIN


@dataclass(frozen=True)
class Inside:
    """A case that runs in the guest, in ``p2pmem-lifecycle``.

    Attributes:
        name: as the program calls it.
        rounds: how often, for those that repeat something.
        slow: whether the drive has to be slow, so that transfers stay in flight.
    """

    name: str
    rounds: int = 1
    slow: bool = False

    def run(self, rig: Rig, seed: int) -> str:
        """Run it.

        Raises:
            CheckFailed: a check in the guest failed, with the lines that say so; or none was made.
        """
        words = [PROGRAM, "case", self.name, rig.node, rig.block(rig.peer)]
        command = " ".join([*words, str(seed), str(self.rounds)])
        throttled = rig.throttled(rig.peer, rig.limits.rate) if self.slow else nullcontext()
        with throttled:
            answer = rig.ask(command, rig.limits.case)
        if answer.status:
            raise CheckFailed(f"`{command}`: {_what_failed(answer.output)}")
        checks = sum(line.startswith("ok ") for line in answer.output.splitlines())
        # The last one is the program's own, for every case: that the pool is as it was.
        require(checks > 1, f"`{command}` ended with 0, but the case has checked nothing")
        return ", ".join([f"{checks} checks", *_notes(answer.output)])


INSIDE = (
    Inside("map-private"),
    Inside("map-offset"),
    Inside("map-exec"),
    Inside("mprotect-exec"),
    Inside("map-readonly-file"),
    Inside("file-operations"),
    Inside("mremap-grow"),
    Inside("mremap-move"),
    Inside("mremap-shrink"),
    Inside("munmap-split"),
    Inside("madvise-dontneed"),
    Inside("mprotect"),
    Inside("populate"),
    Inside("fork-parent-first"),
    Inside("fork-child-first"),
    Inside("exec-program"),
    Inside("processes", rounds=1000),
    Inside("dup"),
    Inside("pass-fd"),
    Inside("exhaustion"),
    Inside("too-long"),
    Inside("pin-refused"),
    Inside("dma-readonly"),
    Inside("dma-moved"),
    Inside("dma-unmapped", slow=True),
    Inside("dma-forked", slow=True),
    Inside("race-fault", rounds=5),
    Inside("race-map", rounds=5),
    Inside("fuzz", rounds=300),
    Inside("fuzz-revoke", rounds=300),
)


def all_cases() -> list[Case]:
    """Return every case, in the order of a first pass."""
    return [*(Case(item.name, item.run) for item in INSIDE), *_crossed()]


def chosen_cases(patterns: Sequence[str]) -> list[Case]:
    """Return the cases whose names match one of the patterns; every case if there are none.

    Raises:
        SettingError: a pattern matches nothing.
    """
    cases = all_cases()
    for pattern in patterns:
        if not any(fnmatchcase(case.name, pattern) for case in cases):
            raise SettingError(
                f"cases={pattern}: there is no such case",
                hint=f"there are: {', '.join(case.name for case in cases)}",
            )
    wanted = patterns or ("*",)
    return [case for case in cases if any(fnmatchcase(case.name, it) for it in wanted)]


def _crossed() -> Iterator[Case]:
    for event in EVENTS:
        for holder in HOLDERS:
            run = partial(_cross, holder, event)
            guest = RESETS if event.name == RESET else MAIN
            yield Case(f"{holder.name} x {event.name}", run, guest)


def _cross(holder: Holder, event: Event, rig: Rig, _seed: int) -> str:
    return cross(rig, holder, event)


def _what_failed(output: str) -> str:
    bad = [line for line in output.splitlines() if line.startswith(("not ok", "Bail out!"))]
    return "; ".join(bad) or f"it ended without saying why: {output.strip()[-400:]}"


def _notes(output: str) -> list[str]:
    return [line.removeprefix("# ") for line in output.splitlines() if line.startswith("# ")]
