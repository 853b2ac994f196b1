"""Check one copy with two of the three witnesses: the tool in the guest, and QEMU's DMA trace.

(The third, the host's comparison of the drive images, comes after power-off: images.py.)
"""

import shlex
from collections import Counter

from boot.console import Answer
from boot.policy import MapType
from boot.topology import Provider
from boot.trace import (
    REGION_EVENTS,
    REGION_WRITE,
    Memory,
    Sums,
    Transfer,
    copy_window,
    device_accesses,
    processor_accesses,
    total,
)
from verify.check import CheckFailed, require
from verify.path import follow
from verify.record import CopyRecord, Expected
from verify.refusal import counted, refusal_line, require_tried
from verify.scenario import Copy
from verify.session import Session
from verify.tool_report import json_objects

# Exit codes of p2pmem-test.
STATUS = {Expected.MATCH: 0, Expected.MISMATCH: 1, Expected.REFUSED: 3}
COUNT_ACCESSES_UP_TO = 4096  # bytes; a trace line for each 4 bytes is too much for more


def check_copy(session: Session, copy: Copy) -> str:
    """Do one copy and check that what happened is what the topology lets expect."""
    predicted, provider = predictions(session, copy), _provider(session, copy)
    allowed = MapType.NOT_SUPPORTED not in predicted.values()
    session.trace.take()
    with counted(session, copy, allowed=allowed) as ended:
        status, tool = _run_tool(session, copy)
    lines = session.trace.take()
    moved = session.transfers(lines)
    record = CopyRecord(
        copy,
        {client: kind.value for client, kind in predicted.items()},
        allowed,
        tool,
        readable(session, total(moved)),
        remembers=provider is None or provider.remembers,
    )
    session.copies.append(record)
    if record.expected is Expected.REFUSED:
        refused = _refused(session, copy, status, tool, moved)
        return f"{refused}; {require_tried(copy, predicted, ended, moved)}"
    _require_outcome(record, status)
    require(tool.get("bytes") == copy.length, f"p2pmem-test copied {tool.get('bytes')} bytes")
    seen = _traced_as_expected(session, copy, moved)
    if record.expected is Expected.MISMATCH:
        seen += "; MISMATCH, as it must be: this memory does not remember"
    return seen + _accesses(session, copy, lines, moved)


def _require_outcome(record: CopyRecord, status: int) -> None:
    tool, expected = record.tool, record.expected
    if expected is Expected.MISMATCH:
        require(
            tool.get("result") != Expected.MATCH.value,
            f"p2pmem-test reports a match, but the memory of {record.copy.provider} does not "
            "remember what is written to it: a check that is content here proves nothing elsewhere",
        )
    require(status == STATUS[expected], f"p2pmem-test ended with {status}: {tool.get('message')}")
    require(tool.get("result") == expected.value, f"p2pmem-test reports {tool.get('result')!r}")


def _provider(session: Session, copy: Copy) -> Provider | None:
    return session.topology.provider(copy.provider) if copy.provider else None


def _accesses_are_traced(session: Session, copy: Copy) -> bool:
    provider = _provider(session, copy)
    return provider is not None and provider.traced


def _accesses_are_counted(session: Session, copy: Copy) -> bool:
    return _accesses_are_traced(session, copy) and copy.length <= COUNT_ACCESSES_UP_TO


def run_watched(session: Session, copy: Copy, command: str) -> Answer:
    """Run a command that does a copy, while QEMU traces single accesses as far as they are few."""
    with session.guest.qmp.tracing(_watched(session, copy)):
        return session.guest.console.run(command, session.timeouts.copy)


def _watched(session: Session, copy: Copy) -> tuple[str, ...]:
    """Return the accesses to trace one by one: all, or those that are few in a large copy."""
    if _accesses_are_counted(session, copy):
        return REGION_EVENTS
    # The peer only reads: what is written there, but for submission queues, a processor writes.
    return (REGION_WRITE,) if copy.provider and copy.provider == copy.source else ()


def predictions(session: Session, copy: Copy) -> dict[str, MapType]:
    """Return the kernel's expected decision for each drive of a copy; none through host RAM."""
    if not copy.provider:
        return {}
    ends = (copy.source, copy.destination)
    return {client: session.predicted(copy.provider, client) for client in ends}


def _run_tool(session: Session, copy: Copy) -> tuple[int, dict[str, object]]:
    command = tool_command(session, copy)
    answer = run_watched(session, copy, command)
    if told := next(json_objects(answer.output), None):
        return answer.status, told
    raise CheckFailed(f"`{command}` gave {answer.status} and no JSON: {answer.output.strip()}")


def tool_command(session: Session, copy: Copy) -> str:
    """Return the command line for a copy, as it is typed in the guest."""
    words = [
        "p2pmem-test",
        session.drive(copy.source).block,
        session.drive(copy.destination).block,
        *memory_words(session, copy),
        "-c", str(copy.chunks),
        "-s", str(copy.chunk_size),
        "-o", str(copy.offset),
        "--seed", str(copy.seed),
        "--check",
        "--json",
    ]  # fmt: skip
    return shlex.join(words)


def memory_words(session: Session, copy: Copy) -> list[str]:
    """Return what names the memory on the tool's command line; nothing for host RAM."""
    if copy.memory == "host":
        return []
    if copy.memory == "p2pmem":
        return [session.node(copy.provider)]
    return [session.attribute(copy.provider, "p2pmem/allocate")]


