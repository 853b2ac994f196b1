"""Parts of the summary page about the module alone: its life cycle, and the kernels it is for."""

from pathlib import Path

from bundle.records import Damaged, read_json
from bundle.sections import Place, Section
from host.markdown import plain
from settings.paths import COMPAT

PASSED = "passed"  # boot.outcome


def lifecycle(place: Place) -> Section:
    """Tell how the life-cycle suite and the soaks ended."""
    section = Section("Life cycle", ("of", "outcome", "cases", "seconds", "why"))
    folders = [path for kind in ("lifecycle", "soak") for path in place.build.glob(f"*/{kind}")]
    for folder in sorted(path for path in folders if path.is_dir()):
        try:
            _lifecycle(section, folder, place)
        except Damaged as error:
            section.damaged(error, place)
    return section


def _lifecycle(section: Section, folder: Path, place: Place) -> None:
    name, report = place.name(folder), folder / f"{folder.name}.json"
    if not report.is_file():
        section.rows.append([name, "**not finished**", "", "", ""])
        section.failed.append(f"{name} was not finished")
        return
    told = read_json(report)
    outcome, cases = told.text("outcome"), told.each("cases")
    row = [str(len(cases)), f"{told.number('seconds'):.0f}", plain(told.text("cause"))]
    section.rows.append([name, plain(outcome), *row])
    if outcome != PASSED:
        section.failed.append(f"{name}: {plain(outcome)}")


def kernels(place: Place) -> Section:
    """Tell of which kernels the table of `doit compat` was made, and which are wrong."""
    section = Section("Kernels", ("kernel that is wrong", "compiles", "verifies", "why"))
    folder = place.build / COMPAT.name
    if not folder.is_dir():
        return section
    report = folder / "compat.json"
    if not report.is_file():
        # Its headers stay for the next run, and tests leave some too: that is no table.
        return section
    try:
        rows = read_json(report).each("rows")
        bad = [row for row in rows if row.flag("bad")]
        section.intro.append(f"{len(rows)} kernels, {len(bad)} of them wrong.")
        for row in bad:
            cells = [row.text(name) for name in ("name", "compiles", "verifies", "why")]
            section.rows.append([plain(cell) for cell in cells])
            section.failed.append(f"{place.name(report)}: {plain(row.text('name'))}")
    except Damaged as error:
        section.damaged(error, place)
    return section
