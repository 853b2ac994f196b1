"""The host's witness: what it says to images that are not as they have to be."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from boot.drives import create_filled
from boot.topology import Nvme, Topology
from verify.check import CheckFailed
from verify.images import Images, compare_copies, compare_rest
from verify.record import CopyRecord
from verify.scenario import Copy

DRIVES = (Nvme("d1", "r", 0, 16, 3), Nvme("d2", "r", 1, 16, 3))
TOPOLOGY = Topology("t", "", "q35", "qemu64", 512, (), DRIVES)
FIRST = Copy("p2pmem", "d1", "d1", "d2", 1, 4096, 0, 1)
SECOND = Copy("p2pmem", "d2", "d2", "d1", 2, 4096, 1 << 20, 2)
REFUSED = Copy("p2pmem", "d2", "d1", "d2", 1, 4096, 2 << 20, 3)
PLANNED = [FIRST, SECOND, REFUSED]


def record(copy: Copy, *, allowed: bool = True, remembers: bool = True) -> CopyRecord:
    return CopyRecord(copy, {}, allowed, {}, {}, remembers)


@dataclass
class Run:
    """Two drives after a run: two copies done, one refused; then changed by the test."""

    images: Images
    records: list[CopyRecord] = field(
        default_factory=lambda: [record(FIRST), record(SECOND), record(REFUSED, allowed=False)]
    )

    def write(self, serial: str, offset: int, data: bytes) -> None:
        with self.images.paths[serial].open("r+b") as stream:
            stream.seek(offset)
            stream.write(data)

    def copy(self, copy: Copy, data: bytes) -> None:
        self.write(copy.source, copy.offset, data)
        self.write(copy.destination, copy.offset, data)

    def flip(self, serial: str, offset: int) -> None:
        (byte,) = self.images.now(serial, offset, 1)
        self.write(serial, offset, bytes([byte ^ 1]))


def numbered(fill: int, length: int) -> bytes:
    """Return blocks of 512 bytes, each with its number at its end."""
    numbers = range(length // 512)
    return b"".join(bytes([fill]) * 510 + number.to_bytes(2, "big") for number in numbers)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a good run."""
    made = Run(Images(TOPOLOGY, create_filled(TOPOLOGY, tmp_path)))
    made.copy(FIRST, numbered(0x11, 4096))
    made.copy(SECOND, numbered(0x22, 8192))
    made.write("d1", REFUSED.offset, b"\x33" * 4096)  # seeded before the refusal
    return made


def copies(run: Run) -> str:
    return compare_copies(run.images, run.records, PLANNED)


def rest(run: Run) -> str:
    return compare_rest(run.images, run.records)


def test_good_run(run: Run) -> None:
    assert copies(run) == "12288 bytes in 2 ranges are the same"
    assert rest(run) == f"{6 * (1 << 20) - 3 * 4096 - 2 * 8192} bytes outside of the copied " + (
        "ranges are untouched"
    )


@pytest.mark.parametrize("offset", [0, 4095, 1 << 20, (1 << 20) + 8191])
@pytest.mark.parametrize("serial", ["d1", "d2"])
def test_flipped_byte(run: Run, serial: str, offset: int) -> None:
    run.flip(serial, offset)
    with pytest.raises(CheckFailed, match=rf"byte {offset} of d[12] is 0x[0-9a-f]+, of d[12] 0x"):
        copies(run)
    rest(run)


def test_data_that_repeats_proves_nothing(run: Run) -> None:
    run.copy(SECOND, numbered(0x22, 4096) * 2)
    with pytest.raises(CheckFailed, match=f"the block at byte {(1 << 20) + 4096} is the same"):
        copies(run)
    run.copy(SECOND, numbered(0x11, 4096) + numbered(0x22, 4096))
    with pytest.raises(CheckFailed, match=f"the block at byte {1 << 20} is the same as another"):
        copies(run)


