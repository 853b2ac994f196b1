"""What became of one copy; all three witnesses speak about these."""

from dataclasses import dataclass
from enum import Enum

from verify.scenario import Copy


class Expected(Enum):
    """What has to become of a copy; the values are the tool's own words for it."""

    MATCH = "match"
    MISMATCH = "mismatch"
    REFUSED = "refused"


@dataclass(frozen=True)
class CopyRecord:
    """What became of one copy.

    Attributes:
        copy: what was asked for.
        predicted: the kernel's expected decision for each client (source, destination).
        allowed: whether the kernel was expected to allow the copy.
        tool: the tool's own report (its JSON).
        traced: bytes by "drive command memory provider" as QEMU traced them.
        remembers: whether what is read from the memory is what was written to it.
    """

    copy: Copy
    predicted: dict[str, str]
    allowed: bool
    tool: dict[str, object]
    traced: dict[str, int]
    remembers: bool = True

    @property
    def expected(self) -> Expected:
        """What has to become of the copy."""
        if not self.allowed:
            return Expected.REFUSED
        return Expected.MATCH if self.remembers else Expected.MISMATCH
