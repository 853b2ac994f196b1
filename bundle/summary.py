"""The task ``summary``: what a run left behind in one folder, and a page about it for people."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from bundle import module_sections, sections
from bundle.leftovers import gather
from bundle.records import Damaged, Kernel, read_json
from bundle.sections import Place, Section
from host.errors import LabError
from host.files import unfinished, write_text
from host.markdown import plain, table

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file that GitHub shows as a step's summary


class NothingRun(LabError):
    """There is nothing to summarise."""


def run(build: Path, dist: Path) -> None:
    """Gather logs and reports in ``dist/run``, and write ``dist/summary.md``.

    The same text is appended to the file that ``GITHUB_STEP_SUMMARY`` names. Whether the run was
    good makes no difference here.

    Args:
        build: what the stages made.
        dist: what is kept; beside ``build``.

    Raises:
        NothingRun: nothing has been run so far; the page says so too.
    """
    place = Place(build, dist)
    copies = gather(place.build, place.kept)
    parts = [
        sections.builds(place),
        sections.verdicts(place),
        sections.tests(place),
        sections.bundles(place),
        sections.reproduction(place),
        sections.rebuild(place),
        module_sections.lifecycle(place),
        module_sections.kernels(place),
    ]
    text = "\n".join([*_page(_kernels(place), parts), *_contents(place, copies), ""])
    page = place.dist / "summary.md"
    write_text(page, text)
    if named := os.environ.get(STEP_SUMMARY):
        with Path(named).open("a", encoding="utf-8") as stream:
            stream.write(text)
    print(f"summary: {page}\nlogs and reports: {place.kept}")
    if all(part.empty for part in parts):
        raise NothingRun("nothing has been run here", hint="./doit verify, ./doit test")


def _page(kernels: Iterable[Kernel], parts: Sequence[Section]) -> Iterator[str]:
    yield "# p2plab"
    for kernel in kernels:
        yield from ("", _kernel_line(kernel))
    yield ""
    failed = [what for part in parts for what in part.failed]
    absent = [part.title for part in parts if part.empty]
    if failed:
        yield f"**Not good:** {'; '.join(failed)}."
    elif len(absent) < len(parts):
        yield "All that was run passed."
    if absent:
        yield f"Not run: {', '.join(absent)}."
    for part in parts:
        yield from () if part.empty else part.text()


def _contents(place: Place, copies: Sequence[Path]) -> Iterator[str]:
    """Yield where to find what."""
    if not copies:
        return
    ordered = sorted(copies, key=lambda path: (path.parent, path.name))
    folders = groupby(ordered, key=lambda path: path.parent)
    rows = [
        [place.name(place.kept / folder), plain(", ".join(path.name for path in files))]
        for folder, files in folders
    ]
    yield from ("", "## Files", "", *table(("in", "there are"), rows))


def _kernels(place: Place) -> list[Kernel]:
    """Return every kernel on record, those first that nobody asked for."""
    found: dict[tuple[str, str], Kernel] = {}
    for kernel in _recorded_kernels(place):
        found.setdefault((kernel.asked, kernel.used), kernel)
    return sorted(found.values(), key=lambda kernel: not kernel.reason)


def _recorded_kernels(place: Place) -> Iterator[Kernel]:
    """Yield the kernels of all records but the damaged ones, of which the sections tell."""
    for path in sorted(place.build.glob("*/source.json")):
        try:
            yield Kernel.of(read_json(path))
        except Damaged:
            continue
    manifests = sorted(place.dist.glob("*/image/manifest.json"))
    for path in (*place.verdicts(), *(path for path in manifests if not unfinished(path))):
        try:
            yield Kernel.of(read_json(path).within("kernel"))
        except Damaged:
            continue


def _kernel_line(kernel: Kernel) -> str:
    package = f", {kernel.package}" if kernel.package else ""
    used = f"asked {plain(kernel.asked)}, used {plain(kernel.used)}"
    used += f" {plain(f'(Linux {kernel.version}{package})')}"
    if not kernel.reason:
        return f"Kernel: {used}."
    return f"**Not the kernel that was asked for:** {used}, because {plain(kernel.reason)}"