def test_flipped_byte_is_shown(run: Run) -> None:
    run.flip("d2", 77)
    with pytest.raises(CheckFailed) as caught:
        copies(run)
    assert caught.value.message == f"{FIRST.title}: byte 77 of d2 is 0x10, of d1 0x11"


def test_range_that_was_never_written(run: Run) -> None:
    """Two drives that are alike, but as they were before, prove nothing."""
    before = run.images.before("d1")
    run.copy(FIRST, before[:512] + b"\x11" * 3584)
    with pytest.raises(CheckFailed, match="block at byte 0 of d1 was never written"):
        copies(run)


def test_one_stale_block(run: Run) -> None:
    stale = SECOND.offset + 5 * 512
    before = run.images.before("d1")[stale : stale + 512]
    run.copy(SECOND, b"\x22" * 5 * 512 + before + b"\x22" * 10 * 512)
    with pytest.raises(CheckFailed, match=f"block at byte {stale} of d1 was never written"):
        copies(run)


@pytest.mark.parametrize(
    ("serial", "offset"),
    [("d1", 4096), ("d2", 4096), ("d2", (1 << 20) - 1), ("d1", (1 << 20) + 8192), ("d2", 3145727)],
)
def test_stray_write(run: Run, serial: str, offset: int) -> None:
    run.flip(serial, offset)
    with pytest.raises(CheckFailed, match=f"byte {offset} of {serial} .* changed unasked"):
        rest(run)


def test_destination_of_a_refused_copy_must_be_untouched(run: Run) -> None:
    run.flip("d2", REFUSED.offset + 9)
    with pytest.raises(CheckFailed, match=f"byte {REFUSED.offset + 9} of d2 .* changed unasked"):
        rest(run)


@pytest.mark.parametrize("number", range(3))
def test_planned_copy_that_was_never_done(run: Run, number: int) -> None:
    del run.records[number]
    with pytest.raises(CheckFailed, match="never done: copy d"):
        copies(run)


def test_nothing_planned(run: Run) -> None:
    with pytest.raises(CheckFailed, match="no copy was planned"):
        compare_copies(run.images, [], [])


def lose(run: Run, data: bytes = bytes(8192)) -> None:
    """Make the second copy one through memory that does not remember."""
    run.records[1] = record(SECOND, remembers=False)
    run.write(SECOND.destination, SECOND.offset, data)


def test_memory_that_does_not_remember(run: Run) -> None:
    lose(run)
    assert copies(run) == (
        "4096 bytes in 1 ranges are the same; 8192 bytes in 1 ranges are different, as they must be"
    )
    assert rest(run)


@pytest.mark.parametrize("block", [0, 7, 15])
def test_a_block_that_arrived_although_nothing_is_remembered(run: Run, block: int) -> None:
    lose(run)
    place = SECOND.offset + block * 512
    run.write(SECOND.destination, place, run.images.now(SECOND.source, place, 512))
    with pytest.raises(CheckFailed, match=f"the block at byte {place} is the same on both drives"):
        copies(run)


def test_a_copy_that_never_was_is_no_loss(run: Run) -> None:
    """The destination is different, but only because nothing was written there."""
    lose(run, run.images.before("d1")[SECOND.offset : SECOND.offset + 8192])
    with pytest.raises(CheckFailed, match=f"block at byte {SECOND.offset} of d1 was never written"):
        copies(run)


def test_image_that_shrank_or_grew(run: Run) -> None:
    with run.images.paths["d2"].open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(CheckFailed, match=r"d2.img has 3145729 bytes instead of 3145728"):
        rest(run)


def test_images_that_end_before_the_range(run: Run) -> None:
    for path in run.images.paths.values():
        with path.open("r+b") as stream:
            stream.truncate(0)
    with pytest.raises(CheckFailed, match="d1 ends before byte 4096"):
        copies(run)
    with pytest.raises(CheckFailed, match="has 0 bytes"):
        rest(run)
