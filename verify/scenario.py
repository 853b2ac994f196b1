"""What to verify, as data: ``configs/scenarios/*.toml`` expanded into single copies.

The language: ``description``, then any number of ``[[copies]]`` tables, each of which stands for
all combinations of its lists. ``memory`` is what the data goes through: ``p2pmem`` (the module's
device), ``allocate`` (the kernel's own sysfs file) or ``host`` (RAM, no peer-to-peer DMA at all).
``providers`` are the drives whose memory is used, ``directions`` pairs of source and destination;
drives are numbered in the order of the topology. ``shapes`` are ``CHUNKS x SIZE``.
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
ALIGNMENT = 1 << 20  # bytes; every copy has a range of its own that starts on such a boundary
KEYS = {"memory", "providers", "directions", "shapes"}


class ScenarioError(LabError):
    """A scenario file cannot be used, or not on this topology."""


@dataclass(frozen=True)
class Copy:
    """One copy from drive to drive.

    Attributes:
        memory: one of ``MEMORIES``.
        provider: serial of the drive whose CMB is used; empty for host memory.
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
        shape = f"{self.chunks} x {self.chunk_size >> 10}k"
        return f"copy {self.source} -> {self.destination} through {via}, {shape}"


@dataclass(frozen=True)
class Scenario:
    """What is verified on one topology.

    Attributes:
        name: of the file, without ``.toml``.
        description: a line for people.
        copies: each with a range of the drives of its own.
    """

    name: str
    description: str
    copies: tuple[Copy, ...]


def load_scenario(path: Path, topology: Topology) -> Scenario:
    """Return a scenario as it applies to a topology.

    Raises:
        ScenarioError: syntax, unknown keys or words, a drive the topology lacks, drives too small.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path.name}: not TOML: {error}") from error
    if unknown := set(data) - {"description", "copies"}:
        raise ScenarioError(f"{path.name}: unknown keys: {', '.join(sorted(unknown))}")
    tables = data.get("copies")
    if not isinstance(tables, list) or not tables:
        raise ScenarioError(f"{path.name}: there is no [[copies]] table, so nothing is verified")
    serials = [drive.serial for drive in topology.drives]
    combined = [item for table in tables for item in _combinations(table, serials, path.name)]
    if all(item.memory == "host" for item in combined):
        raise ScenarioError(f"{path.name}: all copies go through host RAM, so nothing is verified")
    copies = tuple(_placed(combined, topology, path.name))
    return Scenario(path.stem, str(data.get("description", "")), copies)


@dataclass(frozen=True)
class _Unplaced:
    memory: str
    provider: str
    source: str
    destination: str
    chunks: int
    chunk_size: int


def _combinations(table: dict[str, Any], serials: list[str], file: str) -> Iterator[_Unplaced]:
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
    providers = [_serial(item, serials, file) for item in table.get("providers", [])] or [""]
    directions = [_direction(item, serials, file) for item in table.get("directions", [])]
    shapes = [_shape(text, file) for text in table.get("shapes", [])]
    if not directions or not shapes:
        raise ScenarioError(f"{file}: [[copies]] needs `directions` and `shapes`")
    for shape, ends, provider in itertools.product(shapes, directions, providers):
        yield _Unplaced(memory, provider, *ends, *shape)


def _serial(number: object, serials: list[str], file: str) -> str:
    if type(number) is not int or not 0 <= number < len(serials):
        raise ScenarioError(
            f"{file}: there is no drive {number!r}; drives: 0 to {len(serials) - 1}"
        )
    return serials[number]


def _direction(pair: object, serials: list[str], file: str) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
        raise ScenarioError(f"{file}: direction {pair!r} is not a pair of two different drives")
    return _serial(pair[0], serials, file), _serial(pair[1], serials, file)


def _shape(text: object, file: str) -> tuple[int, int]:
    match = SHAPE.fullmatch(str(text))
    if not match or not int(match[1]) or not int(match[2]):
        raise ScenarioError(f"{file}: shape {text!r} is not of the form '64 x 4k'")
    return int(match[1]), int(match[2]) * UNITS[match[3]]


def _placed(items: list[_Unplaced], topology: Topology, file: str) -> Iterator[Copy]:
    offset = 0
    smallest = min(drive.drive_mib for drive in topology.drives) << 20
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
