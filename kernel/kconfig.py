"""Look up in a kernel's Kconfig files what a symbol depends on, for error messages."""

import re
from collections.abc import Iterator
from pathlib import Path

ENTRY = re.compile(r"(?:menu)?config\s+(\w+)$")
DEPENDS = re.compile(r"depends\s+on\s+(.*)")
BLOCK = re.compile(r"(?:if|menu|choice)\b")
BLOCK_END = re.compile(r"end(?:if|menu|choice)\b")
OTHER_ITEM = re.compile(r"(?:comment|source)\b")
HELP = re.compile(r"(?:---)?help(?:---)?$")
# May start with a digit (64BIT); y, n and m are not symbols.
SYMBOL = re.compile(r"\b\d*[A-Z][A-Z0-9_]*\b")


def dependencies(tree: Path, symbol: str) -> list[str]:
    """Return the ``depends on`` and enclosing ``if`` expressions of a symbol, as in Kconfig.

    Those around the ``source`` lines that lead to its file come first. Empty if no Kconfig file
    defines the symbol, or it depends on nothing.
    """
    entry = re.compile(rf"(?:menu)?config {re.escape(symbol)}$")
    found = []
    for path in _defining(tree, symbol):
        found += [*_around_file(tree, path), *_conditions(path, entry)]
    return list(dict.fromkeys(found))


def is_defined(tree: Path, symbol: str) -> bool:
    """Return whether any Kconfig file of the tree defines the symbol."""
    return any(True for _ in _defining(tree, symbol))


def selectors(tree: Path, symbol: str) -> list[str]:
    """Return the symbols that select this one, perhaps under a condition, sorted."""
    found = set()
    select = re.compile(rf"select {re.escape(symbol)}\b")
    for path in _kconfig_files(tree):
        if select.search(path.read_text(encoding="utf-8", errors="replace")):
            found |= {owner for owner, line in _owned(path) if select.match(line)}
    return sorted(found)


def symbols_in(expression: str) -> list[str]:
    """Return the symbols that a Kconfig expression mentions."""
    return SYMBOL.findall(expression)


def _defining(tree: Path, symbol: str) -> Iterator[Path]:
    definition = re.compile(rf"^\s*(?:menu)?config\s+{re.escape(symbol)}\s*$", re.MULTILINE)
    for path in _kconfig_files(tree):
        if definition.search(path.read_text(encoding="utf-8", errors="replace")):
            yield path


def _kconfig_files(tree: Path) -> Iterator[Path]:
    yield from sorted(tree.glob("Kconfig*"))
    # Only x86's own arch folder counts: other architectures define symbols of the same name.
    yield from sorted((tree / "arch").glob("Kconfig*"))
    skipped = ("arch", "tools", "scripts", "Documentation")
    folders = [path for path in tree.iterdir() if path.is_dir() and path.name not in skipped]
    for folder in [*sorted(folders), tree / "arch/x86"]:
        yield from sorted(folder.rglob("Kconfig*"))


def _around_file(tree: Path, path: Path) -> list[str]:
    """Return the conditions under which a file is read, from the outermost file inwards."""
    text = f'source "{path.relative_to(tree)}"'
    for parent in _kconfig_files(tree):
        if text in parent.read_text(encoding="utf-8", errors="replace"):
            line = re.compile(re.escape(text) + "$")
            return [*_around_file(tree, parent), *_conditions(parent, line)]
    return []


def _conditions(path: Path, item: re.Pattern[str]) -> list[str]:
    """Walk one Kconfig file; return the conditions around an item and its own ``depends on``."""
    found: list[str] = []
    blocks: list[list[str]] = []  # conditions of the blocks that are open, innermost last
    owner: list[str] = []  # where a `depends on` belongs: to the item that was begun last
    for line in _statements(path):
        if BLOCK_END.match(line):
            blocks = blocks[:-1]
            owner = []
        elif BLOCK.match(line):
            owner = [line.removeprefix("if ")] if line.startswith("if ") else []
            blocks.append(owner)
        elif item.match(line):
            owner = found
            found += [condition for block in blocks for condition in block]
        elif ENTRY.match(line) or OTHER_ITEM.match(line):
            owner = []
        elif depends := DEPENDS.match(line):
            owner.append(depends[1])
    return found


def _owned(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each statement with the symbol whose entry it may belong to."""
    owner = ""
    for line in _statements(path):
        if entry := ENTRY.match(line):
            owner = entry[1]
        yield owner, line


def _statements(path: Path) -> Iterator[str]:
    """Return the lines, single-spaced, with continuations joined and help texts left out."""
    text = path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
    help_column: int | None = None  # of `help`; its text is what is indented more
    for line in text.expandtabs(8).splitlines():
        statement = " ".join(line.split())
        column = len(line) - len(line.lstrip())
        if not statement or (help_column is not None and column > help_column):
            continue
        help_column = column if HELP.match(statement) else None
        if help_column is None:
            yield statement
