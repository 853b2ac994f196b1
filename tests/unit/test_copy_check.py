"""One copy, judged by the tool's word and by QEMU's trace; each can be wrong by itself."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from boot.policy import Processor
from boot.qmp import Bar
from tests.unit.fake_session import (
    BDF,
    CMB,
    ONE,
    QEMU64,
    TWO,
    FakeGuest,
    counts_requests,
    session_on,
)
from verify.check import CheckFailed
from verify.copy_check import check_copy, tool_command
from verify.record import Expected
from verify.scenario import Copy
from verify.session import Session

SMALL = Copy("p2pmem", ONE, ONE, TWO, 1, 4096, 0, 1)
LARGE = replace(SMALL, chunks=4, chunk_size=65536)
RAM = 0x17C3000
MATCH = {"result": "match", "message": None, "errno_name": None}
REFUSAL = (
    "[    4.243326] nvme 0000:02:00.0: cannot be used for peer-to-peer DMA as the client and "
    "provider (0000:01:00.0) do not share an upstream bridge or whitelisted host bridge"
)


NSID = {ONE: 1, TWO: 2}


def moves(drive: str, command: str, address: int, length: int, *, own: bool = False) -> list[str]:
    """Return what QEMU traces of one command of a drive."""
    number, nsid = "1" if command == "write" else "2", NSID[drive]
    lines = [
        f"pci_nvme_io_cmd cid 1 nsid {nsid:#x} sqid 1 opc 0x{number} opname 'NVME_NVM_CMD'",
        f"pci_nvme_{command} cid 1 nsid {nsid} nlb {length // 512} count {length} lba 0x0",
        f"pci_nvme_map_addr addr {address:#x} len {length}",
    ]
    return [*lines, f"pci_nvme_map_addr_cmb addr {address:#x} len {length}"] if own else lines


def accesses(direction: str, address: int, length: int) -> list[str]:
    """Return what QEMU traces of a device's accesses to a CMB."""
    return [
        f"memory_region_ops_{direction} cpu -1 mr 0x5565 addr {address + at:#x} value 0x0 size 4 "
        "name 'nvme-cmb'"
        for at in range(0, length, 4)
    ]


def good_trace(copy: Copy) -> list[str]:
    """Return the trace of a copy through the CMB of its source, or through host RAM."""
    peer = copy.provider != ""
    memory = CMB[ONE] + 0x20000 if peer else RAM
    counted = peer and copy.length <= 4096
    return [
        *moves(copy.source, "write", RAM, copy.length),
        *moves(copy.source, "read", memory, copy.length, own=peer),
        *moves(copy.destination, "write", memory, copy.length),
        *(accesses("read", memory, copy.length) if counted else []),
        *moves(copy.destination, "read", RAM, copy.length),
    ]


def prepared(
    topology: str, copy: Copy, trace: list[str], status: int = 0, **tool: object
) -> tuple[Session, FakeGuest]:
    """Return a session in which the tool says and QEMU traces just this."""
    guest = FakeGuest(new_trace=["pci_nvme_read of something before"])
    report: dict[str, Any] = {**MATCH, "bytes": copy.length, **tool}

    def run() -> tuple[int, str]:
        guest.new_trace = trace
        return status, f"a note on stderr\n{json.dumps(report)}\n"

    guest.answers["p2pmem-test"] = run  # type: ignore[assignment]
    return session_on(topology, guest), guest


def failure(session: Session, copy: Copy) -> str:
    with pytest.raises(CheckFailed) as caught:
        check_copy(session, copy)
    return caught.value.message


# --- allowed --------------------------------------------------------------------------------


def test_good_copy_is_counted_access_by_access() -> None:
    session, guest = prepared("switch-q35", SMALL, good_trace(SMALL))
    assert check_copy(session, SMALL) == (
        "own CMB 4096, peer CMB 4096, host RAM 0 bytes of 4096 copied; "
        "4096 bytes seen as device reads at the peer's BAR"
    )
    assert guest.events == [
        ("memory_region_ops_read", True),
        ("memory_region_ops_write", True),
        ("memory_region_ops_read", False),
        ("memory_region_ops_write", False),
    ]
    (record,) = session.copies
    assert (record.copy, record.allowed) == (SMALL, True)
    assert record.traced == {
        f"{ONE} read own CMB 0000:03:00.0": 4096,
        f"{ONE} write host RAM": 4096,
        f"{TWO} read host RAM": 4096,
        f"{TWO} write peer CMB 0000:03:00.0": 4096,
    }


