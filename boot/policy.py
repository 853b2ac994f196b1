"""Predict what the kernel decides about a pair of functions: drivers/pci/p2pdma.c in words.

``calc_map_type_and_dist()``: a bridge above both functions makes the traffic stay below it (bus
addresses); without one it has to pass the host bridge, which is allowed only on processors that
``cpu_supports_p2pdma()`` accepts or on whitelisted host bridges. QEMU's i440FX (8086:1237) and
q35 (8086:29c0) host bridges are not in ``pci_p2pdma_whitelist``. ACS is left out: QEMU's x3130
and xio3130 ports have no ACS capability, and a root port's counts only if it is the common bridge.
"""

from dataclasses import dataclass
from enum import Enum

from boot.topology import Topology

AMD = "AuthenticAMD"
FIRST_ZEN_FAMILY = 0x17


class MapType(Enum):
    """``enum pci_p2pdma_map_type``, with names for people."""

    BUS_ADDR = "below a common upstream bridge"
    THRU_HOST_BRIDGE = "through the host bridge"
    NOT_SUPPORTED = "not supported"


@dataclass(frozen=True)
class Processor:
    """The boot processor as the guest sees it in ``/proc/cpuinfo``."""

    vendor: str
    family: int

    @property
    def supports_p2pdma(self) -> bool:
        """``cpu_supports_p2pdma()``: AMD from Zen on."""
        return self.vendor == AMD and self.family >= FIRST_ZEN_FAMILY


def predict(topology: Topology, provider: str, client: str, processor: Processor) -> MapType:
    """Return what the kernel will decide for a client's DMA to a provider's memory."""
    above_provider = {provider, *topology.ancestors(provider)}
    above_client = {client, *topology.ancestors(client)}
    if above_provider & above_client:
        return MapType.BUS_ADDR
    if processor.supports_p2pdma:
        return MapType.THRU_HOST_BRIDGE
    return MapType.NOT_SUPPORTED
