"""Write the members of a tar archive below one directory, and nothing anywhere else.

Debian 12's Python (3.11.2) has no ``tarfile.data_filter``, so the rules are here.
"""

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from host.errors import LabError
from host.progress import mebibytes

COPY_BYTES = 1 << 18
DEEPEST = 64  # folders in each other; what removes them again goes down by recursion


class MemberError(LabError):
    """An archive has a member that must not be unpacked."""


@dataclass(frozen=True)
class Limits:
    """What an archive of some kind may hold.

    Attributes:
        links: whether symbolic and hard links may be in it, of those that stay inside.
        members: most members.
        content: most bytes, of all files together.
    """

    links: bool
    members: int
    content: int


class TreeWriter:
    """Writes members below an empty directory, without the archive's one top directory.

    Why links cannot lead out: nothing is ever written through a symbolic link or over something
    that exists, so the directory of each link is a real one below the root; and a link's target
    may climb only at its beginning, at most up to the root.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        """Start with ``root``, a directory that exists and is empty."""
        self._root = root
        self._limits = limits
        self._members = 0
        self._content = 0
        self._directories = {""}
        self._files: set[str] = set()
        self.top = ""  # the one top directory, as the archive calls it

    def add(self, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        """Write one member; ``content`` is there for regular files.

        Owner and mode are ours: 755 for directories and what its owner may execute, else 644.

        Raises:
            MemberError: the member would leave the tree, is of a kind that does not belong
                there, or there is too much of it.
        """
        self._members += 1
        if self._members > self._limits.members:
            raise MemberError(f"it has more than {self._limits.members} members")
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
            self._require_room(member.size)
            with target.open("xb") as sink:
                self._copy(content, sink)
                os.fchmod(sink.fileno(), 0o755 if member.mode & 0o100 else 0o644)
                os.utime(sink.fileno(), (member.mtime, member.mtime))
            self._files.add(path)
        elif member.issym() and self._limits.links:
            _refuse_link_out(path, member)
            target.symlink_to(member.linkname)
        elif member.islnk() and self._limits.links:
            original = self._below_top(member.linkname)
            if original not in self._files:
                raise MemberError(f"{member.name!r} links to {member.linkname!r}, not a file here")
            target.hardlink_to(self._root / original)
            self._files.add(path)
        else:
            kinds = "file, directory nor link" if self._limits.links else "file nor directory"
            raise MemberError(f"{member.name!r} is neither {kinds}")

    def _copy(self, content: IO[bytes], sink: BinaryIO) -> None:
        # What is really written counts: a header may say anything.
        while chunk := content.read(COPY_BYTES):
            self._require_room(len(chunk))
            sink.write(chunk)
            self._content += len(chunk)

    def _require_room(self, count: int) -> None:
        if self._content + count > self._limits.content:
            raise MemberError(f"its files are larger than {mebibytes(self._limits.content)}")

    def _below_top(self, name: str) -> str:
        if not name.isprintable():
            # Nor could anybody read which file a message is about.
            raise MemberError(f"{name!r} is a name with characters that cannot be shown")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts:
            raise MemberError(f"{name!r} is an absolute path or climbs with '..'")
        if len(parts) > DEEPEST:
            raise MemberError(f"{name[:DEEPEST]!r}... is more than {DEEPEST} directories deep")
        if not parts:
            return ""
        self.top = self.top or parts[0]
        if parts[0] != self.top:
            raise MemberError(f"{name!r} is outside of its top directory {self.top!r}")
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
