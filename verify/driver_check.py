"""Check one step that changes a function's driver: by what the kernel answers, says and does."""

import errno
import os
import re
import shlex
from dataclasses import dataclass

from boot.kernel_log import complaints
from boot.topology import MODULE, NVME_DRIVER
from verify.check import require
from verify.drivers import DriverStep
from verify.session import Session
from verify.system_checks import (
    available,
    found_drives,
    found_nodes,
    require_none_registered,
    require_registered,
)

MARK = "p2plab: log"
BAR_PARAMETER = f"/sys/module/{MODULE}/parameters/bar"
NONE = "(null)"  # how the kernel shows a driver_override that there is not


def check_step(session: Session, step: DriverStep) -> str:
    """Do one step and check that it has just the effect that it should have."""
    _require_unused(session, step)
    text, path = _file(session, step)
    answer = _write(session, f"echo {shlex.quote(text)} >{path}")
    seen = [_answered(step, answer), *_logged(session, step, answer)]
    session.bound = step.after(session.bound, session.topology)
    seen += _effect(session, step)
    return "\n".join(seen)


@dataclass(frozen=True)
class _Answer:
    """What came of a command.

    Attributes:
        command: as typed.
        status: its exit status.
        said: its own words.
        logged: the lines that the kernel log got meanwhile.
    """

    command: str
    status: int
    said: str
    logged: list[str]


def _require_unused(session: Session, step: DriverStep) -> None:
    """All memory of a function that is about to go must have been given back to it."""
    if step.action != "unbind" or step.function not in session.pools:
        return
    held = [session.topology.provider(step.function)]
    now, then = available(session, held)[step.function], session.pools[step.function]
    require(
        now == then,
        f"{step.function}: {now} bytes are free before this, {then} were when it came",
    )


def _write(session: Session, command: str) -> _Answer:
    whole = (
        f"n=$(dmesg | wc -l); {command}; s=$?; echo; echo '{MARK}'; "
        "dmesg | tail -n +$((n + 1)); exit $s"
    )
    answer = session.guest.console.run(whole, session.timeouts.command)
    said, _mark, logged = answer.output.partition(f"\n{MARK}\n")
    return _Answer(command, answer.status, said.strip(), logged.splitlines())


def _answered(step: DriverStep, answer: _Answer) -> str:
    """The kernel has to take what is written, or to refuse it with the error of the step."""
    if not step.errno:
        require(answer.status == 0, f"`{answer.command}` ended with {answer.status}: {answer.said}")
        return answer.command
    wanted = f"was to fail with {step.errno}, {os.strerror(getattr(errno, step.errno))}"
    require(answer.status != 0, f"`{answer.command}` {wanted}, but did not")
    # One error's words may begin another's: "No such device or address".
    said = answer.said.rpartition(": ")[2]
    require(
        said == os.strerror(getattr(errno, step.errno)),
        f"`{answer.command}` {wanted}, but: {answer.said}",
    )
    return f"{answer.command}: {said}"


def _logged(session: Session, step: DriverStep, answer: _Answer) -> list[str]:
    """Return the line that the step wants in the kernel log; there must be no complaint in it."""
    found = complaints(answer.logged)
    require(not found, f"the kernel complains: {found[0].line if found else ''}")
    if not step.dmesg:
        return []
    fitting = [line for line in answer.logged if re.search(step.dmesg, line)]
    new = "\n".join(answer.logged) or "none"
    require(
        len(fitting) == 1,
        f"{len(fitting)} new lines of the log match {step.dmesg!r}, not 1; they are:\n{new}",
    )
    if step.errno:
        bdf = session.function(step.function).bdf
        told = [line for line in answer.logged if bdf in line]
        require(told == fitting, f"the reason is not told in one line, but:\n{new}")
    return [fitting[0].strip()]


def _file(session: Session, step: DriverStep) -> tuple[str, str]:
    """Return what is to be written, and to which file."""
    if step.action == "bar":
        return step.value, BAR_PARAMETER
    if step.action == "driver_override":
        return step.value, session.attribute(step.function, step.action)
    function = session.function(step.function)
    text = function.pci_id.replace(":", " ") if step.action == "new_id" else function.bdf
    return text, f"/sys/bus/pci/drivers/{step.value}/{step.action}"


def _effect(session: Session, step: DriverStep) -> list[str]:
    """See that each function has the driver that it should have, and what comes with it."""
    if step.action in ("bar", "driver_override"):
        if not step.errno:
            text, path = _file(session, step)
            now = session.run(f"cat {path}").strip()
            require(now == (text or NONE), f"{path} is {now!r} then, not {text or NONE!r}")
        return []
    driver, wanted = _driver(session, step.function), session.bound.get(step.function, "")
    require(driver == wanted, f"{step.function} has {_shown(driver)} then, not {_shown(wanted)}")
    if NVME_DRIVER in (step.value, driver):
        drives = found_drives(session)
        session.drives = {name: drives[name] for name in drives if name in session.bound}
    return [f"{step.function} has {_shown(driver)}", *_memory(session)]


def _driver(session: Session, function: str) -> str:
    link = session.run(f"readlink {session.attribute(function, 'driver')} || true").strip()
    return link.rpartition("/")[2]


def _shown(driver: str) -> str:
    return f"the driver {driver}" if driver else "no driver"


def _memory(session: Session) -> list[str]:
    """See that the memory of each provider, and its node, are there as long as a driver is."""
    new = [item for item in session.published if item.name not in session.nodes]
    for provider in new:
        require_registered(session, provider)
    names = [item.name for item in session.published]
    expected = {name: node for name, node in session.nodes.items() if name in names}
    for provider in new:
        expected[provider.name] = _lowest_free(expected)
    lost = [node for name, node in session.nodes.items() if name not in names]
    session.nodes = found_nodes(session, known=session.nodes.values())
    require(
        session.nodes == expected, f"expected {_listed(expected)}, found {_listed(session.nodes)}"
    )
    # Also of those that a driver was to refuse: it may have taken their memory before it failed.
    for name in [item.name for item in session.topology.providers if item.name not in names]:
        require_none_registered(session, name)
    session.pools = {name: free for name, free in session.pools.items() if name in names}
    session.pools |= available(session, new)
    return [f"{node} has gone" for node in lost] + [
        f"{session.nodes[provider.name]} is {provider.name}" for provider in new
    ]


def _lowest_free(nodes: dict[str, str]) -> str:
    numbers = (f"/dev/p2pmem{number}" for number in range(len(nodes) + 1))
    return next(node for node in numbers if node not in nodes.values())


def _listed(nodes: dict[str, str]) -> str:
    return ", ".join(f"{node} of {name}" for name, node in sorted(nodes.items())) or "none"
