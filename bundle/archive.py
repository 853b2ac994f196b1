"""A bundle as one file, and back.

The same bundle gives the same archive: sorted, without owners, with fixed times and modes.
"""

import lzma
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundle.errors import BundleError
from bundle.sums import files_below
from host.archive import ArchiveError, errors_named, extract, opened
from host.files import no_space_named, replacing
from host.members import Limits
from host.progress import Progress, mebibytes
from kernel.environment import SOURCE_DATE_EPOCH

SUFFIX = ".tar.xz"
# Far above any bundle (some 30 members, 40 MiB), far below what hurts a machine.
LIMITS = Limits(links=False, members=200, content=2 << 30)
REMEDY = "get it anew from where it came from; `doit bundle` writes such archives"
# Nearly all of a bundle is compressed already: there is little to find, near or far. A window that
# stays in the processor's cache halves the time of preset 0; preset 6 takes four times as long for
# 2 % less.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 16}]


def pack(folder: Path, target: Path) -> None:
    """Write a folder to an archive, below one top directory with the folder's name.

    Raises:
        BundleError: it holds something else than files and folders with files in them.
        DiskFullError: no space left.
    """
    names = files_below(folder)
    total = sum((folder / name).stat().st_size for name in names)
    with (
        replacing(target) as temporary,
        Progress(f"packing {target.name}") as progress,
        lzma.open(temporary, "wb", filters=FILTERS) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        done = 0
        for name in sorted({*_folders(names), *names}):
            progress.update(f"{done * 100 // max(total, 1)} % of {mebibytes(total)}")
            done += _add(tar, folder / name, f"{folder.name}/{name}".removesuffix("/."))


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give the folder of a bundle: a folder as it is, an archive unpacked as long as the block.

    Raises:
        BundleError: the archive is damaged, unsafe, or none.
        DiskFullError: no space left for what is in it.
    """
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="p2plab-") as scratch:
        yield _unpack(path, Path(scratch))


def _unpack(archive: Path, scratch: Path) -> Path:
    root = scratch / "unpacked"
    root.mkdir()
    try:
        with no_space_named(root), errors_named(archive, scratch, REMEDY):
            with opened(archive) as (stream, size):
                top = extract(stream, size, f"unpacking {archive.name}", root, LIMITS)
            if not top:
                raise ArchiveError("there is nothing in it")
            # Under the name that it has in the archive: messages about its files are to show that.
            return root.rename(scratch / top)
    except ArchiveError as error:
        raise BundleError(error.message, hint=error.hint) from error


def _folders(names: list[str]) -> set[str]:
    return {str(parent) for name in names for parent in Path(name).parents}


def _add(tar: tarfile.TarFile, path: Path, name: str) -> int:
    """Add a file or folder; return its size in bytes."""
    member = tarfile.TarInfo(name)
    member.mtime = SOURCE_DATE_EPOCH
    if path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return 0
    status = path.stat()
    member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
    with path.open("rb") as content:
        tar.addfile(member, content)
    return member.size
