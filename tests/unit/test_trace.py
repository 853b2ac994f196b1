"""QEMU's DMA trace; the lines are those of QEMU 7.2 and a guest with two drives."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from boot.qmp import Bar
from boot.trace import (
    EVENTS,
    Memory,
    TraceReader,
    Transfer,
    copy_window,
    device_accesses,
    options,
    processor_accesses,
    total,
    transfers,
)

ONE, TWO = "0000:03:00.0", "0000:04:00.0"
BARS = [
    Bar(ONE, 0, 0xFE800000, 0x4000),
    Bar(ONE, 2, 0xFD000000, 16 << 20),
    Bar(TWO, 2, 0xFC000000, 16 << 20),
]
NAMESPACES = {1: "d1", 2: "d2"}
SEED = """
pci_nvme_io_cmd cid 4288 nsid 0x1 sqid 2 opc 0x1 opname 'NVME_NVM_CMD_WRITE'
pci_nvme_write cid 4288 opname 'NVME_NVM_CMD_WRITE' nsid 1 nlb 8 count 4096 lba 0x0
pci_nvme_map_addr addr 0x17c3000 len 4096
"""
OWN_READ = """
pci_nvme_io_cmd cid 320 nsid 0x1 sqid 1 opc 0x2 opname 'NVME_NVM_CMD_READ'
pci_nvme_read cid 320 nsid 1 nlb 8 count 4096 lba 0x0
pci_nvme_map_addr addr 0xfd020000 len 4096
pci_nvme_map_addr_cmb addr 0xfd020000 len 4096
"""
PEER_WRITE = """
pci_nvme_io_cmd cid 4736 nsid 0x2 sqid 1 opc 0x1 opname 'NVME_NVM_CMD_WRITE'
pci_nvme_write cid 4736 opname 'NVME_NVM_CMD_WRITE' nsid 2 nlb 8 count 4096 lba 0x0
pci_nvme_map_addr addr 0xfd020000 len 4096
"""
READ_BACK = """
pci_nvme_io_cmd cid 8832 nsid 0x2 sqid 1 opc 0x2 opname 'NVME_NVM_CMD_READ'
pci_nvme_read cid 8832 nsid 2 nlb 8 count 4096 lba 0x0
pci_nvme_map_addr addr 0x17cc000 len 4096
"""
IDENTIFY = """
pci_nvme_admin_cmd cid 4117 sqid 0 opc 0x6 opname 'NVME_ADM_CMD_IDENTIFY'
pci_nvme_map_addr addr 0x1fe4000 len 4096
"""
FLUSH = """
pci_nvme_io_cmd cid 65 nsid 0x1 sqid 1 opc 0x0 opname 'NVME_NVM_CMD_FLUSH'
"""
SEEDED = Transfer("d1", "write", Memory.RAM, "", 4096, 0x17C3000, 0)
FROM_OWN = Transfer("d1", "read", Memory.OWN, ONE, 4096, 0xFD020000, 0)
TO_PEER = Transfer("d2", "write", Memory.PEER, ONE, 4096, 0xFD020000, 0)
BACK = Transfer("d2", "read", Memory.RAM, "", 4096, 0x17CC000, 0)


def moved(*texts: str) -> list[Transfer]:
    return list(transfers("".join(texts).splitlines(), BARS, NAMESPACES))


def test_a_whole_copy_of_two_controllers_in_one_log() -> None:
    assert moved(SEED, OWN_READ, PEER_WRITE, READ_BACK) == [SEEDED, FROM_OWN, TO_PEER, BACK]


@pytest.mark.parametrize("text", ["", IDENTIFY, FLUSH, SEED.split("pci_nvme_write")[0]])
def test_no_data_of_a_drive(text: str) -> None:
    assert moved(text) == []


@pytest.mark.parametrize("between", [IDENTIFY, FLUSH])
def test_a_command_ends_where_the_next_begins(between: str) -> None:
    assert moved(OWN_READ, between, PEER_WRITE, between) == [FROM_OWN, TO_PEER]
    assert moved(PEER_WRITE, between, OWN_READ) == [TO_PEER, FROM_OWN]


def test_prefix_with_process_and_time() -> None:
    lines = [f"4711@1763985600.123456:{line}" for line in (OWN_READ + PEER_WRITE).split("\n")]
    assert list(transfers(lines, BARS, NAMESPACES)) == [FROM_OWN, TO_PEER]


def test_command_of_many_pieces() -> None:
    """Each entry of a PRP list is a piece; a piece in the own CMB has two lines."""
    pieces = "".join(
        f"pci_nvme_map_addr addr {0xFC000000 + n * 4096:#x} len 4096\n" for n in (1, 2)
    )
    assert moved(PEER_WRITE, pieces) == [
        TO_PEER,
        Transfer("d2", "write", Memory.PEER, TWO, 4096, 0xFC001000, 4096),
        Transfer("d2", "write", Memory.PEER, TWO, 4096, 0xFC002000, 8192),
    ]
    own = "pci_nvme_map_addr addr 0xfd021000 len 512\npci_nvme_map_addr_cmb addr 0xfd021000 len 512"
    more = Transfer("d1", "read", Memory.OWN, ONE, 512, 0xFD021000, 4096)
    assert moved(OWN_READ, own) == [FROM_OWN, more]


def test_place_on_the_drive_is_in_bytes() -> None:
    (small,) = moved(PEER_WRITE.replace("lba 0x0", "lba 0x800"))
    assert small.place == 0x800 * 512
    (large,) = moved(PEER_WRITE.replace("nlb 8", "nlb 1").replace("lba 0x0", "lba 0x10"))
    assert large.place == 0x10 * 4096


@pytest.mark.parametrize("cut", [" nlb", " lba", "lba 0x0"])
def test_command_whose_line_was_cut_off_counts_for_nothing(cut: str) -> None:
    cut_off = "\n".join(line.split(cut)[0] for line in PEER_WRITE.split("\n"))
    assert moved(cut_off) == []


def test_namespace_of_no_drive() -> None:
    assert moved(PEER_WRITE.replace("nsid 2", "nsid 3")) == [replace(TO_PEER, drive="")]


def test_mixed_command() -> None:
    more = "pci_nvme_map_addr addr 0x17cc000 len 4096\n"
    assert moved(OWN_READ, more) == [FROM_OWN, replace(BACK, drive="d1", place=4096)]


def test_accesses_of_processors_in_between_change_nothing() -> None:
    access = (
        "memory_region_ops_write cpu 0 mr 0x562a798601e0 addr 0xfee000b0 value 0x0 size 4 "
        "name 'apic-msi'\n"
    )
    text = (OWN_READ + PEER_WRITE).replace("\n", f"\n{access}")
    assert moved(text) == [FROM_OWN, TO_PEER]


@pytest.mark.parametrize(
    ("address", "memory", "provider"),
    [
        (0xFCFFFFFF, Memory.PEER, TWO),
        (0xFD000000, Memory.PEER, ONE),
        (0xFDFFFFFF, Memory.PEER, ONE),
        (0xFE000000, Memory.RAM, ""),
        (0xFBFFFFFF, Memory.RAM, ""),
    ],
)
def test_edges_of_a_bar(address: int, memory: Memory, provider: str) -> None:
    text = PEER_WRITE.replace("0xfd020000", f"{address:#x}")
    assert moved(text) == [Transfer("d2", "write", memory, provider, 4096, address, 0)]


def test_total() -> None:
    assert total([FROM_OWN, FROM_OWN, BACK]) == {
        ("d1", "read", Memory.OWN, ONE): 8192,
        ("d2", "read", Memory.RAM, ""): 4096,
    }


def test_copy_window_leaves_seeding_and_reading_back_out() -> None:
    assert copy_window([SEEDED, FROM_OWN, TO_PEER, BACK]) == [FROM_OWN, TO_PEER]
    assert copy_window([SEEDED, FROM_OWN, BACK, TO_PEER, BACK]) == [FROM_OWN, BACK, TO_PEER]
    assert copy_window([SEEDED, BACK]) == []


def test_device_accesses() -> None:
    lines = [
        "memory_region_ops_read cpu -1 mr 0x55 addr 0xfd020000 value 0x0 size 4 name 'nvme-cmb'",
        "memory_region_ops_read cpu -1 mr 0x55 addr 0xfd020004 value 0x1 size 4 name 'nvme-cmb'",
        "memory_region_ops_write cpu -1 mr 0x55 addr 0xfc020000 value 0x1 size 8 name 'nvme-cmb'",
        "memory_region_ops_write cpu 1 mr 0x55 addr 0xfd010040 value 0x1 size 4 name 'nvme-cmb'",
        "memory_region_ops_write cpu -1 mr 0x55 addr 0xfee00000 value 0x22 size 4 name 'apic-msi'",
    ]
    assert device_accesses(lines, BARS) == Counter({("read", ONE): 8, ("write", TWO): 8})
    # The processor's one access is to a submission queue, not to the data.
    assert processor_accesses(lines, [FROM_OWN, TO_PEER]) == 0
    by_hand = lines[0].replace("cpu -1", "cpu 1")
    assert processor_accesses([*lines, by_hand], [FROM_OWN, TO_PEER]) == 4


def test_reader_gives_every_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    reader = TraceReader(path)
    assert reader.take() == []
    path.write_text("one\ntwo\nthr")
    assert reader.take() == ["one", "two"]
    assert reader.take() == []
    with path.open("a") as stream:
        stream.write("ee\nfour\n")
    assert reader.take() == ["three", "four"]


def test_options() -> None:
    words = options(Path("/d/trace.log"))
    assert words[:2] == ("-D", "/d/trace.log")
    assert words[2::2] == ("-trace",) * len(EVENTS)
    assert words[3::2] == EVENTS
    assert options(Path("/d/trace.log"), ()) == words[:2]
