"""Programs that decide the bytes of an image: which they are, and who made them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from host.errors import LabError
from host.files import sha256_file
from host.packages import owners
from host.process import environment, output_of
from host.tools import missing_tool

# Another version of one of these may give other bytes. gcc itself only calls the others: cc1 is
# the compiler proper. python3 is the interpreter that runs the lab.
DECIDING = (
    "gcc", "cc1", "as", "ld", "objcopy", "make", "flex", "bison", "bc", "lz4", "busybox", "python3",
)  # fmt: skip
# Where it is there, Kconfig notes its version, and it makes the BTF that a fragment may want.
OPTIONAL = ("pahole",)
# These stand in PATH under a compiler's name, find the compiler by themselves and run it.
LAUNCHERS = ("ccache", "sccache", "distcc", "icecc")
# All that they see of the environment: cc1 fails where DEPENDENCIES_OUTPUT cannot be written.
PASSED = ("PATH", "LD_LIBRARY_PATH")
ENGLISH = {"LC_ALL": "C"}


@dataclass(frozen=True)
class Program:
    """A program, or a library that is linked in. The fields are those of a manifest's tools.

    Attributes:
        name: of the command, such as ``gcc``; of a library, its file's.
        version: the first line that it prints about itself; empty for a library.
        package: of the distribution, such as ``gcc-12``; empty if no package owns it.
        package_version: of that package.
        sha256: of the file, links resolved.
    """

    name: str
    version: str
    package: str
    package_version: str
    sha256: str


def deciding() -> tuple[str, ...]:
    """Return the names of the programs that decide the bytes of an image on this machine."""
    return (*DECIDING, *(name for name in OPTIONAL if shutil.which(name)))


def describe(names: Iterable[str], libraries: Iterable[Path] = ()) -> list[Program]:
    """Describe programs of this machine by their names, then libraries by their files.

    Raises:
        MissingToolError: a program is not there.
        LabError: a program says nothing about its version, or a library is not there.
    """
    programs = {name: PROBES.get(name, Probe()).located(name) for name in names}
    files = [*programs.items(), *((path.name, path.resolve()) for path in libraries)]
    owned = owners(path for _, path in files)
    described = []
    for name, path in files:
        owner = owned.get(path)
        described.append(
            Program(
                name=name,
                version=_version(name, path) if name in programs else "",
                package=owner.name if owner else "",
                package_version=owner.version if owner else "",
                sha256=_sum(path),
            )
        )
    return described


def in_path(name: str) -> Path:
    """Return the file that a command of PATH comes to, links and compiler launchers left behind.

    Raises:
        MissingToolError: there is none.
    """
    for folder in os.get_exec_path():
        found = Path(shutil.which(name, path=folder) or "").resolve()
        if found.is_file() and (found.name == name or found.name not in LAUNCHERS):
            return found
    raise missing_tool(name)


def _compiler_proper(name: str) -> Path:
    # It is in no PATH. gcc answers with the bare name if it does not find it either.
    ask = [str(in_path("gcc")), f"-print-prog-name={name}"]
    found = Path(output_of(ask, env=environment(ENGLISH, PASSED)).strip())
    if not found.is_file():
        raise missing_tool(name)
    return found.resolve()


def _interpreter(_name: str) -> Path:
    return Path(sys.executable).resolve()


@dataclass(frozen=True)
class Probe:
    """How a program is found, and what makes it print its version."""

    located: Callable[[str], Path] = in_path
    arguments: tuple[str, ...] = ("--version",)


PROBES = {
    "busybox": Probe(arguments=("--help",)),
    "cc1": Probe(_compiler_proper, ("-quiet", "-version", os.devnull, "-o", os.devnull)),
    "python3": Probe(_interpreter),
}


def _version(name: str, path: Path) -> str:
    """Return the first line that a program prints about itself, the same on every such machine."""
    arguments = PROBES.get(name, Probe()).arguments
    # Called by its bare name: several of them repeat the one that they were called by.
    done = subprocess.run(
        [name, *arguments],
        executable=path,
        env=environment(ENGLISH, PASSED),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    # stderr only where there is nothing else: warnings of the loader are found there as well.
    for line in (*done.stdout.splitlines(), *done.stderr.splitlines()):
        if done.returncode == 0 and line.strip():
            return line.strip()
    raise LabError(
        f"`{name} {' '.join(arguments)}` does not tell its version: "
        f"it ended with {done.returncode}, and says: {(done.stderr or done.stdout).strip()!r}",
        hint=f"look what {path} is",
    )


def _sum(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
