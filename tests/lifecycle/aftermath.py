"""What has to be true after every single case."""

import re
import shlex

from boot.kernel_log import Complaint
from boot.outcome import Outcome
from tests.lifecycle.known import examine
from tests.lifecycle.rig import Rig
from verify.check import CheckFailed, require

KMEMLEAK = "/sys/kernel/debug/kmemleak"
OLD_ENOUGH = 6  # seconds; kmemleak does not report younger objects (MSECS_MIN_AGE in its source)
LOCKDEP = "/proc/lockdep_stats"  # kernel/locking/lockdep_proc.c
COPY = ("-c", "2", "-s", "64k", "--check")


class Complained(CheckFailed):
    """The kernel reported a fault of its own."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(f"the kernel says: {complaint.line}")
        self.outcome = complaint.outcome


def check_log(rig: Rig, release: str) -> None:
    """Look at what the kernel said since the last look; excused complaints are kept as such.

    Raises:
        Complained: it reported a fault that is not known to be another's.
    """
    lines = rig.guest.log.lines[rig.looked :]
    rig.looked += len(lines)
    for found in examine(lines, release, rig.module):
        if found.known is None:
            raise Complained(found.complaint)
        rig.known.append(found.known.name)


def check_whole_log(rig: Rig, release: str) -> None:
    """Look at all that the kernel said, once more: a report may have come in pieces.

    Raises:
        Complained: a report that was excused by its first lines is not by all of them.
    """
    for found in examine(rig.guest.log.lines, release, rig.module):
        if found.known is None:
            raise Complained(found.complaint)


def check_aftermath(rig: Rig, release: str) -> None:
    """Check that a case has left no trace.

    Raises:
        CheckFailed: nodes, free memory or drives are not what they were, or a copy fails.
        Complained: the kernel has reported a fault.
    """
    check_log(rig, release)  # first: it tells more than what follows from it
    rig.settle()
    _copy(rig)
    check_log(rig, release)


def _copy(rig: Rig) -> None:
    drives = (rig.block(drive) for drive in (rig.provider, rig.peer))
    command = shlex.join(["p2pmem-test", *COPY, *drives, rig.node])
    answer = rig.ask(command, rig.limits.case)
    require(
        answer.status == 0,
        f"a copy with --check ended with {answer.status}: {answer.output.strip()}",
    )


def check_lockdep(rig: Rig) -> None:
    """See that lockdep has watched to the end, where the kernel has it.

    It turns itself off with its first report, and when it runs out of its tables.

    Raises:
        CheckFailed: it is off, and no report of it was excused in this guest.
    """
    answer = rig.ask(f"grep debug_locks {LOCKDEP}")
    off = answer.status == 0 and answer.output.split()[-1:] == ["0"]
    excused = any(name.startswith("lockdep") for name in rig.known)
    require(not off or excused, "lockdep has turned itself off: nobody watched the locks")


def check_leaks(rig: Rig) -> str:
    """Let kmemleak look for memory that nobody refers to, where the kernel has it.

    Raises:
        Complained: there is some.
        CheckFailed: kmemleak has given up.
    """
    if rig.ask(f"test -e {KMEMLEAK}").status:
        built_in = rig.ask("grep -q ' kmemleak_alloc$' /proc/kallsyms").status == 0
        require(not built_in, f"this kernel has kmemleak, but there is no {KMEMLEAK}")
        return "this kernel has no kmemleak"
    # Twice: an object counts when a second scan has not found a reference either.
    scan = f"echo scan >{KMEMLEAK}"
    seconds = rig.limits.case
    rig.run(f"sleep {OLD_ENOUGH} && {scan}", seconds)
    rig.run(f"sleep 1 && {scan}", seconds)
    report = rig.run(f"cat {KMEMLEAK}", seconds)
    leaks = [line for line in report.splitlines() if line.startswith("unreferenced object")]
    if leaks:
        where = " < ".join(re.findall(r"(\w+)\+0x", report))
        raise Complained(Complaint(Outcome.WARNING, f"{len(leaks)} leaks: {where[:600]}"))
    said = "\n".join(rig.guest.log.lines)
    require("kmemleak: Kernel memory leak detector disabled" not in said, "kmemleak gave up")
    return "no leak"
