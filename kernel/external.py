"""Build a module that lives outside the kernel tree, from a copy of its sources."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from host.files import remove

if TYPE_CHECKING:  # doit asks for module_sources() at every start and needs no more than that
    from kernel.kbuild import Kbuild

# What kbuild reads; everything else in a module's folder is for people or for other tools.
SOURCES = ("Kbuild", "Makefile", "*.c", "*.h", "*.S")


def module_sources(folder: Path) -> list[Path]:
    """Return the files of a module's folder that its build depends on, sorted."""
    found = {path for pattern in SOURCES for path in folder.glob(pattern)}
    return sorted(path for path in found if not path.name.endswith(".mod.c"))


def build_module(kbuild: "Kbuild", folder: Path, output: Path, log: Path) -> None:
    """Build the module of ``folder`` in ``output``, against the kernel in ``kbuild.output``.

    Kbuild writes beside the sources it builds, so these are copied: the folder itself stays as
    it is, and two kernels can be built at the same time.

    Raises:
        ProgramFailed: it does not compile; the message has the compiler's words.
    """
    _brought_up_to_date(module_sources(folder), output)
    kbuild.run([f"M={output}", "modules"], title=f"building {folder.name}", log=log)


def _brought_up_to_date(sources: list[Path], output: Path) -> None:
    """Copy sources that differ, so that make rebuilds what changed and only that; drop the gone.

    Their own times mean nothing to make: a file may be replaced by one that is older.
    """
    output.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in sources}
    for stale in module_sources(output):
        if stale.name not in names:
            remove(stale)
    for path in sources:
        copy = output / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)
