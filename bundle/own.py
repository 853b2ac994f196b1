"""What of an image is a user's own, as its manifest tells by the names of sources and programs."""

from collections.abc import Iterable
from pathlib import Path

from bundle.manifest import Manifest
from kernel.selection import plain

OURS = {"module": "p2pmem-pci", "tool": "p2pmem-test"}  # by kind: the folder of the lab's own
PACKED = "packed"  # what the machine gave to the root file system: packed/bin/fio
CLIENT = f"{PACKED}/bin/fio"  # is there with rootfs=tools, and only then


def source_name(kind: str, own: Path | None) -> str:
    """Return what the sources of module or tool are called in a manifest."""
    return f"{kind}/{plain(own.name)}" if own else OURS[kind]


def own_names(manifest: Manifest) -> dict[str, str]:
    """Return the names of what is a user's own, by kind (``module``, ``tool``)."""
    names = [source.name.partition("/") for source in manifest.sources]
    return {kind: name for kind, _, name in names if kind in OURS and name}


def has_clients(manifest: Manifest) -> bool:
    """Tell whether fio, nvme and lspci are in the root file system."""
    return any(tool.name == CLIENT for tool in manifest.tools)


def module_file(outputs: Iterable[str]) -> str:
    """Return the name of the module's file among the outputs of an image; empty without one."""
    return next((name for name in outputs if name.endswith(".ko")), "")
