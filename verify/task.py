"""What doit runs in the verify stage."""

import sys
from pathlib import Path

from boot.artifacts import built_in
from boot.outcome import Outcome
from boot.qemu import QEMU
from boot.topology import load_topology
from host.errors import LabError
from host.terminal import printable
from host.tools import require_programs
from kernel.choice import announce
from kernel.selection import Selection
from settings.paths import accel_cache
from verify import reports
from verify.run import Inputs, verify
from verify.scenario import load_scenario
from verify.verdict import Verdict


class NotVerified(LabError):
    """The verdict is not a pass; the exit code tells how."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"verdict: {outcome.word} ({outcome.meaning})")
        self.exit_code = outcome.exit_code


def fits(selection: Selection) -> None:
    """See, before anything is built for it, that the scenario can be done on the topology.

    Raises:
        LabError: it cannot, or one of them cannot be used at all.
    """
    load_scenario(selection.scenario_file, load_topology(selection.topology_file))


def run(selection: Selection) -> Verdict:
    """Verify the build.

    Raises:
        NotVerified: the verdict is not a pass.
        LabError: nothing could be verified.
    """
    require_programs(QEMU)
    if text := announce(selection.choice):
        print(text)
    inputs = inputs_of(selection)
    return judge(inputs, kept=inputs.folder)


def judge(inputs: Inputs, *, kept: Path) -> Verdict:
    """Verify, print and write the verdict; people are told to look for it in ``kept``.

    Raises:
        NotVerified: the verdict is not a pass; it is written all the same.
        LabError: nothing could be verified.
    """
    # A bundle's may come from anywhere.
    for about in (
        f"{inputs.topology.name}: {inputs.topology.description}; cpu {inputs.cpu}",
        f"{inputs.scenario.name}: {inputs.scenario.description}",
    ):
        print(f"   {printable(about)}", flush=True)
    verdict = verify(inputs, reports.live, _say)
    reports.write_reports(verdict, inputs.folder)
    reports.print_summary(verdict, kept, sys.stdout)
    if verdict.outcome is not Outcome.PASSED:
        raise NotVerified(verdict.outcome)
    return verdict


def inputs_of(selection: Selection) -> Inputs:
    """Return what a selection asks to verify.

    Raises:
        LabError: a topology or scenario that cannot be used, or nothing has been built.
    """
    settings = selection.settings
    topology = load_topology(selection.topology_file)
    return Inputs(
        artifacts=built_in(selection.workspace),
        topology=topology,
        scenario=load_scenario(selection.scenario_file, topology),
        accel=settings.accel,
        accel_cache=accel_cache(),
        cpu=settings.cpu or topology.cpu,
        folder=selection.run_dir("verify"),
    )


def _say(text: str) -> None:
    print(text, flush=True)
