"""A step that changes a function's driver: each thing that can be amiss is told."""

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from boot.qmp import Bar
from tests.unit.fake_session import ONE, TWO, FakeGuest, session_on
from verify import system_checks
from verify.check import CheckFailed
from verify.driver_check import BAR_PARAMETER, MARK, check_step
from verify.drivers import DriverStep
from verify.session import Session

THREE = "d00d0003"
BDF = {ONE: "0000:03:00.0", TWO: "0000:04:00.0", THREE: "0000:05:00.0"}
DEVICE = f"/sys/bus/pci/devices/{BDF[THREE]}"
SIZE = 16 << 20
NODES = {ONE: "/dev/p2pmem0", TWO: "/dev/p2pmem1", THREE: "/dev/p2pmem2"}
UNBIND = DriverStep("unbind", THREE, "nvme", dmesg="p2pmem2: removed")
BIND = DriverStep("bind", THREE, "p2pmem_pci")
REFUSED = replace(BIND, errno="ENXIO", dmesg="BAR 0 is 16 KiB; .* would do")
REMOVED = f"[ 9.8] nvme {BDF[THREE]}: p2pmem2: removed"
TOO_SMALL = f"[ 9.9] p2pmem_pci {BDF[THREE]}: BAR 0 is 16 KiB; BAR 2 (16 MiB) would do"


@dataclass
class Kernel:
    """What the guest's kernel says and how it is afterwards.

    Attributes:
        said: what the shell says about the write; nothing if it went well.
        log: the lines that are logged meanwhile.
        driver: of the third drive, afterwards.
        nodes: of which functions there are nodes afterwards, by their number.
        memory: whether the third drive has a p2pmem folder afterwards.
        size: of its memory.
        free: bytes of it.
    """

    said: str = ""
    log: list[str] = field(default_factory=list)
    driver: str = ""
    nodes: dict[int, str] = field(default_factory=lambda: {0: ONE, 1: TWO})
    memory: bool = False
    size: int = SIZE
    free: int = SIZE

    def guest(self) -> FakeGuest:
        log = "".join(f"{line}\n" for line in self.log)
        nodes = "".join(f"p2pmem{n} {BDF[name]} 251:{n}\n" for n, name in self.nodes.items())
        drives = [*([ONE, TWO]), *([THREE] if self.driver == "nvme" else [])]
        found = "".join(f"{name} {BDF[name]} nvme{n}n1\n" for n, name in enumerate(drives))
        link = f"../../../bus/pci/drivers/{self.driver}\n" if self.driver else ""
        guest = FakeGuest(
            {
                "n=$(dmesg": (int(bool(self.said)), f"{self.said}\n{MARK}\n{log}"),
                f"readlink {DEVICE}/driver": link,
                system_checks.LIST_DRIVES: found,
                system_checks.LIST_NODES: nodes,
                f"cat {DEVICE}/p2pmem/size": f"{self.size}\n1\n",
                f"cat {DEVICE}/p2pmem/available": f"{self.free}\n",
                f"ls -d {DEVICE}/p2pmem": f"{DEVICE}/p2pmem\n" if self.memory else "",
            }
        )
        for number in self.nodes:
            stat = f"character special file fb:{number}\n"
            guest.answers[f"stat -c '%F %t:%T' /dev/p2pmem{number}"] = stat
        return guest


def session_with(kernel: Kernel, *, bound: str) -> Session:
    """Return a session in which the third drive has this driver."""
    session = session_on("takeover", kernel.guest(), booted=False)
    session.bars = [Bar(bdf, 2, 0xFA000000, SIZE) for bdf in BDF.values()]
    session.bound = {ONE: "nvme", TWO: "nvme"} | ({THREE: bound} if bound else {})
    session.nodes = {name: node for name, node in NODES.items() if name in session.bound}
    session.pools = dict.fromkeys(session.nodes, SIZE)
    return session


def guest_of(session: Session) -> FakeGuest:
    return cast(FakeGuest, session.guest)


def failure(step: DriverStep, kernel: Kernel, *, bound: str = "") -> str:
    with pytest.raises(CheckFailed) as caught:
        check_step(session_with(kernel, bound=bound), step)
    return caught.value.message


