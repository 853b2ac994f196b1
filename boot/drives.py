"""Drive images: raw, filled with a pattern that the host can make again at any time."""

import random
from collections.abc import Iterator
from pathlib import Path

from boot.topology import MIB, Nvme, Topology
from host.errors import LabError
from host.files import replacing


def image_paths(topology: Topology, folder: Path) -> dict[str, Path]:
    """Return where the image of each drive lies, by serial."""
    return {drive.serial: folder / f"{drive.serial}.img" for drive in topology.drives}


def create_blank(topology: Topology, folder: Path) -> dict[str, Path]:
    """Make sparse images full of zeros, where there is none from an earlier boot.

    Raises:
        LabError: an image is there, but of another size than the topology says.
    """
    paths = image_paths(topology, folder)
    for drive in topology.drives:
        path, size = paths[drive.serial], drive.drive_bytes
        if not path.exists():
            with replacing(path) as temporary, temporary.open("wb") as stream:
                stream.truncate(size)
        elif path.stat().st_size != size:
            raise LabError(
                f"{path} has {path.stat().st_size} bytes, but {topology.name} wants {size}",
                hint="move it away if you still need it, else remove it",
            )
    return paths


def create_filled(topology: Topology, folder: Path) -> dict[str, Path]:
    """Make images whose every byte is known to the host, and different on each drive.

    Zeros would let a copy that never happened pass as a match of two blank ranges.
    """
    paths = image_paths(topology, folder)
    for drive in topology.drives:
        with replacing(paths[drive.serial]) as temporary, temporary.open("wb") as stream:
            for block in initial_content(drive):
                stream.write(block)
    return paths


def initial_content(drive: Nvme) -> Iterator[bytes]:
    """Return the initial content of a drive, in blocks of 1 MiB."""
    source = random.Random(drive.serial)
    return (source.randbytes(MIB) for _ in range(drive.drive_mib))
