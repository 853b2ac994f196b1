"""What doit runs: one pass of the suite, or passes for so many minutes."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from boot.artifacts import built_in
from boot.outcome import Outcome
from boot.qemu import QEMU
from boot.topology import load_topology
from host.errors import LabError, SettingError
from host.files import remove
from host.progress import Progress
from host.tools import require_programs
from kernel.choice import announce
from kernel.selection import Selection
from settings.paths import accel_cache
from tests.lifecycle.cases import Case, chosen_cases
from tests.lifecycle.limits import is_instrumented
from tests.lifecycle.program import build_program, pack_image
from tests.lifecycle.report import Report, print_result, print_summary, write_report
from tests.lifecycle.suite import Inputs, Suite, Work

TOPOLOGY = "switch-q35"
SEEDS = 1 << 32


class NotClean(LabError):
    """A case failed, or the kernel complained; the exit code tells which."""

    def __init__(self, outcome: Outcome, cause: str) -> None:
        super().__init__(f"life cycle: {outcome.word}: {cause}")
        self.exit_code = outcome.exit_code


def lifecycle(selection: Selection) -> None:
    """Run every case once: all of them, also after one that failed.

    Raises:
        NotClean: a case did not pass.
        LabError: nothing could be run.
    """
    suite, report = _begin(selection, "lifecycle")
    with (
        _kept_if_interrupted(report),
        closing(suite.run(next(orders(report.seed, report.cases)))) as results,
    ):
        for result in results:
            report.results.append(result)
            print_result(result)
    report.passes = 1
    _end(report)


def soak(selection: Selection) -> None:
    """Run every case once, then again in random order until the minutes are over.

    Raises:
        NotClean: a case did not pass; it is the last one that was run.
        LabError: nothing could be run.
    """
    suite, report = _begin(selection, "soak")
    minutes = selection.settings.minutes
    with _kept_if_interrupted(report), Progress(f"soak, {minutes} min") as progress:
        soak_until(suite, report, time.monotonic() + 60 * minutes, progress)
    _end(report)


def soak_until(suite: Suite, report: Report, deadline: float, progress: Progress) -> None:
    """Run passes until a clock of :func:`time.monotonic`, or the first failure."""

    def enough() -> bool:
        # The first pass is always a whole one: fewer minutes do not leave cases out.
        return bool(report.passes) and time.monotonic() >= deadline

    for work in orders(report.seed, report.cases):
        left = {item.case.name for item in work}
        with closing(suite.run(work, enough)) as results:
            for result in results:
                report.results.append(result)
                left.discard(result.name)
                progress.update(
                    f"pass {report.passes + 1}, {len(report.results)} cases, {result.name}"
                )
                if not result.passed:
                    return
        if left:
            return  # the time was over in the middle of this pass
        report.passes += 1
        if enough():
            return


def orders(seed: int, chosen: Sequence[Case]) -> Iterator[list[Work]]:
    """Yield the cases with their seeds, in order first, and shuffled ever after."""
    source = random.Random(seed)
    cases = list(chosen)
    while True:
        yield [Work(case, source.randrange(1, SEEDS)) for case in cases]
        source.shuffle(cases)


def fits(selection: Selection) -> None:
    """See, before anything is built for it, that the suite has such cases and such a topology.

    Raises:
        SettingError: it has not.
    """
    chosen_cases(selection.settings.cases)
    require_topology(selection)


def require_topology(selection: Selection) -> None:
    """See that the topology is the one that the suite is made for.

    Raises:
        SettingError: it is not.
    """
    topology = selection.settings.topology
    if topology != TOPOLOGY:
        raise SettingError(
            f"the life-cycle suite plugs and unplugs drives below one switch of the q35 machine: "
            f"it runs on {TOPOLOGY}, not on {topology}",
            hint=f"leave out topology={topology}",
        )


def inputs_of(selection: Selection, folder: Path, module: Path | None = None) -> Inputs:
    """Return what a selection asks to run the suite on.

    Args:
        selection: the build.
        folder: gets a folder for each guest.
        module: takes the place of the built one.

    Raises:
        LabError: nothing has been built, or something cannot go into the root file system.
    """
    settings = selection.settings
    workspace = selection.workspace
    topology = load_topology(selection.topology_file)
    artifacts = built_in(workspace)
    packed = workspace.root / "lifecycle-image"
    image = pack_image(workspace, packed, build_program(packed / "program"), module)
    return Inputs(
        artifacts=replace(artifacts, initramfs=image),
        topology=topology,
        cpu=settings.cpu or topology.cpu,
        accel=settings.accel,
        accel_cache=accel_cache(),
        instrumented=is_instrumented(workspace.dot_config),
        folder=folder,
    )


def _begin(selection: Selection, kind: str) -> tuple[Suite, Report]:
    require_programs(QEMU)
    if text := announce(selection.choice):
        _say(text)
    folder = selection.workspace.root / kind
    path = folder / f"{kind}.json"
    remove(path)  # of an earlier run: it must not be taken for this one's
    inputs = inputs_of(selection, folder)
    suite = Suite(inputs, _say)
    report = Report(
        path=path,
        kernel=inputs.artifacts.source,
        release=inputs.artifacts.release,
        fragments=tuple(fragment.stem for fragment in selection.settings.config),
        accel=suite.accel,
        cases=tuple(chosen_cases(selection.settings.cases)),
        seed=selection.settings.seed or random.SystemRandom().randrange(1, SEEDS),
    )
    _say(f"   Linux {report.release}, {suite.accel}, seed {report.seed}")
    return suite, report


@contextmanager
def _kept_if_interrupted(report: Report) -> Iterator[None]:
    """Who stops a long run keeps what is known by then, but not as a run that has passed."""
    try:
        yield
    except KeyboardInterrupt:
        report.interrupted = True
        _tell(report)
        raise


def _tell(report: Report) -> None:
    write_report(report)
    print_summary(report)


def _end(report: Report) -> None:
    _tell(report)
    if report.outcome is not Outcome.PASSED:
        raise NotClean(report.outcome, report.cause)


def _say(text: str) -> None:
    print(text, flush=True)
