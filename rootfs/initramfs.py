"""Pack the initramfs with the kernel's own gen_init_cpio: no root needed, same bytes every time."""

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from host.errors import LabError
from host.files import remove, replacing, write_text
from host.process import output_of
from host.tools import missing_tool
from kernel.environment import SOURCE_DATE_EPOCH, build_environment
from rootfs.elf import (
    ImageError,
    is_elf,
    kernel_vermagic,
    read_program,
    require_closure,
    require_module_for,
    require_static,
)
from rootfs.sources import FOLDER, SCRIPTS

DIRECTORIES = (
    "/bin", "/sbin", "/dev", "/proc", "/sys", "/run", "/tmp", "/root", "/etc",
    "/lib", "/lib/modules", "/lib/p2plab",
)  # fmt: skip


MODULES_DEP, MOTD = "modules.dep", "motd"
MADE = (MODULES_DEP, MOTD)  # written while packing
OUR_MODULE = "p2pmem_pci"
FIO = "/bin/fio"
FIO_HINT = """\
  fio --name=p2p --filename=/dev/nvme1n1 --direct=1 --rw=write --bs=64k --size=1m \\
      --thread --mem=mmapshared:/dev/p2pmem0 --verify=crc32c
  nvme show-regs -H /dev/nvme0; lspci -tv
"""
TOOL = "/bin/p2pmem-test"  # whatever a user's own is called: one name for all who call it


@dataclass(frozen=True)
class ImageFile:
    """One regular file of the image: where it goes, where it comes from, its mode (octal text)."""

    target: str
    source: Path
    mode: str


@dataclass(frozen=True)
class Parts:
    """What the image is made of besides the lab's own scripts.

    Attributes:
        more: further files, programs with the libraries that they need.
        own_tool: the tool is a user's own, which may need libraries; the lab's needs none.
    """

    busybox: Path
    module: Path
    tool: Path
    vmlinux: Path
    more: tuple[ImageFile, ...] = ()
    own_tool: bool = False


def find_busybox() -> Path:
    """Return the machine's busybox.

    Raises:
        MissingToolError: there is none.
    """
    found = shutil.which("busybox")
    if not found:
        raise missing_tool("busybox")
    return Path(found).resolve()


def image_files(parts: Parts, release: str, made: Path) -> list[ImageFile]:
    """Return all regular files of the image for a kernel of this release (``uname -r``).

    ``made`` is the folder with what is written while packing (``MADE``).
    """
    modules = f"/lib/modules/{release}"
    own = [
        ImageFile(target, (made if name in MADE else FOLDER) / name, mode)
        for name, (target, mode) in SCRIPTS.items()
    ]
    built = [
        ImageFile("/bin/busybox", parts.busybox, "755"),
        ImageFile(TOOL, parts.tool, "755"),
        ImageFile(f"{modules}/{parts.module.name}", parts.module, "644"),
        ImageFile(f"{modules}/{MODULES_DEP}", made / MODULES_DEP, "644"),
    ]
    return [*own, *built, *parts.more]


def pack(parts: Parts, gen_init_cpio: Path, target: Path) -> None:
    """Check every file that goes in, then write the image, LZ4-compressed, to ``target``.

    Beside it are left what it was packed from: ``initramfs.spec`` and what ``MADE`` names.

    Raises:
        ImageError: a file cannot go in; says which and why.
    """
    if not gen_init_cpio.is_file():
        raise ImageError(
            f"the kernel build left no {gen_init_cpio}",
            hint="the kernel needs CONFIG_BLK_DEV_INITRD=y",
        )
    release = kernel_vermagic(parts.vmlinux).split()[0]
    write_text(target.with_name(MODULES_DEP), f"{parts.module.name}:\n")
    write_text(target.with_name(MOTD), _motd(parts))
    files = image_files(parts, release, target.parent)
    _check(parts, files)
    staged = _staged(files, target.with_name("files"))
    spec = target.with_name("initramfs.spec")
    write_text(spec, _spec(staged, _applets(parts.busybox), f"/lib/modules/{release}"))
    with replacing(target) as temporary:
        _compress([str(gen_init_cpio), "-t", str(SOURCE_DATE_EPOCH), str(spec)], temporary)


def _motd(parts: Parts) -> str:
    """Return what a person is greeted with, for this module and these programs."""
    text = (FOLDER / MOTD).read_text(encoding="utf-8").replace(OUR_MODULE, parts.module.stem)
    clients = any(file.target == FIO for file in parts.more)
    first, mark, last = text.partition("Leave with")
    return "".join((first, FIO_HINT if clients else "", mark, last))


def _check(parts: Parts, files: list[ImageFile]) -> None:
    for file in files:
        if not file.source.is_file():
            raise ImageError(f"{file.source}, meant for {file.target}, is not there")
    if not parts.own_tool:
        require_static(parts.tool)
    require_module_for(parts.module, parts.vmlinux)
    # Libraries too, whatever their mode: they need libraries themselves.
    programs = [read_program(file.source) for file in files if is_elf(file.source)]
    require_closure(programs, {file.target for file in files})


def _staged(files: list[ImageFile], folder: Path) -> list[ImageFile]:
    """Copy the files to where their times can be fixed.

    Older kernels' gen_init_cpio (6.3) packs a file with its own time, whatever -t says.
    """
    remove(folder)
    staged = []
    for file in files:
        copy = folder / file.target.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, copy)
        os.utime(copy, (SOURCE_DATE_EPOCH, SOURCE_DATE_EPOCH))
        staged.append(replace(file, source=copy))
    return staged


def _applets(busybox: Path) -> list[str]:
    listed = output_of([str(busybox), "--list"], env=build_environment())
    return sorted(set(listed.split()) - {"busybox"})


def _spec(files: list[ImageFile], applets: list[str], modules: str) -> str:
    """Return the image in the language of usr/gen_init_cpio.c: one line per file."""
    made = (*DIRECTORIES, modules)
    above = {str(folder) for file in files for folder in Path(file.target).parents}
    folders = (*made, *sorted(above.difference(made, "/")))
    lines = [f"dir {name} 755 0 0" for name in folders]
    # The kernel opens /dev/console before init can mount a devtmpfs.
    lines.append("nod /dev/console 600 0 0 c 5 1")
    lines += [f"file {file.target} {file.source} {file.mode} 0 0" for file in files]
    lines += [f"slink /bin/{name} busybox 777 0 0" for name in applets]
    return "\n".join(lines) + "\n"


def _compress(producer: list[str], target: Path) -> None:
    # -l: the legacy frame, the only one that the kernel's unpacker knows (lib/decompress_unlz4.c).
    environment = build_environment()
    lz4 = ["lz4", "-l", "-9", "-z", "-c", "-q"]
    try:
        with (
            subprocess.Popen(producer, env=environment, stdout=subprocess.PIPE) as source,
            subprocess.Popen(
                lz4, env=environment, stdin=source.stdout, stdout=subprocess.PIPE
            ) as packed,
            target.open("wb") as image,
        ):
            assert packed.stdout is not None
            # Not by lz4 itself, which does not say why it cannot write.
            shutil.copyfileobj(packed.stdout, image)
    except FileNotFoundError as error:
        raise missing_tool(str(error.filename)) from error
    if source.returncode != 0 or packed.returncode != 0:
        raise LabError(
            f"packing {target.name} failed: {producer[0]} ended with {source.returncode}, "
            f"lz4 with {packed.returncode}"
        )