def _traced_as_expected(session: Session, copy: Copy, moved: list[Transfer]) -> str:
    """Compare what QEMU moved with what the copy should have moved: every byte, nothing else."""
    sums, window = total(moved), copy_window(moved)
    expected = _expected(session, copy)
    require(
        sums == expected,
        f"QEMU traced {readable(session, sums)}, expected {readable(session, expected)}",
    )
    through_ram = sum(item.length for item in window if item.memory is Memory.RAM)
    require(through_ram == 0, f"{through_ram} bytes went through host RAM during the copy")
    follow(copy, moved)
    if copy.memory == "host":
        return f"{copy.length} bytes through host RAM, none peer to peer"
    return f"{kinds(session, window)} of {copy.length} copied"


def _expected(session: Session, copy: Copy) -> Sums:
    """Return the bytes that QEMU has to move: seeding, reading, writing, reading back."""
    ways = [(copy.source, "write"), (copy.destination, "read")]
    if copy.memory == "host":
        ways += [(copy.source, "read"), (copy.destination, "write")]
    ram: Sums = Counter({(drive, way, Memory.RAM, ""): copy.length for drive, way in ways})
    return ram + through_memory(session, copy)


def through_memory(session: Session, copy: Copy) -> Sums:
    """Return the bytes that have to go to and from the memory of the copy; none for host RAM."""
    sums: Sums = Counter()
    if copy.memory == "host":
        return sums
    for command, client in (("read", copy.source), ("write", copy.destination)):
        memory = Memory.OWN if client == copy.provider else Memory.PEER
        sums[client, command, memory, session.function(copy.provider).bdf] += copy.length
    return sums


def _accesses(session: Session, copy: Copy, lines: list[str], moved: list[Transfer]) -> str:
    """Look at single accesses to the memory, as far as QEMU shows them."""
    if not copy.provider:
        return ""
    if words := unseen(session, copy):
        return words
    require_no_processor(lines, moved)
    return _counted_accesses(session, copy, lines) if _accesses_are_counted(session, copy) else ""


def unseen(session: Session, copy: Copy) -> str:
    """Return what a verdict has to add where QEMU shows no single accesses to the memory."""
    if not copy.provider or _accesses_are_traced(session, copy):
        return ""
    return "; proven by the addresses alone: QEMU shows no accesses to this memory"


def require_no_processor(lines: list[str], moved: list[Transfer]) -> None:
    """Check that no processor touched the data between the two drives, as far as QEMU shows it.

    Raises:
        CheckFailed: one did; says how many bytes.
    """
    by_processors = processor_accesses(lines, copy_window(moved))
    require(
        by_processors == 0,
        f"processors accessed {by_processors} bytes of the memory that the data went through",
    )


def _counted_accesses(session: Session, copy: Copy, lines: list[str]) -> str:
    """Count the accesses that the other drive made to the provider's CMB, one by one."""
    provider = session.function(copy.provider).bdf
    # The drive that writes fetches from the peer's memory, and the one that reads stores to it.
    ends = (("write", copy.source), ("read", copy.destination))
    directions = [direction for direction, client in ends if client != copy.provider]
    seen = device_accesses(lines, session.bars)
    require(
        seen == Counter({(direction, provider): copy.length for direction in directions}),
        f"devices accessed CMBs as {dict(seen)}, expected {copy.length} bytes of "
        f"{' and '.join(directions)} at {provider}",
    )
    kinds = " and ".join(f"{direction}s" for direction in sorted(directions))
    return f"; {copy.length} bytes seen as device {kinds} at the peer's BAR"


def _refused(
    session: Session, copy: Copy, status: int, tool: dict[str, object], moved: list[Transfer]
) -> str:
    """The kernel has to refuse, say why, and QEMU may move nothing but the seed of the source."""
    require(
        status == STATUS[Expected.REFUSED] and tool.get("result") == "refused",
        f"expected a refusal, but p2pmem-test ended with {status}, {tool.get('result')!r}",
    )
    sums = total(item for item in moved if item.memory is not Memory.OWN)
    seeded: Sums = Counter({(copy.source, "write", Memory.RAM, ""): copy.length})
    traced, wanted = readable(session, sums), readable(session, seeded)
    require(sums == seeded, f"QEMU traced {traced} although the kernel refused, expected {wanted}")
    words = refusal_line(session, copy.provider, copy.source, copy.destination)
    errno = tool.get("errno_name")
    return f"refused with {errno}, as predicted; the kernel says once for a pair: {words}"


def kinds(session: Session, window: list[Transfer]) -> str:
    """Return in words through which memory a copy went."""
    sums = total(window)
    shown = [
        f"{memory.value} {session.called(provider)} {length}"
        for memory in (Memory.OWN, Memory.PEER)
        for provider, length in sorted(_by_provider(sums, memory).items())
    ]
    return ", ".join([*shown, "host RAM 0 bytes"])


def _by_provider(sums: Sums, memory: Memory) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_drive, _command, kind, provider), length in sums.items():
        if kind is memory:
            found[provider] += length
    return found


def readable(session: Session, sums: Sums) -> dict[str, int]:
    """Return bytes by words that are good for messages and reports."""
    words = {}
    for (drive, command, memory, provider), length in sorted(sums.items(), key=str):
        where = f" {session.called(provider)} {provider}" if provider else ""
        if length:
            words[f"{drive} {command} {memory.value}{where}"] = length
    return words
