"""BDF and path of every function of the shipped trees, as seen in real guests."""

import pytest

from boot.listing import expected_functions
from boot.topology import load_topology
from settings.paths import CONFIGS

SWITCH = """
root        0000:00:04.0 1b36:000c 0000:00:04.0
upstream    0000:01:00.0 104c:8232 0000:00:04.0/0000:01:00.0
downstream0 0000:02:00.0 104c:8233 0000:00:04.0/0000:01:00.0/0000:02:00.0
d00d0001    0000:03:00.0 1b36:0010 0000:00:04.0/0000:01:00.0/0000:02:00.0/0000:03:00.0
downstream1 0000:02:01.0 104c:8233 0000:00:04.0/0000:01:00.0/0000:02:01.0
d00d0002    0000:04:00.0 1b36:0010 0000:00:04.0/0000:01:00.0/0000:02:01.0/0000:04:00.0
"""
ROOT_PORTS = """
root0    0000:00:04.0 1b36:000c 0000:00:04.0
d00d0001 0000:01:00.0 1b36:0010 0000:00:04.0/0000:01:00.0
root1    0000:00:05.0 1b36:000c 0000:00:05.0
d00d0002 0000:02:00.0 1b36:0010 0000:00:05.0/0000:02:00.0
"""
IVSHMEM = """
downstream2 0000:02:02.0 104c:8233 0000:00:04.0/0000:01:00.0/0000:02:02.0
shared      0000:05:00.0 1af4:1110 0000:00:04.0/0000:01:00.0/0000:02:02.0/0000:05:00.0
"""


@pytest.mark.parametrize(
    ("name", "listing"),
    [
        ("switch", SWITCH),
        ("switch-q35", SWITCH),
        ("root-ports", ROOT_PORTS),
        ("ivshmem", SWITCH + IVSHMEM),
    ],
)
def test_shipped_tree(name: str, listing: str) -> None:
    topology = load_topology(CONFIGS / f"topologies/{name}.toml")
    rows = [line.split() for line in listing.splitlines() if line]
    assert [(f.name, f.bdf, f.pci_id, f.path) for f in expected_functions(topology)] == [
        (name, bdf, pci_id, f"pci0000:00/{path}") for name, bdf, pci_id, path in rows
    ]
