"""Check one step that changes a function's driver: by what the kernel answers, says and does."""

import errno
import os
import re
import shlex

from boot.kernel_log import complaints
from boot.topology import MODULE
from verify.check import CheckFailed, require
from verify.drivers import DriverStep
from verify.session import Session
from verify.system_checks import available, found_drives, found_nodes, require_registered

BAR_PARAMETER = f"/sys/module/{MODULE}/parameters/bar"
NONE = "(null)"  # how the kernel shows a driver_override that there is not


def check_step(session: Session, step: DriverStep) -> str:
    """Do one step and check that it has just the effect that it should have."""
    _require_unused(session, step)
    before = _messages(session)
    words = [_written(session, step), *_logged(session, step, before)]
    session.bound = step.after(session.bound, session.topology)
    words += _effect(session, step)
    return "; ".join(filter(None, words))


def _require_unused(session: Session, step: DriverStep) -> None:
    """All memory of a function that is about to go must have been given back to it."""
    if step.action != "unbind" or step.function not in session.pools:
        return
    now, then = available(session)[step.function], session.pools[step.function]
    require(
        now == then,
        f"{step.function}: {now} bytes are free before this, {then} were when it came",
    )


def _messages(session: Session) -> int:
    return int(session.run("dmesg | wc -l"))


def _written(session: Session, step: DriverStep) -> str:
    """Write to the file of sysfs; the kernel has to answer as the step says."""
    text, path = _file(session, step)
    command = f"echo {shlex.quote(text)} >{path}"
    answer = session.guest.console.run(command, session.timeouts.command)
    said = answer.output.strip()
    if not step.errno:
        require(answer.status == 0, f"`{command}` ended with {answer.status}: {said}")
        return command
    require(answer.status != 0, f"`{command}` was to fail with {step.errno}, but did not")
    words = os.strerror(getattr(errno, step.errno))
    require(words in said, f"`{command}` was to fail with {step.errno} ({words}), but: {said}")
    return f"{command}: {words}"


def _file(session: Session, step: DriverStep) -> tuple[str, str]:
    """Return what is to be written, and to which file."""
    if step.action == "bar":
        return step.value, BAR_PARAMETER
    if step.action == "driver_override":
        return step.value, session.attribute(step.function, step.action)
    function = session.function(step.function)
    text = function.pci_id.replace(":", " ") if step.action == "new_id" else function.bdf
    return text, f"/sys/bus/pci/drivers/{step.value}/{step.action}"


def _logged(session: Session, step: DriverStep, before: int) -> list[str]:
    """Return the line that the step wants in the kernel log; there must be no complaint in it."""
    lines = session.run(f"dmesg | tail -n +{before + 1}").splitlines()
    found = complaints(lines)
    require(not found, f"the kernel complains: {found[0].line if found else ''}")
    if not step.dmesg:
        return []
    fitting = [line.strip() for line in lines if re.search(step.dmesg, line)]
    if len(fitting) != 1:
        new = "\n".join(lines) or "nothing"
        raise CheckFailed(
            f"{len(fitting)} lines of the log match {step.dmesg!r}, not 1; new: {new}"
        )
    return fitting


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
    session.drives = {
        name: drive for name, drive in found_drives(session).items() if name in session.bound
    }
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
    session.nodes = found_nodes(session)
    require(
        session.nodes == expected, f"expected {_listed(expected)}, found {_listed(session.nodes)}"
    )
    session.pools = available(session)
    return [f"{node} has gone" for node in lost] + [
        f"{session.nodes[provider.name]} is {provider.name}" for provider in new
    ]


def _lowest_free(nodes: dict[str, str]) -> str:
    numbers = (f"/dev/p2pmem{number}" for number in range(len(nodes) + 1))
    return next(node for node in numbers if node not in nodes.values())


def _listed(nodes: dict[str, str]) -> str:
    return ", ".join(f"{node} of {name}" for name, node in sorted(nodes.items())) or "none"
