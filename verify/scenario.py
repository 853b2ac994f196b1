"""What to verify, as data: ``configs/scenarios/*.toml`` expanded into single copies and steps.

The language: ``description``, then any number of ``[[copies]]`` tables, each of which stands for
all combinations of its lists. ``memory`` is what the data goes through: ``p2pmem`` (the module's
device), ``allocate`` (the kernel's own sysfs file) or ``host`` (RAM, no peer-to-peer DMA at all).
``providers`` are the functions whose memory is used, ``directions`` pairs of drives, source and
destination; both by name, or by number in the order of the topology (of providers: drives with a
CMB, then cards). ``shapes`` are ``CHUNKS x SIZE``.

Where functions change their driver in between, there are ``[[steps]]`` tables instead, done in
order. ``do`` says what, and which keys there are beside it:

- ``copy``: the keys of ``[[copies]]``;
- ``bind``, ``unbind``, ``new_id``, ``driver_override``: ``function`` (a name of the topology) and
  ``driver`` (``nvme`` or ``p2pmem_pci``; empty takes an override back), written to these files of
  sysfs;
- ``bar``: ``value``, written to the module's parameter: the BAR to take from now on, or ``auto``.

All but ``copy`` may have ``dmesg``, a regular expression for one line that the kernel has to log,
and those with a function ``errno``, the name of the error with which it has to refuse; with both,
that line is all that it says about the function. A step is checked by what it does: which driver
has the function then, its memory, its node; and the kernel must not complain.

What becomes of a copy is not written here, for it follows from the topology: memory that does not
remember must give a mismatch, and a pair that the kernel's rules forbid a refusal.
"""

import errno as errnos
import itertools
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boot.topology import MODULE, NVME_DRIVER, Topology
from host.errors import LabError
from verify.drivers import ACTIONS, DRIVERS, DriverStep, published, with_module

MEMORIES = ("p2pmem", "allocate", "host")
SHAPE = re.compile(r"(\d+) x (\d+)([kM]?)")
UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20}
BLOCK = 512  # bytes; a drive reads and writes whole blocks
ALIGNMENT = 1 << 20  # bytes; every copy has a range of its own that starts on such a boundary
KEYS = {"memory", "providers", "directions", "shapes"}
BARS = ("auto", *"012345")  # values of the module's parameter


class ScenarioError(LabError):
    """A scenario file cannot be used, or not on this topology."""


@dataclass(frozen=True)
class Copy:
    """One copy from drive to drive.

    Attributes:
        memory: one of ``MEMORIES``.
        provider: name of the function whose memory is used; empty for host memory.
        source: serial of the drive that is read.
        destination: serial of the drive that is written.
        chunks: number of chunks.
        chunk_size: bytes in a chunk.
        offset: where on both drives the range starts, in bytes.
        seed: of the pattern that the tool writes.
    """

    memory: str
    provider: str
    source: str
    destination: str
    chunks: int
    chunk_size: int
    offset: int
    seed: int

    @property
    def length(self) -> int:
        """Bytes copied."""
        return self.chunks * self.chunk_size

    @property
    def title(self) -> str:
        """A line for people."""
        via = "host RAM" if self.memory == "host" else f"{self.memory} of {self.provider}"
        size = f"{self.chunk_size >> 10}k" if self.chunk_size % 1024 == 0 else self.chunk_size
        shape = f"{self.chunks} x {size}"
        return f"copy {self.source} -> {self.destination} through {via}, {shape}"


@dataclass(frozen=True)
class Scenario:
    """What is verified on one topology.

    Attributes:
        name: of the file, without ``.toml``.
        description: a line for people.
        steps: what to do, in order; each copy has a range of the drives of its own.
        clients: whether programs that nobody here wrote take part: fio, nvme, lspci.
    """

    name: str
    description: str
    steps: tuple[Copy | DriverStep, ...]
    clients: bool = False

    @property
    def copies(self) -> tuple[Copy, ...]:
        """The steps that are copies."""
        return tuple(step for step in self.steps if isinstance(step, Copy))


