"""What is in the download directory, and taking it away when that is asked for."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from host.disk import Use, allocated, print_table
from host.files import remove
from host.lock import locked
from host.progress import mebibytes
from kernel.apt import OTHER_SUITES
from kernel.choice import REGISTRY
from kernel.registry import Kernel, UrlKernel, load
from settings.paths import OTHER_DOWNLOADS, downloads_dir

PACKAGE = re.compile(r"(?P<package>linux-source-[0-9]+\.[0-9]+)_[^/_]+_all\.deb(?P<rest>|\..+)")
SCRATCH = re.compile(r"\.apt-(?P<package>linux-source-[0-9]+\.[0-9]+)")
LOCK = re.compile(r"(?P<package>linux-source-[0-9]+\.[0-9]+)\.lock")
STATES = {
    ".part": "begun, to be carried on",
    ".sha256-mismatch": "set aside: not the file that it should be",
    ".unusable": "set aside: it could not be unpacked",
}
FOREIGN = "not the lab's: it stays"


@dataclass(frozen=True)
class Download:
    """One entry of the download directory.

    Attributes:
        path: the file, or the folder of a begun download.
        remark: for people: what it is, and whether a sum is pinned for it.
        lock: held by who downloads it; None if the lab does not know such a file.
    """

    path: Path
    remark: str
    lock: Path | None


def show() -> None:
    """Print the files of the download directory: size, name, and whether they are pinned."""
    folder = downloads_dir()
    found = [entry for entry in entries(folder, load(REGISTRY)) if entry.path.suffix != ".lock"]
    print(f"{folder}:" if found else f"nothing in {folder}")
    if found:
        print_table([Use(allocated(it.path), it.path.name, it.remark) for it in found])


def clean(named: bool) -> None:
    """Remove all downloads of the lab's own kind if they were ``named``, else say that they stay.

    Raises:
        LabError: the download directory cannot be written.
    """
    folder = downloads_dir()
    own = [entry for entry in entries(folder, load(REGISTRY)) if entry.lock]
    if not named:
        if size := sum(allocated(entry.path) for entry in own):
            print(f"kept: {mebibytes(size)} in {folder}; `./doit clean downloads` removes them")
        return
    for lock in sorted({entry.lock for entry in own if entry.lock}):
        with locked(lock, f"removing what {lock.stem} is about", OTHER_DOWNLOADS):
            for entry in own:
                if entry.lock == lock and entry.path != lock:
                    print(f"removing {entry.path}", flush=True)
                    remove(entry.path)
            remove(lock)


def entries(folder: Path, kernels: Mapping[str, Kernel]) -> Iterator[Download]:
    """Yield what is in a download directory, sorted by name."""
    pinned = {it.file: name for name, it in kernels.items() if isinstance(it, UrlKernel)}
    for path in _inside(folder):
        if path.name != OTHER_SUITES:
            yield _tarball(path, pinned) or _package(path, folder) or Download(path, FOREIGN, None)
    for path in _inside(folder / OTHER_SUITES):
        yield _package(path, folder) or Download(path, FOREIGN, None)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _tarball(path: Path, pinned: Mapping[str, str]) -> Download | None:
    """Describe a tarball of the registry, or what belongs to one; None if it is something else."""
    for file, kernel in pinned.items():
        rest = path.name.removeprefix(file)
        lock = path.with_name(f"{file}.lock")
        if path.name == file:
            return Download(path, f"pinned: sha256 of kernel={kernel}", lock)
        if path == lock or (path.name.startswith(file) and rest in STATES):
            return Download(path, STATES.get(rest, ""), lock)
    return None


def _package(path: Path, locks: Path) -> Download | None:
    """Describe a package of a kernel's source, or what belongs to one, with its lock's folder."""
    found = (
        PACKAGE.fullmatch(path.name) or SCRATCH.fullmatch(path.name) or LOCK.fullmatch(path.name)
    )
    if not found:
        return None
    lock = locks / f"{found['package']}.lock"
    rest = found.groupdict().get("rest", ".part")
    if rest and rest not in STATES:
        return None
    return Download(path, STATES.get(rest, "not pinned: apt checks the signature of its sum"), lock)