def test_of_a_large_copy_only_rare_accesses_are_traced() -> None:
    session, guest = prepared("switch-q35", LARGE, good_trace(LARGE))
    assert "own CMB 262144, peer CMB 262144, host RAM 0" in check_copy(session, LARGE)
    writes = "memory_region_ops_write"
    assert guest.events == [(writes, True), (writes, False)]


@pytest.mark.parametrize("copy", [SMALL, LARGE])
def test_processor_that_puts_the_data_there(copy: Copy) -> None:
    (by_hand,) = accesses("write", CMB[ONE] + 0x20000, 4)
    trace = [*good_trace(copy), by_hand.replace("cpu -1", "cpu 1")]
    session, _guest = prepared("switch-q35", copy, trace)
    assert "processors accessed 4 bytes of the memory" in failure(session, copy)


def test_right_sums_on_the_wrong_path() -> None:
    """A processor has the data to be written; the source is read, too, but afterwards."""
    memory = CMB[ONE] + 0x20000
    trace = [
        *moves(ONE, "write", RAM, LARGE.length),
        *moves(TWO, "write", memory, LARGE.length),
        *moves(ONE, "read", memory, LARGE.length, own=True),
        *moves(TWO, "read", RAM, LARGE.length),
    ]
    session, _guest = prepared("switch-q35", LARGE, trace)
    assert "which held nothing that was read before" in failure(session, LARGE)


def test_good_copy_through_the_memory_of_the_destination() -> None:
    copy = replace(SMALL, provider=TWO)
    memory = CMB[TWO] + 0x20000
    trace = [
        *moves(ONE, "write", RAM, 4096),
        *moves(ONE, "read", memory, 4096),
        *accesses("write", memory, 4096),
        *moves(TWO, "write", memory, 4096, own=True),
        *moves(TWO, "read", RAM, 4096),
    ]
    session, _guest = prepared("switch-q35", copy, trace)
    assert "4096 bytes seen as device writes" in check_copy(session, copy)


def test_good_copy_through_host_memory() -> None:
    copy = replace(SMALL, memory="host", provider="")
    session, guest = prepared("root-ports", copy, good_trace(copy))
    assert check_copy(session, copy) == "4096 bytes through host RAM, none peer to peer"
    assert guest.events == []


def test_commands() -> None:
    session = session_on("switch-q35", FakeGuest())
    tail = "-c 4 -s 65536 -o 0 --seed 1 --check --json"
    start = "p2pmem-test /dev/nvme0n1 /dev/nvme1n1"
    assert tool_command(session, LARGE) == f"{start} /dev/p2pmem0 {tail}"
    host = replace(LARGE, memory="host", provider="")
    assert tool_command(session, host) == f"{start} {tail}"
    sysfs = replace(LARGE, memory="allocate")
    allocate = f"/sys/bus/pci/devices/{BDF['switch-q35'][ONE]}/p2pmem/allocate"
    assert tool_command(session, sysfs) == f"{start} {allocate} {tail}"


@pytest.mark.parametrize(
    ("status", "tool", "words"),
    [
        (1, {"result": "mismatch", "message": "byte 8"}, "p2pmem-test ended with 1: byte 8"),
        (0, {"result": "mismatch"}, "p2pmem-test reports 'mismatch'"),
        (0, {"result": "done"}, "p2pmem-test reports 'done'"),
        (0, {"result": None}, "p2pmem-test reports None"),
        (0, {"bytes": 4095}, "p2pmem-test copied 4095 bytes"),
        (3, {"result": "refused", "message": "no"}, "p2pmem-test ended with 3: no"),
        (4, {}, "p2pmem-test ended with 4"),
    ],
)
def test_the_tool_is_not_content(status: int, tool: dict[str, object], words: str) -> None:
    session, _guest = prepared("switch-q35", SMALL, good_trace(SMALL), status, **tool)
    assert words in failure(session, SMALL)


def test_match_that_went_through_host_memory() -> None:
    session, _guest = prepared("switch-q35", LARGE, good_trace(replace(LARGE, provider="")))
    in_ram = ", ".join(
        f"'{drive} {way} host RAM': 262144" for drive in (ONE, TWO) for way in ("read", "write")
    )
    assert failure(session, LARGE) == (
        f"QEMU traced {{{in_ram}}}, expected {{'{ONE} read own CMB 0000:03:00.0': 262144, "
        f"'{ONE} write host RAM': 262144, '{TWO} read host RAM': 262144, "
        f"'{TWO} write peer CMB 0000:03:00.0': 262144}}"
    )


def lines_of(trace: list[str], old: str, new: str) -> list[str]:
    changed = [line.replace(old, new) for line in trace]
    assert changed != trace
    return changed


