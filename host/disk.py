"""What files take of the disk, and getting it back."""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from host.files import remove
from host.lock import locked
from host.progress import mebibytes

BLOCK = 512  # bytes: the unit of st_blocks, see inode(7)


@dataclass(frozen=True)
class Use:
    """One line of a table of disk use.

    Attributes:
        size: bytes that are allocated.
        place: what takes them, for people.
        remark: what more there is to say, such as the command that frees them.
    """

    size: int
    place: str
    remark: str


def allocated(path: Path) -> int:
    """Return the bytes that a file or a whole folder takes on the disk; 0 if it is not there.

    A sparse file counts as what it holds, a file with several names once, a link in the folder as
    itself. Passed over are what may not be read, what vanishes meanwhile, and what is mounted from
    another file system: the last two happen while something is being built.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    for status in _statuses(path):
        identity = (status.st_dev, status.st_ino)
        if status.st_nlink == 1 or identity not in seen:
            seen.add(identity)
            total += status.st_blocks * BLOCK
    return total


def _statuses(path: Path) -> Iterator[os.stat_result]:
    pending = [os.path.realpath(path)]
    device = None
    while pending:
        name = pending.pop()
        try:
            status = os.lstat(name)
            device = device or status.st_dev
            if status.st_dev == device:
                yield status
                if stat.S_ISDIR(status.st_mode):
                    pending += [entry.path for entry in os.scandir(name)]
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue


def print_table(uses: Sequence[Use], stream: TextIO | None = None) -> None:
    """Print lines of disk use and their total, in columns, on stdout or another stream."""
    stream = stream if stream is not None else sys.stdout
    total = Use(sum(use.size for use in uses), "in all", "")
    width = max(len(use.place) for use in (*uses, total))
    for use in (*uses, total):
        line = f"{mebibytes(use.size):>14}  {use.place:{width}}  {use.remark}"
        stream.write(f"{line.rstrip()}\n")


def discard_runs(folder: Path) -> None:
    """Remove the folders of all runs in ``folder``, each when nobody works in it, and say so.

    Who works in a folder ``<run>`` holds the lock ``<run>.lock`` beside it.
    """
    for run in sorted(folder.iterdir()) if folder.is_dir() else ():
        lock = run.with_name(f"{run.name}.lock")
        if run.is_dir():
            with locked(lock, f"removing {run}"):
                print(f"removing {run}", flush=True)
                remove(run)
                remove(lock)
