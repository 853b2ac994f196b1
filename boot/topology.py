"""A PCI tree as data: ``configs/topologies/*.toml`` read, checked and numbered.

The language: ``machine`` (pc or q35), ``cpu`` (a QEMU model), ``memory_mib``, then one table per
function:

- ``[port.NAME]``: a bridge, with ``model`` and, except below the root bus, ``parent``;
- ``[nvme.SERIAL]``: a drive, with ``parent``, ``drive_mib`` and ``cmb_mib``, the size of its memory
  (CMB); 0, or left out, makes it a drive without;
- ``[ivshmem.NAME]``: fast memory and nothing else, with ``parent`` and ``size_mib``; the module
  claims it when it is loaded;
- ``[testdev.NAME]``: the same with memory that does not remember what is written to it, and that
  the module has to be told to serve (``new_id``).

Sizes of memory are powers of two from 2 on. ``addr`` is the slot (device number) on the bus it sits
on, 0 if left out; on the root bus it must be given, since the machine's own devices occupy the low
slots.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from host.errors import LabError

Value = TypeVar("Value", str, int)
KINDS: dict[type, str] = {str: "a text in quotes", int: "a whole number"}
TOP = "above all tables"

MACHINES = {"pc": "pci.0", "q35": "pcie.0"}
# Vendor and device as QEMU sets them: hw/pci-bridge/*.c, docs/specs/pci-ids.rst.
PORT_IDS = {
    "pcie-root-port": "1b36:000c",
    "x3130-upstream": "104c:8232",
    "xio3130-downstream": "104c:8233",
}
NVME_ID = "1b36:0010"
NVME_DRIVER, MODULE = "nvme", "p2pmem_pci"  # in sysfs, /sys/bus/pci/drivers
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # part of an id for QEMU: util/id.c
MIB = 1 << 20
LONGEST_SERIAL = 20  # bytes of it in the controller's answer to Identify: NVMe base specification
SLOTS = 32  # on a PCI bus
SMALLEST_MEMORY_MIB = 2  # mm/memory_hotplug.c:check_pfn_span wants device memory in 2 MiB units


class TopologyError(LabError):
    """A topology file cannot be used; the message names file, table and key."""


@dataclass(frozen=True)
class Port:
    """A bridge: a root port, or one side of a switch."""

    name: str
    model: str
    parent: str
    addr: int

    @property
    def pci_id(self) -> str:
        """``vendor:device`` in hexadecimal."""
        return PORT_IDS[self.model]


@dataclass(frozen=True)
class Provider:
    """What all functions have in common that offer memory for peer-to-peer DMA.

    Attributes:
        name: of the function.
        size: of the memory, in bytes.
        driver: that has it by itself once the module is loaded, and publishes its memory; empty
            if none does.
        word: what people call the memory.
        traced: QEMU can trace each access to it. It cannot where the memory is the host's own,
            or where nothing answers.
        remembers: what is read is what was written.
    """

    name: str
    size: int
    driver: str
    word: str
    traced: bool = False
    remembers: bool = True


@dataclass(frozen=True)
class Nvme:
    """An NVMe drive, perhaps with a Controller Memory Buffer (CMB).

    Attributes:
        serial: the drive's serial number, and its name here.
        cmb_mib: size of the CMB in MiB; 0 for a drive without.
        drive_mib: size of the namespace in MiB.
    """

    serial: str
    parent: str
    addr: int
    cmb_mib: int
    drive_mib: int

    @property
    def name(self) -> str:
        """The name used in QEMU's ids."""
        return self.serial

    @property
    def pci_id(self) -> str:
        """``vendor:device`` in hexadecimal."""
        return NVME_ID

    @property
    def provider(self) -> Provider | None:
        """The CMB, which its driver publishes while the kernel boots."""
        if not self.cmb_mib:
            return None
        return Provider(self.serial, self.cmb_mib * MIB, NVME_DRIVER, "CMB", traced=True)

    @property
    def drive_bytes(self) -> int:
        """Size of the namespace."""
        return self.drive_mib * MIB


@dataclass(frozen=True)
class CardModel:
    """A kind of function that has memory and does nothing else.

    Attributes:
        pci_id: ``vendor:device``, as in docs/specs/pci-ids.rst of QEMU.
        driver: that claims it without being told; empty if none does.
        remembers: what is read is what was written.
    """

    pci_id: str
    driver: str
    remembers: bool


# By the table of the file. hw/misc/ivshmem.c maps RAM of the host; hw/misc/pci-testdev.c has an
# empty container for `membar`: writes vanish, and reads are not answered.
CARDS = {
    "ivshmem": CardModel("1af4:1110", MODULE, remembers=True),
    "testdev": CardModel("1b36:0005", "", remembers=False),
}


