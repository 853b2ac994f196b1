"""Which driver has which function, as time goes on: what a function can be used for depends on it.

A drive is one only as long as ``nvme`` has it. Its memory, or a card's, is published as long as
any driver has the function that publishes it: ``nvme`` for a CMB, the module for whatever it is
told to serve. Steps of a scenario change it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from boot.topology import MODULE, NVME_DRIVER, Provider, Topology

DRIVERS = (NVME_DRIVER, MODULE)
ACTIONS = ("bind", "unbind", "new_id", "driver_override", "bar")

Drivers = Mapping[str, str]  # by name of the function; one that no driver has is left out


def at_boot(topology: Topology) -> dict[str, str]:
    """Return who has what when the guest has booted."""
    return {drive.name: NVME_DRIVER for drive in topology.drives}


def with_module(topology: Topology) -> dict[str, str]:
    """Return who has what when the module has been loaded and claimed what it knows."""
    claimed = {item.name: item.driver for item in topology.providers if item.driver}
    return at_boot(topology) | claimed


def published(topology: Topology, drivers: Drivers) -> list[Provider]:
    """Return the providers whose memory can be used now."""
    return [provider for provider in topology.providers if provider.name in drivers]


@dataclass(frozen=True)
class DriverStep:
    """Something that is written to a file of sysfs to change which driver serves which function.

    Attributes:
        action: one of ``ACTIONS``: the name of the file.
        function: name of the function; empty for ``bar``.
        value: the driver, or the BAR.
        errno: name of the error with which the kernel has to refuse; empty if it must not.
        dmesg: what exactly one line of the kernel log has to match; empty if any will do.
    """

    action: str
    function: str
    value: str
    errno: str = ""
    dmesg: str = ""

    @property
    def title(self) -> str:
        """A line for people."""
        what = {
            "bind": f"bind {self.function} to {self.value}",
            "unbind": f"unbind {self.function} from {self.value}",
            "new_id": f"{self.value} takes the id of {self.function}",
            "driver_override": f"driver_override of {self.function} is {self.value or 'removed'}",
            "bar": f"bar={self.value}",
        }[self.action]
        return f"{what}: must fail with {self.errno}" if self.errno else what

    def after(self, drivers: Drivers, topology: Topology) -> dict[str, str]:
        """Return which driver has which function after this, if it was ``drivers`` before."""
        changed = dict(drivers)
        if self.errno:
            return changed
        if self.action == "bind":
            changed[self.function] = self.value
        elif self.action == "unbind":
            changed.pop(self.function, None)
        elif self.action == "new_id":
            # The driver core looks at all functions that are free.
            pci_id = topology.item(self.function).pci_id
            alike = [item.name for item in topology.items if item.pci_id == pci_id]
            changed |= {name: self.value for name in alike if name not in drivers}
        return changed
