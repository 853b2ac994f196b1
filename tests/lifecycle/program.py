"""The suite's program in the guest, and the root file system that has it."""

from pathlib import Path

from host.process import run_logged
from rootfs.initramfs import ImageFile
from rootfs.task import pack_with
from settings.paths import Workspace

GUEST = Path(__file__).resolve().parent / "guest"
NAME = "p2pmem-lifecycle"


def build_program(output: Path) -> Path:
    """Compile the program, static, and return it.

    Raises:
        ProgramFailed: it does not compile.
    """
    run_logged(
        ["make", "-C", str(GUEST), f"O={output}", "-j2", "CC=gcc"],
        title=f"building {NAME}",
        log=output / "make.log",
    )
    return output / NAME


def pack_image(
    workspace: Workspace, folder: Path, program: Path, module: Path | None = None
) -> Path:
    """Pack a root file system of a workspace with the program; with another module if one is given.

    Raises:
        ImageError: something cannot go into it.
        OSError: nothing was built.
    """
    more = [ImageFile(f"/bin/{NAME}", program, "755")]
    return pack_with(workspace, more, folder, module)
