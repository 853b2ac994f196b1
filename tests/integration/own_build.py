"""A build with a user's own module or tool, or with more programs, on the tested kernel."""

from pathlib import Path

import kernel.task
import rootfs.task
from kernel.choice import Choice
from kernel.registry import tree_kernel
from kernel.selection import Selection, own_label
from kernel.source import read_record
from settings.command_line import read_settings
from settings.parse import Root
from settings.paths import CONFIGS, PROJECT, Workspace

TESTED = ("source.json", "source", "linux", "p2pmem-pci", "p2pmem-test")  # used as they are


def beside(tested: Workspace, folder: Path, **given: str) -> Selection:
    """Return a selection whose workspace is in ``folder``, and whose kernel is the tested one."""
    folder.mkdir(parents=True)
    for name in TESTED:  # a user's own tree is not in the workspace
        (folder / name).symlink_to(tested.root / name)
    settings = read_settings(given, Root(CONFIGS, PROJECT))
    at = Workspace(
        folder,
        own_module=own_label("module", settings.module),
        own_tool=own_label("tool", settings.tool),
        rootfs_parts=() if settings.rootfs == "plain" else (settings.rootfs,),
    )
    tree = read_record(tested.source_record).tree
    return Selection(settings, Choice(str(tree), tree_kernel(tree)), at, dict(given))


def built(tested: Workspace, folder: Path, **given: str) -> Selection:
    """Do what the tasks ``module``, ``tool`` and ``initramfs`` do, each if it has to."""
    selection = beside(tested, folder, **given)
    if selection.settings.module:
        kernel.task.module(selection, selection.settings.module)
    if selection.settings.tool:
        rootfs.task.tool(selection, selection.settings.tool)
    rootfs.task.initramfs(selection)
    return selection
