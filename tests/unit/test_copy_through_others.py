"""A copy through the memory of a function that is neither of the two drives."""

from dataclasses import replace

import pytest

from boot.qmp import Bar
from tests.unit.copy_traces import (
    CARD,
    CARD_BDF,
    MATCH,
    SMALL,
    accesses,
    failure,
    good_trace,
    prepared,
    swapped,
    through_card,
)
from tests.unit.fake_session import ONE, TWO, FakeGuest
from verify.copy_check import check_copy
from verify.record import Expected
from verify.scenario import Copy
from verify.session import Session

MISMATCH = {"result": "mismatch", "message": "byte 0 differs"}


def beside_card(
    topology: str, provider: str, trace: list[str], status: int = 0, **tool: object
) -> tuple[Session, FakeGuest, Copy]:
    copy = replace(SMALL, provider=provider)
    session, guest = prepared(topology, copy, trace, status, **tool)
    session.bars = [*session.bars, Bar(CARD_BDF, 2, CARD, 16 << 20)]
    session.nodes[provider] = "/dev/p2pmem2"
    return session, guest, copy


def test_memory_to_which_both_drives_are_peers() -> None:
    session, guest, copy = beside_card("ivshmem", "shared", through_card(SMALL))
    assert check_copy(session, copy) == (
        "peer memory 8192, host RAM 0 bytes of 4096 copied; proven by the addresses alone: QEMU "
        "shows no accesses to this memory"
    )
    assert guest.events == [], "there is nothing to be seen"
    assert session.copies[0].predicted == dict.fromkeys(
        (ONE, TWO), "below a common upstream bridge"
    )
    assert session.copies[0].traced[f"{ONE} read peer memory {CARD_BDF}"] == 4096


@pytest.mark.parametrize(
    ("copy", "trace", "words"),
    [
        (
            replace(SMALL, provider="shared"),
            through_card(SMALL),
            f"QEMU traced {{'{ONE} read host RAM': 4096, '{ONE} write peer memory {CARD_BDF}': "
            f"4096, '{TWO} read peer memory {CARD_BDF}': 4096, '{TWO} write host RAM': 4096}}, "
            f"expected {{'{ONE} read peer memory {CARD_BDF}': 4096,",
        ),
        (
            replace(SMALL, memory="host", provider=""),
            good_trace(replace(SMALL, provider="")),
            "seeding, copying and reading back are mixed: "
            f"{TWO} write, {TWO} read, {ONE} write, {ONE} read",
        ),
    ],
    ids=["card", "host"],
)
def test_copy_from_the_destination_to_the_source(copy: Copy, trace: list[str], words: str) -> None:
    """Each drive is a peer to the memory, or none is: only who reads and who writes tells it."""
    session, _guest, _copy = beside_card("ivshmem", "shared", trace)
    check_copy(session, copy)
    session, _guest, _copy = beside_card("ivshmem", "shared", swapped(trace))
    assert words in failure(session, copy)


def test_match_that_never_saw_the_card() -> None:
    session, _guest, copy = beside_card("ivshmem", "shared", good_trace(SMALL))
    message = failure(session, copy)
    assert f"'{ONE} read own CMB 0000:03:00.0': 4096" in message
    assert f"expected {{'{ONE} read peer memory {CARD_BDF}': 4096" in message


def test_the_cmb_of_a_third_drive_is_seen_from_both_sides() -> None:
    seen = [*accesses("write", CARD, 4096), *accesses("read", CARD, 4096)]
    session, guest, copy = beside_card("takeover", "d00d0003", [*through_card(SMALL), *seen])
    assert check_copy(session, copy) == (
        "peer CMB 8192, host RAM 0 bytes of 4096 copied; 4096 bytes seen as device reads and "
        "writes at the peer's BAR"
    )
    assert len(guest.events) == 4
    session, _guest, copy = beside_card("takeover", "d00d0003", [*through_card(SMALL), *seen[:-1]])
    assert "devices accessed CMBs as" in failure(session, copy)


def test_memory_that_does_not_remember_has_to_give_a_mismatch() -> None:
    trace = through_card(SMALL)
    session, _guest, copy = beside_card("testdev", "forgetful", trace, 1, **MISMATCH)
    assert "; MISMATCH, as it must be: " in check_copy(session, copy)
    assert session.copies[0].expected is Expected.MISMATCH


@pytest.mark.parametrize(
    ("status", "tool", "words"),
    [
        (0, MATCH, "p2pmem-test reports a match, but the memory of forgetful does not remember"),
        (1, MATCH, "p2pmem-test reports a match, but the memory of forgetful does not remember"),
        (0, MISMATCH, "p2pmem-test ended with 0: byte 0 differs"),
        (4, {"result": "error", "message": "EIO"}, "p2pmem-test ended with 4: EIO"),
        (1, {"result": "error"}, "p2pmem-test reports 'error'"),
        (1, {**MISMATCH, "bytes": 0}, "p2pmem-test copied 0 bytes"),
    ],
)
def test_no_mismatch_where_one_must_be(status: int, tool: dict[str, object], words: str) -> None:
    trace = through_card(SMALL)
    session, _guest, copy = beside_card("testdev", "forgetful", trace, status, **tool)
    assert words in failure(session, copy)


def test_mismatch_of_data_that_went_elsewhere() -> None:
    trace = good_trace(replace(SMALL, provider=""))
    session, _guest, copy = beside_card("testdev", "forgetful", trace, 1, **MISMATCH)
    assert "QEMU traced" in failure(session, copy)
