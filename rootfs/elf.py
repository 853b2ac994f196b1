"""What pyelftools can tell about a file before it goes into the image."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from elftools.elf.segments import InterpSegment

from host.errors import LabError

MAGIC = b"\x7fELF"
X86_64 = "EM_X86_64"


class ImageError(LabError):
    """A file cannot go into the image: wrong architecture, wrong kernel, a library missing."""


@dataclass(frozen=True)
class Program:
    """What a program needs to start.

    Attributes:
        path: the file on this machine.
        interpreter: the dynamic loader it names; empty for a static program.
        libraries: the sonames it needs (DT_NEEDED).
        rpath: where it has its libraries, and theirs, looked for (DT_RPATH).
        runpath: the same for its own alone, which voids the other (DT_RUNPATH).
    """

    path: Path
    interpreter: str
    libraries: tuple[str, ...]
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()

    @property
    def static(self) -> bool:
        """Whether it starts without a loader and without libraries."""
        return not self.interpreter and not self.libraries


def is_elf(path: Path) -> bool:
    """Return whether a file starts like an ELF file."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def is_object(path: Path) -> bool:
    """Return whether an ELF file is one that is still to be linked (ET_REL)."""
    with path.open("rb") as stream:
        return int.from_bytes(stream.read(18)[16:], "little") == 1


def read_program(path: Path) -> Program:
    """Return what a program needs.

    Raises:
        ImageError: it is not an x86-64 ELF file.
    """
    with _x86_64(path) as elf:
        loaders = [part for part in elf.iter_segments() if isinstance(part, InterpSegment)]
        return Program(
            path,
            interpreter=loaders[0].get_interp_name() if loaders else "",
            libraries=_dynamic(elf, "needed"),
            rpath=_folders(_dynamic(elf, "rpath")),
            runpath=_folders(_dynamic(elf, "runpath")),
        )


def _dynamic(elf: ELFFile, name: str) -> tuple[str, ...]:
    """Return the texts of all DT_<NAME> entries."""
    section = elf.get_section_by_name(".dynamic")
    if not isinstance(section, DynamicSection):
        return ()
    return tuple(str(vars(tag)[name]) for tag in section.iter_tags(f"DT_{name.upper()}"))


def _folders(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders of lists that are separated by colons."""
    return tuple(folder for path in paths for folder in path.split(":") if folder)


def require_static(path: Path) -> None:
    """Refuse a program that would need a loader or libraries in the image.

    Raises:
        ImageError: it is not x86-64, or not static.
    """
    program = read_program(path)
    if not program.static:
        needs = ", ".join(filter(None, (program.interpreter, *program.libraries)))
        raise ImageError(
            f"{path} is not a static program: it needs {needs}", hint="link it with -static"
        )


def require_module_for(module: Path, vmlinux: Path) -> None:
    """Refuse a kernel module that the kernel just built would not load.

    Raises:
        ImageError: wrong architecture, no version magic, or another kernel's.
    """
    with _x86_64(module) as elf:
        magic = _modinfo(elf, module).get("vermagic", "")
    expected = kernel_vermagic(vmlinux)
    if magic.strip() != expected.strip():
        raise ImageError(
            f"{module} was built for another kernel: its vermagic is {magic!r}, "
            f"that of {vmlinux} is {expected!r}",
            hint="build the module against this kernel (`doit build`)",
        )


def kernel_vermagic(vmlinux: Path) -> str:
    """Return the string that a module's vermagic must equal: ``vermagic`` in kernel/module/main.c.

    Raises:
        ImageError: the kernel has no such symbol (built without CONFIG_MODULES).
    """
    with _x86_64(vmlinux) as elf:
        table = elf.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection):
            raise ImageError(f"{vmlinux} has no symbol table")
        for symbol in table.get_symbol_by_name("vermagic") or []:
            section = elf.get_section(symbol["st_shndx"])
            start = symbol["st_value"] - section["sh_addr"]
            return _text(section.data()[start : start + symbol["st_size"]])
    raise ImageError(
        f"{vmlinux} has no version magic", hint="modules need CONFIG_MODULES=y in the kernel"
    )


def require_closure(programs: list[Program], image: set[str]) -> None:
    """Refuse an image in which a program's loader or a library is missing.

    ``image`` has the absolute paths of all files in the image.

    Raises:
        ImageError: names the program and what it lacks.
    """
    names = {path.rsplit("/", 1)[-1] for path in image}
    for program in programs:
        missing = [name for name in program.libraries if name not in names]
        if program.interpreter and program.interpreter not in image:
            missing.append(program.interpreter)
        if missing:
            raise ImageError(
                f"{program.path} needs what the image lacks: {', '.join(missing)}",
                hint="take a static one (on Debian, busybox is static in busybox-static), "
                "or pack its libraries with it",
            )


@contextmanager
def _x86_64(path: Path) -> Iterator[ELFFile]:
    """Open an ELF file; whatever the block finds broken in it becomes an ImageError."""
    with path.open("rb") as stream:
        try:
            elf = ELFFile(stream)
            if elf["e_machine"] != X86_64:
                raise ImageError(f"{path} is for {elf['e_machine']}, not for {X86_64}")
            yield elf
        except ELFError as error:
            raise ImageError(f"{path} is not a whole ELF file: {error}") from error


def _modinfo(elf: ELFFile, path: Path) -> dict[str, str]:
    section = elf.get_section_by_name(".modinfo")
    if section is None:
        raise ImageError(f"{path} has no .modinfo section: it is not a kernel module")
    items = section.data().decode(errors="replace").split("\0")
    pairs = (item.partition("=") for item in items)
    return {name: value for name, _, value in pairs}


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode(errors="replace")
