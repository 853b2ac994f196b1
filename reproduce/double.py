"""Build the image part twice, in surroundings as different as this machine allows; compare."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bundle.errors import OutputsDiffer
from bundle.sums import NAME as SUMS
from host.files import remove, sha256_file, write_text
from host.progress import Progress
from kernel.selection import Selection
from reproduce.build import Built, build_image, copied
from reproduce.difference import Difference, differences
from reproduce.diffoscope import write_report
from reproduce.mounts import mounts_below, unmount
from reproduce.surroundings import Surroundings
from reproduce.variations import Variation, variations
from settings.paths import BUILD, PROJECT

SCRATCH = BUILD / "reproduce"
RESULT = "result.json"


@dataclass(frozen=True)
class Tried:
    """A variation, and why it was not applied; empty if it was."""

    variation: Variation
    reason: str


def emptied(scratch: Path) -> Path:
    """Return the scratch directory, empty: without what an earlier run left or still has mounted.

    Raises:
        LabError: an old mount cannot be undone.
    """
    release(scratch)
    remove(scratch)
    scratch.mkdir(parents=True)
    return scratch


def release(scratch: Path) -> None:
    """Undo what a killed run has left mounted.

    Raises:
        LabError: an old mount cannot be undone.
    """
    for where in mounts_below(scratch):
        unmount(where)


def surroundings_of(
    scratch: Path, jobs: int
) -> tuple[tuple[Surroundings, Surroundings], list[Tried]]:
    """Return the surroundings of build A and of build B, with all variations that work here.

    Raises:
        LabError: the scratch directory cannot be used.
    """
    plain = Surroundings("probe-a", jobs), Surroundings("probe-b", jobs)
    pair, tried = plain, []
    with Progress("reproduce") as progress:
        for variation in variations(scratch, jobs):
            progress.update(f"trying: {variation.name}")
            reason = variation.possible(plain, scratch)
            tried.append(Tried(variation, reason))
            if not reason:
                pair = variation.change[0](pair[0]), variation.change[1](pair[1])
        progress.update("trying: all together")
        # Each was seen alone, but the builds run in all of them, where one could undo another.
        return pair, [_together(item, pair, scratch) for item in tried]


def _together(tried: Tried, pair: tuple[Surroundings, Surroundings], scratch: Path) -> Tried:
    reason = "" if tried.reason else tried.variation.unseen(pair, scratch)
    return replace(tried, reason=f"only alone: {reason}") if reason else tried


def table(tried: Iterable[Tried]) -> str:
    """Return the variations for people: what they are in A and in B, and whether applied."""
    rows = [("variation", "build A", "build B", "")]
    for item in tried:
        name, (a, b) = item.variation.name, item.variation.values
        rows.append((name, a, b, f"not applied: {item.reason}" if item.reason else "applied"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = (
        "  ".join(
            [*(text.ljust(width) for text, width in zip(row[:3], widths, strict=True)), row[3]]
        )
        for row in rows
    )
    return "\n".join(f"   {line}".rstrip() for line in lines)


def run(selection: Selection, scratch: Path = SCRATCH) -> None:
    """Build twice and compare; results are in ``build/reproduce/``.

    Raises:
        OutputsDiffer: a file differs; the message names the first one and where it differs.
        LabError: a build failed.
    """
    emptied(scratch)
    pair, tried = surroundings_of(scratch, selection.settings.jobs)
    print(table(tried), flush=True)
    build_both(selection, pair, tried, scratch)


def build_both(
    selection: Selection,
    pair: tuple[Surroundings, Surroundings],
    tried: Sequence[Tried],
    scratch: Path,
    project: Path = PROJECT,
) -> None:
    """Build in both surroundings and compare.

    Raises:
        OutputsDiffer: a file differs; the message names the first one and where it differs.
        LabError: a build failed.
    """
    # Both at the start: who edits a file meanwhile must not be told that a build differs.
    copies = [
        copied(selection, surroundings, scratch, name, project)
        for name, surroundings in zip("ab", pair, strict=True)
    ]
    built = []
    for copy in copies:
        built.append(build_image(copy))
        print(f"   build {copy.name.upper()}: {built[-1].seconds:.0f} s", flush=True)
    a, b = built
    found = differences(a.image, b.image)
    _write_result(scratch / RESULT, tried, (a, b), found)
    if found:
        print(f"   {write_report(found, a.image, b.image, scratch)}", flush=True)
        raise OutputsDiffer(
            "\n".join([f"the two builds differ, first in {found[0]}", *others(found)]),
            hint=f"both images, logs and copies are in {scratch}",
        )
    for copy in copies:
        remove(copy.home)
    print(f"   {same(a)}", flush=True)


def same(built: Built) -> str:
    """Return the good news, with the sum that stands for all files."""
    count = len(built.sums)
    return f"the same bytes: {count} files, sum of {SUMS} {sha256_file(built.image / SUMS)}"


def others(found: Sequence[Difference]) -> list[str]:
    """Return lines about all differing files but the first."""
    return [f"  also: {item}" for item in found[1:]]


def _write_result(
    path: Path, tried: Iterable[Tried], built: tuple[Built, Built], found: Sequence[Difference]
) -> None:
    data = {
        "same": not found,
        "differences": [{"file": item.name, "where": item.where} for item in found],
        "variations": [
            {
                "name": item.variation.name,
                "a": item.variation.values[0],
                "b": item.variation.values[1],
                "applied": not item.reason,
                "reason": item.reason,
            }
            for item in tried
        ],
        "builds": {
            name: {"seconds": round(one.seconds, 1), "sums": one.sums}
            for name, one in zip("ab", built, strict=True)
        },
    }
    write_text(path, json.dumps(data, indent=2) + "\n")
