"""Where two ELF files differ, in the words of ELF."""

from itertools import zip_longest
from typing import IO

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

# A sum over the other sections: it differs whenever they do, and says nothing.
DERIVED = (".note.gnu.build-id", ".notes", ".gnu_debuglink", ".shstrtab")
SHOWN = 3  # names of sections, after the first


def first_difference(a: IO[bytes], b: IO[bytes]) -> str:
    """Return the first section that differs, and which others do.

    Empty if none does, or if a file is no whole ELF file.
    """
    try:
        differing = _differing(ELFFile(a), ELFFile(b))
    except (ELFError, ValueError):
        return ""
    if not differing:
        return ""
    first, *others = sorted(differing, key=lambda name: name in DERIVED)
    rest = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    also = f"; also {', '.join(others[:SHOWN])}{rest}" if others else ""
    return f"section {first}{also}"


def _differing(a: ELFFile, b: ELFFile) -> list[str]:
    """Return the names of the sections with different content, in the order of the file."""
    names = []
    for one, other in zip_longest(a.iter_sections(), b.iter_sections()):
        if one is None or other is None:
            names.append((one or other).name)
        elif one.name != other.name or one.data() != other.data():
            names.append(one.name or other.name or "0")
    return names
