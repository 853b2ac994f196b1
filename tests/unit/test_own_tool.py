"""A copy by a tool that nobody knows: judged by trace and drives, heard only if understood."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from boot.qmp import Bar
from tests.unit.copy_traces import (
    CARD,
    CARD_BDF,
    RAM,
    REFUSAL,
    moves,
    swapped,
    through_card,
)
from tests.unit.fake_session import (
    CMB,
    ONE,
    TWO,
    FakeGuest,
    counts_requests,
    session_on,
    sparse_images,
)
from verify.check import CheckFailed
from verify.own_tool import all_compared, check_own_copy, for_own_tool, tool_command
from verify.scenario import Copy, Scenario
from verify.session import Session

REACH = 1 << 20  # bytes, of the longest copy
COPY = Copy("p2pmem", ONE, ONE, TWO, 2, 4096, 0, 7)
HOST = replace(COPY, memory="host", provider="")
MEMORY = CMB[ONE] + 0x20000
DATA = hashlib.shake_128(b"what the tool writes").digest(COPY.length)


def trace(copy: Copy) -> list[str]:
    """Return what QEMU traces of a tool that seeds twice, and reads nothing back."""
    peer = copy.memory != "host"
    return [
        *moves(ONE, "write", RAM, copy.length),
        *moves(ONE, "write", RAM, copy.length),
        *moves(ONE, "read", MEMORY if peer else RAM, copy.length, own=peer),
        *moves(TWO, "write", MEMORY if peer else RAM, copy.length),
    ]


class Lab:
    """A session with real drive images, and a tool that does and says what a test wants."""

    def __init__(self, folder: Path, topology: str) -> None:
        self.guest = FakeGuest()
        self.session: Session = session_on(topology, self.guest)
        self.session.images = sparse_images(self.session, folder)
        self.session.own_tool = True
        self.guest.answers["p2pmem-test --help"] = (9, "usage: --check --verbose")
        self.tool_does(trace(COPY), {ONE: DATA, TWO: DATA})

    def tool_does(
        self, traced: list[str], writes: dict[str, bytes], status: int = 1, says: str = "fine\n"
    ) -> None:
        def run() -> tuple[int, str]:
            self.guest.new_trace = traced
            for serial, data in writes.items():
                self.session.images.put(serial, 0, data)
            return status, says

        self.guest.answers["p2pmem-test /dev"] = run  # type: ignore[assignment]

    def check(self, copy: Copy = COPY) -> str:
        return check_own_copy(self.session, copy, REACH)

    def failure(self, copy: Copy = COPY) -> str:
        with pytest.raises(CheckFailed) as caught:
            self.check(copy)
        return caught.value.message


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, "switch-q35")


@pytest.fixture
def refusing(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path, "root-ports")
    lab.guest.answers["dmesg"] = REFUSAL
    counts_requests(lab.guest, read=COPY.length, written=COPY.length)
    lab.tool_does(moves(ONE, "write", RAM, COPY.length), {ONE: DATA})
    return lab


def test_exit_status_and_silence_are_told_and_not_judged(lab: Lab) -> None:
    assert lab.check() == (
        "own CMB 8192, peer CMB 8192, host RAM 0 bytes of 8192 copied; host: the ranges are the "
        "same; the tool's own word was not used: no JSON with a result on stdout; exit status 1"
    )
    assert lab.session.copies[0].tool == {"exit_status": 1, "output": "fine\n"}


def test_only_options_that_it_names_are_given(lab: Lab) -> None:
    plain = "p2pmem-test /dev/nvme0n1 /dev/nvme1n1 /dev/p2pmem0 -c 2 -s 4096 --check"
    assert tool_command(lab.session, COPY) == plain
    lab.session.tool_options = None
    lab.guest.answers["p2pmem-test --help"] = "[ --seed=<> ] --json"
    assert tool_command(lab.session, COPY) == f"{plain} --seed 7 --json"
    asked = [command for command in lab.guest.commands if "--help" in command]
    tool_command(lab.session, COPY)
    assert [command for command in lab.guest.commands if "--help" in command] == asked


def test_tool_that_does_not_start(lab: Lab) -> None:
    lab.guest.answers["p2pmem-test --help"] = (127, "sh: p2pmem-test: not found")
    assert lab.failure() == "your tool does not start (127): sh: p2pmem-test: not found"


def test_tool_that_only_copies_finds_data_of_the_host(lab: Lab) -> None:
    def run() -> str:
        lab.guest.new_trace = trace(COPY)
        lab.session.images.put(TWO, 0, lab.session.images.now(ONE, 0, COPY.length))
        return ""

    lab.guest.answers["p2pmem-test /dev"] = run
    assert "the ranges are the same, with the host's own data; " in lab.check()


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ('{"result": "match"}', "the tool says so too: match, exit status 0"),
        ('{"result": "fine"}', "own word was not used"),
        ('{"result": ["match"]}', "own word was not used"),
        ("{half", "own word was not used"),
        ("[1]", "own word was not used"),
    ],
)
def test_what_is_understood_is_heard(lab: Lab, says: str, told: str) -> None:
    lab.tool_does(trace(COPY), {ONE: DATA, TWO: DATA}, 0, f"a line\n{says}\n")
    assert told in lab.check()


def test_its_own_mismatch_is_one(lab: Lab) -> None:
    says = json.dumps({"result": "mismatch"})
    lab.tool_does(trace(COPY), {ONE: DATA, TWO: DATA}, 0, f"{says}\n")
    assert lab.failure() == "your tool reports 'mismatch'"


def changed(data: bytes) -> bytes:
    return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


@pytest.mark.parametrize(
    ("writes", "words"),
    [
        ({ONE: DATA, TWO: changed(DATA)}, f"host: byte 5000 of {TWO} is not that of {ONE}"),
        ({ONE: DATA}, f"nothing was written to {TWO} at all"),
        ({ONE: bytes(8192), TWO: bytes(8192)}, "the block at byte 512 of d00d0001 is the same as"),
    ],
)
def test_drives_that_are_not_the_same(lab: Lab, writes: dict[str, bytes], words: str) -> None:
    lab.tool_does(trace(COPY), writes)
    assert words in lab.failure()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda lines: lines[:6], "QEMU traced {}, expected"),
        (
            lambda lines: lines[:10],
            f"QEMU traced {{'{ONE} read own CMB 0000:03:00.0': 8192}}, expected",
        ),
        (lambda lines: [*lines[:10], *lines[3:6], *lines[10:]], "8192 bytes went through host RAM"),
        (
            lambda lines: [*lines[:10], *moves(TWO, "write", MEMORY + 8192, 8192)],
            "which held nothing that was read before",
        ),
        (
            lambda lines: [*lines[:6], *lines[10:], *lines[6:10]],
            "which held nothing that was read before",
        ),
        (
            lambda lines: [*lines, *moves(TWO, "write", RAM, 4096)],
            "4096 bytes were written from host RAM after the copy through the memory of d00d0001",
        ),
        (
            lambda lines: [
                *lines,
                f"memory_region_ops_write cpu 1 mr 0x5 addr {MEMORY:#x} value 0x0 size 4 "
                "name 'nvme-cmb'",
            ],
            "processors accessed 4 bytes",
        ),
    ],
)
def test_data_that_went_another_way(
    lab: Lab, spoil: Callable[[list[str]], list[str]], words: str
) -> None:
    lab.tool_does(spoil(trace(COPY)), {ONE: DATA, TWO: DATA})
    assert words in lab.failure()


def test_copy_from_the_destination_to_the_source(tmp_path: Path) -> None:
    """The memory is a peer's to both drives, and in the end their data is the same."""
    lab = Lab(tmp_path, "ivshmem")
    copy = replace(COPY, provider="shared")
    lab.session.bars = [*lab.session.bars, Bar(CARD_BDF, 2, CARD, 16 << 20)]
    lab.session.nodes["shared"] = "/dev/p2pmem2"
    lab.tool_does(through_card(copy), {ONE: DATA, TWO: DATA})
    assert "host: the ranges are the same" in lab.check(copy)
    lab.tool_does(swapped(through_card(copy)), {ONE: DATA, TWO: DATA})
    assert lab.failure(copy) == (
        f"QEMU traced {{'{ONE} write peer memory {CARD_BDF}': 8192, "
        f"'{TWO} read peer memory {CARD_BDF}': 8192}}, expected "
        f"{{'{ONE} read peer memory {CARD_BDF}': 8192, "
        f"'{TWO} write peer memory {CARD_BDF}': 8192}}"
    )


