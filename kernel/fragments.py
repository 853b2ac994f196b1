"""Kconfig fragments: what they ask for, and what became of it in the final configuration.

A comment that begins with ``# where it exists`` makes the lines below it, up to the next empty
line, optional: a kernel that has no such symbol does without. Where the symbol exists they have to
stick like any other line.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from host.errors import LabError

SET = re.compile(r"CONFIG_(\w+)=(.+)")
UNSET = re.compile(r"# CONFIG_(\w+) is not set")
OPTIONAL = re.compile(r"#\s*where it exists\b")
OFF = "n"


class FragmentError(LabError):
    """A line of a fragment is not Kconfig syntax."""


@dataclass(frozen=True)
class Request:
    """One line of a fragment.

    Attributes:
        symbol: the name without ``CONFIG_``.
        value: as written after ``=``; ``n`` where the line says "is not set".
        origin: ``file:line``.
        optional: a kernel without this symbol does without it.
    """

    symbol: str
    value: str
    origin: str
    optional: bool = False


@dataclass(frozen=True)
class Unstuck:
    """A request that the final configuration does not have."""

    request: Request
    actual: str


def read_fragment(path: Path) -> list[Request]:
    """Return the requests of one fragment.

    Raises:
        FragmentError: a line is neither a comment nor an assignment.
    """
    requests = []
    optional = False
    for number, line in enumerate(_lines(path), 1):
        optional = bool(line) and (optional or bool(OPTIONAL.match(line)))
        found = _assignment(line)
        if found:
            requests.append(Request(*found, f"{path.name}:{number}", optional))
        elif line and not line.lstrip().startswith("#"):
            raise FragmentError(
                f"{path}:{number}: {line!r} is not a line of a Kconfig fragment",
                hint="write CONFIG_NAME=y, or # CONFIG_NAME is not set, at the start of the line",
            )
    return requests


def read_config(path: Path) -> dict[str, str]:
    """Return symbol -> value of a finished ``.config``; symbols that are off are left out."""
    found = map(_assignment, _lines(path))
    return {symbol: value for symbol, value in filter(None, found) if value != OFF}


def merged(base: str, requests: Iterable[Request]) -> str:
    """Return the text of a ``.config`` with the requests put in, later ones winning.

    Done here, not by the kernel's merge_config.sh: that one splits paths at blanks, and joins
    the last line of a fragment without a newline to the first of the next.
    """
    final = {request.symbol: request.value for request in requests}
    kept = [line for line in base.splitlines() if (_assignment(line) or ("",))[0] not in final]
    asked = [
        f"# CONFIG_{symbol} is not set" if value == OFF else f"CONFIG_{symbol}={value}"
        for symbol, value in final.items()
    ]
    # At the end: of the members of a choice, Kconfig takes the one that is named last.
    return "\n".join([*kept, *asked]) + "\n"


def unstuck(requests: Iterable[Request], config: dict[str, str]) -> list[Unstuck]:
    """Return the requests that did not survive ``olddefconfig``; a later request wins."""
    final = {request.symbol: request for request in requests}
    pairs = ((request, config.get(request.symbol, OFF)) for request in final.values())
    return [Unstuck(request, actual) for request, actual in pairs if request.value != actual]


def _lines(path: Path) -> list[str]:
    # Only the right end is stripped: Kconfig ignores a line that is indented.
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line.rstrip() for line in text.splitlines()]


def _assignment(line: str) -> tuple[str, str] | None:
    if match := SET.fullmatch(line):
        return match[1], match[2]
    if match := UNSET.fullmatch(line):
        return match[1], OFF
    return None
