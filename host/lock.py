"""One process at a time: an advisory lock on a file, waited for with a word about it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from host.errors import LabError
from host.progress import Progress

POLL = 0.2  # seconds between two tries
WAITING = "waiting: another process is at it"

_held: set[int] = set()


class HeldError(LabError):
    """Somebody else holds a lock that is not waited for."""


@contextmanager
def locked(
    path: Path, what: str, hint: str = "", *, shared: bool = False, waits: bool = True
) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; wait for another holder.

    The kernel releases the lock when its holder ends, however it ends. Who holds it exclusively
    may remove the file.

    Args:
        path: the lock file; made if it is not there.
        what: what the progress line calls the work.
        hint: for the error.
        shared: others who ask for a shared lock may hold it at the same time.
        waits: False where the other one may hold it for as long as a person likes.

    Raises:
        HeldError: somebody else holds it, and this one does not wait.
        LabError: the lock file cannot be made.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with _acquired(path, what, hint, kind, waits=waits) as stream:
        _held.add(stream.fileno())
        try:
            yield
        finally:
            _held.discard(stream.fileno())
            # Not left to closing: a program that was started, and is to live on, has it open too.
            fcntl.flock(stream, fcntl.LOCK_UN)


def held() -> tuple[int, ...]:
    """Return the descriptors of all locks held, to be inherited by programs that are started.

    Should this process be killed, its locks are then held until those programs have ended too:
    nobody else works where they still write.
    """
    return tuple(_held)


def _acquired(path: Path, what: str, hint: str, kind: int, *, waits: bool) -> BinaryIO:
    """Return the lock file, open and locked."""
    with Progress(what) as progress:
        tell = progress.say
        while True:
            with ExitStack() as closing:
                stream = closing.enter_context(_opened(path, hint))
                while not _try(stream.fileno(), kind):
                    if not waits:
                        raise HeldError(f"{what}: another process is at it", hint=hint)
                    tell(WAITING)
                    tell = progress.update
                    time.sleep(POLL)
                if _is_at(stream.fileno(), path):
                    closing.pop_all()
                    return stream


def _opened(path: Path, hint: str) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise LabError(
            f"cannot write in {path.parent}: {error.strerror}",
            hint=hint or f"see to it that you may write in {path.parent}",
        ) from error


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is still the one of that name: its last holder may remove it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
