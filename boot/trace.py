"""Read QEMU's DMA trace: which bytes of which NVMe command went to which memory.

QEMU's nvme model (hw/nvme/ctrl.c) traces one ``pci_nvme_read`` or ``pci_nvme_write`` per command
and then one ``pci_nvme_map_addr`` for each piece of memory that the command moves data to or
from. If that piece lies in the controller's own CMB, ``pci_nvme_map_addr_cmb`` follows at once;
an address in another function's BAR is peer-to-peer DMA; anything else is host RAM. The BARs come
from QEMU too, not from the guest. Of the drive a line has but the namespace, and of a controller
nothing: so no two drives have a namespace with the same ID (``Topology.namespaces``).

Single accesses (``memory_region_ops_*``) are traced only where QEMU emulates the memory: a CMB. The
memory of ivshmem-plain is RAM of the host, which QEMU's devices copy to and from without such a
call, and that of pci-testdev is answered by nobody. There the addresses are all that is seen.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from boot.qmp import Bar

EVENTS = (
    "pci_nvme_admin_cmd",
    "pci_nvme_io_cmd",
    "pci_nvme_read",
    "pci_nvme_write",
    "pci_nvme_map_addr",
    "pci_nvme_map_addr_cmb",
)
# Every access to an emulated region, with size; too many to be always on.
REGION_WRITE = "memory_region_ops_write"
REGION_EVENTS = ("memory_region_ops_read", REGION_WRITE)
CMB_REGION = "nvme-cmb"  # as named in hw/nvme/ctrl.c:nvme_init_cmb

COMMAND = re.compile(r"pci_nvme_(admin_cmd|io_cmd|read|write)\b")
DATA = re.compile(r"pci_nvme_(read|write)\b.* nsid (\d+) nlb (\d+) count (\d+) lba 0x([0-9a-f]+)")
MAP = re.compile(r"pci_nvme_map_addr(_cmb)? addr 0x([0-9a-f]+) len (\d+)")
REGION = re.compile(
    r"memory_region_ops_(read|write) cpu (-?\d+) .* addr 0x([0-9a-f]+) .* size (\d+) "
    rf"name '{CMB_REGION}'"
)
DEVICE = -1  # the "cpu" of an access that a device makes


class Memory(Enum):
    """Where a piece of data lies, seen from the controller that moves it."""

    OWN = "own"
    PEER = "peer"
    RAM = "host RAM"


@dataclass(frozen=True)
class Transfer:
    """One piece of one NVMe command's data.

    Attributes:
        drive: serial of the drive that moves it; empty for a namespace of no known drive.
        command: ``read`` (drive to memory) or ``write`` (memory to drive).
        memory: where the memory is.
        provider: BDF of the function whose BAR it is; empty for host RAM.
        length: bytes.
        address: of the memory, in guest physical addresses.
        place: of the data on the drive, in bytes.
    """

    drive: str
    command: str
    memory: Memory
    provider: str
    length: int
    address: int
    place: int


Way = tuple[str, str, Memory, str]  # drive, command, memory and provider
Sums = Counter[Way]  # bytes


def transfers(
    lines: Iterable[str], bars: Iterable[Bar], namespaces: Mapping[int, str]
) -> Iterator[Transfer]:
    """Return the data transfers of I/O commands in a trace, in order.

    ``namespaces`` has the serial of the drive for each namespace ID.
    Data of admin commands (identify and the like) is left out: it is no data of a drive.
    """
    known = list(bars)
    following: Transfer | None = None
    pending: Transfer | None = None
    for line in lines:
        if "pci_nvme_" not in line:
            continue  # an access to a region, perhaps of a processor that runs meanwhile
        mapped = MAP.search(line)
        if pending and not (mapped and mapped[1]):
            yield pending
            pending = None
        if mapped and mapped[1]:
            if pending:
                yield replace(pending, memory=Memory.OWN)
            pending = None
        elif mapped and following:
            pending = _foreign(following, int(mapped[2], 16), int(mapped[3]), known)
            following = replace(following, place=pending.place + pending.length)
        elif COMMAND.search(line):
            following = _nothing_yet(line, namespaces)
    if pending:
        yield pending


def total(moved: Iterable[Transfer]) -> Sums:
    """Return bytes by drive, command, memory and provider."""
    sums: Sums = Counter()
    for item in moved:
        sums[item.drive, item.command, item.memory, item.provider] += item.length
    return sums


def copy_window(moved: list[Transfer]) -> list[Transfer]:
    """Return what happened from the first to the last transfer with peer memory, both included.

    Before it the tool seeds the source, after it the tool reads the destination back: both
    through host RAM, and both outside of what is called the copy.
    """
    touching = [index for index, item in enumerate(moved) if item.memory is not Memory.RAM]
    return moved[touching[0] : touching[-1] + 1] if touching else []


def device_accesses(lines: Iterable[str], bars: Iterable[Bar]) -> Counter[tuple[str, str]]:
    """Return bytes that devices (not processors) read and wrote in CMBs: by direction and BDF."""
    known = list(bars)
    sums: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if (found := REGION.search(line)) and int(found[2]) == DEVICE:
            sums[found[1], _owner(int(found[3], 16), known)] += int(found[4])
    return sums


def processor_accesses(lines: Iterable[str], moved: Iterable[Transfer]) -> int:
    """Return bytes that processors read or wrote in the memory that transfers went through.

    Elsewhere in a CMB they may: the driver can keep its submission queues there.
    """
    used = {range(item.address, item.address + item.length) for item in moved}
    found = (match for line in lines if (match := REGION.search(line)))
    return sum(
        int(match[4])
        for match in found
        if int(match[2]) != DEVICE and any(int(match[3], 16) in part for part in used)
    )


class TraceReader:
    """Reads the part of a growing trace file that came since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def take(self) -> list[str]:
        """Return the lines since the last call; QEMU flushes each line as it writes it."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode(errors="replace").splitlines()


def options(log: Path, events: Iterable[str] = EVENTS) -> tuple[str, ...]:
    """Return the QEMU options that write the trace to ``log``; ``events`` are on from the start."""
    words: list[str] = ["-D", str(log)]
    for event in events:
        words += ["-trace", event]
    return tuple(words)


def _nothing_yet(line: str, namespaces: Mapping[int, str]) -> Transfer | None:
    """Return what a line begins, before anything is moved; None for a command without data."""
    found = DATA.search(line)
    if not found:
        return None
    drive = namespaces.get(int(found[2]), "")
    blocks, length, first = int(found[3]), int(found[4]), int(found[5], 16)
    place = first * (length // blocks) if blocks else 0
    return Transfer(drive, found[1], Memory.RAM, "", 0, 0, place)


def _foreign(following: Transfer, address: int, length: int, bars: list[Bar]) -> Transfer:
    owner = _owner(address, bars)
    memory = Memory.PEER if owner else Memory.RAM
    return replace(following, memory=memory, provider=owner, length=length, address=address)


def _owner(address: int, bars: list[Bar]) -> str:
    return next((bar.bdf for bar in bars if address in bar), "")
