"""The host's own witness: compare the drive images after power-off, knowing nothing of the tool."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from boot.drives import initial_content
from boot.topology import Topology
from verify.check import CheckFailed, require
from verify.record import CopyRecord, Expected
from verify.scenario import BLOCK, Copy


@dataclass(frozen=True)
class Images:
    """The drive images of a run, and how they were before it."""

    topology: Topology
    paths: dict[str, Path]

    def now(self, serial: str, start: int, length: int) -> bytes:
        """Return a range of a drive as it is now."""
        with self.paths[serial].open("rb") as stream:
            stream.seek(start)
            return stream.read(length)

    def put(self, serial: str, start: int, data: bytes) -> None:
        """Write to a drive behind the guest's back; QEMU reads it from there (no O_DIRECT)."""
        with self.paths[serial].open("r+b") as stream:
            stream.seek(start)
            stream.write(data)

    def before(self, serial: str) -> bytes:
        """Return the whole initial content of a drive."""
        return b"".join(initial_content(self.topology.drive(serial)))


def compare_copies(images: Images, records: list[CopyRecord], planned: Sequence[Copy]) -> str:
    """Every copied range is the same on both drives, and new on both.

    Where the data went through memory that does not remember, no block may be the same.

    Raises:
        CheckFailed: names the copy and the first differing byte.
    """
    require(planned, "no copy was planned")
    missing = [copy.title for copy in planned if copy not in [item.copy for item in records]]
    require(not missing, f"never done: {'; '.join(missing)}")
    done = [record for record in records if record.expected is not Expected.REFUSED]
    before = {serial: images.before(serial) for serial in images.paths}
    known: set[bytes] = set()
    for record in done:
        copy = record.copy
        source = images.now(copy.source, copy.offset, copy.length)
        destination = images.now(copy.destination, copy.offset, copy.length)
        require(
            len(source) == copy.length,
            f"{copy.source} ends before byte {copy.offset + copy.length}",
        )
        if record.expected is Expected.MISMATCH:
            _require_no_block_the_same(copy, source, destination)
        else:
            _require_the_same(copy, source, destination)
        for serial, content in ((copy.source, source), (copy.destination, destination)):
            stale = unchanged_block(before[serial], content, copy.offset)
            require(
                stale is None, f"{copy.title}: block at byte {stale} of {serial} was never written"
            )
        again = repeated_block(known, source)
        require(
            again is None,
            f"{copy.title}: the block at byte {copy.offset + (again or 0)} is the same as another "
            "one, so that a block in the wrong place would not show",
        )
    counted = ((Expected.MATCH, "the same"), (Expected.MISMATCH, "different, as they must be"))
    return "; ".join(filter(None, (_counted(done, *kind) for kind in counted)))


def _counted(done: Sequence[CopyRecord], expected: Expected, how: str) -> str:
    copies = [record.copy for record in done if record.expected is expected]
    if not copies and expected is not Expected.MATCH:
        return ""
    return f"{sum(copy.length for copy in copies)} bytes in {len(copies)} ranges are {how}"


def _require_the_same(copy: Copy, source: bytes, destination: bytes) -> None:
    if source != destination:
        where = first_difference(source, destination)
        raise CheckFailed(
            f"{copy.title}: byte {copy.offset + where} of {copy.destination} is "
            f"{_byte(destination, where)}, of {copy.source} {_byte(source, where)}"
        )


def _require_no_block_the_same(copy: Copy, source: bytes, destination: bytes) -> None:
    for start in range(0, len(source), BLOCK):
        require(
            source[start : start + BLOCK] != destination[start : start + BLOCK],
            f"{copy.title}: the block at byte {copy.offset + start} is the same on both drives, "
            f"although the memory of {copy.provider} does not remember",
        )


def compare_rest(
    images: Images, records: list[CopyRecord], others: Iterable[tuple[str, int, int]] = ()
) -> str:
    """Everything that no copy was to write is as it was before.

    A refused copy may have seeded its source, but must not have changed its destination.
    ``others`` are ranges that something else was to write: serial, first byte, end.

    Raises:
        CheckFailed: names the drive and the first changed byte.
    """
    untouched = 0
    for serial, path in images.paths.items():
        before = images.before(serial)
        size = path.stat().st_size
        require(size == len(before), f"{path.name} has {size} bytes instead of {len(before)}")
        more = ((start, end) for whose, start, end in others if whose == serial)
        written = sorted((*_written(serial, records), *more))
        for start, end in _gaps(written, len(before)):
            now = images.now(serial, start, end - start)
            if now != before[start:end]:
                where = start + first_difference(before[start:end], now)
                raise CheckFailed(f"byte {where} of {serial} ({path.name}) changed unasked")
            untouched += end - start
    return f"{untouched} bytes outside of the copied ranges are untouched"


def first_difference(one: bytes, other: bytes) -> int:
    """Return the index of the first byte in which two strings differ (or one has ended)."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


def unchanged_block(before: bytes, now: bytes, offset: int) -> int | None:
    """Return where a 512-byte block of ``now`` still has the drive's initial content."""
    where = unchanged_since(before[offset : offset + len(now)], now)
    return None if where is None else offset + where


def unchanged_since(before: bytes, now: bytes) -> int | None:
    """Return where the first block is that is the same in both."""
    for start in range(0, len(now), BLOCK):
        if now[start : start + BLOCK] == before[start : start + BLOCK]:
            return start
    return None


def repeated_block(known: set[bytes], data: bytes) -> int | None:
    """Add the 512-byte blocks of ``data`` to the known ones; return where one was known already."""
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        if block in known:
            return start
        known.add(block)
    return None


def _written(serial: str, records: Iterable[CopyRecord]) -> Iterator[tuple[int, int]]:
    for record in records:
        copy: Copy = record.copy
        if serial == copy.source or (serial == copy.destination and record.allowed):
            yield copy.offset, copy.offset + copy.length


def _gaps(ranges: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    position = 0
    for start, end in [*ranges, (size, size)]:
        if start > position:
            yield position, start
        position = max(position, end)


def _byte(data: bytes, index: int) -> str:
    return f"{data[index]:#04x}" if index < len(data) else "absent"
