"""The shared libraries that programs need, found as the dynamic loader would find them.

ld.so(8) tells the order: the folders that the asking file names (DT_RPATH, unless it has a
DT_RUNPATH), the loader's cache, the standard folders. LD_LIBRARY_PATH is left out: it will not be
set in the guest. Nor is there a cache in the guest, so a library that only the cache knows goes to
where the C library is, which is a standard folder on every distribution.

What a program opens by itself while it runs (dlopen) cannot be known from its file.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rootfs.elf import ImageError, Program, read_program
from rootfs.initramfs import ImageFile

CACHE = Path("/etc/ld.so.cache")
# Debian and Ubuntu; then Fedora; then Arch. Those that are not there do no harm.
STANDARD = tuple(
    Path(name)
    for name in (
        "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64",
        "/lib", "/usr/lib",
    )
)  # fmt: skip
C_LIBRARY = "libc.so.6"
# sysdeps/generic/dl-cache.h of glibc: header, and one entry for each library.
MAGIC = b"glibc-ld.so.cache1.1"
HEADER, ENTRY = struct.Struct("<20sII20x"), struct.Struct("<iIIIQ")
X86_64_LIBC6 = 0x0303


@dataclass(frozen=True)
class Machine:
    """Where this machine's loader looks: its cache by soname, and its standard folders."""

    cache: dict[str, Path]
    standard: tuple[Path, ...] = STANDARD

    @classmethod
    def here(cls) -> "Machine":
        """Return what holds on this machine."""
        return cls(read_cache(CACHE))


@dataclass(frozen=True)
class _Loaded:
    """A file that the loader has mapped: its place in the guest, and who asked for it."""

    program: Program
    target: PurePosixPath
    asked_by: "_Loaded | None" = None


@dataclass
class _Closure:
    machine: Machine
    files: dict[str, ImageFile] = field(default_factory=dict)

    def add(self, source: Path, target: str, mode: str) -> None:
        """Have a file in the image, once."""
        known = self.files.setdefault(target, ImageFile(target, source, mode))
        if known.source.resolve() != source.resolve():
            raise ImageError(
                f"{target} would be both {known.source} and {source} in the image",
                hint="two programs want different libraries of one name; pack one of them",
            )


def closure(programs: Iterable[ImageFile], machine: Machine | None = None) -> list[ImageFile]:
    """Return the loaders and libraries that programs need beside themselves, by their targets.

    Args:
        programs: the programs, static ones too.
        machine: where to look; by default where this machine's loader does.

    Raises:
        ImageError: a library is nowhere to be found (names it and who needs it), two of one name
            are wanted, or a file is not for this processor.
    """
    found = _Closure(machine or Machine.here())
    for program in programs:
        read = read_program(program.source)
        if read.interpreter:
            found.add(Path(read.interpreter), read.interpreter, "755")
        _add_libraries(found, _Loaded(read, PurePosixPath(program.target)))
    return [found.files[target] for target in sorted(found.files)]


def _add_libraries(found: _Closure, program: _Loaded) -> None:
    """Go through what a program loads, breadth first; a soname is loaded once in a process."""
    loader = PurePosixPath(program.program.interpreter).name
    known = {loader} if loader else set()
    waiting = [program]
    while waiting:
        asking = waiting.pop(0)
        for soname in asking.program.libraries:
            if soname in known:
                continue
            known.add(soname)
            source, target = _located(found.machine, soname, asking, program.target)
            found.add(source, str(target), "755")
            waiting.append(_Loaded(read_program(source), target, asking))


def _located(
    machine: Machine, soname: str, asking: _Loaded, program: PurePosixPath
) -> tuple[Path, PurePosixPath]:
    """Return where a library is on this machine, and where it has to be in the guest."""
    if "/" in soname:
        return _fitting(Path(soname), soname, asking), PurePosixPath(soname)
    for source, target in _named_folders(asking):
        if _fits(source / soname):
            return source / soname, target / soname
    if (cached := machine.cache.get(soname)) and _fits(cached):
        place = cached.parent if cached.parent in machine.standard else _c_library(machine)
        return cached, PurePosixPath(place / cached.name)
    for folder in machine.standard:
        if _fits(folder / soname):
            return folder / soname, PurePosixPath(folder / soname)
    raise ImageError(
        f"{asking.program.path} needs {soname}, which is not on this machine"
        + (f" (wanted by {program})" if asking.asked_by else ""),
        hint="install what has it; `ldd` shows what else is missing",
    )


def _named_folders(asking: _Loaded) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the folders that files name: here, and the same one in the guest."""
    if asking.program.runpath:
        yield from _expanded(asking, asking.program.runpath)
        return
    above: _Loaded | None = asking
    while above:
        if not above.program.runpath:
            yield from _expanded(above, above.program.rpath)
        above = above.asked_by


def _expanded(owner: _Loaded, folders: Iterable[str]) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield folders with $ORIGIN replaced: the file's own folder, another one in the guest."""
    here = owner.program.path.resolve().parent
    for folder in folders:
        pair = [
            folder.replace("${ORIGIN}", str(origin)).replace("$ORIGIN", str(origin))
            for origin in (here, owner.target.parent)
        ]
        yield Path(pair[0]), _normal(pair[1])


def _normal(path: str) -> PurePosixPath:
    """Return a path of the guest without ``..``: it has no links between folders."""
    parts: list[str] = []
    for part in PurePosixPath(path).parts[1:]:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return PurePosixPath("/", *parts)


def _c_library(machine: Machine) -> Path:
    """Return the folder of the C library: a standard one, whatever the distribution."""
    folders = (folder for folder in machine.standard if (folder / C_LIBRARY).exists())
    return next(folders, machine.standard[0])


def _fits(path: Path) -> bool:
    """Tell whether a file is a library for this processor; the loader passes over others."""
    if not path.is_file():
        return False
    try:
        read_program(path)
    except ImageError:
        return False
    return True


def _fitting(path: Path, soname: str, asking: _Loaded) -> Path:
    if not _fits(path):
        raise ImageError(f"{asking.program.path} needs {soname}, which is no library here")
    return path


def read_cache(path: Path) -> dict[str, Path]:
    """Return the libraries of ``ld.so.cache`` by soname; none if there is no such cache.

    Those for particular processors (hwcaps) are left out: the guest's is another one.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    start = data.find(MAGIC)  # older caches have the same in an older form before it
    if start < 0:
        return {}
    _, count, _ = HEADER.unpack_from(data, start)
    found: dict[str, Path] = {}
    for number in range(count):
        at = start + HEADER.size + number * ENTRY.size
        flags, key, value, _, hwcap = ENTRY.unpack_from(data, at)
        if flags == X86_64_LIBC6 and not hwcap:
            found.setdefault(_text(data, start + key), Path(_text(data, start + value)))
    return found


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode(errors="surrogateescape")
