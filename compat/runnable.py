"""Programs of another release of the distribution run here, with that release's own libraries.

A compiler or a host program of the kernel's build from a newer release wants a newer C library
than this machine has. All of that library is unpacked beside it; a small script in the program's
place starts it through that library's own loader. (Its option --argv0 hands on the name by which
the program was called, from which gcc finds its other parts.)
"""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from host.errors import LabError

LOADER = "ld-linux-x86-64.so.2"
# Packages older than Debian 13 have some libraries in /lib.
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
# Where packages of compilers, linkers and kernel headers have programs.
PROGRAM_FOLDERS = ("usr/bin", "usr/libexec", "usr/lib/gcc", "usr/lib/linux-kbuild-*")
SUFFIX = ".elf"
ELF_TYPES = (2, 3)  # ET_EXEC, ET_DYN: elf.h
ELF_HEAD = 18  # bytes up to and with e_type, of which the first one tells


def make_runnable(root: Path) -> int:
    """Put a script in the place of each program below ``root``; return how many there are.

    ``root`` must not be moved afterwards.

    Raises:
        LabError: it has no loader.
    """
    libraries = [root / name for name in LIBRARIES]
    loader = next((it / LOADER for it in libraries if (it / LOADER).exists()), None)
    if loader is None:
        raise LabError(f"{root} has no {LOADER}: its programs cannot be run")
    places = ":".join(map(str, libraries))
    command = shlex.join([str(loader), "--library-path", places, "--argv0"])
    programs = list(_programs(root))
    for program in programs:
        real = program.with_name(program.name + SUFFIX)
        program.replace(real)
        program.write_text(f'#!/bin/sh\nexec {command} "$0" {shlex.quote(str(real))} "$@"\n')
        program.chmod(0o755)
    return len(programs)


def _programs(root: Path) -> Iterator[Path]:
    for pattern in PROGRAM_FOLDERS:
        for folder in root.glob(pattern):
            for path in folder.rglob("*"):
                if path.suffix != SUFFIX and ".so" not in path.suffixes and _is_program(path):
                    yield path


def _is_program(path: Path) -> bool:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
        return False
    with path.open("rb") as stream:
        head = stream.read(ELF_HEAD)
    return len(head) == ELF_HEAD and head[:4] == b"\x7fELF" and head[16] in ELF_TYPES
