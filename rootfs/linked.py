"""What the linker put into the static tool besides the tool's own objects."""

from pathlib import Path

from host.errors import LabError
from host.stamps import stamp_of


def linked_files(record: Path) -> list[Path]:
    """Return the machine's objects and archives that a program was linked from, links resolved.

    Args:
        record: what ``ld --dependency-file=`` wrote, a rule of make with one file per line
            (``Workspace.tool_links``). Files that lie beside it are the program's own objects
            and are left out.

    Raises:
        LabError: there is no such record, or nothing in it.
    """
    try:
        rule = record.read_text(encoding="utf-8", errors="surrogateescape").partition("\n\n")[0]
    except OSError as error:
        raise LabError(
            f"cannot read what the linker wrote: {record}: {error.strerror}",
            hint="the task that builds the tool makes it: run `doit tool`",
        ) from error
    lines = rule.splitlines()[1:]  # the first one is the target
    named = [Path(line.removesuffix("\\").strip()).resolve() for line in lines]
    own = record.parent.resolve()
    found = list(dict.fromkeys(path for path in named if not path.is_relative_to(own)))
    if not found:
        raise LabError(f"{record} names no library that the tool was linked with")
    return found


def stamps_of_linked(record: Path) -> list[str]:
    """Return place, size and time of each linked file; none if the tool was not built yet.

    An upgrade of the C library makes another tool, although no source of it has changed.
    """
    try:
        return [stamp_of(path) for path in linked_files(record)]
    except LabError:
        return []
