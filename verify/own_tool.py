"""A copy made by a user's own tool, of which nothing is known: what it says is never needed.

It is called as the existing p2pmem-test is (READ WRITE [P2PMEM] -c CHUNKS -s SIZE --check), with
``--json`` and ``--seed`` if its ``--help`` names them. Where on the drives it works cannot be
asked for: ``-o`` is a place on the drives for ours, and one in the memory for the existing tool. So
all copies begin at byte 0, and the host looks at the drives after each of them.

The witnesses are the other two. Before each copy the host fills both ranges, each with data that is
nowhere else: afterwards they are the same only if something was copied. How the data went is in
QEMU's trace. What the tool does through host RAM before the copy, and what it reads after it, is
its own business; writing after it would make good what the copy has spoilt.
"""

import hashlib
import re
import shlex
from dataclasses import replace

from boot.console import Answer
from boot.policy import MapType
from boot.trace import Memory, Transfer, copy_window, total
from verify.check import CheckFailed, require
from verify.copy_check import (
    kinds,
    memory_words,
    predictions,
    readable,
    require_no_processor,
    run_watched,
    through_memory,
    unseen,
)
from verify.images import (
    first_difference,
    repeated_block,
    require_no_block_the_same,
    unchanged_since,
)
from verify.path import follow_window
from verify.record import CopyRecord, Expected
from verify.refusal import counted, refusal_line, require_tried
from verify.scenario import Copy, Scenario
from verify.session import Session
from verify.tool_report import json_objects

OPTIONS = ("--json", "--seed")
NOT_STARTED = (126, 127)  # the shell's exit codes
RESULTS = ("match", "mismatch", "refused", "copied", "error")  # of our tool's JSON
KEPT = 2000  # characters of what it printed, for the report


def for_own_tool(scenario: Scenario) -> Scenario:
    """Return a scenario as a tool can do it that cannot be told a place on the drives."""
    steps = (replace(step, offset=0) if isinstance(step, Copy) else step for step in scenario.steps)
    return replace(scenario, steps=tuple(steps))


def check_own_copy(session: Session, copy: Copy, reach: int) -> str:
    """Have the user's own tool do one copy, and check what happened, whatever the tool says.

    ``reach`` is where the longest copy of the scenario ends: up to there it is looked at after each
    copy whether others of its bytes have changed, and beyond at the end (``compare_rest``).
    """
    predicted = predictions(session, copy)
    allowed = MapType.NOT_SUPPORTED not in predicted.values()
    command = tool_command(session, copy)
    before = {serial: _fill(session, copy, serial) for serial in (copy.source, copy.destination)}
    rest = _others(session, copy, reach)
    session.trace.take()
    with counted(session, copy, allowed=allowed) as ended:
        answer = run_watched(session, copy, command)
    lines = session.trace.take()
    moved = session.transfers(lines)
    word = _word(answer.output)
    record = CopyRecord(
        copy,
        {client: kind.value for client, kind in predicted.items()},
        allowed,
        word or {"exit_status": answer.status, "output": answer.output[-KEPT:]},
        readable(session, total(moved)),
        remembers=not copy.provider or session.topology.provider(copy.provider).remembers,
    )
    session.copies.append(record)
    heard = _heard(word, answer, expected=record.expected.value)
    _require_untouched(session, copy, reach, rest)
    if not allowed:
        refused = _refused(session, copy, moved, before)
        return f"{refused}; {require_tried(copy, predicted, ended, moved)}; {heard}"
    seen = _traced(session, copy, moved)
    _require_not_mended(copy, moved)
    require_no_processor(lines, moved)
    compared = _lost if record.expected is Expected.MISMATCH else _compared
    return f"{seen}{unseen(session, copy)}; {compared(session, copy, before)}; {heard}"


def all_compared(session: Session, scenario: Scenario) -> str:
    """Every copy was tried; the host has looked at the drives after each of them."""
    tried = [record.copy for record in session.copies]
    missing = [copy.title for copy in scenario.copies if copy not in tried]
    require(scenario.copies, "no copy was planned")
    require(not missing, f"never done: {'; '.join(missing)}")
    return f"{len(tried)} copies, the drives were compared after each"


def tool_command(session: Session, copy: Copy) -> str:
    """Return the command line for a copy, with no option that the tool does not know.

    Raises:
        CheckFailed: the tool does not start.
    """
    if session.tool_options is None:
        session.tool_options = _options(session)
    words = [
        "p2pmem-test",
        session.drive(copy.source).block,
        session.drive(copy.destination).block,
        *memory_words(session, copy),
        "-c", str(copy.chunks),
        "-s", str(copy.chunk_size),
        "--check",
    ]  # fmt: skip
    if "--seed" in session.tool_options:
        words += ["--seed", str(copy.seed)]
    if "--json" in session.tool_options:
        words += ["--json"]
    return shlex.join(words)


def _options(session: Session) -> frozenset[str]:
    answer = session.guest.console.run("p2pmem-test --help", session.timeouts.command)
    require(
        answer.status not in NOT_STARTED,
        f"your tool does not start ({answer.status}): {answer.output.strip()}",
    )
    return frozenset(name for name in OPTIONS if re.search(rf"{name}\b", answer.output))


def _fill(session: Session, copy: Copy, serial: str) -> bytes:
    """Fill the range of a copy on one drive; every block of it is unlike all others."""
    seed = f"{serial} {copy.seed} {copy.title}".encode()
    data = hashlib.shake_128(seed).digest(copy.length)
    session.images.put(serial, copy.offset, data)
    return data


def _word(output: str) -> dict[str, object]:
    """Return the tool's last report, if it makes one that says what ours does; else nothing."""
    told = [data for data in json_objects(output) if data.get("result") in RESULTS]
    return told[-1] if told else {}


