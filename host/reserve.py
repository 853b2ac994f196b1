"""A little space that is held back, so that a run can still note what it did on a full disk."""

import os
from pathlib import Path

from host.files import DiskFullError, is_full

SIZE = 256 << 10  # bytes; doit's database grows by a page or two, and its journal as much

_kept: set[Path] = set()


def keep(path: Path) -> None:
    """Hold the space back in a file, until this process meets a full disk.

    Raises:
        DiskFullError: there is not even that much: no work can be done here.
        OSError: the file cannot be made.
    """
    _kept.add(path)
    if path.exists() and path.stat().st_size == SIZE:
        return
    try:
        with path.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, SIZE)
    except OSError as error:
        path.unlink(missing_ok=True)
        if is_full(error):
            raise DiskFullError(path) from error
        raise


def release() -> None:
    """Give back what is held: the disk is full, and something has still to be written."""
    while _kept:
        _kept.pop().unlink(missing_ok=True)
