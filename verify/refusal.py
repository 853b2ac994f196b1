"""The kernel refuses a copy: in its own words, and with a request that never came to the drive.

The words come once for a pair of client and provider, so from the second copy on they are no proof
that this one was tried. But the guest counts a request also when it ends with an error, and QEMU
traces those that a drive was given: the difference is what the kernel has refused.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from boot.policy import MapType
from boot.trace import Transfer
from verify.check import CheckFailed, require
from verify.scenario import Copy
from verify.session import Session

REFUSED_MESSAGE = (
    "cannot be used for peer-to-peer DMA as the client and provider ({provider}) do not share "
    "an upstream bridge or whitelisted host bridge"
)
SECTOR = 512  # bytes; Documentation/block/stat.rst, where these are the third and seventh field
STAT = {"read": 2, "write": 6}

Requests = Counter[tuple[str, str]]  # bytes by drive and command


def _requests(session: Session, copy: Copy) -> Requests:
    """Return the bytes of all requests to the drives of a copy that have ended, well or not."""
    names = {serial: session.drive(serial).block for serial in (copy.source, copy.destination)}
    paths = [f"/sys/class/block/{block.removeprefix('/dev/')}/stat" for block in names.values()]
    lines = session.run(f"cat {' '.join(paths)}").splitlines()
    return Counter(
        {
            (serial, command): int(line.split()[field]) * SECTOR
            for serial, line in zip(names, lines, strict=True)
            for command, field in STAT.items()
        }
    )


@contextmanager
def counted(session: Session, copy: Copy, *, allowed: bool) -> Iterator[Requests]:
    """Count what the drives of a copy are asked for while the block runs; complete after it.

    Nothing is counted where the kernel allows the copy: the trace has it all.
    """
    ended = Requests()
    if allowed:
        yield ended
        return
    before = _requests(session, copy)
    yield ended
    ended.update(_requests(session, copy) - before)


def require_tried(
    copy: Copy, predicted: Mapping[str, MapType], ended: Requests, moved: list[Transfer]
) -> str:
    """Check that a transfer that must be refused was asked for; return what was seen of it.

    ``ended`` are the requests of this copy alone.

    Raises:
        CheckFailed: all requests came to the drives.
    """
    needed = ((copy.source, "read"), (copy.destination, "write"))
    refusable = [way for way in needed if predicted[way[0]] is MapType.NOT_SUPPORTED]
    came: Requests = Counter()
    for item in moved:
        came[item.drive, item.command] += item.length
    missed = {way: ended[way] - came[way] for way in refusable if ended[way] > came[way]}
    require(
        missed,
        "nothing was refused, as nothing was tried: "
        + " and ".join(f"each {command} of {drive}" for drive, command in refusable)
        + " that the guest's kernel has ended came to the drive",
    )
    return " and ".join(
        f"{command}s of {length} bytes ended in the guest and never came to {drive}"
        for (drive, command), length in missed.items()
    )


def refusal_line(session: Session, provider: str, *ends: str) -> str:
    """Return the kernel's own words; it says them once for a pair of client and provider.

    Raises:
        CheckFailed: it has never said them about this provider and one of these drives.
    """
    wanted = REFUSED_MESSAGE.format(provider=session.function(provider).bdf)
    clients = [end for end in ends if end != provider]
    for line in session.run("dmesg | grep peer-to-peer || true").splitlines():
        if wanted in line and any(session.drive(client).bdf in line for client in clients):
            return line.strip()
    raise CheckFailed(f"the kernel log lacks the reason: ...{wanted}")
