"""Files that are either whole or absent, and digests of what they hold."""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from host.errors import LabError

# What programs print of ENOSPC and EDQUOT (LC_ALL=C), and apt-get before it begins to write.
FULL = ("No space left on device", "Disk quota exceeded", "enough free space")
NOTHING = 1 << 16  # bytes; with so little left, whatever failed did so for this


class DiskFullError(LabError):
    """No space is left where a stage writes."""

    def __init__(self, target: Path, said: str = "") -> None:
        """Name what was being written and, where a program met it, what that said."""
        super().__init__(
            f"no space left while writing {target}" + (f": {said}" if said else ""),
            hint=f"free some space on the file system of {target.parent} and run the same again; "
            "`./doit disk` shows what the lab takes, and what frees it",
        )


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target``; rename it over ``target`` when the block succeeds.

    The temporary path may become a file or a directory. It carries the process id, so two runs
    do not write into each other's file; what is left after an error is removed, and what a killed
    run left behind is removed by the next one.

    Raises:
        DiskFullError: the file system of ``target`` is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    old = target.with_name(f".{target.name}.{os.getpid()}.old.partial")
    _remove_leftovers(target)
    try:
        with no_space_named(target):
            yield temporary
        if target.is_dir() and not target.is_symlink():
            # Not removed in place: killed half way, that would leave half of it under its name.
            target.replace(old)
        temporary.replace(target)
    finally:
        if old.is_dir() and not os.path.lexists(target):
            old.replace(target)
        remove(temporary)
        remove(old)


def _remove_leftovers(target: Path) -> None:
    # Exactly this target's: `a` must not take the file of `a.b` for its own.
    partial = re.compile(rf"\.{re.escape(target.name)}\.([0-9]+)(\.old)?\.partial")
    for path in target.parent.iterdir():
        found = partial.fullmatch(path.name)
        if found and (int(found[1]) == os.getpid() or not _alive(int(found[1]))):
            remove(path)


def unfinished(path: Path) -> bool:
    """Tell whether a path is, or lies in, what a killed process left of :func:`replacing`."""
    return any(part.startswith(".") and part.endswith(".partial") for part in path.parts)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # alive, and somebody else's
        return True
    return True


@contextmanager
def no_space_named(target: Path) -> Iterator[None]:
    """Turn "no space left" while writing ``target`` into an error that says where and what to do.

    Raises:
        DiskFullError: the block met ENOSPC or EDQUOT.
    """
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise DiskFullError(target) from error


def is_full(error: OSError) -> bool:
    """Tell whether an error is about a full disk, or one that this user may not fill further."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def refuse_full_disk(printed: str, target: Path) -> None:
    """Find out whether a program failed, while it wrote ``target``, because the disk is full.

    Not every program says so: a shell's `echo` knows only "I/O error".

    Raises:
        DiskFullError: it met a full disk; the message has what it printed about it.
    """
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    for line in lines:
        if any(words in line for words in FULL):
            raise DiskFullError(target, line)
    if free_space(target) < NOTHING:
        raise DiskFullError(target, next((line for line in lines if "error" in line.lower()), ""))


def require_space(folder: Path, size: int) -> None:
    """Check that a disk has room before work starts that would fail in an unclear way.

    Raises:
        DiskFullError: fewer than ``size`` bytes are free where ``folder`` lies.
    """
    free = free_space(folder)
    if free < size:
        raise DiskFullError(folder, f"{free >> 20} MiB are free, {size >> 20} are needed")


def free_space(path: Path) -> int:
    """Return how many bytes may still be written where ``path`` lies, or will lie."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory; nothing happens if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def emptied(folder: Path) -> None:
    """Have a directory there, with nothing in it."""
    remove(folder)
    folder.mkdir(parents=True)


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 text file in one step."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def discard(path: Path) -> None:
    """Remove a file or a whole directory and say so; nothing happens if it is not there."""
    if path.exists():
        print(f"removing {path}", flush=True)
        remove(path)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
