"""The table of all kernels: for a terminal, for documentation, for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from compat.row import Answer, Row
from host.files import write_text
from host.markdown import plain
from host.markdown import table as markdown_table
from host.terminal import harmless

COLUMNS = ("kernel", "from", "compiles", "verifies", "why")
HEAD = f"  {'compiles':9}{'verifies':9} kernel"
JSON_FORMAT = 1


def line(row: Row) -> str:
    """Return a row for people, on as many lines as it takes."""
    first = f"  {row.compiles.value:9}{row.verifies.value:9} {row.subject.name}"
    rest = [text for text in (row.subject.origin, row.why) if text]
    return "\n".join([first, *(f"{'':21}{harmless(text)}" for text in rest)])


def summary(rows: Sequence[Row]) -> str:
    """Return what all rows came to."""
    compiled = sum(row.compiles is Answer.YES for row in rows)
    verified = sum(row.verifies is Answer.YES for row in rows)
    refused = sum(row.compiles is Answer.REFUSED for row in rows)
    untried = sum(not row.good and not row.bad for row in rows)
    bad = sum(row.bad for row in rows)
    return (
        f"{len(rows)} kernels: {compiled} compile, {verified} of them are verified, "
        f"{refused} are refused as they have to be, {untried} could not be tried, {bad} are wrong"
    )


def write(rows: Sequence[Row], about: dict[str, str], folder: Path) -> None:
    """Write ``compat.md`` and ``compat.json``.

    Args:
        rows: of the table.
        about: when and where it was made.
        folder: where the files go.
    """
    cells = [
        [
            plain(text)
            for text in (
                row.subject.name,
                row.subject.origin,
                row.compiles.value,
                row.verifies.value,
                row.why,
            )
        ]
        for row in rows
    ]
    lines = [
        "# p2pmem_pci on every kernel",
        "",
        *(f"- {name}: {plain(text)}" for name, text in about.items()),
        "",
        f"{summary(rows)}.",
        "",
        *markdown_table(COLUMNS, cells),
    ]
    write_text(folder / "compat.md", "\n".join(lines) + "\n")
    write_text(folder / "compat.json", json.dumps(as_data(rows, about), indent=2) + "\n")


def as_data(rows: Sequence[Row], about: dict[str, str]) -> dict[str, object]:
    """Return the table as JSON has it."""
    return {
        "format": JSON_FORMAT,
        "about": about,
        "rows": [
            {
                **asdict(row.subject),
                "compiles": row.compiles.value,
                "verifies": row.verifies.value,
                "why": row.why,
                "bad": row.bad,
                "log": row.log,
            }
            for row in rows
        ],
    }