def _heard(word: dict[str, object], answer: Answer, expected: str) -> str:
    """Return what is made of the tool's own word.

    Raises:
        CheckFailed: we understand it, and it is not what it should be.
    """
    if not word:
        return (
            "the tool's own word was not used: no JSON with a result on stdout; "
            f"exit status {answer.status}"
        )
    require(word["result"] == expected, f"your tool reports {word['result']!r}")
    return f"the tool says so too: {word['result']}, exit status {answer.status}"


def _traced(session: Session, copy: Copy, moved: list[Transfer]) -> str:
    """Compare what went through peer memory with what should have gone there."""
    window = copy_window(moved)
    through_peers = total(item for item in moved if item.memory is not Memory.RAM)
    expected = through_memory(session, copy)
    require(
        through_peers == expected,
        f"QEMU traced {readable(session, through_peers)}, expected {readable(session, expected)}",
    )
    if copy.memory == "host":
        _require_source_to_destination(copy, moved)
        return f"{copy.length} bytes through host RAM, none peer to peer"
    through_ram = sum(item.length for item in window if item.memory is Memory.RAM)
    require(through_ram == 0, f"{through_ram} bytes went through host RAM during the copy")
    follow_window(copy, window)
    return f"{kinds(session, window)} of {copy.length} copied"


def _require_source_to_destination(copy: Copy, moved: list[Transfer]) -> None:
    """A copy through RAM has to read the source before it writes the destination for good.

    What else the tool does there, before and after, is its own business.
    """
    needed = ((copy.source, "read"), (copy.destination, "write"))
    at = [[n for n, it in enumerate(moved) if (it.drive, it.command) == way] for way in needed]
    lengths = [sum(moved[number].length for number in numbers) for numbers in at]
    for (drive, command), length in zip(needed, lengths, strict=True):
        require(
            length >= copy.length,
            f"the copy through host RAM takes a {command} of {copy.length} bytes of {drive}, but "
            f"QEMU traced {length} (O_DIRECT keeps the guest's page cache out of it)",
        )
    require(
        at[0][0] < at[1][-1],
        f"{copy.destination} was written before anything was read of {copy.source}",
    )


def _require_not_mended(copy: Copy, moved: list[Transfer]) -> None:
    """What the host compares has to be what the copy left behind.

    A tool that writes from RAM once more afterwards would make good whatever peer memory did to
    the data. Before the copy it may (it seeds), and it may read all the time.
    """
    window = copy_window(moved)
    if not window:
        return
    after = moved[moved.index(window[-1]) + 1 :]
    again = sum(item.length for item in after if item.command == "write")
    require(
        again == 0,
        f"{again} bytes were written from host RAM after the copy through the memory of "
        f"{copy.provider}: what is on the drives does not tell what that copy did",
    )


def _others(session: Session, copy: Copy, reach: int) -> dict[str, bytes]:
    """Return what is on the drives beside a copy's range, where another copy has its own.

    All begin at the same place, so that at the end nobody could tell which has written how far.
    """
    taken = {copy.source: copy.length, copy.destination: copy.length}
    starts = {drive.serial: taken.get(drive.serial, 0) for drive in session.topology.drives}
    return {
        serial: session.images.now(serial, start, reach - start) for serial, start in starts.items()
    }


def _require_untouched(session: Session, copy: Copy, reach: int, rest: dict[str, bytes]) -> None:
    for serial, now in _others(session, copy, reach).items():
        if now != rest[serial]:
            where = reach - len(now) + first_difference(rest[serial], now)
            raise CheckFailed(f"host: byte {where} of {serial} changed, which is no part of it")


def _compared(session: Session, copy: Copy, before: dict[str, bytes]) -> str:
    """Compare the copied ranges on the host, as they are now."""
    source = session.images.now(copy.source, copy.offset, copy.length)
    destination = session.images.now(copy.destination, copy.offset, copy.length)
    if source != destination:
        where = first_difference(source, destination)
        changed = destination != before[copy.destination]
        raise CheckFailed(
            f"host: byte {copy.offset + where} of {copy.destination} is not that of {copy.source}"
            + ("" if changed else f"; nothing was written to {copy.destination} at all")
        )
    again = repeated_block(set(), source)
    require(
        again is None,
        f"the block at byte {copy.offset + (again or 0)} of {copy.source} is the same as another "
        "one, so that memory that does not keep its data might not show: write data that differs "
        "from block to block, or none (what is on the drive does)",
    )
    own = source == before[copy.source]
    return "host: the ranges are the same" + (", with the host's own data" if own else "")


def _lost(session: Session, copy: Copy, before: dict[str, bytes]) -> str:
    """See on the host that something else arrived: the memory does not remember."""
    source = session.images.now(copy.source, copy.offset, copy.length)
    destination = session.images.now(copy.destination, copy.offset, copy.length)
    require_no_block_the_same(copy, source, destination)
    stale = unchanged_since(before[copy.destination], destination)
    require(
        stale is None,
        f"host: byte {copy.offset + (stale or 0)} of {copy.destination} was never written",
    )
    return "host: every block is different, as it must be: this memory does not remember"


def _refused(session: Session, copy: Copy, moved: list[Transfer], before: dict[str, bytes]) -> str:
    """The kernel has to refuse: nothing goes to a peer's memory, nothing new to the destination."""
    peer = total(item for item in moved if item.memory is Memory.PEER)
    require(not peer, f"QEMU traced {readable(session, peer)} although the kernel refused")
    now = session.images.now(copy.destination, copy.offset, copy.length)
    require(now == before[copy.destination], f"{copy.destination} was written all the same")
    words = refusal_line(session, copy.provider, copy.source, copy.destination)
    return f"refused, as predicted; the kernel says once for a pair: {words}"