@pytest.mark.parametrize("copy", [SMALL, LARGE])
def test_a_byte_less_or_more(copy: Copy) -> None:
    good = good_trace(copy)
    for length in (copy.length - 1, copy.length + 1):
        trace = lines_of(good, f"len {copy.length}", f"len {length}")
        session, _guest = prepared("switch-q35", copy, trace)
        assert "QEMU traced" in failure(session, copy)


def test_peer_memory_of_the_wrong_drive() -> None:
    trace = lines_of(good_trace(LARGE), f"{CMB[ONE] + 0x20000:#x}", f"{CMB[TWO]:#x}")
    session, _guest = prepared("switch-q35", LARGE, trace)
    assert "QEMU traced" in failure(session, LARGE)


def test_memory_traffic_within_the_copy() -> None:
    """As many bytes as expected, but RAM was used between the two halves."""
    memory, half = CMB[ONE], LARGE.length // 2
    trace = [
        *moves(ONE, "write", RAM, LARGE.length),
        *moves(ONE, "read", memory, half, own=True),
        *moves(TWO, "read", RAM, LARGE.length),
        *moves(ONE, "read", memory, half, own=True),
        *moves(TWO, "write", memory, LARGE.length),
    ]
    session, _guest = prepared("switch-q35", LARGE, trace)
    assert "262144 bytes went through host RAM during the copy" in failure(session, LARGE)


def test_extra_bytes_within_the_copy() -> None:
    good = good_trace(LARGE)
    session, _guest = prepared(
        "switch-q35", LARGE, good[:-3] + moves(TWO, "read", RAM, 512) + good[-3:]
    )
    assert "QEMU traced" in failure(session, LARGE)


@pytest.mark.parametrize("trace", [[], ["nonsense"], moves(ONE, "write", RAM, LARGE.length)])
def test_trace_that_shows_no_copy(trace: list[str]) -> None:
    session, _guest = prepared("switch-q35", LARGE, trace)
    assert "QEMU traced" in failure(session, LARGE)


@pytest.mark.parametrize(
    "counted",
    [
        [],
        accesses("read", CMB[ONE], 4092),
        accesses("read", CMB[ONE], 4100),
        accesses("write", CMB[ONE], 4096),
        accesses("read", CMB[TWO], 4096),
        accesses("read", CMB[ONE], 4096) + accesses("write", CMB[TWO], 4),
        [line.replace("cpu -1", "cpu 0") for line in accesses("read", CMB[ONE], 4096)],
    ],
)
def test_accesses_that_do_not_add_up(counted: list[str]) -> None:
    moved = [line for line in good_trace(SMALL) if "memory_region" not in line]
    session, _guest = prepared("switch-q35", SMALL, [*moved, *counted])
    assert "devices accessed CMBs as" in failure(session, SMALL)


def test_host_control_that_went_peer_to_peer() -> None:
    copy = replace(LARGE, memory="host", provider="")
    session, _guest = prepared("switch-q35", copy, good_trace(LARGE))
    assert "QEMU traced" in failure(session, copy)


@pytest.mark.parametrize("output", ["", "Killed\n", "p2pmem-test: not found\n"])
def test_no_json(output: str) -> None:
    guest = FakeGuest({"p2pmem-test": (137, output)})
    session = session_on("switch-q35", guest)
    assert "gave 137 and no JSON: " + output.strip() in failure(session, LARGE)
    assert session.copies == [], "a copy without a report is none"


@pytest.mark.parametrize("after", ["", '{"result": "match"}\n'])
def test_damaged_json(after: str) -> None:
    session = session_on("switch-q35", FakeGuest({"p2pmem-test": '{"result": "ma\n' + after}))
    assert 'gave 0 and no JSON: {"result": "ma' in failure(session, LARGE)
    assert session.copies == []


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("drives", "drive d00d0001 was not found in the guest"),
        ("nodes", "there is no /dev/p2pmemN for d00d0001"),
    ],
)
def test_what_earlier_checks_did_not_find(lost: str, words: str) -> None:
    session, guest = prepared("switch-q35", LARGE, good_trace(LARGE))
    getattr(session, lost).clear()
    assert failure(session, LARGE) == words
    assert guest.commands == []


def test_unknown_processor() -> None:
    session, _guest = prepared("switch-q35", LARGE, good_trace(LARGE))
    session.processor = None
    assert failure(session, LARGE) == "the guest's processor is not known"


# --- memory of other functions than the two drives ----------------------------------------

