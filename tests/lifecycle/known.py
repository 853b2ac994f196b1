"""Complaints of kernels about themselves that have nothing to do with the module.

Each is excused by a rule as narrow as it can be: which kernels, which complaint, and functions
that the kernel's report has to name; and none is in which the module under test has a part. What
was excused is in every report of the suite; it is never dropped in silence.
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
        why: what it is, and how it is known.
        absent: what the report must not have.
    """

    name: str
    releases: re.Pattern[str]
    complaint: re.Pattern[str]
    functions: tuple[str, ...]
    why: str
    absent: re.Pattern[str] | None = None


KNOWN = (
    Known(
        name="lockdep: nvme keeps its queues frozen over a function-level reset",
        releases=re.compile(r"6\.12\."),
        complaint=re.compile(r"WARNING: lock held when returning to user space!"),
        functions=("nvme_start_freeze",),
        why="on 6.12.117 nvme_reset_prepare() freezes the queues in the process that writes to "
        "`reset`, and a kernel thread unfreezes them: the locks by which lockdep models a frozen "
        "queue seem to be left behind",
        # Another lock that is held is another fault.
        absent=re.compile(r", at: (?!nvme_start_freeze\b)"),
    ),
    Known(
        name="KCSAN: a data race elsewhere",
        releases=re.compile(r""),
        complaint=re.compile(r"BUG: KCSAN: "),
        functions=(),
        why="the kernel tolerates many; only those with the module in a stack are ours to mend",
    ),
)


@dataclass(frozen=True)
class Found:
    """A complaint in a log, and the rule that excuses it if there is one."""

    complaint: Complaint
    known: Known | None


def examine(lines: Sequence[str], release: str, module: str) -> list[Found]:
    """Return the complaints of a log, each with what is known about it.

    ``module`` is the name of the module under test, as modprobe takes it.
    """
    ours = _of_module(module)
    return [
        Found(said, _known(lines[number : number + LONGEST_REPORT], release, ours))
        for number, line in enumerate(lines)
        if (said := complaint(line)) is not None
    ]


def _of_module(module: str) -> re.Pattern[str]:
    """Return what a function of the module has behind its name, also in the title of a race.

    That is kernel/kallsyms.c:__sprint_symbol(), perhaps with the module's build ID. In the name of
    a module there is no hyphen, whatever its file is called.
    """
    return re.compile(rf"\[{re.escape(module.replace('-', '_'))}[] ]")


def _known(report: Sequence[str], release: str, ours: re.Pattern[str]) -> Known | None:
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
            and not (rule.absent and rule.absent.search(text))
            and not ours.search(text)
        ):
            return rule
    return None
