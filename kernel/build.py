"""Build the kernel: the image to boot, symbols for gdb, and what external modules need."""

from pathlib import Path

from host.errors import LabError
from kernel.kbuild import Kbuild

# `modules` writes Module.symvers, without which no external module can be linked.
TARGETS = ("bzImage", "modules")


def build_kernel(kbuild: Kbuild, log: Path) -> None:
    """Build ``arch/x86/boot/bzImage``, ``vmlinux`` and ``Module.symvers`` in the build directory.

    Raises:
        ProgramFailed: the build failed; the message has the end of the log.
        LabError: make succeeded but the image is not there.
    """
    kbuild.run(TARGETS, title="building the kernel", log=log)
    for name in ("arch/x86/boot/bzImage", "vmlinux", "Module.symvers"):
        if not (kbuild.output / name).is_file():
            raise LabError(f"the kernel build left no {kbuild.output / name}", hint=f"see {log}")
