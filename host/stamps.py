"""Which version of a program is here, told by its file: to run it would cost each start of doit."""

import shutil
from collections.abc import Iterable
from pathlib import Path

# What turns sources into bytes when kernel, module and tool are built.
COMPILING = ("gcc", "as", "ld", "make", "flex", "bison", "bc", "lz4")


def stamp(name: str) -> str:
    """Return place, size and time of a program's file, or that there is none."""
    found = shutil.which(name)
    return stamp_of(Path(found).resolve()) if found else "absent"


def stamp_of(path: Path) -> str:
    """Return place, size and time of a file, or that it has gone."""
    try:
        status = path.stat()
    except OSError:
        return f"{path}: gone"
    return f"{path}:{status.st_size}:{status.st_mtime_ns}"


def stamps(names: Iterable[str]) -> str:
    """Return the stamps of several programs as one text, a line each."""
    return "".join(f"{name} {stamp(name)}\n" for name in names)