@dataclass(frozen=True)
class Card:
    """A function that has memory and does nothing else.

    Attributes:
        kind: a name of ``CARDS``.
        size_mib: size of the memory in MiB.
    """

    kind: str
    name: str
    parent: str
    addr: int
    size_mib: int

    @property
    def pci_id(self) -> str:
        """``vendor:device`` in hexadecimal."""
        return CARDS[self.kind].pci_id

    @property
    def provider(self) -> Provider:
        """Its memory."""
        model = CARDS[self.kind]
        size = self.size_mib * MIB
        return Provider(self.name, size, model.driver, "memory", remembers=model.remembers)


Item = Port | Nvme | Card


@dataclass(frozen=True)
class Topology:
    """One machine with its PCI tree, in the order of the file."""

    name: str
    description: str
    machine: str
    cpu: str
    memory_mib: int
    ports: tuple[Port, ...]
    drives: tuple[Nvme, ...]
    cards: tuple[Card, ...] = ()

    @property
    def root_bus(self) -> str:
        """QEMU's name of the root bus."""
        return MACHINES[self.machine]

    @property
    def items(self) -> list[Item]:
        """All functions: ports, then drives, then cards."""
        return [*self.ports, *self.drives, *self.cards]

    @property
    def providers(self) -> tuple[Provider, ...]:
        """What offers memory for peer-to-peer DMA: drives that have some, then cards."""
        of_drives = (drive.provider for drive in self.drives)
        of_cards = (card.provider for card in self.cards)
        return (*(item for item in of_drives if item), *of_cards)

    @property
    def namespaces(self) -> dict[int, str]:
        """The drive, by its serial, that each namespace ID belongs to: no two have the same.

        Drives of their own would all have 1, and a command names the namespace and no drive.
        """
        return {number: drive.serial for number, drive in enumerate(self.drives, 1)}

    def children(self, parent: str) -> list[Item]:
        """Return what sits directly below a port (or the root bus, ``""``), by slot."""
        below = [item for item in self.items if item.parent == parent]
        return sorted(below, key=lambda item: item.addr)

    def item(self, name: str) -> Item:
        """Return the function with this name."""
        return next(item for item in self.items if item.name == name)

    def drive(self, serial: str) -> Nvme:
        """Return the drive with this serial number."""
        return next(drive for drive in self.drives if drive.serial == serial)

    def provider(self, name: str) -> Provider:
        """Return what a function offers that is one of the providers."""
        return next(provider for provider in self.providers if provider.name == name)

    def ancestors(self, name: str) -> list[str]:
        """Return the names of the ports above a function, nearest first."""
        parents = {item.name: item.parent for item in self.items}
        chain = []
        while name := parents[name]:
            chain.append(name)
        return chain