def test_unbound() -> None:
    session = session_with(Kernel(log=[REMOVED]), bound="nvme")
    assert check_step(session, UNBIND).splitlines() == [
        f"echo {BDF[THREE]} >/sys/bus/pci/drivers/nvme/unbind",
        REMOVED,
        f"{THREE} has no driver",
        "/dev/p2pmem2 has gone",
    ]
    assert list(session.bound) == list(session.nodes) == list(session.drives) == [ONE, TWO]
    assert list(session.pools) == [ONE, TWO]


BOUND = Kernel(driver="p2pmem_pci", nodes={0: ONE, 1: TWO, 2: THREE}, free=SIZE - 4096)


def test_bound() -> None:
    session = session_with(BOUND, bound="")
    assert check_step(session, BIND).splitlines()[1:] == [
        f"{THREE} has the driver p2pmem_pci",
        f"/dev/p2pmem2 is {THREE}",
    ]
    assert session.bound[THREE] == "p2pmem_pci"
    assert session.pools == {ONE: SIZE, TWO: SIZE, THREE: SIZE - 4096}


def test_given_back() -> None:
    session = session_with(replace(BOUND, driver="nvme"), bound="")
    check_step(session, replace(BIND, value="nvme"))
    assert session.drives[THREE].block == "/dev/nvme2n1"


def test_refused() -> None:
    kernel = Kernel(said="sh: write error: No such device or address", log=[TOO_SMALL])
    session = session_with(kernel, bound="")
    assert check_step(session, REFUSED).splitlines()[1:] == [TOO_SMALL, f"{THREE} has no driver"]
    assert THREE not in session.bound


def test_what_is_written_where() -> None:
    kernel = Kernel()
    commands = {
        DriverStep("bar", "", "auto"): f"; echo auto >{BAR_PARAMETER}; ",
        DriverStep("new_id", THREE, "p2pmem_pci"): (
            "; echo '1b36 0010' >/sys/bus/pci/drivers/p2pmem_pci/new_id; "
        ),
        DriverStep("driver_override", THREE, "p2pmem_pci"): (
            f"; echo p2pmem_pci >{DEVICE}/driver_override; "
        ),
        DriverStep("driver_override", THREE, ""): f"; echo '' >{DEVICE}/driver_override; ",
    }
    for step, words in commands.items():
        session = session_with(kernel, bound="")
        with pytest.raises(CheckFailed):
            check_step(session, step)
        assert words in guest_of(session).commands[0]


@pytest.mark.parametrize(
    ("step", "path", "shown", "good"),
    [
        (DriverStep("bar", "", "2"), BAR_PARAMETER, "2\n", True),
        (DriverStep("bar", "", "2"), BAR_PARAMETER, "auto\n", False),
        (DriverStep("driver_override", THREE, ""), f"{DEVICE}/driver_override", "(null)\n", True),
        (DriverStep("driver_override", THREE, ""), f"{DEVICE}/driver_override", "nvme\n", False),
    ],
)
def test_what_is_written_must_stay(step: DriverStep, path: str, shown: str, good: bool) -> None:
    session = session_with(Kernel(), bound="nvme")
    guest_of(session).answers[f"cat {path}"] = shown
    if good:
        assert check_step(session, step)
    else:
        with pytest.raises(CheckFailed, match=f"is '{shown.strip()}' then, not"):
            check_step(session, step)


NO_DEVICE = "sh: write error: No such device"
WARNING = "[ 9.9] WARNING: CPU: 0 PID: 61 at mm/memory_hotplug.c:396 add_pages"


