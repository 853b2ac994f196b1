"""Write the members of a kernel tarball into a directory, and nothing anywhere else.

Debian 12's Python (3.11.2) has no ``tarfile.data_filter``, so the rules are here.
"""

import os
import shutil
import tarfile
from pathlib import Path
from typing import IO

from host.errors import LabError

COPY_BYTES = 1 << 18


class MemberError(LabError):
    """An archive has a member that no kernel source has."""


class TreeWriter:
    """Writes members below an empty directory, without the archive's one top directory.

    Why links cannot lead out: nothing is ever written through a symbolic link or over something
    that exists, so the directory of each link is a real one below the root; and a link's target
    may climb only at its beginning, at most up to the root.
    """

    def __init__(self, root: Path) -> None:
        """Start with ``root``, a directory that exists and is empty."""
        self._root = root
        self._top = ""
        self._directories = {""}
        self._files: set[str] = set()

    def add(self, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        """Write one member; ``content`` is there for regular files.

        Raises:
            MemberError: the member would leave the tree, or is no file, directory or link.
        """
        path = self._below_top(member.name)
        if member.isdir():
            self._make_directories(path)
            return
        if not path:
            raise MemberError(f"{member.name!r} should be a directory")
        self._make_directories(path.rpartition("/")[0])
        try:
            self._write(path, member, content)
        except FileExistsError as error:
            raise MemberError(f"{member.name!r} is there twice") from error

    def _write(self, path: str, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        target = self._root / path
        if member.isreg() and content is not None:
            with target.open("xb") as sink:
                shutil.copyfileobj(content, sink, COPY_BYTES)
                os.fchmod(sink.fileno(), 0o755 if member.mode & 0o100 else 0o644)
                os.utime(sink.fileno(), (member.mtime, member.mtime))
            self._files.add(path)
        elif member.issym():
            _refuse_link_out(path, member)
            target.symlink_to(member.linkname)
        elif member.islnk():
            original = self._below_top(member.linkname)
            if original not in self._files:
                raise MemberError(f"{member.name!r} links to {member.linkname!r}, not a file here")
            target.hardlink_to(self._root / original)
            self._files.add(path)
        else:
            raise MemberError(f"{member.name!r} is neither file, directory nor link")

    def _below_top(self, name: str) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts:
            raise MemberError(f"{name!r} is an absolute path or climbs with '..'")
        if not parts:
            return ""
        self._top = self._top or parts[0]
        if parts[0] != self._top:
            raise MemberError(f"{name!r} is outside of its top directory {self._top!r}")
        return "/".join(parts[1:])

    def _make_directories(self, path: str) -> None:
        if path in self._directories:
            return
        self._make_directories(path.rpartition("/")[0])
        try:
            (self._root / path).mkdir(mode=0o755)
        except FileExistsError as error:
            raise MemberError(f"{path!r} is used as a directory but is none") from error
        self._directories.add(path)


def _refuse_link_out(path: str, member: tarfile.TarInfo) -> None:
    parts = [part for part in member.linkname.split("/") if part not in ("", ".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    leaves = member.linkname.startswith("/") or climbs > path.count("/")
    if leaves or ".." in parts[climbs:]:
        raise MemberError(f"{member.name!r} links to {member.linkname!r}, out of the tree")