CARD, CARD_BDF = 0xFB000000, "0000:05:00.0"
MISMATCH = {"result": "mismatch", "message": "byte 0 differs"}


def through_card(copy: Copy) -> list[str]:
    """Return the trace of a copy through memory that is a peer to both drives."""
    return [
        *moves(ONE, "write", RAM, copy.length),
        *moves(ONE, "read", CARD, copy.length),
        *moves(TWO, "write", CARD, copy.length),
        *moves(TWO, "read", RAM, copy.length),
    ]


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


def swapped(trace: list[str]) -> list[str]:
    """Return the trace of the same copy from the destination to the source."""
    other = {"nsid 1 ": "nsid 2 ", "nsid 2 ": "nsid 1 "}
    return [re.sub(r"nsid \d ", lambda found: other[found[0]], line) for line in trace]


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


# --- refused --------------------------------------------------------------------------------

SEED = moves(ONE, "write", RAM, LARGE.length)
OWN_HALF = moves(ONE, "read", CMB[ONE], 65536, own=True)
REFUSED = {"result": "refused", "errno_name": "EREMOTEIO", "bytes": 0}


def refused(
    trace: list[str], dmesg: str = REFUSAL, status: int = 3, **tool: object
) -> tuple[Session, FakeGuest]:
    session, guest = prepared("root-ports", LARGE, trace, status, **{**REFUSED, **tool})
    guest.answers["dmesg"] = f"[ 0.0] Linux version\n{dmesg}\n"
    counts_requests(guest, read=65536, written=LARGE.length)
    return session, guest


@pytest.mark.parametrize("errno", ["EREMOTEIO", "EINVAL"])
def test_refused_as_predicted(errno: str) -> None:
    session, _guest = refused([*SEED, *OWN_HALF], errno_name=errno)
    assert (
        check_copy(session, LARGE)
        == f"refused with {errno}, as predicted; the kernel says once for a pair: {REFUSAL}; "
        f"writes of {LARGE.length} bytes ended in the guest and never came to {TWO}"
    )
    assert not session.copies[0].allowed
    assert session.copies[0].predicted == {
        ONE: "below a common upstream bridge",
        TWO: "not supported",
    }


def test_the_same_is_allowed_on_a_newer_processor() -> None:
    session, guest = prepared("root-ports", LARGE, good_trace(LARGE))
    counts_requests(guest)
    session.processor = Processor("AuthenticAMD", 23)
    assert "peer CMB 262144" in check_copy(session, LARGE)
    session.processor = QEMU64
    assert "expected a refusal, but p2pmem-test ended with 0, 'match'" in failure(session, LARGE)


@pytest.mark.parametrize(
    ("status", "result"), [(0, "match"), (3, "error"), (4, "refused"), (1, "mismatch")]
)
def test_not_refused(status: int, result: str) -> None:
    session, _guest = refused(SEED, status=status, result=result)
    assert f"ended with {status}, {result!r}" in failure(session, LARGE)


@pytest.mark.parametrize(
    "trace",
    [
        [],
        OWN_HALF,
        [*SEED, *moves(TWO, "write", CMB[ONE], 512)],
        [*SEED, *moves(ONE, "read", CMB[TWO], 512)],
        [*SEED, *moves(ONE, "write", RAM, 512)],
        [*SEED, *moves(ONE, "read", RAM, 512)],
    ],
    ids=["nothing traced", "no seed", "peer write", "peer read", "RAM write", "RAM read"],
)
def test_refused_but_the_trace_does_not_fit(trace: list[str]) -> None:
    session, _guest = refused(trace)
    message = failure(session, LARGE)
    assert f"although the kernel refused, expected {{'{ONE} write host RAM': 262144}}" in message


@pytest.mark.parametrize(
    "dmesg",
    [
        "",
        REFUSAL.replace("(0000:01:00.0)", "(0000:02:00.0)"),
        REFUSAL.replace("nvme 0000:02:00.0", "nvme 0000:05:00.0"),
        "[ 1.0] critical target error, dev nvme1n1, sector 0 op 0x1:(WRITE)",
    ],
)
def test_refused_without_the_reason_of_the_kernel(dmesg: str) -> None:
    session, _guest = refused(SEED, dmesg)
    assert "the kernel log lacks the reason" in failure(session, LARGE)


def test_refused_but_not_tried() -> None:
    """The kernel has said its words before, and all that was written is the seed of the source."""
    session, guest = refused(SEED)
    counts_requests(guest)
    assert failure(session, LARGE) == (
        "nothing was refused, as nothing was tried: each write of d00d0002 that the guest's kernel "
        "has ended came to the drive"
    )