def test_what_comes_after_the_copy_may_be_read(lab: Lab) -> None:
    lab.tool_does([*trace(COPY), *moves(TWO, "read", RAM, COPY.length)], {ONE: DATA, TWO: DATA})
    assert "host: the ranges are the same" in lab.check()


@pytest.mark.parametrize("serial", [ONE, TWO])
def test_other_places_are_not_its_to_write(lab: Lab, serial: str) -> None:
    other = TWO if serial == ONE else ONE
    lab.tool_does(trace(COPY), {serial: DATA + bytes([1]), other: DATA})
    assert lab.failure() == f"host: byte 8192 of {serial} changed, which is no part of it"


def test_the_last_word_counts(lab: Lab) -> None:
    says = '{"result": "match"}\n{"result": "mismatch"}\n'
    lab.tool_does(trace(COPY), {ONE: DATA, TWO: DATA}, 0, says)
    assert lab.failure() == "your tool reports 'mismatch'"


def test_control_through_host_memory(lab: Lab) -> None:
    lab.tool_does(trace(HOST), {ONE: DATA, TWO: DATA})
    assert lab.check(HOST).startswith("8192 bytes through host RAM, none peer to peer; host: the")
    backwards = [*moves(TWO, "read", RAM, HOST.length), *moves(ONE, "write", RAM, HOST.length)]
    lab.tool_does(backwards, {ONE: DATA, TWO: DATA})
    assert f"takes a read of 8192 bytes of {ONE}, but QEMU traced 0 " in lab.failure(HOST)
    twice = [*backwards, *moves(ONE, "read", RAM, HOST.length)]
    lab.tool_does([*moves(TWO, "write", RAM, HOST.length), *twice], {ONE: DATA, TWO: DATA})
    assert lab.failure(HOST) == f"{TWO} was written before anything was read of {ONE}"
    lab.tool_does(trace(COPY), {ONE: DATA, TWO: DATA})
    assert "expected {}" in lab.failure(HOST)


