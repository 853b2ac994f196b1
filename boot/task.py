"""What doit runs in the boot stage."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boot import interactive
from boot.artifacts import built_in
from boot.drives import create_blank
from boot.qemu import QEMU
from boot.setup import Setup, machine
from boot.topology import load_topology
from host.lock import locked
from host.terminal import require_terminal
from host.tools import require_programs
from kernel.selection import Selection
from kernel.source import read_record
from settings.paths import Workspace, accel_cache

OTHER_BOOT = "end that one, or leave out keep=yes: this one then has drives of its own"


def boot(selection: Selection) -> None:
    """Give the user the guest's console.

    Raises:
        HeldError: the drives are kept, and another guest has them.
        LabError: there is no terminal, nothing was built, or QEMU ended with an error.
    """
    require_programs(QEMU)
    require_terminal("doit boot", "for a run without one there is `doit verify`")
    setup = _setup(selection)
    with _drive_folder(setup.folder, keep=selection.settings.keep) as drives:
        vm = machine(setup, create_blank(setup.topology, drives), _say)
        if selection.settings.gdb:
            _say(f"gdb, in another terminal:\n  {_gdb_command(selection.workspace)}\n")
            vm = interactive.waiting_for_gdb(vm)
        interactive.boot(vm)


@contextmanager
def _drive_folder(folder: Path, *, keep: bool) -> Iterator[Path]:
    """Give a place for drive images: one that stays, or one that goes with this boot."""
    if keep:
        lock = folder.with_name(f"{folder.name}.lock")
        with locked(lock, f"booting with the drives in {folder}", OTHER_BOOT, waits=False):
            _say(f"the drive images are kept in {folder}")
            yield folder
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="throw-away-", dir=folder) as scratch:
        yield Path(scratch)


def _setup(selection: Selection) -> Setup:
    topology = load_topology(selection.topology_file)
    return Setup(
        artifacts=built_in(selection.workspace),
        topology=topology,
        cpu=selection.settings.cpu or topology.cpu,
        accel=selection.settings.accel,
        accel_cache=accel_cache(),
        folder=selection.run_dir("boot"),
    )


def _gdb_command(workspace: Workspace) -> str:
    source = read_record(workspace.source_record).tree
    return interactive.gdb_command(workspace.vmlinux, source, workspace.root)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
