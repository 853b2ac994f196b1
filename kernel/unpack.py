"""Unpack a kernel's source from a tarball, or from a distribution's .deb around one.

All is streamed: the tarball inside a .deb is never written to disk.
"""

import re
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from host.archive import MAGIC_BYTES, READ_BYTES, ArchiveError, errors_named, extract, opened
from host.files import replacing
from host.members import Limits
from host.tools import missing_tool
from kernel.version import KernelVersion, missing_mark, read_version

# Linux 6.12 has 92 000 members; a vendor adds a few.
LIMITS = Limits(links=True, members=400_000, content=8 << 30)
REMEDY = (
    "remove it and run the same again to download it anew; if it comes back the same, "
    "its entry in configs/kernels.toml names something else"
)
DEB_MAGIC = b"!<arch>\n"
# Debian: usr/src/linux-source-6.12.tar.xz; Ubuntu: one directory deeper, .tar.bz2
INNER = re.compile(r"(\./)?usr/src/(linux-source-[^/]+/)?linux-source-[^/]+\.tar\.(xz|gz|bz2)")


def unpack(archive: Path, target: Path) -> KernelVersion:
    """Unpack the kernel source of ``archive``; ``target`` is then the whole tree.

    What was at ``target`` is replaced at the end, and stays as it was when something fails.

    Raises:
        ArchiveError: truncated, empty, damaged, unsafe, or no kernel source.
        TreeError: a kernel older than 6.2.
        DiskFullError: no space left.
        LabError: the target cannot be written.
    """
    with replacing(target) as temporary, errors_named(archive, target, REMEDY):
        temporary.mkdir()
        with _tarball(archive) as (stream, size):
            extract(stream, size, f"unpacking {archive.name}", temporary, LIMITS)
        lack = missing_mark(temporary)
        if lack:
            raise ArchiveError(f"it holds no Linux source tree: {lack}")
        return read_version(temporary, archive.name)


@contextmanager
def _tarball(archive: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Give the compressed tarball that is, or is inside, the archive, and its size in bytes."""
    with opened(archive) as (stream, size):
        is_deb = stream.read(MAGIC_BYTES) == DEB_MAGIC
        stream.seek(0)
        if not is_deb:
            yield stream, size
            return
    with _inside_deb(archive) as found:
        yield found


@contextmanager
def _inside_deb(archive: Path) -> Iterator[tuple[IO[bytes], int]]:
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise missing_tool("dpkg-deb") from error
    assert child.stdout is not None
    assert child.stderr is not None
    with ExitStack() as cleanup:
        cleanup.enter_context(child)
        cleanup.callback(child.kill)  # before the wait of Popen's own exit
        try:
            with tarfile.open(fileobj=child.stdout, mode="r|", bufsize=READ_BYTES) as outer:
                yield _source_member(outer)
        except tarfile.ReadError as error:
            raise ArchiveError(f"it is truncated or damaged: {_end(child) or error}") from error
        said = _end(child)
        if child.wait() != 0:
            raise ArchiveError(f"it is truncated or damaged: {said}")


def _source_member(outer: tarfile.TarFile) -> tuple[IO[bytes], int]:
    for member in outer:
        if member.isreg() and INNER.fullmatch(member.name):
            content = outer.extractfile(member)
            assert content is not None
            return content, member.size
    raise ArchiveError("it is a package without usr/src/linux-source-X.Y.tar.xz")


def _end(child: "subprocess.Popen[bytes]") -> str:
    """Read the rest of what the program writes, and return what it says on stderr."""
    assert child.stdout is not None
    assert child.stderr is not None
    while child.stdout.read(READ_BYTES):
        pass
    return child.stderr.read().decode(errors="replace").strip()
