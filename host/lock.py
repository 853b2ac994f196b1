"""One process at a time: an advisory lock on a file, waited for with a word about it."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from host.errors import LabError
from host.progress import Progress

POLL = 0.2  # seconds between two tries


@contextmanager
def locked(path: Path, what: str, hint: str = "") -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; wait for another holder.

    The file stays: removing it would let a third process lock a new file of the same name. The
    kernel releases the lock when its holder ends, however it ends. ``hint`` is for the error.

    Raises:
        LabError: the lock file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("ab")
    except OSError as error:
        raise LabError(
            f"cannot write in {path.parent}: {error.strerror}",
            hint=hint or f"see to it that you may write in {path.parent}",
        ) from error
    with stream:
        if not _taken(stream.fileno()):
            with Progress(what) as progress:
                progress.say("waiting: another process is at it")
                while not _taken(stream.fileno()):
                    time.sleep(POLL)
                    progress.update("waiting: another process is at it")
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
