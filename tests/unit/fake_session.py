"""A verification whose guest has an answer ready for every command."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from boot.console import Answer, Console
from boot.console_log import ConsoleLog
from boot.machine import Guest
from boot.policy import Processor
from boot.qemu import namespace
from boot.qmp import Bar, Qmp
from boot.topology import load_topology
from boot.trace import TraceReader
from settings.paths import CONFIGS
from verify.images import Images
from verify.session import Drive, Session
from verify.timeouts import timeouts_for

ONE, TWO = "d00d0001", "d00d0002"
BDF = {
    "switch-q35": {ONE: "0000:03:00.0", TWO: "0000:04:00.0"},
    "root-ports": {ONE: "0000:01:00.0", TWO: "0000:02:00.0"},
    "ivshmem": {ONE: "0000:03:00.0", TWO: "0000:04:00.0"},
    "testdev": {ONE: "0000:03:00.0", TWO: "0000:04:00.0"},
    "takeover": {ONE: "0000:03:00.0", TWO: "0000:04:00.0"},
}
CMB = {ONE: 0xFD000000, TWO: 0xFC000000}
SIZE = 16 << 20
QEMU64 = Processor("AuthenticAMD", 15)


@dataclass
class FakeGuest:
    """Console, monitor, trace and log in one: answers go by how the command begins.

    Attributes:
        answers: output, or status and output, or a function that makes them.
        lines: the console log.
        new_trace: what QEMU traces next.
        events: the trace events that were switched.
        commands: what was run.
        code: QEMU's exit code.
        reminded: power-off takes a SysRq.
    """

    answers: dict[str, str | tuple[int, str] | Callable[[], str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=lambda: ["[ 0.0] Linux version 6.3.2"])
    new_trace: list[str] = field(default_factory=list)
    events: list[tuple[str, bool]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    known_bars: list[Bar] = field(default_factory=list)
    last_words: str = "[ 9.0] reboot: Power down"
    code: int = 0
    copies: int = 1 << 30  # bytes that each look at the drives finds copied since the last one
    copied: int = 0
    reminded: bool = False

    def run(self, command: str, timeout: float) -> Answer:
        assert timeout > 0
        self.commands.append(command)
        for begin, answer in self.answers.items():
            if command.startswith(begin):
                answer = answer() if callable(answer) else answer
                return Answer(*answer) if isinstance(answer, tuple) else Answer(0, answer)
        return Answer(127, f"sh: {command}: not found\n")

    def wait_ready(self, timeout: float) -> None:
        assert timeout > 0

    def send(self, line: str) -> None:
        self.commands.append(line)

    def drain(self, timeout: float) -> bool:
        assert timeout > 0
        self.lines.append(self.last_words)
        return self.reminded

    def wait_exit(self) -> int:
        return self.code

    def trace(self, event: str, *, enable: bool) -> None:
        self.events.append((event, enable))

    tracing = Qmp.tracing

    def moved(self) -> dict[str, tuple[int, int]]:
        self.copied += self.copies
        return dict.fromkeys((namespace(ONE), namespace(TWO)), (self.copied, self.copied))

    def bars(self) -> list[Bar]:
        return self.known_bars

    def take(self) -> list[str]:
        lines, self.new_trace = self.new_trace, []
        return lines

    # A guest has these as parts; here they are one.
    @property
    def console(self) -> Console:
        return cast(Console, self)

    @property
    def qmp(self) -> Qmp:
        return cast(Qmp, self)

    @property
    def log(self) -> ConsoleLog:
        return cast(ConsoleLog, self)


def bars(topology: str) -> list[Bar]:
    """Return the BARs of both drives: the registers and the CMB."""
    return [
        bar
        for serial, bdf in BDF[topology].items()
        for bar in (Bar(bdf, 0, CMB[serial] + (1 << 29), 0x4000), Bar(bdf, 2, CMB[serial], SIZE))
    ]


def session_on(topology: str, guest: FakeGuest, *, booted: bool = True) -> Session:
    """Return a session; ``booted`` with everything that the first checks find out."""
    tree = load_topology(CONFIGS / f"topologies/{topology}.toml")
    session = Session(
        topology=tree,
        guest=cast(Guest, guest),
        images=Images(tree, {ONE: Path("/nowhere/1"), TWO: Path("/nowhere/2")}),
        trace=cast(TraceReader, guest),
        timeouts=timeouts_for("tcg"),
        release="6.3.2",
    )
    guest.known_bars = bars(topology)
    if booted:
        session.bars = guest.known_bars
        session.processor = QEMU64
        session.drives = {
            serial: Drive(serial, bdf, f"/dev/nvme{number}n1")
            for number, (serial, bdf) in enumerate(BDF[topology].items())
        }
        session.nodes = {ONE: "/dev/p2pmem0", TWO: "/dev/p2pmem1"}
    return session


def counts_requests(guest: FakeGuest, *, read: int = 0, written: int = 0) -> None:
    """Let the guest count requests for so many bytes of each drive between every two looks."""
    looks = itertools.count(1)

    def look() -> str:
        past = next(looks)
        return f"7 0 {past * read // 512} 5 9 0 {past * written // 512} 3 0 8 8 0 0 0 0 0 0\n" * 2

    guest.answers["cat /sys/class/block/nvme"] = look


def sparse_images(session: Session, folder: Path) -> Images:
    """Return images of a session's drives, full of zeros and quickly made."""
    paths = {drive.serial: folder / drive.serial for drive in session.topology.drives}
    for drive in session.topology.drives:
        with paths[drive.serial].open("wb") as image:
            image.truncate(drive.drive_bytes)
    return Images(session.topology, paths)