@pytest.mark.parametrize(
    ("step", "kernel", "bound", "words"),
    [
        (BIND, Kernel(said=NO_DEVICE), "", f"bind` ended with 1: {NO_DEVICE}"),
        (REFUSED, replace(BOUND, log=[TOO_SMALL]), "", "was to fail with ENXIO, No such device or"),
        (REFUSED, Kernel(said=NO_DEVICE, log=[TOO_SMALL]), "", f"address, but: {NO_DEVICE}"),
        (
            replace(BIND, errno="ENODEV"),
            Kernel(said=f"{NO_DEVICE} or address"),
            "",
            f"was to fail with ENODEV, No such device, but: {NO_DEVICE} or address",
        ),
        (REFUSED, Kernel(said=f"{NO_DEVICE} or address"), "", "0 new lines of the log match"),
        (
            REFUSED,
            Kernel(said=f"{NO_DEVICE} or address", log=[TOO_SMALL, TOO_SMALL]),
            "",
            "2 new lines of the log match",
        ),
        (
            REFUSED,
            Kernel(
                said=f"{NO_DEVICE} or address",
                log=[TOO_SMALL, f"[ 9.9] p2pmem_pci {BDF[THREE]}: probe failed"],
            ),
            "",
            "the reason is not told in one line",
        ),
        (
            REFUSED,
            Kernel(said=f"{NO_DEVICE} or address", log=[WARNING, TOO_SMALL]),
            "",
            "the kernel complains: [ 9.9] WARNING",
        ),
        (
            REFUSED,
            Kernel(said=f"{NO_DEVICE} or address", log=[TOO_SMALL], memory=True),
            "",
            f"{THREE}: there is {DEVICE}/p2pmem",
        ),
        (BIND, replace(BOUND, driver=""), "", f"{THREE} has no driver then, not the driver p2p"),
        (BIND, replace(BOUND, driver="nvme"), "", f"{THREE} has the driver nvme then, not the"),
        (BIND, replace(BOUND, size=SIZE // 2), "", f"{THREE}: size is {SIZE // 2} bytes"),
        (BIND, replace(BOUND, nodes={0: ONE, 1: TWO}), "", f"expected /dev/p2pmem0 of {ONE}"),
        (BIND, replace(BOUND, nodes={0: ONE, 1: TWO, 3: THREE}), "", "/dev/p2pmem3 of d00d0003"),
        (BIND, replace(BOUND, nodes={0: TWO, 1: ONE, 2: THREE}), "", "found /dev/p2pmem1 of d00d"),
        (UNBIND, Kernel(log=[REMOVED], driver="nvme"), "nvme", "has the driver nvme then, not no"),
        (UNBIND, Kernel(log=[REMOVED], memory=True), "nvme", f"{THREE}: there is {DEVICE}/p2pmem"),
        (UNBIND, Kernel(log=[REMOVED], free=0), "nvme", f"{THREE}: 0 bytes are free before this"),
        (
            UNBIND,
            Kernel(log=[REMOVED], nodes={0: ONE, 1: TWO, 2: THREE}),
            "nvme",
            f"/dev/p2pmem2 belongs to {BDF[THREE]}, which is none of the providers",
        ),
        (
            replace(BIND, value="nvme"),
            replace(BOUND, driver="nvme", nodes={0: ONE, 1: TWO}),
            "",
            "expected /dev/p2pmem0 of d00d0001",
        ),
    ],
    ids=[
        "refused",
        "not refused",
        "another error",
        "another error that begins alike",
        "no reason",
        "two reasons",
        "a line too many",
        "warning",
        "refused, but memory taken",
        "not bound",
        "bound to another",
        "size",
        "no node",
        "number of the node",
        "nodes swapped",
        "not unbound",
        "memory left",
        "memory in use",
        "node left",
        "given back without memory",
    ],
)
def test_amiss(step: DriverStep, kernel: Kernel, bound: str, words: str) -> None:
    assert words in failure(step, kernel, bound=bound)


def test_drive_that_does_not_come_back() -> None:
    session = session_with(replace(BOUND, driver="nvme"), bound="")
    guest_of(session).answers[system_checks.LIST_DRIVES] = (
        f"{ONE} {BDF[ONE]} nvme0n1\n{TWO} {BDF[TWO]} n1n1\n"
    )
    with pytest.raises(CheckFailed, match=f"no drive with serial {THREE}"):
        check_step(session, replace(BIND, value="nvme"))


def test_a_leak_before_a_step_does_not_hide_behind_it() -> None:
    session = session_with(BOUND, bound="")
    session.pools[ONE] = SIZE - 8192
    check_step(session, BIND)
    assert session.pools[ONE] == SIZE - 8192


def test_node_that_is_no_device() -> None:
    session = session_with(BOUND, bound="")
    guest_of(session).answers["stat -c '%F %t:%T' /dev/p2pmem2"] = "regular file 0:0\n"
    with pytest.raises(CheckFailed, match="/dev/p2pmem2 is a regular file"):
        check_step(session, BIND)
