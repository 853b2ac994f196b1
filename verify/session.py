"""What the checks of one verification share: the guest, and what has been learned about it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from boot.listing import Function, expected_functions
from boot.machine import Guest
from boot.policy import MapType, Processor, predict
from boot.qmp import Bar
from boot.topology import MODULE, Provider, Topology
from boot.trace import TraceReader, Transfer, transfers
from verify.check import CheckFailed
from verify.drivers import at_boot, published
from verify.images import Images
from verify.record import CopyRecord
from verify.timeouts import Timeouts


@dataclass(frozen=True)
class Drive:
    """A drive as the guest names it.

    Attributes:
        serial: its identity; the names below change from boot to boot.
        bdf: its PCI address.
        block: its block device, ``/dev/nvmeXnY``.
    """

    serial: str
    bdf: str
    block: str


@dataclass
class Session:
    """The state of one verification, filled as the checks go on.

    Attributes:
        topology: what was asked for.
        guest: the guest that runs, or ran: its log outlives it.
        images: the drive images, now and before.
        trace: what QEMU traces.
        timeouts: how long things may take under this accelerator.
        release: what ``uname -r`` has to say.
        bars: all memory BARs, from QEMU, after firmware placed them.
        bound: the driver that each function has to have by now, by name of the function.
        drives: the drives that were found, by serial.
        nodes: the ``/dev/p2pmemN`` that were found, by provider.
        pools: bytes free when the provider was last looked at, no copy being under way.
        processor: as the guest sees it; None until the guest has booted.
        copies: what became of each copy that was tried.
        module: what modprobe is given.
        own_tool: the tool is a user's own, of which nothing is known beforehand.
        tool_options: those of ours that a user's own knows; None until it was asked.
        written: ranges of drives that are no copy's: serial, first byte, end.
    """

    topology: Topology
    guest: Guest
    images: Images
    trace: TraceReader
    timeouts: Timeouts
    release: str
    bars: list[Bar] = field(default_factory=list)
    bound: dict[str, str] = field(default_factory=dict)
    drives: dict[str, Drive] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    pools: dict[str, int] = field(default_factory=dict)
    processor: Processor | None = None
    copies: list[CopyRecord] = field(default_factory=list)
    module: str = MODULE
    own_tool: bool = False
    tool_options: frozenset[str] | None = None
    written: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bound = at_boot(self.topology)

    def run(self, command: str) -> str:
        """Run a short command in the guest and return its output.

        Raises:
            CheckFailed: it ended with another status than 0.
        """
        answer = self.guest.console.run(command, self.timeouts.command)
        if answer.status != 0:
            raise CheckFailed(f"`{command}` ended with {answer.status}: {answer.output.strip()}")
        return answer.output

    def transfers(self, lines: Iterable[str]) -> list[Transfer]:
        """Return what drives moved, according to lines of the trace."""
        return list(transfers(lines, self.bars, self.topology.namespaces))

    def function(self, name: str) -> Function:
        """Return the expected PCI function of a drive or port."""
        return next(item for item in expected_functions(self.topology) if item.name == name)

    @property
    def published(self) -> list[Provider]:
        """What can be used by now."""
        return published(self.topology, self.bound)

    def called(self, bdf: str) -> str:
        """Return what people call the memory in the BAR of a function."""
        words = {self.function(item.name).bdf: item.word for item in self.topology.providers}
        return words.get(bdf, "BAR")

    def drive(self, serial: str) -> Drive:
        """Return a drive that was found in the guest.

        Raises:
            CheckFailed: it was not found.
        """
        if serial not in self.drives:
            raise CheckFailed(f"drive {serial} was not found in the guest")
        return self.drives[serial]

    def node(self, provider: str) -> str:
        """Return the module's device for the memory of a provider, ``/dev/p2pmemN``.

        Raises:
            CheckFailed: there is none.
        """
        if provider not in self.nodes:
            raise CheckFailed(f"there is no /dev/p2pmemN for {provider}")
        return self.nodes[provider]

    def predicted(self, provider: str, client: str) -> MapType:
        """Return what the kernel's rules say about DMA of a client to a provider's memory.

        Raises:
            CheckFailed: the guest's processor is not known.
        """
        if self.processor is None:
            raise CheckFailed("the guest's processor is not known")
        return predict(self.topology, provider, client, self.processor)

    def attribute(self, function: str, name: str) -> str:
        """Return the path of a file in a function's folder of sysfs."""
        return f"/sys/bus/pci/devices/{self.function(function).bdf}/{name}"
