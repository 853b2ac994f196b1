"""What doit runs in the boot stage."""

import sys
from dataclasses import replace
from pathlib import Path

from boot import accel, interactive
from boot.drives import create_blank
from boot.qemu import PROGRAM, Vm
from boot.topology import Topology, load_topology
from host.tools import require
from kernel.selection import Selection
from kernel.source import read_record
from settings.paths import Workspace, cache_dir


def accel_cache() -> Path:
    """Return the file that remembers which machines can run KVM guests."""
    return cache_dir() / "accel.json"


def boot(selection: Selection) -> None:
    """Give the user the guest's console."""
    require(PROGRAM)
    workspace, settings = selection.workspace, selection.settings
    topology = load_topology(selection.topology_file)
    folder = selection.run_dir("boot")
    vm = _vm(workspace, topology, settings.cpu, folder, keep=settings.keep)
    chosen = accel.resolve(settings.accel, vm, folder / "probe", accel_cache(), _say)
    vm = replace(vm, accel=chosen)
    if settings.gdb:
        source = read_record(workspace.source_record).tree
        print("gdb, in another terminal:", file=sys.stderr)
        print(
            f"  {interactive.gdb_command(workspace.vmlinux, source, workspace.root)}\n",
            file=sys.stderr,
        )
        vm = interactive.waiting_for_gdb(vm)
    if settings.keep:
        _say(f"the drive images in {folder} are kept")
    interactive.boot(vm)


def _vm(workspace: Workspace, topology: Topology, cpu: str, folder: Path, *, keep: bool) -> Vm:
    return Vm(
        topology=topology,
        kernel=workspace.bzimage,
        initramfs=workspace.initramfs,
        drives=create_blank(topology, folder, keep=keep),
        accel="",
        cpu=cpu or topology.cpu,
        console=(),
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
