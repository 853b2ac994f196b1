"""Complaints of kernels about themselves that have nothing to do with the module.

Each is excused by a rule as narrow as it can be: which kernels, which complaint, and functions
that the kernel's report has to name. What was excused is in every report of the suite; it is
never dropped in silence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from boot.kernel_log import Complaint, complaint

LONGEST_REPORT = 250  # lines, of lockdep


@dataclass(frozen=True)
class Known:
    """A fault of a kernel.

    Attributes:
        name: for reports.
        releases: of ``uname -r``, from the start.
        complaint: what the line has.
        functions: the report below the line has to name all of them.
        absent: and must not have this.
        why: what it is, and how it is known.
    """

    name: str
    releases: re.Pattern[str]
    complaint: re.Pattern[str]
    functions: tuple[str, ...]
    absent: re.Pattern[str]
    why: str


# Also in the title of a race: of a report that comes in pieces that may be all there is so far.
OF_THE_MODULE = r"\bp2pmem_\w+\+0x|\[p2pmem_pci\]|\bdata-race in .*\bp2pmem_"
KNOWN = (
    Known(
        name="lockdep: nvme keeps its queues frozen over a function-level reset",
        releases=re.compile(r"6\.12\."),
        complaint=re.compile(r"WARNING: lock held when returning to user space!"),
        functions=("nvme_start_freeze",),
        # Another lock that is held is another fault.
        absent=re.compile(rf", at: (?!nvme_start_freeze\b)|{OF_THE_MODULE}"),
        why="on 6.12.117 nvme_reset_prepare() freezes the queues in the process that writes to "
        "`reset`, and a kernel thread unfreezes them: the locks by which lockdep models a frozen "
        "queue seem to be left behind",
    ),
    Known(
        name="KCSAN: a data race elsewhere",
        releases=re.compile(r""),
        complaint=re.compile(r"BUG: KCSAN: "),
        functions=(),
        absent=re.compile(OF_THE_MODULE),
        why="the kernel tolerates many; only those with the module in a stack are ours to mend",
    ),
)


@dataclass(frozen=True)
class Found:
    """A complaint in a log, and the rule that excuses it if there is one."""

    complaint: Complaint
    known: Known | None


def examine(lines: Sequence[str], release: str) -> list[Found]:
    """Return the complaints of a log, each with what is known about it."""
    return [
        Found(said, _known(lines[number : number + LONGEST_REPORT], release))
        for number, line in enumerate(lines)
        if (said := complaint(line)) is not None
    ]


def _known(report: Sequence[str], release: str) -> Known | None:
    """Return the rule for a report that begins with a complaint; another complaint ends it."""
    whole = [report[0]]
    for line in report[1:]:
        if complaint(line) is not None:
            break
        whole.append(line)
    text = "\n".join(whole)
    for rule in KNOWN:
        if (
            rule.releases.match(release)
            and rule.complaint.search(report[0])
            and all(re.search(rf"\b{name}\b", text) for name in rule.functions)
            and not rule.absent.search(text)
        ):
            return rule
    return None
