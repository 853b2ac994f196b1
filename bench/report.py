"""The figures of a bench: a table for people (console and Markdown), JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.measure import Group
from bench.plan import BASE, OTHER
from host.files import write_text
from host.markdown import plain, table

HEAD = ("memory", "chunk", "variant", "MiB/s", "from", "to", "ratio")


@dataclass(frozen=True)
class Subject:
    """What was measured on what: for whoever reads the figures later.

    Attributes:
        kernel: ``uname -r``.
        machine: topology, accelerator, CPU model, QEMU's version.
        programs: SHA-256 of each program, by name; the other one's file, if there is one.
    """

    kernel: str
    topology: str
    accel: str
    cpu: str
    qemu: str
    programs: dict[str, str]
    against: str


def rows(group: Group) -> list[tuple[str, ...]]:
    """Return the lines of the table for one group, the ratio being to the first of them."""
    base = group.series[0]
    lines = []
    for item in group.series:
        figures = [item.rate, min(item.rates), max(item.rates)]
        lines.append(
            (
                group.memory.name,
                _size(group.size),
                item.variant.name,
                *(f"{rate / (1 << 20):.1f}" for rate in figures),
                f"{item.ratio(base):.2f}",
            )
        )
    return lines


def compared(groups: Sequence[Group]) -> list[str]:
    """Return a line for each memory and size: how fast ours is, the other program being 1."""
    lines = []
    for group in groups:
        by_variant = {item.variant: item for item in group.series}
        if OTHER in by_variant:
            ratio = by_variant[BASE].ratio(by_variant[OTHER])
            lines.append(f"{group.memory.name}, {_size(group.size)}: {ratio:.2f}")
    return lines


def markdown(subject: Subject, groups: Sequence[Group]) -> str:
    """Return everything as one page."""
    lines = [
        "# Throughput of p2pmem-test, measured in one boot",
        "",
        f"Linux {subject.kernel}, {subject.topology}, {subject.accel}, {subject.cpu}, "
        f"{subject.qemu}.",
        "Each figure is the median of runs that took turns; the ratio is to `ours` of the same "
        "memory and chunk, turn by turn.",
        "",
        *table(HEAD, (map(plain, row) for group in groups for row in rows(group))),
    ]
    if subject.against:
        lines += ["", f"Ours, {plain(subject.against)} (against) being 1:", ""]
        lines += [f"- {plain(line)}" for line in compared(groups)]
    return "\n".join(lines) + "\n"


def as_data(subject: Subject, groups: Sequence[Group]) -> dict[str, Any]:
    """Return everything for JSON; rates are bytes per second, sizes bytes, latencies ns."""
    return {
        "subject": asdict(subject),
        "groups": [
            {
                "memory": group.memory.name,
                "chunk_size": group.size,
                **asdict(group.amount),
                "latency_ns": group.latency_ns,
                "variants": [
                    {
                        "name": item.variant.name,
                        "options": list(item.variant.options),
                        "rates": item.rates,
                        "median": item.rate,
                        "ratio": item.ratio(group.series[0]),
                    }
                    for item in group.series
                ],
            }
            for group in groups
        ],
    }


def write_reports(subject: Subject, groups: Sequence[Group], folder: Path) -> None:
    """Write ``bench.json`` and ``bench.md``."""
    write_text(folder / "bench.json", json.dumps(as_data(subject, groups), indent=2) + "\n")
    write_text(folder / "bench.md", markdown(subject, groups))


def print_head() -> None:
    """Print the titles of the table."""
    _print(HEAD)


def print_group(group: Group) -> None:
    """Print a group as soon as it is there."""
    for row in rows(group):
        _print(row)


def _print(row: Sequence[str]) -> None:
    memory, chunk, variant, *figures = row
    numbers = " ".join(f"{figure:>8}" for figure in figures)
    print(f"   {memory:<16} {chunk:>4}  {variant:<18} {numbers}", flush=True)


def _size(size: int) -> str:
    return f"{size >> 20}M" if size >= 1 << 20 else f"{size >> 10}k"
