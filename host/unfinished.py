"""Directories in which programs work that do not write each file in one step: make, compilers.

Whoever is killed there leaves files that are cut short and yet newer than all that they are made
from, so that make takes them for finished. (Kbuild notes the command of a target when that is
done, which helps with the first build of most files, but not with the next one, and not with
files that are made by a plain `echo`.) A marker beside the directory tells, and the work then
starts with an empty one. It does so too if the programs are not those of the last time: make sees
that of the compiler at most.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from host.files import no_space_named, remove, write_text
from host.process import ProgramKilled


@contextmanager
def finished_or_empty(
    folder: Path, *, keep: Path | None = None, made_by: str = ""
) -> Iterator[None]:
    """Run the block that works in ``folder``; empty that first if the last one was killed.

    An orderly end, with an error too, leaves the directory as it is: make removes what it had
    begun.

    Args:
        folder: where programs work that do not write each file in one step.
        keep: a file below it that stays, since another stage wrote it, in one step.
        made_by: which programs these are (``host.stamps``); other ones start afresh.

    Raises:
        DiskFullError: there is no space for the marker.
    """
    marker, note = _marker(folder), _note(folder)
    if marker.exists():
        print(f"the last work in {folder} was killed: it starts afresh", file=sys.stderr)
        empty(folder, keep=keep)
    if note.exists() and note.read_text(encoding="utf-8") != made_by:
        print(f"compiled by other programs, {folder} starts afresh", file=sys.stderr)
        empty(folder, keep=keep)
    with no_space_named(marker):
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        if made_by:
            write_text(note, made_by)
    try:
        yield
    except ProgramKilled:
        raise
    except BaseException:
        remove(marker)
        raise
    remove(marker)


def discard(folder: Path, *, keep: Path | None = None) -> None:
    """Remove such a directory, or all of it but one file, and what is noted about it; say so."""
    if folder.is_dir():
        rest = f", except for {keep.name}" if keep else ""
        print(f"removing {folder}{rest}", flush=True)
        empty(folder, keep=keep)
        if keep is None:
            remove(folder)
    remove(_marker(folder))
    remove(_note(folder))


def _marker(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.unfinished")


def _note(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.made-by")


def empty(folder: Path, *, keep: Path | None = None) -> None:
    """Remove all that is in a directory, except for the one file ``keep``, which may be deep."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path == keep:
            continue
        if keep is not None and keep.is_relative_to(path):
            empty(path, keep=keep)
        else:
            remove(path)
