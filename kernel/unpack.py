"""Unpack a kernel's source from a tarball, or from a distribution's .deb around one.

All is streamed: the tarball inside a .deb is never written to disk.
"""

import bz2
import errno
import gzip
import io
import lzma
import re
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from host.errors import LabError
from host.files import replacing
from host.progress import Progress, mebibytes
from host.tools import missing_tool
from kernel.members import MemberError, TreeWriter
from kernel.version import KernelVersion, missing_mark, read_version

READ_BYTES = 1 << 18
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
DEB_MAGIC = b"!<arch>\n"
MAGIC_BYTES = 8
# Debian: usr/src/linux-source-6.12.tar.xz; Ubuntu: one directory deeper, .tar.bz2
INNER = re.compile(r"(\./)?usr/src/(linux-source-[^/]+/)?linux-source-[^/]+\.tar\.(xz|gz|bz2)")

Opener = Callable[[IO[bytes]], IO[bytes]]
DECOMPRESSORS: dict[bytes, Opener] = {  # by the first bytes
    b"\xfd7zXZ\x00": cast(Opener, lzma.LZMAFile),
    b"\x1f\x8b": lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream)),
    b"BZh": cast(Opener, bz2.BZ2File),
}


class ArchiveError(LabError):
    """An archive is not a complete kernel source."""


def unpack(archive: Path, target: Path) -> KernelVersion:
    """Unpack the kernel source of ``archive``; ``target`` is then the whole tree.

    What was at ``target`` is replaced at the end, and stays as it was when something fails.

    Raises:
        ArchiveError: truncated, empty, damaged, unsafe, or no kernel source.
        TreeError: a kernel older than 6.2.
        DiskFullError: no space left.
        LabError: the target cannot be written.
    """
    with replacing(target) as temporary, _named_errors(archive, target):
        temporary.mkdir()
        with _tarball(archive) as (stream, size):
            _write_tree(stream, size, f"unpacking {archive.name}", TreeWriter(temporary))
        lack = missing_mark(temporary)
        if lack:
            raise ArchiveError(f"it holds no Linux source tree: {lack}")
        return read_version(temporary, archive.name)


def _write_tree(stream: IO[bytes], size: int, title: str, writer: TreeWriter) -> None:
    with Progress(title) as progress:

        def shown(count: int) -> None:
            progress.update(f"{count * 100 // max(size, 1)} % of {mebibytes(size)}")

        progress.say(mebibytes(size))
        counted = io.BufferedReader(_Counted(stream, shown), READ_BYTES)
        plain = _decompressor(counted.peek(MAGIC_BYTES))(counted)
        with tarfile.open(fileobj=plain, mode="r|", bufsize=READ_BYTES) as tar:
            while (member := tar.next()) is not None:
                writer.add(member, tar.extractfile(member) if member.isreg() else None)
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps all of the 90 000
        while plain.read(READ_BYTES):  # to the end, where the checksum is
            pass


class _Counted(io.RawIOBase):
    """Reads from a stream and tells how much that was."""

    def __init__(self, stream: IO[bytes], shown: Callable[[int], None]) -> None:
        self._stream = stream
        self._shown = shown
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._count += len(data)
        self._shown(self._count)
        return len(data)


def _decompressor(start: bytes) -> Opener:
    for magic, opener in DECOMPRESSORS.items():
        if start.startswith(magic):
            return opener
    if start.lstrip()[:1] == b"<":
        raise ArchiveError("it is a web page (of a proxy or a login?), not an archive")
    raise ArchiveError("it is not a .tar.xz, .tar.gz, .tar.bz2 or .deb archive")


@contextmanager
def _tarball(archive: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Give the compressed tarball that is, or is inside, the archive, and its size in bytes."""
    size = archive.stat().st_size
    if size == 0:
        raise ArchiveError("it is empty")
    with archive.open("rb") as stream:
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


@contextmanager
def _named_errors(archive: Path, target: Path) -> Iterator[None]:
    """Name archive and remedy in every way in which unpacking can fail."""
    try:
        yield
    except (MemberError, ArchiveError) as error:
        raise _archive_error(archive, error.message) from error
    except EOFError as error:
        raise _archive_error(archive, "it is truncated") from error
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        cut = "unexpected end" in str(error)
        text = "it is truncated" if cut else f"it is damaged ({error})"
        raise _archive_error(archive, text) from error
    except OSError as error:
        if error.errno in NO_SPACE:  # named by replacing()
            raise
        if error.errno is None:  # bz2 has no exception of its own
            raise _archive_error(archive, f"it is damaged ({error})") from error
        raise LabError(f"cannot unpack {archive} to {target}: {error}") from error


def _archive_error(archive: Path, text: str) -> ArchiveError:
    return ArchiveError(
        f"cannot use {archive}: {text}",
        hint="remove it and run the same again to download it anew; if it comes back the same, "
        "its entry in configs/kernels.toml names something else",
    )