def load_topology(path: Path, name: str = "") -> Topology:
    """Read and check one topology file; it is called ``name``, or else as its file is.

    Raises:
        TopologyError: syntax, an unknown or missing key, a wrong type, an impossible tree.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TopologyError(f"{path.name}: not TOML: {error}") from error
    reader = _Reader(path.name)
    topology = Topology(
        name=name or path.stem,
        description=reader.take(data, TOP, "description", str),
        machine=reader.take(data, TOP, "machine", str),
        cpu=reader.take(data, TOP, "cpu", str),
        memory_mib=reader.take(data, TOP, "memory_mib", int),
        ports=tuple(reader.ports(reader.tables(data, "port"))),
        drives=tuple(reader.drives(reader.tables(data, "nvme"))),
        cards=tuple(card for kind in CARDS for card in reader.cards(data, kind)),
    )
    reader.nothing_left(data, TOP)
    _check(topology, path.name)
    return topology


class _Reader:
    """Takes keys out of TOML tables, so that what is left over is what nobody knows."""

    def __init__(self, file: str) -> None:
        self._file = file

    def take(
        self,
        table: dict[str, Any],
        where: str,
        key: str,
        kind: type[Value],
        default: Value | None = None,
    ) -> Value:
        value = table.pop(key, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            wrong = "is missing" if value is None else f"is {value!r}"
            raise TopologyError(
                f"{self._file}: {where}: {key!r} {wrong}; it must be {KINDS[kind]}",
                hint="compare with the other files of configs/topologies",
            )
        return value

    def nothing_left(self, table: dict[str, Any], where: str) -> None:
        if table:
            raise TopologyError(f"{self._file}: {where}: unknown keys: {', '.join(table)}")

    def tables(self, data: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
        tables = data.pop(kind, {})
        if not isinstance(tables, dict) or not all(isinstance(i, dict) for i in tables.values()):
            raise TopologyError(f"{self._file}: {kind!r} must be tables, [{kind}.NAME]")
        return tables

    def ports(self, tables: dict[str, dict[str, Any]]) -> Iterator[Port]:
        for name, table in tables.items():
            where = f"[port.{name}]"
            yield Port(
                name=name,
                model=self.take(table, where, "model", str),
                parent=self.take(table, where, "parent", str, ""),
                addr=self.take(table, where, "addr", int, 0),
            )
            self.nothing_left(table, where)

    def drives(self, tables: dict[str, dict[str, Any]]) -> Iterator[Nvme]:
        for serial, table in tables.items():
            where = f"[nvme.{serial}]"
            yield Nvme(
                serial=serial,
                parent=self.take(table, where, "parent", str),
                addr=self.take(table, where, "addr", int, 0),
                cmb_mib=self.take(table, where, "cmb_mib", int, 0),
                drive_mib=self.take(table, where, "drive_mib", int),
            )
            self.nothing_left(table, where)

    def cards(self, data: dict[str, Any], kind: str) -> Iterator[Card]:
        for name, table in self.tables(data, kind).items():
            where = f"[{kind}.{name}]"
            yield Card(
                kind=kind,
                name=name,
                parent=self.take(table, where, "parent", str),
                addr=self.take(table, where, "addr", int, 0),
                size_mib=self.take(table, where, "size_mib", int),
            )
            self.nothing_left(table, where)


def _check(topology: Topology, file: str) -> None:
    for complaint in _complaints(topology):
        raise TopologyError(f"{file}: {complaint}")


def _complaints(topology: Topology) -> Iterator[str]:
    if topology.machine not in MACHINES:
        yield f"machine {topology.machine!r} is not one of {', '.join(MACHINES)}"
    if not topology.description.isprintable():
        # It may come from elsewhere, and is shown where it could hide the lines above it.
        yield "`description` has characters that cannot be shown"
    names = {port.name for port in topology.ports}
    every = [item.name for item in topology.items]
    for port in topology.ports:
        if port.model not in PORT_IDS:
            yield f"[port.{port.name}]: model {port.model!r} is not one of {', '.join(PORT_IDS)}"
        if not port.parent and port.addr == 0:
            yield f"[port.{port.name}]: on the root bus `addr` must be given"
    for item in topology.items:
        if every.count(item.name) > 1:
            yield f"{item.name} is the name of two functions"
        if not NAME.fullmatch(item.name):
            yield f"{item.name!r} is no name: letters, digits, then also `_` and `-`"
        if not 0 <= item.addr < SLOTS:
            yield f"{item.name}: `addr` is {item.addr}, but must be from 0 to {SLOTS - 1}"
        if item.parent and item.parent not in names:
            yield f"{item.name}: there is no port {item.parent!r}"
    yield from _tree_complaints(topology)
    for drive in topology.drives:
        yield from _drive_complaints(drive)
    for card in topology.cards:
        where = f"[{card.kind}.{card.name}]"
        yield from _memory_complaints(where, "size_mib", card.size_mib)
        if not card.parent:
            yield f"{where}: `parent` must name a port"


def _tree_complaints(topology: Topology) -> Iterator[str]:
    items = topology.items
    reached: set[str] = set()
    waiting = [""]
    while waiting:
        below = topology.children(waiting.pop())
        reached.update(item.name for item in below)
        waiting += [item.name for item in below if isinstance(item, Port)]
    for item in items:
        if item.name not in reached:
            yield f"{item.name}: its parents form a ring"
    places = [(item.parent, item.addr) for item in items]
    for item in items:
        if places.count((item.parent, item.addr)) > 1:
            yield f"{item.name}: another function has the same `parent` and `addr`"


def _drive_complaints(drive: Nvme) -> Iterator[str]:
    where = f"[nvme.{drive.serial}]"
    if drive.cmb_mib:
        yield from _memory_complaints(where, "cmb_mib", drive.cmb_mib)
    if drive.drive_mib < 1:
        yield f"{where}: drive_mib is {drive.drive_mib}, but must be at least 1"
    if len(drive.serial) > LONGEST_SERIAL:
        yield f"{where}: a serial number has at most {LONGEST_SERIAL} characters"
    if not drive.parent:
        yield f"{where}: `parent` must name a port"


def _memory_complaints(where: str, key: str, size: int) -> Iterator[str]:
    if size < SMALLEST_MEMORY_MIB or size & (size - 1):
        yield (
            f"{where}: {key} is {size}, but must be a power of two (QEMU) "
            f"and at least {SMALLEST_MEMORY_MIB} (device memory comes in units of 2 MiB)"
        )
