"""Each block of a copy is followed from drive to drive; right sums alone are not enough."""

from dataclasses import replace

import pytest

from boot.trace import Memory, Transfer
from verify.check import CheckFailed
from verify.path import follow
from verify.scenario import Copy

ONE = "0000:03:00.0"
START = 1 << 20
COPY = Copy("p2pmem", "d1", "d1", "d2", 2, 8192, START, 1)
CMB, RAM = 0xFD020000, 0x17C3000


def seed(place: int = START, length: int = 16384) -> Transfer:
    return Transfer("d1", "write", Memory.RAM, "", length, RAM, place)


def back(place: int = START, length: int = 16384) -> Transfer:
    return Transfer("d2", "read", Memory.RAM, "", length, RAM, place)


def read(chunk: int, address: int = CMB) -> Transfer:
    return Transfer("d1", "read", Memory.OWN, ONE, 8192, address, START + chunk * 8192)


def write(chunk: int, address: int = CMB) -> Transfer:
    return Transfer("d2", "write", Memory.PEER, ONE, 8192, address, START + chunk * 8192)


OTHER = {"d1": "d2", "d2": "d1"}
GOOD = [seed(), read(0), write(0), read(1), write(1), back()]


def test_good_copies() -> None:
    follow(COPY, GOOD)
    # Several commands at once, and commands of another size than the chunks.
    follow(COPY, [seed(), read(0), read(1, CMB + 8192), write(1, CMB + 8192), write(0), back()])
    halves = [
        replace(item, length=4096, address=item.address + at, place=item.place + at)
        for item in GOOD[1:5]
        for at in (0, 4096)
    ]
    follow(COPY, [seed(length=4096), seed(START + 4096, 12288), *halves, back()])


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        ([seed(), write(0), read(0), read(1), write(1), back()], "held nothing that was read"),
        ([seed(), read(0), read(1), write(1), write(0), back()], f"which held byte {START + 8192}"),
        ([seed(), read(1), write(0), read(0), write(1), back()], "which held byte"),
        ([seed(), read(0), write(0, CMB + 512), read(1), write(1), back()], "was written from"),
        ([*GOOD[:3], back(), *GOOD[3:5]], "are mixed: d1 write, d1 read, d2 write, d2 read"),
        ([*GOOD[1:], seed()], "are mixed"),
        ([seed(), read(0), write(0), read(0), write(0), back()], "reading: at byte"),
        ([seed(), read(0), write(0), read(1), back()], "writing: ended at byte"),
        ([seed(0), *GOOD[1:]], f"seeding: at byte 0 instead of {START}"),
        ([*GOOD[:5], back(length=512)], "reading back: ended at byte"),
        ([], "seeding: ended at byte"),
        (
            [replace(item, drive=OTHER[item.drive]) for item in GOOD],
            "are mixed: d2 write, d2 read, d1 write, d1 read",
        ),
        ([GOOD[0], replace(read(0), drive="d2"), *GOOD[2:]], "are mixed: d1 write, d2 read"),
        ([*GOOD[:4], replace(write(1), drive="d1"), back()], "are mixed"),
        ([*GOOD[:5], replace(back(), drive="d1")], "reading: at byte"),
    ],
    ids=[
        "written before it was read",
        "one buffer for two chunks",
        "chunks swapped",
        "written from another address",
        "reading back within the copy",
        "seeding after the copy",
        "one chunk twice",
        "one chunk not written",
        "seeding elsewhere",
        "a block read back",
        "nothing",
        "from the destination to the source",
        "a block read of the destination",
        "a block written to the source",
        "the source read back",
    ],
)
def test_another_way(moved: list[Transfer], words: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        follow(COPY, moved)
    assert words in caught.value.message
