"""One kernel of the table: what it must come to, what it came to, and why."""

from dataclasses import dataclass
from enum import Enum

from kernel.version import OLDEST


class Answer(Enum):
    """What is found out about a kernel; the value is what the table shows."""

    YES = "yes"
    REFUSED = "refused"
    NO = "NO"
    UNTRIED = "-"


@dataclass(frozen=True)
class Subject:
    """A kernel that a module may be compiled for.

    Attributes:
        name: what it calls itself, or by what ``kernel=`` it is selected.
        origin: where it comes from.
    """

    name: str
    origin: str


@dataclass(frozen=True)
class Row:
    """What one kernel came to.

    Attributes:
        subject: the kernel.
        compiles: whether the module compiles without a warning, or is refused as it has to be.
        verifies: whether the verdict is a pass; untried where only headers can be had.
        why: the reason for whatever is not yes.
        log: the file with all that was printed; empty where nothing ran.
    """

    subject: Subject
    compiles: Answer
    verifies: Answer = Answer.UNTRIED
    why: str = ""
    log: str = ""

    @property
    def bad(self) -> bool:
        """This is not what has to be."""
        return Answer.NO in (self.compiles, self.verifies)

    @property
    def good(self) -> bool:
        """This was tried, and is what has to be."""
        return not self.bad and self.compiles is not Answer.UNTRIED


def must_refuse(version: tuple[int, int], p2pdma: bool) -> str:
    """Return why the module has to refuse a kernel; empty if it has to compile.

    Decided by what the kernel itself says of its version and configuration, not by what the
    compiler does.
    """
    if version < OLDEST:
        return "older than 6.2"
    return "" if p2pdma else "CONFIG_PCI_P2PDMA is off"
