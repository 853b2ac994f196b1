"""Which of the machine's own files a root file system was packed with; doit asks at every start."""

from collections.abc import Mapping
from pathlib import Path

from host.errors import LabError
from host.files import write_text
from host.stamps import stamp_of


def write_packed(record: Path, files: Mapping[str, Path]) -> None:
    """Write down the files, one a line: where it is in the guest, and where it came from."""
    write_text(record, "".join(f"{target}\t{source}\n" for target, source in files.items()))


def packed_files(record: Path) -> dict[str, Path]:
    """Return the files that a root file system was packed with, by their place in the guest.

    Args:
        record: what :func:`write_packed` wrote (``Workspace.packed``).

    Raises:
        LabError: there is no such record.
    """
    try:
        lines = record.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise LabError(
            f"cannot read what was packed: {record}: {error.strerror}",
            hint="the task that packs makes it: run `doit initramfs`",
        ) from error
    pairs = (line.partition("\t") for line in lines)
    return {target: Path(source) for target, _, source in pairs}


def stamps_of_packed(record: Path) -> list[str]:
    """Return place, size and time of each of these files; none if nothing was packed yet.

    An upgrade of a library makes another image, although nothing else has changed.
    """
    try:
        return [stamp_of(path) for path in packed_files(record).values()]
    except LabError:
        return []
