"""The parts of the summary page, each about one kind of thing that a run leaves behind.

A part is made from whatever files are there. What is absent was not run, and what cannot be read
gets a line that says so: neither keeps the rest from being told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bundle.archive import SUFFIX, unpacked
from bundle.check import open_bundle
from bundle.names import EVIDENCE, IMAGE
from bundle.records import (
    TEST_STEPS,
    Check,
    Damaged,
    Kernel,
    Rebuild,
    Reproduction,
    Verdict,
    read_json,
    read_junit,
    read_rebuild,
    read_reproduction,
    read_step,
    read_verdict,
)
from bundle.sums import NAME as SUMS
from host.errors import LabError
from host.files import sha256_file, unfinished
from host.markdown import code_block, plain, table
from host.progress import mebibytes
from settings.paths import TESTS, VERDICT_FILE, Workspace

TAIL = 25  # lines of the last log of a build that was not finished
LISTED = 30  # rows of a table of failed checks or tests; all of them are in the files


@dataclass(frozen=True)
class Place:
    """Where a run leaves things.

    Attributes:
        build: what the stages make.
        dist: what is kept; both are in the project's folder.
    """

    build: Path
    dist: Path

    @property
    def kept(self) -> Path:
        """Copies of logs and reports, laid out as in ``build``."""
        return self.dist / "run"

    @property
    def tests(self) -> Path:
        """Records of the test steps."""
        return self.build / TESTS.name

    def name(self, path: Path) -> str:
        """Return a path for people, as Markdown."""
        return plain(str(path.relative_to(self.build.parent)))

    def verdicts(self) -> list[Path]:
        """Return all verdicts: those of builds, then those of bundles."""
        of_bundles = (
            path
            for path in self.dist.rglob(VERDICT_FILE)
            if self.kept not in path.parents and not unfinished(path)
        )
        return [*sorted(self.build.glob(f"*/verify/*/{VERDICT_FILE}")), *sorted(of_bundles)]


@dataclass
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        heads: of its table.
        intro: Markdown above the table.
        rows: of its table.
        lines: Markdown below the table.
        failed: what is not good, in a few words each, as Markdown.
    """

    title: str
    heads: tuple[str, ...]
    intro: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there was nothing to tell: it was not run."""
        return not self.intro and not self.rows and not self.lines

    def text(self) -> Iterator[str]:
        """Yield its lines."""
        yield from ("", f"## {self.title}", "", *self.intro)
        yield from table(self.heads, self.rows) if self.rows else ()
        yield from self.lines

    def damaged(self, error: Damaged, place: Place) -> None:
        """Tell of a file that cannot be read."""
        name = place.name(error.path)
        self.lines += ["", f"**Damaged:** {name}: {plain(error.message)}"]
        self.failed.append(f"{name} is damaged")


def builds(place: Place) -> Section:
    """Tell which builds are complete, and how the others ended."""
    section = Section("Builds", ("kernel", "build"))
    for root in sorted(place.build.glob("*")):
        if any((root / name).exists() for name in ("source.json", "logs", "verify")):
            _build(section, Workspace(root), place)
    return section


def _build(section: Section, at: Workspace, place: Place) -> None:
    name = plain(at.root.name)
    made = {
        "kernel": [at.bzimage],
        # The lab's, or a user's own: any of them will do.
        "module": [at.module, *at.root.glob("module-*.ko")],
        "tool": [at.tool, *at.root.glob("tool-*.program")],
        "initramfs": [at.initramfs, *at.root.glob(f"rootfs+*/{at.initramfs.name}")],
    }
    missing = [part for part, paths in made.items() if not any(path.exists() for path in paths)]
    section.rows.append([name, f"**not finished**: no {', '.join(missing)}" if missing else "done"])
    if missing:
        section.failed.append(f"the build of {name} is not finished")
        section.lines += _end_of_log(at, place)
    try:
        if at.source_record.exists():
            Kernel.of(read_json(at.source_record))
    except Damaged as error:
        section.damaged(error, place)


def _end_of_log(at: Workspace, place: Place) -> list[str]:
    logs = sorted(at.logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return []
    lines = logs[-1].read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
    return ["", f"The end of the last log, {place.name(logs[-1])}:", "", *code_block(lines)]


def verdicts(place: Place) -> Section:
    """Tell how every verification ended, and which checks did not pass."""
    heads = ("topology", "outcome", "checks passed", "seconds", "on", "started", "in")
    section = Section("Verdicts", heads)
    for path in place.verdicts():
        try:
            _verdict(section, read_verdict(path), place.name(path.parent))
        except Damaged as error:
            section.damaged(error, place)
    for folder in sorted(path for path in place.build.glob("*/verify/*") if path.is_dir()):
        if not (folder / VERDICT_FILE).exists():
            name = plain(folder.name)
            section.rows.append([name, "**no verdict**", *["-"] * 4, place.name(folder)])
            section.failed.append(f"{name}: no verdict")
    return section


def _verdict(section: Section, verdict: Verdict, where: str) -> None:
    topology, outcome = plain(verdict.topology), plain(verdict.outcome)
    missed = verdict.missed
    section.rows.append(
        [
            topology,
            outcome if verdict.passed else f"**{outcome}**",
            f"{len(verdict.checks) - len(missed)} of {len(verdict.checks)}",
            f"{verdict.seconds:.1f}",
            plain(f"{verdict.accel}, {verdict.cpu}"),
            plain(verdict.started),
            where,
        ]
    )
    if not verdict.passed:
        section.failed.append(f"{topology}: {outcome}")
        section.lines += ["", f"### {topology}: {outcome}", ""]
        section.lines += [f"In {where}: {plain(verdict.meaning)}: {plain(verdict.cause)}", ""]
        section.lines += _missed(("check", "result", "detail"), missed)


def _missed(heads: Sequence[str], checks: Sequence[Check]) -> list[str]:
    rows = [[plain(item.title), plain(item.status), plain(item.detail)] for item in checks]
    lines = table(heads, rows[:LISTED]) if rows else []
    return lines + (["", f"And {len(rows) - LISTED} more."] if len(rows) > LISTED else [])


def tests(place: Place) -> Section:
    """Tell how each step of ``doit test`` ended, and which tests failed."""
    section = Section("Tests", ("step", "result", "tests", "seconds", "started"))
    if not any((place.tests / f"{name}.json").exists() for name in TEST_STEPS):
        return section
    for name in TEST_STEPS:
        _step(section, name, place)
    return section


def _step(section: Section, name: str, place: Place) -> None:
    record, report = place.tests / f"{name}.json", place.tests / f"{name}.xml"
    if not record.exists():
        section.rows.append([name, "not run", "-", "-", "-"])
        return
    try:
        step = read_step(record)
        result, seconds, started = step.result, f"{step.seconds:.0f}", plain(step.started)
    except Damaged as error:
        section.damaged(error, place)
        result, seconds, started = "unknown", "-", "-"
    counted, all_good = _counted(section, name, report, place) if report.exists() else ("-", True)
    if result == "passed" and not all_good:
        result = "passed, but not its report"
    if result != "passed":
        section.failed.append(f"test:{name}: {result}")
        result = f"**{result}**"
    section.rows.append([name, result, counted, seconds, started])


def _counted(section: Section, name: str, report: Path, place: Place) -> tuple[str, bool]:
    """Return the numbers of a JUnit file and whether they are good; list what failed."""
    try:
        found = read_junit(report)
    except Damaged as error:
        section.damaged(error, place)
        return "report damaged", False
    if found.failed:
        section.lines += ["", f"### test:{name}", ""]
        section.lines += _missed(("test", "result", "why"), found.failed)
    text = f"{found.count}, {len(found.failed)} failed, {found.skipped} skipped"
    return text, not found.failed


def reproduction(place: Place) -> Section:
    """Tell whether two builds gave the same bytes, and how they were made unlike each other."""
    section = Section("Reproduction", ("file", "sha256 in build A", "in build B"))
    if result := _result_in(place.build / "reproduce", section, place):
        try:
            _reproduction(section, read_reproduction(result))
        except Damaged as error:
            section.damaged(error, place)
    return section


def rebuild(place: Place) -> Section:
    """Tell whether what a manifest describes came out the same here."""
    section = Section("Rebuild", ("output that differs", "because of"))
    if result := _result_in(place.build / "rebuild", section, place):
        try:
            _rebuild(section, read_rebuild(result))
        except Damaged as error:
            section.damaged(error, place)
    return section


def _result_in(folder: Path, section: Section, place: Place) -> Path | None:
    """Return the result; a folder without one is of a run that was not finished."""
    result = folder / "result.json"
    if result.exists():
        return result
    if folder.exists():
        section.intro += [f"**Not finished**: there is no {place.name(result)}.", ""]
        section.failed.append(f"{plain(folder.name)}: not finished")
    return None


def _rebuild(section: Section, found: Rebuild) -> None:
    good = found.same and not found.outputs
    told = "Every output has the sum that the manifest names" if good else "**Outputs differ**"
    section.intro += [f"{told} (built in {found.seconds:.0f} s).", ""]
    if not good:
        section.failed.append("rebuild: outputs differ")
    for name, reasons in found.outputs:
        section.rows.append([plain(name), plain(", ".join(reasons)) or "**no reason known**"])
    if found.inputs:
        rows = [[plain(text) for text in item] for item in found.inputs]
        section.lines += ["", *table(("input that differs", "there", "here"), rows)]


def _reproduction(section: Section, found: Reproduction) -> None:
    a, b = found.sums
    if found.same and a == b and a:
        told = f"Both builds gave the same {len(a)} files"
    else:
        told = "**The builds differ**"
        section.failed.append("reproduce: the builds differ")
    section.intro += [f"{told} (A in {found.seconds[0]:.0f} s, B in {found.seconds[1]:.0f} s).", ""]
    for name in sorted({*a, *b}):
        other = "the same" if a.get(name) == b.get(name) else f"**{plain(b.get(name, 'none'))}**"
        section.rows.append([plain(name), plain(a.get(name, "none")), other])
    if found.differences:
        rows = [[plain(name), plain(where)] for name, where in found.differences[:LISTED]]
        section.lines += ["", *table(("what differs", "first in"), rows)]
    variations = [
        [
            plain(item.name),
            *map(plain, item.values),
            "yes" if item.applied else f"**no**: {plain(item.reason)}",
        ]
        for item in found.variations
    ]
    section.lines += ["", *table(("variation", "build A", "build B", "applied"), variations)]


def bundles(place: Place) -> Section:
    """Check every bundle, and tell the one sum that vouches for all of its image."""
    section = Section("Bundles", ("bundle", "archive", "sha256 of image/SHA256SUMS"))
    folders = {path.parent.name for path in place.dist.glob("*/image") if not unfinished(path)}
    archives = {path.name.removesuffix(SUFFIX) for path in place.dist.glob(f"*{SUFFIX}")}
    for name in sorted(folders | archives):
        _bundle(section, place.dist / name, place)
    return section


def _bundle(section: Section, folder: Path, place: Place) -> None:
    archive = folder.with_name(f"{folder.name}{SUFFIX}")
    there = [path for path in (folder, archive) if path.exists()]
    sums = [_sums_of(path, section, place) for path in there]
    size = mebibytes(archive.stat().st_size) if archive.exists() else "**none**"
    if len(sums) > 1 and all(sums) and sums[0] != sums[1]:
        section.failed.append(f"{plain(archive.name)} is not of the folder beside it")
        size = f"{size}, **of another bundle**"
    told = sums[0].get(IMAGE, "-") if all(sums) else "**not what it claims to be**"
    section.rows.append([plain(folder.name), size, told])


def _sums_of(path: Path, section: Section, place: Place) -> dict[str, str]:
    """Return the sum of each part's ``SHA256SUMS``; none of a bundle that is not in order."""
    try:
        with unpacked(path) as folder:
            open_bundle(folder)
            lists = ((part, folder / part / SUMS) for part in (IMAGE, EVIDENCE))
            return {part: sha256_file(list_) for part, list_ in lists if list_.exists()}
    except (LabError, OSError) as error:
        section.failed.append(f"{plain(path.name)} is not what it claims to be")
        section.lines += ["", f"**Damaged:** {place.name(path)}: {plain(str(error))}"]
        return {}
