"""Measure in a running guest: variants in turn, so that what slows one down slows all."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.path import require_path
from bench.plan import BASE, LEAST_CHUNKS, SIZES, Amount, Memory, Plan, Variant, amount, variants
from boot.qemu import namespace
from verify.check import CheckFailed
from verify.copy_check import memory_words
from verify.scenario import Copy
from verify.session import Session
from verify.tool_report import json_objects

# Of the drive: the older p2pmem-test takes a range that ends where the drive does for too long.
ROOM = 0.75
TRIAL = 1 << 20  # bytes, copied to find out how fast it is; more where that takes no time
LONG_ENOUGH = 0.3  # seconds of a trial


@dataclass(frozen=True)
class Series:
    """The figures of one variant.

    Attributes:
        variant: what was measured.
        rates: bytes per second of each run, in the order of the runs.
    """

    variant: Variant
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median, in bytes per second."""
        return median(self.rates)

    def ratio(self, base: "Series") -> float:
        """Return the median of this one's rates, each divided by the base's of the same turn."""
        pairs = zip(self.rates, base.rates, strict=True)
        return median(own / other for own, other in pairs)


@dataclass(frozen=True)
class Group:
    """Variants that were measured in turn, with one memory and one size of a chunk (bytes).

    Attributes:
        amount: what each run copied.
        series: one for each variant, what the others are held to first.
        latency_ns: percentiles of single reads and writes, as the tool tells them.
    """

    memory: Memory
    size: int
    amount: Amount
    series: list[Series]
    latency_ns: dict[str, dict[str, int]]


def memories(session: Session) -> list[Memory]:
    """Return what can be copied through: one drive's memory, that of all others, and RAM."""
    drives = [drive.serial for drive in session.topology.drives]
    of_drives = [name for name in session.nodes if name in drives]
    others = [name for name in session.nodes if name not in drives]
    chosen = [Memory(f"CMB of {name}", name) for name in sorted(of_drives)[:1]]
    chosen += [Memory(name, name) for name in sorted(others)]
    return [*chosen, Memory("host RAM", "")]


def measure(session: Session, plan: Plan, report: Callable[[Group], None]) -> Iterator[Group]:
    """See that all copies go the way they should, then yield groups as they are measured.

    Each group is reported first.

    Raises:
        CheckFailed: a program failed, or did another copy than it was told to; the message has
            its words, or the figures.
    """
    wanted = [(memory, size) for memory in memories(session) for size in SIZES]
    for memory, size in wanted:
        _require_paths(session, plan, memory, size)
    for memory, size in wanted:
        group = _group(session, plan, memory, size)
        report(group)
        yield group


def _require_paths(session: Session, plan: Plan, memory: Memory, size: int) -> None:
    copy = _copy(session, memory, size, LEAST_CHUNKS)
    for variant in variants(plan, memory, size):
        require_path(session, _command(session, variant, copy), copy)


def _group(session: Session, plan: Plan, memory: Memory, size: int) -> Group:
    smallest = min(drive.drive_bytes for drive in session.topology.drives)
    room = int(smallest * ROOM)
    much = amount(plan, size, _rate_of_trials(session, memory, size, room), room)
    copy = _copy(session, memory, size, much.chunks)
    series = [Series(variant) for variant in variants(plan, memory, size)]
    for turn in range(plan.runs):
        # Who comes first changes, should the one after have it better, or worse.
        for item in series[turn % len(series) :] + series[: turn % len(series)]:
            item.rates.append(_rate(session, item.variant, copy, much.times))
    told = _told(session, copy)
    return Group(memory, size, much, series, told["latency_ns"])


def _rate_of_trials(session: Session, memory: Memory, size: int, room: int) -> float:
    """Return bytes per second. The first chunks are slow: a short trial tells too little."""
    length = TRIAL
    while True:
        rate: float = _told(session, _copy(session, memory, size, length // size))["throughput"]
        if length >= LONG_ENOUGH * rate or 2 * length > room:
            return rate
        length *= 2


def _copy(session: Session, memory: Memory, size: int, chunks: int) -> Copy:
    """Return a copy from the first drive to the second; without a check, none has a pattern."""
    source, destination = (drive.serial for drive in session.topology.drives)
    kind = "p2pmem" if memory.provider else "host"
    return Copy(kind, memory.provider, source, destination, chunks, size, offset=0, seed=0)


def _command(session: Session, variant: Variant, copy: Copy) -> str:
    words = [
        f"/bin/{variant.program}",
        session.drive(copy.source).block,
        session.drive(copy.destination).block,
        *memory_words(session, copy),
        "-c", str(copy.chunks),
        "-s", str(copy.chunk_size),
        *variant.options,
    ]  # fmt: skip
    return shlex.join(words)


def _told(session: Session, copy: Copy) -> dict[str, Any]:
    """Return the tool's own report of one copy."""
    command = f"{_command(session, BASE, copy)} --json"
    answer = session.guest.console.run(command, session.timeouts.copy)
    told: Iterator[dict[str, Any]] = json_objects(answer.output)
    if answer.status == 0 and (report := next(told, None)):
        return report
    raise CheckFailed(f"`{command}` ended with {answer.status}: {answer.output.strip()}")


def _require_copied(
    session: Session, command: str, before: dict[str, tuple[int, int]], length: int
) -> None:
    """A program that does less than it was told to is fast, and ends with 0."""
    source, destination = (namespace(drive.serial) for drive in session.topology.drives)
    now = session.guest.qmp.moved()
    read = now[source][0] - before[source][0]
    written = now[destination][1] - before[destination][1]
    if min(read, written) < length:
        raise CheckFailed(
            f"`{command}` was to copy {length} bytes, but QEMU counts {read} read and {written} "
            "written"
        )


def _rate(session: Session, variant: Variant, copy: Copy, times: int) -> float:
    """Return bytes per second, by the guest's clock: that is the same for every program."""
    command = _command(session, variant, copy)
    timed = (
        f"read a x </proc/uptime; for i in $(seq {times}); do "
        f"{command} >/run/bench.log 2>&1 || {{ s=$?; cat /run/bench.log; exit $s; }}; done; "
        "read b x </proc/uptime; echo $a $b"
    )
    before = session.guest.qmp.moved()
    answer = session.guest.console.run(f"({timed})", session.timeouts.copy)
    if answer.status != 0:
        raise CheckFailed(f"`{command}` ended with {answer.status}: {answer.output.strip()}")
    _require_copied(session, command, before, copy.length * times)
    begin, end = map(float, answer.output.split()[-2:])
    # The clock has hundredths: less than one of them is as good as one.
    return copy.length * times / max(end - begin, 0.01)
