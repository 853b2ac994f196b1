"""One copy, judged by the tool's word and by QEMU's trace; each can be wrong by itself."""

from dataclasses import replace

import pytest

from tests.unit.copy_traces import LARGE, RAM, SMALL, accesses, failure, good_trace, moves, prepared
from tests.unit.fake_session import BDF, CMB, ONE, TWO, FakeGuest, session_on
from verify.copy_check import check_copy, tool_command
from verify.scenario import Copy


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
