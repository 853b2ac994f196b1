"""Build a tool of the user's own, of which nothing is known but its folder."""

import os
import stat
from pathlib import Path

from host.errors import LabError
from host.files import remove, replacing
from host.process import run_logged
from host.sources import mirror, sources_below
from host.unfinished import empty
from kernel.environment import PASSED, REPRODUCIBLE
from rootfs.elf import Program, is_elf, is_object, read_program

PREFERRED = "p2pmem-test"  # if several programs are made
MAPPED = "/p2plab/tool"  # what stands for the place of the build in debug information


def build_own_tool(folder: Path, output: Path, link: Path, *, jobs: int, log: Path) -> None:
    """Build a user's own tool in a copy of its folder, and have ``link`` lead to the program.

    The compiler is given in the environment, not on the command line of make: a Makefile that
    names one of its own keeps it.

    Raises:
        ProgramFailed: it does not compile; the message has the compiler's words.
        LabError: it makes no program, or several and none is called ``p2pmem-test``.
        ImageError: the program is not for this processor.
    """
    remove(link)
    empty(output)
    mirror(sources_below(folder), folder, output)
    mapped = f"-ffile-prefix-map={output}={MAPPED}"
    run_logged(
        ["make", "-C", str(output), f"-j{jobs}"],
        title=f"building {folder.name}",
        log=log,
        env={**REPRODUCIBLE, "CC": f"gcc {mapped}", "CXX": f"g++ {mapped}"},
        passing=PASSED,
        writes=output,
    )
    program = _program(folder, output, log)
    with replacing(link) as temporary:
        temporary.symlink_to(program.path.relative_to(link.parent))


def _program(folder: Path, output: Path, log: Path) -> Program:
    made = [path for path in sorted(output.rglob("*")) if _is_executable(path)]
    named = [path for path in made if path.name == PREFERRED]
    chosen = named or made
    if len(chosen) == 1:
        return read_program(chosen[0])
    if not made:
        raise LabError(
            f"`make` in {folder} made no program",
            hint=f"its first target has to be an executable file; the log is {log}",
        )
    names = ", ".join(str(path.relative_to(output)) for path in chosen)
    raise LabError(
        f"`make` in {folder} made {len(chosen)} programs: {names}",
        hint=f"have the first target make one, or call the one that is meant {PREFERRED}",
    )


def _is_executable(path: Path) -> bool:
    """Tell programs from objects and libraries: those are not executable, or named as such."""
    if path.is_symlink() or not path.is_file() or not path.stat().st_mode & stat.S_IXUSR:
        return False
    library = path.suffix == ".so" or ".so." in path.name
    return not library and os.access(path, os.R_OK) and is_elf(path) and not is_object(path)