def load_scenario(path: Path, topology: Topology, name: str = "") -> Scenario:
    """Return a scenario as it applies to a topology; called ``name``, or else as its file is.

    Raises:
        ScenarioError: syntax, unknown keys or words, a drive the topology lacks, drives too small.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path.name}: not TOML: {error}") from error
    if unknown := set(data) - {"description", "copies", "steps"}:
        raise ScenarioError(f"{path.name}: unknown keys: {', '.join(sorted(unknown))}")
    description = str(data.get("description", ""))
    if not description.isprintable():
        raise ScenarioError(f"{path.name}: `description` has characters that cannot be shown")
    expanded = list(_expanded(_tables(data, path.name), topology, path.name))
    copies = [item for item in expanded if isinstance(item, _Unplaced)]
    if all(item.memory == "host" for item in copies):
        raise ScenarioError(
            f"{path.name}: no copy goes through memory of a device, so nothing is verified"
        )
    steps = tuple(_placed(expanded, topology, path.name))
    return Scenario(name or path.stem, description, steps)


def _tables(data: dict[str, Any], file: str) -> list[dict[str, Any]]:
    """Return all tables as steps, each with its ``do``."""
    copies, steps = data.get("copies", []), data.get("steps", [])
    for key, tables in (("copies", copies), ("steps", steps)):
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ScenarioError(f"{file}: `{key}` must be [[{key}]] tables, not {tables!r}")
    if copies and steps:
        raise ScenarioError(
            f"{file}: there are [[copies]] and [[steps]], whose order nobody knows",
            hint='make each of the [[copies]] one of the [[steps]], with do = "copy"',
        )
    if not copies and not steps:
        raise ScenarioError(
            f"{file}: there is no [[copies]] or [[steps]] table, so nothing is verified"
        )
    return steps or [{"do": "copy"} | table for table in copies]


def _expanded(
    tables: Sequence[dict[str, Any]], topology: Topology, file: str
) -> Iterator["_Unplaced | DriverStep"]:
    """Yield the single copies and steps, after a look at which driver has what by then."""
    drivers = with_module(topology)
    for table in tables:
        keys = {key: value for key, value in table.items() if key != "do"}
        if table.get("do") == "copy":
            for item in _combinations(keys, topology, file):
                _require_usable(item, topology, drivers, file)
                yield item
        else:
            step = _driver_step(str(table.get("do")), keys, topology, file)
            drivers = step.after(drivers, topology)
            yield step


def _require_usable(
    item: "_Unplaced", topology: Topology, drivers: dict[str, str], file: str
) -> None:
    for serial in (item.source, item.destination):
        if drivers.get(serial) != NVME_DRIVER:
            raise ScenarioError(
                f"{file}: a copy needs {serial}, which {drivers.get(serial, 'no driver')} has "
                f"at that point, not {NVME_DRIVER}"
            )
    offered = [provider.name for provider in published(topology, drivers)]
    if item.provider and item.provider not in offered:
        raise ScenarioError(
            f"{file}: a copy needs the memory of {item.provider}, which no driver has at that "
            "point",
            hint=f"a step before it has to bind {item.provider} to {MODULE}: see "
            "configs/scenarios/testdev.toml",
        )


def _driver_step(action: str, keys: dict[str, Any], topology: Topology, file: str) -> DriverStep:
    if action not in ACTIONS:
        raise ScenarioError(f"{file}: do {action!r} is not one of copy, {', '.join(ACTIONS)}")
    where = f"{file}: [[steps]] with do = {action!r}"
    needed = {"value"} if action == "bar" else {"function", "driver"}
    possible = {"dmesg"} if action == "bar" else {"errno", "dmesg"}
    if wrong := set(keys) - needed - possible:
        raise ScenarioError(f"{where} has unknown keys: {', '.join(sorted(wrong))}")
    for key in sorted(needed | set(keys)):
        if not isinstance(keys.get(key), str):
            raise ScenarioError(f"{where}: {key!r} must be a text in quotes")
    value = keys["value" if action == "bar" else "driver"]
    allowed = BARS if action == "bar" else DRIVERS
    if value not in allowed and not (action == "driver_override" and not value):
        raise ScenarioError(f"{where}: {value!r} is not one of {', '.join(allowed)}")
    function = keys.get("function", "")
    if action != "bar":
        _named(function, [item.name for item in topology.items], file, "function")
    wanted = keys.get("errno", "")
    if wanted and wanted not in errnos.errorcode.values():
        raise ScenarioError(f"{where}: errno {wanted!r} is no name of an error, like ENODEV")
    try:
        re.compile(keys.get("dmesg", ""))
    except re.error as error:
        raise ScenarioError(f"{where}: dmesg is no regular expression: {error}") from error
    return DriverStep(action, function, value, wanted, keys.get("dmesg", ""))


@dataclass(frozen=True)
class _Unplaced:
    memory: str
    provider: str
    source: str
    destination: str
    chunks: int
    chunk_size: int


def _combinations(table: dict[str, Any], topology: Topology, file: str) -> Iterator[_Unplaced]:
    for key in ("providers", "directions", "shapes"):
        if not isinstance(table.get(key, []), list):
            raise ScenarioError(f"{file}: {key!r} must be a list, not {table[key]!r}")
    if unknown := set(table) - KEYS:
        raise ScenarioError(f"{file}: [[copies]] has unknown keys: {', '.join(sorted(unknown))}")
    memory = table.get("memory")
    if memory not in MEMORIES:
        raise ScenarioError(f"{file}: memory {memory!r} is not one of {', '.join(MEMORIES)}")
    if (memory == "host") == bool(table.get("providers")):
        raise ScenarioError(f"{file}: `providers` is for p2pmem and allocate, and needed there")
    offered = [item.name for item in topology.providers]
    drives = [drive.serial for drive in topology.drives]
    numbers = table.get("providers", [])
    providers = [_named(number, offered, file, "provider") for number in numbers] or [""]
    directions = [_direction(pair, drives, file) for pair in table.get("directions", [])]
    shapes = [_shape(text, file) for text in table.get("shapes", [])]
    if not directions or not shapes:
        raise ScenarioError(f"{file}: [[copies]] needs `directions` and `shapes`")
    for shape, ends, provider in itertools.product(shapes, directions, providers):
        yield _Unplaced(memory, provider, *ends, *shape)


def _named(given: object, names: list[str], file: str, what: str) -> str:
    """Return the name that is given, or whose number is."""
    if isinstance(given, str) and given in names:
        return given
    if type(given) is int and 0 <= given < len(names):
        return names[given]
    there = f"{len(names)}, from 0 on: {', '.join(names)}" if names else "none"
    raise ScenarioError(
        f"{file}: there is no {what} {given!r}; the topology has {there}",
        hint="without scenario= a topology is verified by the scenario that goes with it",
    )


def _direction(pair: object, drives: list[str], file: str) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise ScenarioError(f"{file}: direction {pair!r} is not a pair of two different drives")
    ends = _named(pair[0], drives, file, "drive"), _named(pair[1], drives, file, "drive")
    if ends[0] == ends[1]:
        raise ScenarioError(f"{file}: direction {pair!r} is not a pair of two different drives")
    return ends


def _shape(text: object, file: str) -> tuple[int, int]:
    match = SHAPE.fullmatch(str(text))
    if not match or not int(match[1]) or not int(match[2]):
        raise ScenarioError(f"{file}: shape {text!r} is not of the form '64 x 4k'")
    size = int(match[2]) * UNITS[match[3]]
    if size % BLOCK:
        raise ScenarioError(f"{file}: shape {text!r}: a chunk must be a multiple of {BLOCK} bytes")
    return int(match[1]), size


def _placed(
    items: Sequence[_Unplaced | DriverStep], topology: Topology, file: str
) -> Iterator[Copy | DriverStep]:
    """Give each copy a range of its own."""
    offset, seeds = 0, itertools.count(1)
    smallest = min(drive.drive_bytes for drive in topology.drives)
    for item in items:
        if isinstance(item, DriverStep):
            yield item
            continue
        length = item.chunks * item.chunk_size
        if offset + length > smallest:
            raise ScenarioError(
                f"{file}: the copies need more than the {smallest >> 20} MiB of the smallest drive",
                hint=f"raise drive_mib in configs/topologies/{topology.name}.toml",
            )
        yield Copy(
            memory=item.memory,
            provider=item.provider,
            source=item.source,
            destination=item.destination,
            chunks=item.chunks,
            chunk_size=item.chunk_size,
            offset=offset,
            seed=next(seeds),
        )
        offset += -(-length // ALIGNMENT) * ALIGNMENT
