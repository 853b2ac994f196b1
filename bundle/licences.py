"""Licences of packages: of those that the lab is known to ship, and as packages themselves tell.

What is neither known nor told is left open: a guess would be worse than a gap that shows.
"""

import re
from pathlib import Path

KERNEL = "GPL-2.0-only WITH Linux-syscall-note"  # its own COPYING
LAB = "GPL-2.0-only"  # LICENSE; module and tool say so in every file
# By source package, of what it puts into an image; not of the programs that it also holds (gcc
# itself has no exception). Each from the copyright file of Debian's package.
SHIPPED = (
    (r"busybox", "GPL-2.0-only"),
    (r"glibc", "LGPL-2.1-or-later"),
    (r"gcc-[0-9]+", "GPL-3.0-or-later WITH GCC-exception-3.1"),
)
DOCS = Path("/usr/share/doc")
# https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/, known as DEP-5
MACHINE_READABLE = re.compile(r"Format(-Specification)?:.*(copyright-format|dep5)", re.I)


def shipped(source: str) -> str:
    """Return the SPDX expression for what a source package puts into an image; empty if unknown."""
    return next((name for form, name in SHIPPED if re.fullmatch(form, source)), "")


def told(package: str) -> list[str]:
    """Return the licences that a package's copyright file names, as it writes them, sorted.

    There are none if there is no such file, or not one for machines.
    """
    try:
        text = (DOCS / package / "copyright").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    head = text.lstrip().partition("\n\n")[0]
    if not any(MACHINE_READABLE.match(line) for line in head.splitlines()):
        return []
    # Only the first line of a field is the licence's name; its text follows, indented.
    names = re.findall(r"^License:[ \t]*(\S.*?)[ \t]*$", text, re.M)
    return sorted(set(names))
