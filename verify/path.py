"""Follow every block of a copy through QEMU's DMA trace.

Sums alone can be right for the wrong reason: as many bytes as expected may go through peer memory
while the data takes another way. So each block that the destination writes must come from the very
address to which the source read the same block before, from the same place of it. And in a copy
through host RAM each drive is read as much as it is written: only the order tells from where to
where it went.
"""

from typing import Protocol

from boot.trace import Memory, Transfer
from verify.check import require
from verify.scenario import Copy

BLOCK = 512  # bytes, the logical block of QEMU's NVMe drives
PHASES = ("seeding", "reading", "writing", "reading back")


class Range(Protocol):
    """A part of a drive, in bytes."""

    @property
    def offset(self) -> int:
        """Where it begins."""

    @property
    def length(self) -> int:
        """How long it is."""


def follow(copy: Copy, moved: list[Transfer]) -> None:
    """Check order and places of what was moved for a copy, and addresses in peer memory.

    Raises:
        CheckFailed: a block went another way than source, memory, destination.
    """
    ways = dict.fromkeys(f"{item.drive} {item.command}" for item in moved)
    require(
        _in_order([_phase(copy, item) for item in moved]),
        f"seeding, copying and reading back are mixed: {', '.join(ways)}",
    )
    for phase in PHASES:
        require_whole_range(copy, phase, _of_phase(copy, phase, moved))
    _require_written_as_read([item for item in moved if item.memory is not Memory.RAM])


def follow_window(copy: Copy, window: list[Transfer]) -> None:
    """Check places and addresses of what was moved between drives and peer memory alone.

    Raises:
        CheckFailed: a block went another way than source, peer memory, destination.
    """
    for phase in ("reading", "writing"):
        require_whole_range(copy, phase, _of_phase(copy, phase, window))
    _require_written_as_read(window)


def _of_phase(copy: Copy, phase: str, moved: list[Transfer]) -> list[Transfer]:
    return [item for item in moved if _phase(copy, item) == phase]


def _phase(copy: Copy, item: Transfer) -> str:
    """Return what a drive is at; that there are but these two is known from the sums."""
    if item.drive == copy.source:
        return "seeding" if item.command == "write" else "reading"
    return "writing" if item.command == "write" else "reading back"


def _in_order(phases: list[str]) -> bool:
    """Tell whether all seeding comes first and all reading back last."""
    rank = {"seeding": 0, "reading": 1, "writing": 1, "reading back": 2}
    ranks = [rank[phase] for phase in phases]
    return ranks == sorted(ranks)


def require_whole_range(copy: Range, phase: str, items: list[Transfer]) -> None:
    """Check that every byte of a range was moved, and moved once.

    Raises:
        CheckFailed: names the first place that was left out, or moved twice.
    """
    position = copy.offset
    for item in sorted(items, key=lambda item: item.place):
        require(item.place == position, f"{phase}: at byte {item.place} instead of {position}")
        position += item.length
    end = copy.offset + copy.length
    require(position == end, f"{phase}: ended at byte {position} instead of {end}")


def _require_written_as_read(window: list[Transfer]) -> None:
    held: dict[int, int] = {}
    for item in window:
        for start in range(0, item.length, BLOCK):
            address, place = item.address + start, item.place + start
            if item.command == "read":
                held[address] = place
                continue
            source = held.get(address)
            was = "nothing that was read before" if source is None else f"byte {source}"
            require(
                source == place,
                f"byte {place} was written from address {address:#x}, which held {was}",
            )