def test_refusal_is_the_kernels_word(refusing: Lab) -> None:
    told = refusing.check()
    assert told.startswith("refused, as predicted; the kernel says once for a pair: [")
    assert f"; writes of 8192 bytes ended in the guest and never came to {TWO}; the tool" in told


@pytest.mark.parametrize(
    ("traced", "writes", "words"),
    [
        (moves(ONE, "write", MEMORY, 8192), {}, "although the kernel refused"),
        ([], {TWO: DATA}, "was written all the same"),
    ],
)
def test_refused_copy_that_was_made(
    refusing: Lab, traced: list[str], writes: dict[str, bytes], words: str
) -> None:
    refusing.tool_does(traced, writes)
    assert words in refusing.failure()


@pytest.mark.parametrize(
    ("provider", "source", "words"),
    [
        (ONE, ONE, f"each write of {TWO}"),
        (TWO, ONE, f"each read of {ONE}"),
        (ONE, TWO, f"each read of {TWO}"),
    ],
)
def test_tool_that_does_nothing_is_not_refused(
    refusing: Lab, provider: str, source: str, words: str
) -> None:
    copy = replace(
        COPY, provider=provider, source=source, destination=TWO if source == ONE else ONE
    )
    said = REFUSAL.replace("02:00.0", "01:00.0").replace("(0000:01", "(0000:02")
    refusing.guest.answers["dmesg"] = f"{REFUSAL}\n{said}\n"
    refusing.tool_does([], {})
    counts_requests(refusing.guest)
    assert refusing.failure(copy) == (
        f"nothing was refused, as nothing was tried: {words} that the guest's kernel has ended "
        "came to the drive"
    )
    # What came to a drive was not refused, however much it is.
    counts_requests(refusing.guest, written=COPY.length)
    refusing.tool_does(moves(copy.destination, "write", RAM, COPY.length), {})
    assert words in refusing.failure(copy)


def test_silent_kernel_is_no_refusal(refusing: Lab) -> None:
    refusing.guest.answers["dmesg"] = ""
    assert "the kernel log lacks the reason" in refusing.failure()


def test_all_copies_begin_at_the_beginning_and_none_may_be_left_out(lab: Lab) -> None:
    later = replace(COPY, offset=1 << 20, seed=8)
    scenario = for_own_tool(Scenario("s", "", (COPY, later)))
    assert [copy.offset for copy in scenario.copies] == [0, 0]
    lab.check()

    with pytest.raises(CheckFailed, match="never done: copy d00d0001"):
        all_compared(lab.session, scenario)
    lab.check(scenario.copies[1])
    assert all_compared(lab.session, scenario).startswith("2 copies")
