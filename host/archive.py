"""Unpack a compressed tar archive from elsewhere: within limits, or with one clear error.

All is streamed: no uncompressed archive is ever written to disk or held in memory.
"""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from host.errors import LabError
from host.files import is_full
from host.members import Limits, MemberError, TreeWriter
from host.progress import Progress, mebibytes

READ_BYTES = 1 << 18  # of the compressed archive at a time
TAR_BYTES = 1 << 15  # of the tar at a time: tarfile reads ahead by up to as much
HEADER_BYTES = 1 << 15  # of one member; long names and lists of holes are in it, but no content
MAGIC_BYTES = 8

Opener = Callable[[IO[bytes]], IO[bytes]]
DECOMPRESSORS: dict[bytes, Opener] = {  # by the first bytes
    b"\xfd7zXZ\x00": cast(Opener, lzma.LZMAFile),
    b"\x1f\x8b": lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream)),
    b"BZh": cast(Opener, bz2.BZ2File),
}


class ArchiveError(LabError):
    """An archive is damaged, unsafe, or not what it should be."""


@contextmanager
def opened(archive: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Give an archive as a stream, and its size in bytes.

    Raises:
        ArchiveError: it is empty, or no file (opening a fifo could wait for ever).
    """
    status = archive.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ArchiveError("it is not a file")
    if status.st_size == 0:
        raise ArchiveError("it is empty")
    with archive.open("rb") as stream:
        yield stream, status.st_size


def extract(stream: IO[bytes], size: int, title: str, root: Path, limits: Limits) -> str:
    """Write what a compressed tar holds below its one top directory; return that one's name.

    Args:
        stream: the compressed tar.
        size: of it in bytes, for the progress line.
        title: of the progress line.
        root: an empty directory.
        limits: what the archive may hold.

    Raises:
        ArchiveError, MemberError: it is no such archive, or holds what it may not.
        EOFError, OSError, lzma.LZMAError, zlib.error, tarfile.TarError: it is damaged, or cannot
            be written; ``errors_named`` makes one error of all these.
    """
    writer = TreeWriter(root, limits)
    with Progress(title) as progress:

        def shown(count: int) -> None:
            progress.update(f"{count * 100 // max(size, 1)} % of {mebibytes(size)}")

        progress.say(mebibytes(size))
        counted = io.BufferedReader(_Counted(stream, shown), READ_BYTES)
        plain = _Rationed(_decompressor(counted.peek(MAGIC_BYTES))(counted))
        try:
            _write_members(plain, writer, limits.content)
        except (ValueError, ArithmeticError, LookupError) as error:
            # What tarfile makes of numbers and texts in a header that are none.
            raise ArchiveError(f"it is damaged ({error})") from error
    return writer.top


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


class _Rationed(io.RawIOBase):
    """Reads from a stream only as much as was granted.

    tarfile reads what a header announces (a long name, a list of holes) into memory, however much
    that is; and it skips what a header announces block by block, also far behind the end.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.grant(HEADER_BYTES)

    def grant(self, count: int) -> None:
        """Let so many bytes be used from here on, and be read ahead a little."""
        self._left = count + TAR_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._left -= len(data) or TAR_BYTES
        if self._left < 0:
            raise ArchiveError("it is damaged (a header is too long, or more follows its end)")
        return len(data)


def _write_members(plain: _Rationed, writer: TreeWriter, most: int) -> None:
    with tarfile.open(fileobj=plain, mode="r|", bufsize=TAR_BYTES) as tar:
        while (member := tar.next()) is not None:
            plain.grant(member.size)
            writer.add(member, tar.extractfile(member) if member.isreg() else None)
            tar.members.clear()  # type: ignore[attr-defined]  # else it keeps all of the 90 000
            plain.grant(HEADER_BYTES)
        plain.grant(most + TAR_BYTES)  # who reads on meets the end once more
        _require_the_end(cast(IO[bytes], tar.fileobj))


def _require_the_end(rest: IO[bytes]) -> None:
    """Read on to where the compression's checksum is; a tar ends with zeros, and with those alone.

    tarfile takes a damaged header for the end. And whatever follows the end is another archive to
    other programs (``tar --ignore-zeros``), so that people and the lab would see different files.
    """
    while chunk := rest.read(READ_BYTES):
        if chunk.count(0) != len(chunk):
            raise ArchiveError("it is damaged (a header is, or more follows its end)")


def _decompressor(start: bytes) -> Opener:
    for magic, opener in DECOMPRESSORS.items():
        if start.startswith(magic):
            return opener
    if start.lstrip()[:1] == b"<":
        raise ArchiveError("it is a web page (of a proxy or a login?), not an archive")
    raise ArchiveError("it is not a .tar.xz, .tar.gz or .tar.bz2 archive")


@contextmanager
def errors_named(archive: Path, target: Path, hint: str) -> Iterator[None]:
    """Name archive and remedy in every way in which unpacking it to ``target`` can fail.

    Raises:
        ArchiveError: the archive is to blame.
        LabError: ``target`` cannot be written.
        OSError: no space is left; to be named by ``host.files``.
    """
    try:
        yield
    except (MemberError, ArchiveError) as error:
        raise _archive_error(archive, error.message, hint) from error
    except EOFError as error:
        raise _archive_error(archive, "it is truncated", hint) from error
    except MemoryError as error:
        raise _archive_error(archive, "it takes more memory than there is", hint) from error
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        cut = "unexpected end" in str(error)
        text = "it is truncated" if cut else f"it is damaged ({error})"
        raise _archive_error(archive, text, hint) from error
    except OSError as error:
        if is_full(error):
            raise
        if error.errno is None:  # bz2 has no exception of its own
            raise _archive_error(archive, f"it is damaged ({error})", hint) from error
        raise LabError(f"cannot unpack {archive} to {target}: {error}") from error


def _archive_error(archive: Path, text: str, hint: str) -> ArchiveError:
    return ArchiveError(f"cannot use {archive}: {text}", hint=hint)
