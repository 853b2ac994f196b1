"""The list of checks of a verification, in the order in which they run."""

from collections.abc import Callable, Iterator

from verify import clients, images, system_checks
from verify.copy_check import check_copy
from verify.driver_check import check_step
from verify.drivers import DriverStep
from verify.own_tool import all_compared, check_own_copy
from verify.runner import Check
from verify.scenario import Copy, Scenario
from verify.session import Session


def guest_checks(scenario: Scenario) -> list[Check]:
    """Return the checks that need the guest, from its boot to its power-off."""
    return [
        Check("boot", system_checks.boot),
        Check("drives found by serial", system_checks.drives),
        Check("PCI tree as the topology says", system_checks.pci_tree),
        Check("CMBs registered, published, sized", system_checks.cmb),
        Check("module loads without a warning", system_checks.load_module),
        Check("/dev/p2pmemN belong to their functions", system_checks.nodes),
        Check("pools before the copies", system_checks.pools_before),
        *_steps(scenario),
        *(_client_checks(scenario) if scenario.clients else ()),
        Check("pools the same after the copies", system_checks.pools_after),
        Check("module unloads", system_checks.unload_module),
        Check("kernel knows of no fault of its own", system_checks.untainted),
        Check("power-off ends QEMU", system_checks.shutdown),
    ]


def image_checks(scenario: Scenario) -> list[Check]:
    """Return the checks of the drive images that the guest left behind.

    The images of a guest that went down half way prove nothing.
    """
    return [
        Check(
            "host: copied ranges are the same on both images",
            lambda session: _compared(session, scenario),
        ),
        Check(
            "host: nothing else was written",
            lambda session: images.compare_rest(session.images, session.copies, session.written),
        ),
    ]


def log_checks() -> list[Check]:
    """Return the checks of the console log: it tells about every guest, however that ended."""
    return [Check("no oops, WARN or BUG in the log", system_checks.clean_log)]


def _steps(scenario: Scenario) -> Iterator[Check]:
    """Yield a check for each step; where drivers change, the same step may come twice."""
    numbered = len(scenario.copies) < len(scenario.steps)
    reach = max((copy.offset + copy.length for copy in scenario.copies), default=0)
    for number, step in enumerate(scenario.steps, 1):
        title = f"step {number}: {step.title}" if numbered else step.title
        yield Check(title, _act(step, reach))


def _act(step: Copy | DriverStep, reach: int) -> Callable[[Session], str]:
    if isinstance(step, DriverStep):
        return lambda session: check_step(session, step)

    def copied(session: Session) -> str:
        if session.own_tool:
            return check_own_copy(session, step, reach)
        return check_copy(session, step)

    return copied


def _compared(session: Session, scenario: Scenario) -> str:
    if session.own_tool:
        return all_compared(session, scenario)
    return images.compare_copies(session.images, session.copies, scenario.copies)


def _client_checks(scenario: Scenario) -> Iterator[Check]:
    """Yield the checks with programs that nobody here wrote."""
    yield Check("lspci: PCI tree as the topology says", clients.lspci_tree)
    yield Check("nvme list: the same drives", clients.nvme_list)
    yield Check("nvme show-regs: CMBs as topology, sysfs and QEMU say", clients.nvme_registers)
    for run in clients.fio_runs(scenario):
        yield Check(run.title, _fio(run))


def _fio(run: clients.FioRun) -> Callable[[Session], str]:
    return lambda session: clients.fio(session, run)
