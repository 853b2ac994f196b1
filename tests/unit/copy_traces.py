"""Copies that the tool tells of and QEMU traces, for tests of what is made of the two."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.fake_session import CMB, ONE, TWO, FakeGuest, session_on
from verify.check import CheckFailed
from verify.copy_check import check_copy
from verify.scenario import Copy
from verify.session import Session

SMALL = Copy("p2pmem", ONE, ONE, TWO, 1, 4096, 0, 1)
LARGE = replace(SMALL, chunks=4, chunk_size=65536)
RAM = 0x17C3000
MATCH = {"result": "match", "message": None, "errno_name": None}
CARD, CARD_BDF = 0xFB000000, "0000:05:00.0"
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


def through_card(copy: Copy) -> list[str]:
    """Return the trace of a copy through memory that is a peer to both drives."""
    return [
        *moves(ONE, "write", RAM, copy.length),
        *moves(ONE, "read", CARD, copy.length),
        *moves(TWO, "write", CARD, copy.length),
        *moves(TWO, "read", RAM, copy.length),
    ]


def swapped(trace: list[str]) -> list[str]:
    """Return the trace of the same copy from the destination to the source."""
    other = {"nsid 1 ": "nsid 2 ", "nsid 2 ": "nsid 1 "}
    return [re.sub(r"nsid \d ", lambda found: other[found[0]], line) for line in trace]


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
