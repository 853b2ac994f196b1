"""The files of a folder that somebody builds from, found without knowing how it is built.

Asked for at every start of doit, so nothing is imported that takes time.
"""

import os
import shutil
from pathlib import Path

# Not what something is built from: version control, and what kbuild leaves behind that is no ELF
# file. Whatever compiler and linker make is told by its first bytes.
LEFT_OUT_FOLDERS = {".git", ".hg", ".svn", ".tmp_versions", "__pycache__"}
LEFT_OUT_ENDINGS = (".cmd", ".mod", ".mod.c", ".ko")
LEFT_OUT_NAMES = {"modules.order", "Module.symvers"}
MADE = b"\x7fELF"
# Binaries that kbuild takes for sources: Documentation/kbuild/modules.rst.
SHIPPED = "_shipped"


def sources_below(folder: Path) -> list[Path]:
    """Return the files of a folder and of those in it that are no products of a build, sorted."""
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT_FOLDERS]
        found += [path for name in names if _is_source(path := Path(where, name))]
    return sorted(found)


def mirror(sources: list[Path], folder: Path, target: Path) -> None:
    """Copy the sources of a folder to an empty one, with their times, links as links."""
    for path in sources:
        copy = target / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)


def _is_source(path: Path) -> bool:
    name = path.name
    if name in LEFT_OUT_NAMES or name.endswith(LEFT_OUT_ENDINGS):
        return False
    if path.is_symlink():
        return True
    if not path.is_file():
        return False  # a socket or the like
    return name.endswith(SHIPPED) or not _is_made(path)


def _is_made(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(MADE)) == MADE
    except PermissionError:
        return False  # whoever copies it says so
