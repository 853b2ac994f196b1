"""What to verify, as data: ``configs/scenarios/*.toml`` expanded into single copies.

The language: ``description``, then any number of ``[[copies]]`` tables, each of which stands for
all combinations of its lists. ``memory`` is what the data goes through: ``p2pmem`` (the module's
device), ``allocate`` (the kernel's own sysfs file) or ``host`` (RAM, no peer-to-peer DMA at all).
``providers`` are the functions whose memory is used, ``directions`` pairs of drives, source and
destination; both are numbered in the order of the topology. ``shapes`` are ``CHUNKS x SIZE``.
"""

import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boot.topology import Topology
from host.errors import LabError

MEMORIES = ("p2pmem", "allocate", "host")
SHAPE = re.compile(r"(\d+) x (\d+)([kM]?)")
UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20}
BLOCK = 512  # bytes; a drive reads and writes whole blocks
ALIGNMENT = 1 << 20  # bytes; every copy has a range of its own that starts on such a boundary
KEYS = {"memory", "providers", "directions", "shapes"}


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
        copies: each with a range of the drives of its own.
        clients: whether programs that nobody here wrote take part: fio, nvme, lspci.
    """

    name: str
    description: str
    copies: tuple[Copy, ...]
    clients: bool = False


def load_scenario(path: Path, topology: Topology, name: str = "") -> Scenario:
    """Return a scenario as it applies to a topology; called ``name``, or else as its file is.

    Raises:
        ScenarioError: syntax, unknown keys or words, a drive the topology lacks, drives too small.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path.name}: not TOML: {error}") from error
    if unknown := set(data) - {"description", "copies"}:
        raise ScenarioError(f"{path.name}: unknown keys: {', '.join(sorted(unknown))}")
    description = str(data.get("description", ""))
    if not description.isprintable():
        raise ScenarioError(f"{path.name}: `description` has characters that cannot be shown")
    tables = data.get("copies")
    if not isinstance(tables, list) or not tables:
        raise ScenarioError(f"{path.name}: there is no [[copies]] table, so nothing is verified")
    combined = [item for table in tables for item in _combinations(table, topology, path.name)]
    if all(item.memory == "host" for item in combined):
        raise ScenarioError(f"{path.name}: all copies go through host RAM, so nothing is verified")
    copies = tuple(_placed(combined, topology, path.name))
    return Scenario(name or path.stem, description, copies)


@dataclass(frozen=True)
class _Unplaced:
    memory: str
    provider: str
    source: str
    destination: str
    chunks: int
    chunk_size: int


def _combinations(table: dict[str, Any], topology: Topology, file: str) -> Iterator[_Unplaced]:
    if not isinstance(table, dict):
        raise ScenarioError(f"{file}: `copies` must be [[copies]] tables, not {table!r}")
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


def _named(number: object, names: list[str], file: str, what: str) -> str:
    if type(number) is not int or not 0 <= number < len(names):
        raise ScenarioError(
            f"{file}: there is no {what} {number!r}; the topology has {len(names)}, from 0 on"
        )
    return names[number]


def _direction(pair: object, drives: list[str], file: str) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
        raise ScenarioError(f"{file}: direction {pair!r} is not a pair of two different drives")
    return _named(pair[0], drives, file, "drive"), _named(pair[1], drives, file, "drive")


def _shape(text: object, file: str) -> tuple[int, int]:
    match = SHAPE.fullmatch(str(text))
    if not match or not int(match[1]) or not int(match[2]):
        raise ScenarioError(f"{file}: shape {text!r} is not of the form '64 x 4k'")
    size = int(match[2]) * UNITS[match[3]]
    if size % BLOCK:
        raise ScenarioError(f"{file}: shape {text!r}: a chunk must be a multiple of {BLOCK} bytes")
    return int(match[1]), size


def _placed(items: list[_Unplaced], topology: Topology, file: str) -> Iterator[Copy]:
    offset = 0
    smallest = min(drive.drive_bytes for drive in topology.drives)
    for number, item in enumerate(items):
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
            seed=number + 1,
        )
        offset += -(-length // ALIGNMENT) * ALIGNMENT
