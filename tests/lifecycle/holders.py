"""Who holds what while something happens to it, and what becomes of it."""

import shlex
from contextlib import ExitStack
from dataclasses import dataclass

from tests.lifecycle.events import KILLS, RESET, Ended, Event
from tests.lifecycle.rig import PROGRAM, TRICKLE, UNLIMITED, Rig
from verify.check import require

OUT = "/run/holder"
PROCESS = "/run/holder.process"
# How long an event that has to wait for a transfer is watched waiting, and how long one that has
# not to may take to begin before the transfer is let go on.
WATCHED = 0.4  # seconds


@dataclass(frozen=True)
class Holder:
    """A process that holds something of the function's memory.

    Attributes:
        name: what it holds.
        kind: as ``p2pmem-lifecycle hold`` calls it.
        own: whether a transfer is done by the function itself, not by its peer.
    """

    name: str
    kind: str
    own: bool = False

    @property
    def transfers(self) -> bool:
        """Whether a transfer is in flight."""
        return self.kind == "dma"


HOLDERS = (
    Holder("open file", "file"),
    Holder("mapping", "mapping"),
    Holder("DMA in flight", "dma"),
    Holder("own DMA in flight", "dma", own=True),
)


@dataclass(frozen=True)
class Left:
    """What a holder told in the end.

    Attributes:
        transfer_ended: in ns of the guest's monotonic clock; None without a transfer.
        transfer: ``whole``, ``short``, or the name of an errno.
        content: ``kept``, ``lost``, ``sigbus`` on all pages, or ``mixed``; empty without a mapping.
        mmap: name of the errno of another mmap() of the open file.
    """

    transfer_ended: int | None
    transfer: str
    content: str
    mmap: str


def parse_left(text: str) -> Left:
    """Read what ``p2pmem-lifecycle end`` prints."""
    words = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    transfer = words.get("transfer")
    return Left(
        transfer_ended=int(transfer[1]) if transfer else None,
        transfer=transfer[2] if transfer else "",
        content=words.get("content", [""])[0],
        mmap=words.get("mmap", [""])[0],
    )


def cross(rig: Rig, holder: Holder, event: Event) -> str:
    """Let an event happen to a function whose memory is held; check what either side sees."""
    drive = rig.provider if holder.own else rig.peer
    with ExitStack() as stack:
        if holder.transfers:
            # QEMU itself waits for its own requests when it resets a drive.
            stack.enter_context(rig.throttled(drive, rig.limits.rate if holder.own else TRICKLE))
        held = [PROGRAM, "hold", holder.kind, OUT, rig.node, rig.block(drive)]
        # In one go: on a busy machine the way here and back outlasts a transfer.
        process = rig.run(
            f"{shlex.join(held)} >{PROCESS} && {event.command(rig, f'$(cat {PROCESS})')} && "
            f"cat {PROCESS}"
        ).strip()
        event.from_host(rig)
        if holder.transfers:
            _let_go(rig, holder, event)
        ended = event.finish(rig, process, holder.name)
        require(
            ended.error == event.error,
            f"{event.name} ended with {ended.error}, not with {event.error}",
        )
        if event.name == KILLS:
            return f"gone after {_ms(ended)}"
        left = parse_left(
            rig.program("end", process, f"{rig.limits.event}", OUT, seconds=rig.limits.case)
        )
        judge(holder, event, ended, left)
        event.undo(rig)
    return f"{event.name} took {_ms(ended)}; " + _shown(left)


def _let_go(rig: Rig, holder: Holder, event: Event) -> None:
    """Let the transfer come to its end, once it was seen that the event waits for it."""
    early = event.ended(rig, WATCHED)
    waits = (event.revokes and event.orderly) or event.name == KILLS
    if waits and not holder.own:
        require(early is None, f"{event.name} ended while the peer still wrote to the memory")
    if not holder.own:
        rig.throttle(rig.peer, UNLIMITED)


def judge(holder: Holder, event: Event, ended: Ended, left: Left) -> None:
    """Hold what a holder was left with against what the event is to leave it.

    Raises:
        CheckFailed: it is something else, or the holder did not tell all.
    """
    wanted = "ENODEV" if event.revokes else "0"
    require(left.mmap == wanted, f"mmap() of the open file gives {left.mmap}, not {wanted}")
    told = (bool(left.content), left.transfer_ended is not None)
    require(
        told == (holder.kind != "file", holder.transfers),
        f"the holder tells of its content and its transfer: {told}",
    )
    if left.content:
        allowed = _contents(holder, event)
        require(
            left.content in allowed,
            f"the mapping's content: {left.content}, not {' or '.join(allowed)}",
        )
    if left.transfer_ended is None:
        return
    require(left.transfer_ended > ended.begun, "the transfer was over before anything happened")
    if event.orderly:
        require(left.transfer == "whole", f"the transfer ended with {left.transfer}")
        # Unbinding the drive that does the DMA ends its requests in its own way.
        if event.revokes:
            require(
                left.transfer_ended <= ended.ended,
                f"{event.name} was over before the transfer was",
            )


def _contents(holder: Holder, event: Event) -> tuple[str, ...]:
    if event.revokes:
        return ("sigbus",)
    # While a function is being reset, what its peer writes goes nowhere.
    return ("kept", "lost") if holder.transfers and event.name == RESET else ("kept",)


def _ms(ended: Ended) -> str:
    return f"{(ended.ended - ended.begun) / 1e6:.0f} ms"


def _shown(left: Left) -> str:
    parts = [f"mmap {left.mmap}"]
    if left.content:
        parts.append(f"content {left.content}")
    if left.transfer:
        parts.append(f"transfer {left.transfer}")
    return ", ".join(parts)
