"""A user's own tool, fio and nvme-cli on memory that is no CMB, or that does not remember."""

import hashlib
import json
from pathlib import Path

import pytest

from boot.qmp import Bar
from tests.unit.copy_traces import CARD, CARD_BDF, RAM, moves
from tests.unit.fake_session import ONE, TWO, FakeGuest, session_on, sparse_images
from verify.check import CheckFailed
from verify.clients import FioRun, fio, nvme_registers
from verify.own_tool import check_own_copy
from verify.record import Expected
from verify.scenario import Copy
from verify.session import Session

REACH = 1 << 20  # bytes, of the longest copy
COPY = Copy("p2pmem", "forgetful", ONE, TWO, 2, 4096, 0, 7)
DATA = hashlib.shake_128(b"what the tool writes").digest(COPY.length)
NOTHING = bytes(COPY.length)
RUN = FioRun("forgetful", ONE, 1 << 20, length=65536)


def session_beside_card(guest: FakeGuest, folder: Path) -> Session:
    session = session_on("testdev", guest)
    session.images = sparse_images(session, folder)
    session.bars = [*session.bars, Bar(CARD_BDF, 2, CARD, 16 << 20)]
    session.nodes = {"forgetful": "/dev/p2pmem0"}
    return session


def copied(folder: Path, destination: bytes | None, says: str) -> Session:
    """Return a session in which an own tool does this to the destination, and says this."""
    guest = FakeGuest()
    session = session_beside_card(guest, folder)
    session.own_tool = True

    def run() -> tuple[int, str]:
        guest.new_trace = [
            *moves(ONE, "write", RAM, COPY.length),
            *moves(ONE, "read", CARD, COPY.length),
            *moves(TWO, "write", CARD, COPY.length),
        ]
        session.images.put(ONE, 0, DATA)
        if destination is not None:
            session.images.put(TWO, 0, destination)
        return 0, says

    guest.answers["p2pmem-test --help"] = "usage"
    guest.answers["p2pmem-test /dev"] = run  # type: ignore[assignment]
    return session


@pytest.mark.parametrize("says", ["done\n", '{"result": "mismatch"}\n'])
def test_own_tool_on_memory_that_does_not_remember(tmp_path: Path, says: str) -> None:
    session = copied(tmp_path, NOTHING, says)
    detail = check_own_copy(session, COPY, REACH)
    assert "; proven by the addresses alone: " in detail
    assert "host: every block is different, as it must be" in detail
    assert session.copies[0].expected is Expected.MISMATCH


@pytest.mark.parametrize(
    ("destination", "says", "words"),
    [
        (NOTHING, '{"result": "match"}\n', "your tool reports 'match'"),
        (DATA, "", "the block at byte 0 is the same on both drives"),
        (NOTHING[:4096] + DATA[4096:], "", "the block at byte 4096 is the same on both drives"),
        (None, "", f"byte 0 of {TWO} was never written"),
    ],
)
def test_own_tool_that_is_too_content(
    tmp_path: Path, destination: bytes | None, says: str, words: str
) -> None:
    with pytest.raises(CheckFailed, match=words):
        check_own_copy(copied(tmp_path, destination, says), COPY, REACH)


READS = [
    line.replace("lba 0x0", f"lba {RUN.offset // 512:#x}")
    for line in moves(RUN.client, "read", CARD, 65536)
]


@pytest.mark.parametrize(
    ("reads", "status", "says", "words"),
    [
        (READS, 1, 'verify: bad magic header\n{"jobs": [{"error": 84}]}', ""),
        (READS, 0, '{"jobs": [{"error": 0}]}', "fio is content, but the memory of forgetful"),
        # It fails, but not for what it read.
        ([], 127, "sh: fio: not found", "was to find wrong data .error 84., but ended with 127"),
        (READS, 1, 'fio: I/O error\n{"jobs": [{"error": 5}]}', "ended with 1, error 5: fio: I/O"),
        ([], 1, 'verify: bad magic header\n{"jobs": [{"error": 84}]}', "QEMU traced {}, expected"),
        (
            moves(RUN.client, "read", RAM, 65536),
            1,
            'verify: bad magic header\n{"jobs": [{"error": 84}]}',
            f"QEMU traced {{'{ONE} read host RAM': 65536}}, expected reads into",
        ),
    ],
)
def test_fio_has_to_find_out_memory_that_does_not_remember(
    tmp_path: Path, reads: list[str], status: int, says: str, words: str
) -> None:
    guest = FakeGuest()
    session = session_beside_card(guest, tmp_path)

    def run() -> tuple[int, str]:
        if guest.commands[-1].endswith("--rw=read"):
            guest.new_trace = reads
            return status, says
        guest.new_trace = [
            line.replace("lba 0x0", f"lba {RUN.offset // 512:#x}")
            for line in moves(RUN.client, "write", CARD, RUN.length)
        ]
        session.images.put(ONE, RUN.offset, DATA * 8)
        return 0, json.dumps({"jobs": [{"error": 0, "write": {"io_bytes": RUN.length}}]})

    guest.answers["fio"] = run  # type: ignore[assignment]
    if words:
        with pytest.raises(CheckFailed, match=words):
            fio(session, RUN)
    else:
        assert fio(session, RUN) == (
            "fio finds wrong what it reads back, as it must: verify: bad magic header"
        )


def test_registers_of_drives_without_memory(tmp_path: Path) -> None:
    session = session_beside_card(FakeGuest(), tmp_path)
    assert nvme_registers(session) == "no drive has a CMB"
