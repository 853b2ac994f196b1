"""The test rig of the suite: a guest, and what the cases do with it and with its QEMU."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from boot.console import Answer
from boot.listing import expected_functions
from boot.machine import Guest
from boot.qemu import namespace
from boot.topology import MODULE, Nvme, Topology
from tests.lifecycle.limits import Limits
from verify.check import CheckFailed, require

PROGRAM = "p2pmem-lifecycle"
SYSFS = "/sys/bus/pci"
TRICKLE = 64 << 10  # bytes per second: a transfer of 2 MiB then takes half a minute
UNLIMITED = 0


@dataclass(frozen=True)
class State:
    """What the guest has of devices.

    Attributes:
        nodes: name and free bytes of each ``p2pmemN``, by PCI address.
        drives: block device of each drive, by serial.
    """

    nodes: dict[str, tuple[str, int]]
    drives: dict[str, str]

    def differs(self, now: "State") -> str:
        """Tell what is not as it was, or nothing: which block device is which may change."""
        for address, (name, free) in self.nodes.items():
            if address not in now.nodes:
                return f"there is no /dev/p2pmemN of {address} any more, it was {name}"
            name_now, free_now = now.nodes[address]
            if name_now != name:
                return f"/dev/{name} of {address} is {name_now} now"
            if free_now != free:
                return f"available of {address} is {free_now} bytes, it was {free}"
        if extra := now.nodes.keys() - self.nodes.keys():
            return f"there are more nodes than before: {', '.join(sorted(extra))}"
        if lost := self.drives.keys() - now.drives.keys():
            return f"drives are gone: {', '.join(sorted(lost))}"
        return ""


def parse_state(text: str) -> State:
    """Read what ``p2pmem-lifecycle state`` prints."""
    nodes, drives = {}, {}
    for line in text.splitlines():
        kind, name, address, last = line.split()
        if kind == "node":
            nodes[address] = (name, int(last))
        else:
            drives[name] = last
    return State(nodes, drives)


@dataclass
class Rig:
    """A running guest with the module loaded.

    Attributes:
        guest: console, QMP and log.
        topology: its PCI tree: the memory of the first drive is used, the second does DMA to it.
        limits: how long things may take.
        before: the state that every case has to leave behind.
        now: the state when it was last looked at; between cases, what it is.
        known: kernel messages that were excused, each with the reason.
        looked: how many lines of the log have been looked at.
        module: what modprobe is given.
    """

    guest: Guest
    topology: Topology
    limits: Limits
    before: State = field(default_factory=lambda: State({}, {}))
    now: State = field(default_factory=lambda: State({}, {}))
    known: list[str] = field(default_factory=list)
    looked: int = 0
    module: str = MODULE

    @property
    def provider(self) -> Nvme:
        """The function whose memory is used."""
        return self.topology.drives[0]

    @property
    def peer(self) -> Nvme:
        """The other drive, which does DMA to that memory."""
        return self.topology.drives[1]

    def address(self, name: str) -> str:
        """Return the PCI address of a function or port."""
        return next(item.bdf for item in expected_functions(self.topology) if item.name == name)

    @property
    def sysfs(self) -> str:
        """The provider's directory."""
        return f"{SYSFS}/devices/{self.address(self.provider.name)}"

    @property
    def node(self) -> str:
        """The provider's device, as it is called before and after each case."""
        return f"/dev/{self.before.nodes[self.address(self.provider.name)][0]}"

    def block(self, drive: Nvme) -> str:
        """Return the block device of a drive, as it is called between two cases."""
        return f"/dev/{self.now.drives[drive.serial]}"

    def ask(self, command: str, seconds: float | None = None) -> Answer:
        """Run a shell command in the guest."""
        return self.guest.console.run(command, seconds or self.limits.command)

    def run(self, command: str, seconds: float | None = None) -> str:
        """Run a shell command in the guest and return its output.

        Raises:
            CheckFailed: it ended with another status than 0.
        """
        answer = self.ask(command, seconds)
        if answer.status != 0:
            raise CheckFailed(f"`{command}` ended with {answer.status}: {answer.output.strip()}")
        return answer.output

    def program(self, *words: str, seconds: float | None = None) -> str:
        """Run the suite's program in the guest and return its output."""
        return self.run(shlex.join([PROGRAM, *words]), seconds)

    def begin(self) -> None:
        """Take what the guest has right now for what it has to come back to.

        Raises:
            CheckFailed: a drive is missing, or has no node.
        """
        self.before = self.now = parse_state(self.program("state"))
        for drive in self.topology.drives:
            address = self.address(drive.serial)
            require(address in self.before.nodes, f"the module made no node for {address}")
            require(drive.serial in self.before.drives, f"the guest has no drive {drive.serial}")

    def settle(self) -> None:
        """Wait until the guest has again what it had.

        Raises:
            CheckFailed: it does not come to that; says what is different.
        """
        nodes = self.before.nodes.items()
        lines = [f"node {name} {address} {free}" for address, (name, free) in nodes]
        lines += [f"drive {serial} " for serial in self.before.drives]
        limit = self.limits.event
        # Polled in the guest: a question from here takes longer than an answer there.
        text = self.program("settle", f"{limit}", *lines, seconds=limit + self.limits.command)
        self.now = parse_state(text)
        if difference := self.before.differs(self.now):
            raise CheckFailed(difference)

    def throttle(self, drive: Nvme, bytes_per_second: int) -> None:
        """Let QEMU limit the rate of a drive, or not (0); requests that wait then go on."""
        self.guest.qmp.execute(
            "block_set_io_throttle",
            id=namespace(drive.serial),
            bps=bytes_per_second,
            **dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0),
        )

    @contextmanager
    def throttled(self, drive: Nvme, bytes_per_second: int) -> Iterator[None]:
        """Limit the rate of a drive for a block, also if it is plugged in again meanwhile."""
        self.throttle(drive, bytes_per_second)
        yield
        self.throttle(drive, UNLIMITED)
