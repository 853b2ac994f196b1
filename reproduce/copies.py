"""Copies of what goes into a build: the project, a user's kernel tree, a user's fragments."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from host.errors import LabError
from host.origin import Origin, git, origin_of, write_origin
from host.progress import Progress

# Outside of git: what was made here, not what it was made from.
MADE = {".git", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
MADE_AT_TOP = re.compile(r"build|dist|\.venv.*")


def copy_project(project: Path, target: Path, umask: int) -> Origin:
    """Copy the files of a project as they are now, changes included; return where they come from.

    In a checkout these are the files that git tracks and those that it does not ignore. The copy
    has no repository, so ``origin.json`` tells where it comes from.

    Raises:
        LabError: there is no file to copy.
    """
    files = sorted(_files(project))
    if not files:
        raise LabError(f"{project} has no file to copy")
    for name in files:
        _copy_file(project / name, target / name, umask)
    origin = origin_of(project)
    write_origin(target, origin)
    return origin


def copy_tree(tree: Path, target: Path, without: Path) -> None:
    """Copy a kernel tree without its repository, and without the folder ``without`` in it."""
    left_out = {tree / ".git", without}
    with Progress(f"copying {tree}") as progress:

        def ignored(folder: str, names: list[str]) -> set[str]:
            progress.update(folder)
            return {name for name in names if Path(folder, name) in left_out}

        shutil.copytree(tree, target, symlinks=True, ignore=ignored)


def copy_fragments(fragments: Sequence[Path], target: Path) -> list[Path]:
    """Copy Kconfig fragments, each to a folder of its own: two may have the same name."""
    copies = []
    for number, fragment in enumerate(fragments):
        copy = target / str(number) / fragment.name
        copy.parent.mkdir(parents=True)
        shutil.copyfile(fragment, copy)
        copies.append(copy)
    return copies


def _files(project: Path) -> set[Path]:
    listed = None
    if (project / ".git").exists():
        listed = git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is None:
        return set(_found(project))
    names = (Path(name) for name in listed.split("\0") if name)
    # Deleted files are tracked until the next commit; a submodule is listed as a folder.
    return {name for name in names if (project / name).is_symlink() or (project / name).is_file()}


def _found(project: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(project):
        here = Path(folder).relative_to(project)
        made = {name for name in folders if here == Path() and MADE_AT_TOP.fullmatch(name)}
        folders[:] = [name for name in folders if name not in MADE | made]
        yield from (here / name for name in names)
        # A link to a folder is copied as one.
        yield from (here / name for name in folders if (project / here / name).is_symlink())


def _copy_file(source: Path, target: Path, umask: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target, follow_symlinks=False)
    if not target.is_symlink():
        # As a checkout with this umask would have it.
        executable = source.stat().st_mode & 0o100
        target.chmod((0o777 if executable else 0o666) & ~umask)
