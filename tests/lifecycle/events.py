"""What can happen to a function whose memory somebody holds: started in the background, awaited.

An event may hang: that is what the suite is for. So it runs in a process of its own in the guest,
and one that does not end is reported with what it waits for.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from boot.qemu import controller, subsystem
from boot.qmp import QmpError
from tests.lifecycle.rig import PROGRAM, SYSFS, Rig
from verify.check import CheckFailed, require

OUT = "/run/event"
EJECT_STEP = 0.05  # seconds between two looks whether QEMU has let go of a device


@dataclass(frozen=True)
class Ended:
    """How an event ended.

    Attributes:
        begun: when it was started, in ns of the guest's monotonic clock.
        ended: when it was over.
        error: name of its errno, ``0`` for none.
    """

    begun: int
    ended: int
    error: str


def _nothing(_rig: Rig) -> None:
    """Leave the guest as it is."""


@dataclass(frozen=True)
class Event:
    """Something that happens to the function.

    Attributes:
        name: what it is called.
        words: what ``p2pmem-lifecycle event OUT`` gets, as a shell reads it; the second argument
            stands for the holder's process.
        revokes: whether the function's memory is taken from its holders.
        error: the errno that it has to end with.
        orderly: whether transfers come to a good end; else they only have to end.
        from_host: what the host does once the guest watches.
        undo: brings the function back.
    """

    name: str
    words: Callable[[Rig, str], list[str]]
    revokes: bool
    error: str = "0"
    orderly: bool = True
    from_host: Callable[[Rig], None] = _nothing
    undo: Callable[[Rig], None] = _nothing

    def command(self, rig: Rig, holder: str) -> str:
        """Return the command that lets it begin in the guest, and ends at once."""
        return " ".join([PROGRAM, "event", OUT, *self.words(rig, holder)])

    def ended(self, rig: Rig, seconds: float) -> Ended | None:
        """Wait for its end; returns None if it does not come."""
        answer = rig.ask(f"{PROGRAM} await {OUT} {seconds}", seconds + rig.limits.command)
        if answer.status:
            return None
        begin, end = (line.split() for line in answer.output.splitlines())
        return Ended(int(begin[1]), int(end[1]), end[2])

    def finish(self, rig: Rig, holder: str, what: str) -> Ended:
        """Wait for its end.

        Raises:
            CheckFailed: it hangs; says where, and what the holder does meanwhile.
        """
        if found := self.ended(rig, rig.limits.event):
            return found
        address = rig.address(rig.provider.name)
        text = rig.run(f"cat {OUT}").split()
        raise CheckFailed(
            f"{self.name} of {address} did not end within {rig.limits.event:.0f} s; "
            f"{_doing(rig, 'it', text[2])}; {_doing(rig, f'the holder ({what})', holder)}"
        )


def _doing(rig: Rig, who: str, process: str) -> str:
    """Tell what a process of the guest is at, as far as the kernel says so."""
    at = f"/proc/{process}"
    # /proc/PID/stack is there only on kernels with stack traces.
    answer = rig.ask(
        f"sed -n 's/^State:[[:space:]]*//p' {at}/status; cat {at}/wchan; echo; "
        f"cat {at}/stack 2>/dev/null"
    )
    state, wait, *stack = [*answer.output.splitlines(), "", ""]
    calls = " < ".join(line.split()[-1] for line in stack if line.strip())
    where = calls or (wait if wait not in ("", "0") else "")
    return f"{who}, process {process}, is in state {state or 'gone'}" + (
        f", in {where}" if where else ""
    )


def _writes(path: str, text: str = "1") -> Callable[[Rig, str], list[str]]:
    """Return the words that write to a file below the function's directory."""
    return lambda rig, _holder: ["write", f"{rig.sysfs}/{path}", text]


def _unbind(rig: Rig, _holder: str) -> list[str]:
    return ["write", f"{SYSFS}/drivers/nvme/unbind", rig.address(rig.provider.name)]


def _bind(rig: Rig) -> None:
    rig.run(f"echo {rig.address(rig.provider.name)} >{SYSFS}/drivers/nvme/bind")


def _rescan(rig: Rig) -> None:
    rig.run(f"echo 1 >{SYSFS}/rescan")


def _reset_controller(rig: Rig, _holder: str) -> list[str]:
    controller = rig.block(rig.provider).removeprefix("/dev/").rpartition("n")[0]
    return ["write", f"/sys/class/nvme/{controller}/reset_controller", "1"]


def _reset_function(rig: Rig, _holder: str) -> list[str]:
    """Let the kernel take a function-level reset, and nothing else that it has for a reset."""
    rig.run(f"echo flr >{rig.sysfs}/reset_method")
    return ["write", f"{rig.sysfs}/reset", "1"]


def _unplug(rig: Rig) -> None:
    rig.guest.qmp.execute("device_del", id=controller(rig.provider.serial))


def _plug(rig: Rig) -> None:
    drive = rig.provider
    _await_ejected(rig, controller(drive.serial))
    rig.guest.qmp.execute(
        "device_add",
        driver="nvme",
        id=controller(drive.serial),
        bus=drive.parent,
        addr=f"{drive.addr:#x}",
        subsys=subsystem(drive.serial),
        serial=drive.serial,
        cmb_size_mb=drive.cmb_mib,
    )


def _await_ejected(rig: Rig, device: str) -> None:
    """The guest has let go of the device a moment before QEMU does."""
    limit = time.monotonic() + rig.limits.event
    while True:
        try:
            rig.guest.qmp.execute("qom-list", path=f"/machine/peripheral/{device}")
        except QmpError:
            return
        require(time.monotonic() < limit, f"QEMU has not let go of {device}")
        time.sleep(EJECT_STEP)


def _surprise(rig: Rig, _holder: str) -> list[str]:
    port = f"{SYSFS}/devices/{rig.address(rig.provider.parent)}"
    return ["surprise", port, f"{rig.sysfs}/remove"]


def _power_on(rig: Rig) -> None:
    port = f"{SYSFS}/devices/{rig.address(rig.provider.parent)}"
    rig.program("power", port, "on")
    _rescan(rig)


def _reload(rig: Rig) -> None:
    """With the holder gone it must work, and give the nodes their numbers again."""
    rig.run(f"rmmod {rig.module} && modprobe {rig.module}")


EVENTS = (
    Event("driver unbind", _unbind, revokes=True, undo=_bind),
    Event("PCI remove", _writes("remove"), revokes=True, undo=_rescan),
    Event(
        "device_del",
        lambda rig, _holder: ["gone", rig.sysfs],
        revokes=True,
        from_host=_unplug,
        undo=_plug,
    ),
    Event("surprise removal", _surprise, revokes=True, orderly=False, undo=_power_on),
    Event("controller reset", _reset_controller, revokes=False),
    Event("function-level reset", _reset_function, revokes=False, orderly=False),
    Event(
        "rmmod", lambda rig, _holder: ["rmmod", rig.module], revokes=False, error="EAGAIN",
        undo=_reload,
    ),
    Event("SIGKILL", lambda _rig, holder: ["kill", holder], revokes=False),
)  # fmt: skip
KILLS = "SIGKILL"
RESET = "function-level reset"
