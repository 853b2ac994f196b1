"""One SHA-256 for many files: the same for the same names, contents and modes at any place."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from host.files import sha256_file
from host.progress import Progress


def sha256_of_files(root: Path, files: Iterable[Path]) -> str:
    """Return one sum over files below ``root``; their order and times do not matter."""
    return _sum(_line(root, path) for path in files)


def sha256_of_tree(root: Path, title: str) -> str:
    """Return one sum over all files of a tree but git's own, with progress under ``title``."""
    with Progress(title) as progress:
        found = []
        for number, path in enumerate(_files_below(root)):
            found.append(path)
            progress.update(f"{number} files found")
        lines = []
        for number, path in enumerate(found):
            lines.append(_line(root, path))
            progress.update(f"{number} of {len(found)} files")
    return _sum(lines)


def _sum(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


def _files_below(root: Path) -> Iterable[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        here = Path(folder)
        yield from (here / name for name in files if name != ".git")
        # A link to a folder is walked over, not into.
        yield from (here / name for name in folders if (here / name).is_symlink())


def _line(root: Path, path: Path) -> str:
    name = path.relative_to(root).as_posix()
    if path.is_symlink():
        return f"link {path.readlink()} {name}\n"
    mode = "executable" if path.stat().st_mode & 0o100 else "file"
    return f"{mode} {sha256_file(path)} {name}\n"
