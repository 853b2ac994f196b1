"""A directory shown with its entries in reverse order, by disorderfs, and without leftovers."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from host.errors import LabError
from host.process import tied
from host.tools import require_programs

PROGRAM = "disorderfs"
OPTIONS = ("--reverse-dirents=yes", "--sort-dirents=no", "--shuffle-dirents=no")
PATIENCE = 10.0  # seconds until a file system that was asked for must be there
POLL = 0.02  # seconds
MOUNTS = Path("/proc/self/mountinfo")


@contextmanager
def reversed_view(place: Path, where: Path) -> Iterator[None]:
    """Show ``place`` at ``where`` with all directory entries in reverse, while the block runs.

    Raises:
        LabError: it cannot be mounted.
    """
    require_programs(PROGRAM)
    where.mkdir(parents=True, exist_ok=True)
    # In the foreground: so it ends with the lab, however that ends, and takes its mount along.
    command = [PROGRAM, "-f", "-q", *OPTIONS, str(place), str(where)]
    log = where.with_name(f"{where.name}.mount.log")
    with ExitStack() as cleanup:
        cleanup.callback(where.rmdir)
        said = cleanup.enter_context(log.open("wb"))
        process = cleanup.enter_context(
            subprocess.Popen(
                tied(command),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # Ctrl-C is for the build; its files must not vanish under it.
                start_new_session=True,
            )
        )
        cleanup.callback(process.terminate)
        cleanup.callback(unmount, where)
        _wait_for(where, process, log)
        yield


def _wait_for(where: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not os.path.ismount(where):
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace").strip()
            raise LabError(f"{PROGRAM} cannot be mounted at {where}: {said or 'no reason given'}")
        time.sleep(POLL)


def mounts_below(folder: Path) -> list[Path]:
    """Return where something is mounted in or below a folder, the deepest first."""
    paths = (
        # proc(5): blanks and the like are written as three octal digits.
        Path(os.fsdecode(re.sub(rb"\\([0-7]{3})", _octal, line.split()[4])))
        for line in MOUNTS.read_bytes().splitlines()
    )
    return sorted((path for path in paths if path.is_relative_to(folder)), reverse=True)


def _octal(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8)])


def unmount(where: Path) -> None:
    """Undo a mount even if a dying program still uses it; nothing happens if there is none.

    Raises:
        LabError: it is still there.
    """
    commands = [["fusermount", "-u", "-z"], ["fusermount3", "-u", "-z"], ["umount", "-l"]]
    for command in commands:
        if where not in mounts_below(where):
            return
        if shutil.which(command[0]):
            subprocess.run([*command, str(where)], stderr=subprocess.DEVNULL, check=False)
    if where in mounts_below(where):
        raise LabError(
            f"{where} is still mounted", hint=f"as root: umount -l {where}; then the same again"
        )
