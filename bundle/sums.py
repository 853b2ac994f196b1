"""``SHA256SUMS``: a line for each file below a folder, as ``sha256sum -c`` reads them.

The check does not believe the file: it writes the list anew, from what is there, and compares it
byte for byte. So there is nothing in a list that can be changed without being noticed.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from bundle.errors import BundleError
from host.files import sha256_file, write_text
from host.progress import Progress

NAME = "SHA256SUMS"
LINE = re.compile(r"(?P<sha256>[^ ]{64})  (?P<name>.+)", re.DOTALL)


def files_below(folder: Path) -> list[str]:
    """Return the names of all files below a folder, relative to it, sorted.

    Raises:
        BundleError: it holds something else than files and folders with files in them.
    """
    names, faults = _contents(folder)
    if faults:
        raise BundleError("\n  ".join([f"{folder}:", *faults]))
    return names


def write_sums(folder: Path) -> None:
    """Write the folder's ``SHA256SUMS``, over all files below it but itself.

    Raises:
        BundleError: it holds what cannot be listed (links, odd names, empty folders).
    """
    write_text(folder / NAME, _text(_sums(folder, files_below(folder))))


def complaints(folder: Path) -> list[str]:
    """Return what does not fit between a folder and its ``SHA256SUMS``: a text for each file."""
    names, faults = _contents(folder)
    if faults:
        return faults
    if NAME not in names:
        return [f"{NAME}: missing"]
    sums = _sums(folder, names)
    written = (folder / NAME).read_bytes()
    if written == _text(sums).encode():
        return []
    told = [*_differences(written.decode(errors="backslashreplace"), sums)]
    return told or [f"{NAME}: itself is not as it was written"]


def _contents(folder: Path, below: str = "") -> tuple[list[str], list[str]]:
    """Return the names of the files of a folder, and complaints about all else; follow no link."""
    names: list[str] = []
    faults: list[str] = []
    entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
    if below and not entries:
        faults.append(f"{_shown(below)}: an empty folder, which no list can hold")
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if not entry.name.isprintable() or "\\" in entry.name:
            # sha256sum would write such a name in a notation of its own.
            faults.append(f"{_shown(name)}: a name with characters that no list can hold")
        elif entry.is_file(follow_symlinks=False):
            names.append(name)
        elif entry.is_dir(follow_symlinks=False):
            inner_names, inner_faults = _contents(folder, name)
            names += inner_names
            faults += inner_faults
        else:
            kind = "a symbolic link" if entry.is_symlink() else "no regular file"
            faults.append(f"{name}: {kind}")
    return sorted(names), faults


def _sums(folder: Path, names: list[str]) -> dict[str, str]:
    with Progress(f"sums of {folder.name}") as progress:
        sums = {}
        for name in names:
            if name != NAME:
                progress.update(name)
                sums[name] = sha256_file(folder / name)
        return sums


def _text(sums: dict[str, str]) -> str:
    return "".join(f"{sum_}  {name}\n" for name, sum_ in sums.items())


def _differences(written: str, sums: dict[str, str]) -> Iterator[str]:
    claimed: dict[str, str] = {}
    for number, line in enumerate(written.split("\n"), 1):
        if match := LINE.fullmatch(line):
            claimed[match["name"]] = match["sha256"]
        elif line:
            yield f"{NAME}: line {number} is damaged"
    for name in sorted({*claimed, *sums}):
        if name not in sums:
            yield f"{_shown(name)}: missing"
        elif name not in claimed:
            yield f"{name}: extra, not in {NAME}"
        elif claimed[name] != sums[name]:
            yield f"{name}: changed, or its line in {NAME}"


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)
