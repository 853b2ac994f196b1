"""Drive images whose content the guest's program can check without having read it before."""

import sys
from array import array
from pathlib import Path

from boot.drives import image_paths
from boot.topology import MIB, Topology
from host.files import replacing

# As in guest/lifecycle.h.
PATTERN_START = 8 * MIB
PATTERN_LENGTH = 8 * MIB
PATTERN_KEY = 0x70326C616221C0DE
WORD = 8  # bytes


def pattern(start: int, length: int) -> bytes:
    """Return the bytes of a drive from ``start`` on: each word is its own offset, made unlikely."""
    words = array("Q", (at ^ PATTERN_KEY for at in range(start, start + length, WORD)))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


def create_patterned(topology: Topology, folder: Path) -> dict[str, Path]:
    """Make sparse images that hold the pattern, and zeros elsewhere."""
    content = pattern(PATTERN_START, PATTERN_LENGTH)
    paths = image_paths(topology, folder)
    for drive in topology.drives:
        with replacing(paths[drive.serial]) as temporary, temporary.open("wb") as stream:
            stream.truncate(drive.drive_bytes)
            stream.seek(PATTERN_START)
            stream.write(content)
    return paths
