"""What ``lspci`` has to show: the BDF and sysfs path of every function of a topology."""

from collections.abc import Iterator
from dataclasses import dataclass

from boot.topology import Item, Port, Topology

ROOT = "pci0000:00"


@dataclass(frozen=True)
class Function:
    """One expected PCI function.

    Attributes:
        name: as in the topology (of a drive, its serial number).
        bdf: ``domain:bus:device.function``.
        path: its place in the tree, as below ``/sys/devices``.
        pci_id: ``vendor:device``.
    """

    name: str
    bdf: str
    path: str
    pci_id: str


def expected_functions(topology: Topology) -> list[Function]:
    """Return the functions of a topology, numbered as firmware does it: depth first, by slot."""
    buses = iter(range(1, 256))
    return list(_below(topology, "", 0, ROOT, buses))


def _below(
    topology: Topology, parent: str, bus: int, path: str, buses: Iterator[int]
) -> Iterator[Function]:
    for item in topology.children(parent):
        function = _function(item, bus, path)
        yield function
        if isinstance(item, Port):
            yield from _below(topology, item.name, next(buses), function.path, buses)


def _function(item: Item, bus: int, path: str) -> Function:
    bdf = f"0000:{bus:02x}:{item.addr:02x}.0"
    return Function(item.name, bdf, f"{path}/{bdf}", item.pci_id)
