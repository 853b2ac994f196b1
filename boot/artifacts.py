"""What a guest is booted from: the files of a finished build, and what they are."""

from dataclasses import dataclass
from pathlib import Path

from boot.topology import MODULE
from kernel.selection import name_of_own
from kernel.source import SourceRecord, read_record
from settings.paths import Workspace


@dataclass(frozen=True)
class Artifacts:
    """A finished build.

    Attributes:
        source: where the kernel's source came from.
        release: what the kernel calls itself (``uname -r``).
        bzimage: the kernel to boot.
        initramfs: the root file system, with module and tool.
        module: what modprobe is given.
        own_module: name of the user's own module; empty for the lab's.
        own_tool: name of the user's own tool; empty for the lab's.
        clients: whether the root file system has fio, nvme and lspci.
    """

    source: SourceRecord
    release: str
    bzimage: Path
    initramfs: Path
    module: str = MODULE
    own_module: str = ""
    own_tool: str = ""
    clients: bool = False


def built_in(workspace: Workspace) -> Artifacts:
    """Return what was built in a workspace.

    Raises:
        LabError: the record of the kernel's source is missing or damaged.
        OSError: no kernel was built.
    """
    return Artifacts(
        source=read_record(workspace.source_record),
        release=workspace.release.read_text(encoding="utf-8").strip(),
        bzimage=workspace.bzimage,
        initramfs=workspace.initramfs,
        module=workspace.module.resolve().stem,
        own_module=name_of_own(workspace.own_module),
        own_tool=name_of_own(workspace.own_tool),
        clients=bool(workspace.rootfs_parts),
    )
