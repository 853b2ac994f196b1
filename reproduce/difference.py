"""Compare two image folders: the first file that differs, in order of cause, and where in it."""

import io
import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bundle import manifest, sums
from bundle.names import BILL
from host.tools import missing_tool
from reproduce import cpio, sections
from settings.paths import (
    BZIMAGE,
    DOT_CONFIG,
    INITRAMFS,
    MODULE_FILE,
    SYSTEM_MAP,
    TOOL_FILE,
    VMLINUX,
)

# What is made from what: a difference in the tool shows again in the initramfs, and so on. The
# tool comes first because it needs nothing of the others.
ORDER = (
    TOOL_FILE,
    DOT_CONFIG,
    MODULE_FILE,
    VMLINUX,
    SYSTEM_MAP,
    BZIMAGE,
    INITRAMFS,
)
# Sums and descriptions of all the others.
LAST = (BILL, manifest.NAME, sums.NAME)
FILE, FOLDER = "a file", "a folder"
KINDS = {stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: "a symbolic link"}
ELF_MAGIC = b"\x7fELF"


@dataclass(frozen=True)
class Difference:
    """One file or folder that is not the same in both.

    Attributes:
        name: below the folder.
        where: the first place in it, such as ``section .rodata``.
    """

    name: str
    where: str

    def __str__(self) -> str:
        return f"{self.name}: {self.where}"


def differences(a: Path, b: Path) -> list[Difference]:
    """Return the files that differ between two folders, the likely cause first."""
    names = sorted(_names(a) | _names(b), key=_rank)
    found = ((name, _where(a / name, b / name)) for name in names)
    return [Difference(name, where) for name, where in found if where]


def _names(folder: Path) -> set[str]:
    """Return all that is below a folder: folders too, for an empty one is in no file."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _rank(name: str) -> tuple[int, str]:
    if name in ORDER:
        return ORDER.index(name), name
    return len(ORDER) + (1 + LAST.index(name) if name in LAST else 0), name


def _where(a: Path, b: Path) -> str:
    """Return what is the first difference of two files or folders; empty if they are the same."""
    for path, side in ((a, "A"), (b, "B")):
        if not os.path.lexists(path):
            return f"is not there in {side}"
    one, other = a.lstat().st_mode, b.lstat().st_mode
    kinds = [KINDS.get(stat.S_IFMT(mode), "something else") for mode in (one, other)]
    # An image has none of these others, so nothing says when two of them would be the same.
    if kinds[0] != kinds[1] or kinds[0] not in (FILE, FOLDER):
        return f"{kinds[0]} in A, {kinds[1]} in B"
    if kinds[0] == FILE:
        first, second = a.read_bytes(), b.read_bytes()
        if first != second:
            return where_in(first, second, a.name)
    modes = [stat.S_IMODE(mode) for mode in (one, other)]
    return f"mode {modes[0]:o} in A, {modes[1]:o} in B" if modes[0] != modes[1] else ""


def where_in(a: bytes, b: bytes, name: str) -> str:
    """Return where two different contents of a file begin to differ."""
    if a.startswith(ELF_MAGIC) and b.startswith(ELF_MAGIC):
        found = sections.first_difference(io.BytesIO(a), io.BytesIO(b))
    elif name.endswith(".cpio.lz4"):
        found = cpio.first_difference(_unpacked(a), _unpacked(b))
    elif _is_text(a) and _is_text(b):
        found = _line(a, b)
    else:
        found = ""
    return found or f"byte {_offset(a, b)}"


def _line(a: bytes, b: bytes) -> str:
    for number, (one, other) in enumerate(zip(a.split(b"\n"), b.split(b"\n"), strict=False), 1):
        if one != other:
            shown = [line.decode(errors="replace").strip()[:80] for line in (one, other)]
            return f"line {number}: {shown[0]!r} in A, {shown[1]!r} in B"
    return "one of them has more lines"


def _is_text(data: bytes) -> bool:
    return b"\0" not in data


def _offset(a: bytes, b: bytes) -> int:
    """Return the number of equal bytes at the start, by halving: Python is slow at single bytes."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _unpacked(data: bytes) -> bytes:
    try:
        return subprocess.run(
            ["lz4", "-dc"],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        ).stdout
    except FileNotFoundError as error:
        raise missing_tool("lz4") from error
