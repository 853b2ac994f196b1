"""Find in a kernel log what must not be there, and say how bad it is."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from boot.outcome import Outcome

# Order matters: the first pattern that fits a line names it.
PATTERNS = (
    (Outcome.PANIC, re.compile(r"Kernel panic - not syncing|PANIC: double fault")),
    # Of what might go wrong: the kernel goes on, and no guest goes down by it.
    (Outcome.WARNING, re.compile(r"\bBUG: KCSAN: ")),
    (
        Outcome.HANG,
        re.compile(
            r"BUG: (soft|workqueue) lockup|hard LOCKUP|detected (expedited )?stall"
            r"|blocked for more than"
        ),
    ),
    (
        Outcome.OOPS,
        re.compile(
            # The second is SLUB's, the third what die() makes of any exception.
            r"\bBUG: |\bBUG [\w-]+ \(|: [0-9a-f]{4} \[#\d+\]|\bOops\b|general protection fault"
            r"|kernel BUG at|Bad page (state|map)|Corrupted page table|UBSAN: "
        ),
    ),
    (
        Outcome.WARNING,
        re.compile(
            r"\bWARNING: |possible (recursive locking|circular locking|irq lock inversion)"
            r"|suspicious RCU usage|unreferenced object|suspected memory leak"
            r"|INFO: (possible|trying to register non-static key)"
            # What the kernel could not print in time nobody has looked at.
            r"|printk messages dropped"
        ),
    ),
)


@dataclass(frozen=True)
class Complaint:
    """One line in which the kernel reports a fault of its own."""

    outcome: Outcome
    line: str


def complaints(lines: Iterable[str]) -> list[Complaint]:
    """Return the lines of a console log that report a fault, in order."""
    return [found for line in lines if (found := complaint(line)) is not None]


def complaint(line: str) -> Complaint | None:
    """Return what a line of the console log complains about, if it does."""
    for outcome, pattern in PATTERNS:
        if pattern.search(line):
            return Complaint(outcome, line.strip())
    return None
