"""Markdown, as GitHub and GitLab read it, around text that nobody has vetted.

The text comes from kernel logs and error messages: it must neither end a table nor start a
heading, a link or HTML. The syntax is that of https://github.github.com/gfm/.
"""

import re
from collections.abc import Iterable, Sequence

LIMIT = 600  # characters of one text; the whole of it is in the files
# What works in the middle of a line: entities where a backslash would not do inside a table.
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "@": "&#64;"}
BACKSLASHED = frozenset("\\*[]~$")
# Between two letters an underscore means nothing, as in p2pmem_pci.
LONE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# What makes a heading, a list, or a line below a heading, at the start of a line.
BLOCK_START = re.compile(r"^(?=[#+=-])|^(?P<number>[0-9]+)(?=[.)](\s|$))")


def plain(text: str, limit: int = LIMIT) -> str:
    """Return a text on one line in which no character means anything to Markdown or HTML."""
    line = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))
    if len(line) > limit:
        line = f"{line[:limit]}…"
    line = "".join(
        ENTITIES.get(sign, f"\\{sign}" if sign in BACKSLASHED else sign) for sign in line
    )
    line = LONE_UNDERSCORE.sub(r"\\_", line)
    return BLOCK_START.sub(lambda found: f"{found['number'] or ''}\\", line)


def code_block(lines: Sequence[str], limit: int = LIMIT) -> list[str]:
    """Return lines as a block of code that none of them can end."""
    shown = [_printable(line)[:limit] for line in lines]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *shown, fence]


def _printable(line: str) -> str:
    return "".join(
        sign if sign.isprintable() else "\ufffd" for sign in line.expandtabs().rstrip("\r\n")
    )


def table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a table; the cells are Markdown already (see :func:`plain`)."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
