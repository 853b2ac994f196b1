"""What became of one copy; all three witnesses speak about these."""

from dataclasses import dataclass

from verify.scenario import Copy


@dataclass(frozen=True)
class CopyRecord:
    """What became of one copy.

    Attributes:
        copy: what was asked for.
        predicted: the kernel's expected decision for each client (source, destination).
        allowed: whether the copy was expected to be done (else: to be refused).
        tool: the tool's own report (its JSON).
        traced: bytes by "command memory provider" as QEMU traced them.
    """

    copy: Copy
    predicted: dict[str, str]
    allowed: bool
    tool: dict[str, object]
    traced: dict[str, int]
