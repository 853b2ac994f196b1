"""What the suite tells people on the console, and programs in a JSON file."""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boot.outcome import Outcome
from host.files import write_text
from host.terminal import harmless
from kernel.source import SourceRecord
from tests.lifecycle.cases import Case, all_cases
from tests.lifecycle.suite import DOWN, LEAKS, Result
from verify import reports, runner

FORMAT = 1  # of the JSON file; raised when a field changes its meaning


@dataclass
class Report:
    """A run of the suite, filled as it goes on.

    Attributes:
        path: of the JSON file.
        kernel: where its source came from.
        release: what it calls itself (``uname -r``).
        fragments: what was configured on top of the lab's own.
        accel: ``kvm`` or ``tcg``.
        cases: that were to be run.
        seed: from which the seeds of all cases follow.
        passes: how often the whole suite was done.
        interrupted: whether somebody ended it before its time.
        results: of all cases, in order.
        started: on the clock of :func:`time.monotonic`.
    """

    path: Path
    kernel: SourceRecord
    release: str
    fragments: tuple[str, ...]
    accel: str
    cases: tuple[Case, ...]
    seed: int
    passes: int = 0
    interrupted: bool = False
    results: list[Result] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.monotonic() - self.started

    @property
    def bad(self) -> list[Result]:
        """What did not pass."""
        return [result for result in self.results if not result.passed]

    @property
    def missing(self) -> list[str]:
        """What was never run: cases, or the looks at a guest's end."""
        done = {result.name for result in self.results}
        wanted = [*(case.name for case in self.cases), LEAKS, DOWN]
        return [name for name in wanted if name not in done]

    @property
    def left_out(self) -> int:
        """How many cases of the suite were not to be run."""
        return len(all_cases()) - len(self.cases)

    @property
    def outcome(self) -> Outcome:
        """How it ended: a suite of which something was never run has not passed."""
        if self.bad:
            return self.bad[0].outcome
        return Outcome.FAILED if self.cause else Outcome.PASSED

    @property
    def cause(self) -> str:
        """What the first failure was, in one line."""
        if self.bad:
            return f"{self.bad[0].name}: {self.bad[0].detail}"
        if self.interrupted:
            return f"interrupted after {self.seconds:.0f} s"
        return f"never run: {', '.join(self.missing)}" if self.missing else ""

    @property
    def known(self) -> Counter[str]:
        """The complaints of the kernel that were excused, with how often."""
        return Counter(name for result in self.results for name in result.known)


def print_result(result: Result) -> None:
    """Print the line of one case as soon as it is known."""
    status = runner.Status.PASSED if result.passed else runner.Status.FAILED
    detail = "\n".join([result.detail, *(f"excused: {name}" for name in result.known)]).strip()
    if not result.passed and result.seed:
        detail += f"\nseed {result.seed}"
    reports.print_result(runner.Result(result.name, status, detail, result.seconds), sys.stdout)


def print_summary(report: Report) -> None:
    """Print the end."""
    word = report.outcome.word.upper()
    good = len(report.results) - len(report.bad)
    kernel = f"Linux {report.release}" + "".join(f" +{name}" for name in report.fragments)
    print(
        f"\n{word}: {good} of {len(report.results)} cases passed in {report.seconds:.0f} s, "
        f"{report.passes} whole passes ({kernel}, {report.accel}, seed {report.seed})"
    )
    if report.left_out:
        print(f"  only {len(report.cases)} cases of {len(all_cases())}, as cases= says")
    if report.cause and not report.bad:
        print(f"  {harmless(report.cause)}")
    for result in report.bad:
        print(f"  {result.name}: {harmless(result.detail)}")
        print(f"    seed {result.seed}, {result.log}")
    for name, count in report.known.items():
        print(f"  excused {count} times: {name}")
    print(f"  report: {report.path}", flush=True)


def write_report(report: Report) -> None:
    """Write the JSON file."""
    write_text(report.path, json.dumps(_as_data(report), indent=1) + "\n")


def _as_data(report: Report) -> dict[str, Any]:
    return {
        "kernel": report.kernel.as_data(),
        "format": FORMAT,
        "outcome": report.outcome.word,
        "exit_code": report.outcome.exit_code,
        "cause": report.cause,
        "release": report.release,
        "fragments": list(report.fragments),
        "accel": report.accel,
        "seed": report.seed,
        "left_out": report.left_out,
        "passes": report.passes,
        "seconds": round(report.seconds, 1),
        "excused": dict(report.known),
        "cases": [
            {
                "name": result.name,
                "seed": result.seed,
                "outcome": result.outcome.word,
                "seconds": round(result.seconds, 3),
                "detail": result.detail,
                "excused": list(result.known),
            }
            for result in report.results
        ],
    }
