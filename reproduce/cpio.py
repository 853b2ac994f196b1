"""Where two initramfs archives differ.

The format is the "newc" one of Documentation/driver-api/early-userspace/buffer-format.rst: for
each member a header of thirteen eight-digit hexadecimal fields, its name, and its content.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

MAGICS = (b"070701", b"070702")
FIELDS = (
    "ino", "mode", "uid", "gid", "nlink", "mtime", "filesize",
    "maj", "min", "rmaj", "rmin", "namesize", "chksum",
)  # fmt: skip
DIGITS = 8
HEADER = len(MAGICS[0]) + DIGITS * len(FIELDS)
TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Member:
    """One member: its header, its name and its content."""

    header: dict[str, int]
    name: str
    content: bytes


def members(archive: bytes) -> Iterator[Member]:
    """Yield the members up to the trailer; of a damaged archive those before the damage."""
    place = 0
    while archive[place : place + len(MAGICS[0])] in MAGICS:
        start, digits = place + len(MAGICS[0]), archive[place : place + HEADER]
        if len(digits) < HEADER:
            return
        texts = (archive[start + i * DIGITS : start + (i + 1) * DIGITS] for i in range(len(FIELDS)))
        try:
            header = dict(zip(FIELDS, (int(text, 16) for text in texts), strict=True))
        except ValueError:
            return
        end_of_name = place + HEADER + header["namesize"]
        name = archive[place + HEADER : end_of_name].rstrip(b"\0").decode(errors="replace")
        content = _aligned(end_of_name)
        if name == TRAILER:
            return
        yield Member(header, name, archive[content : content + header["filesize"]])
        place = _aligned(content + header["filesize"])


def first_difference(a: bytes, b: bytes) -> str:
    """Return the first member that differs, and what of it; empty if none does."""
    for one, other in zip_longest(members(a), members(b)):
        if one is None or other is None:
            return f"member {(one or other).name} is only in {'B' if one is None else 'A'}"
        if one.name != other.name:
            return f"member {one.name} in A, {other.name} in its place in B"
        if one.content != other.content:
            return f"member {one.name}: its content"
        for field in FIELDS:
            if one.header[field] != other.header[field]:
                values = f"{one.header[field]} in A, {other.header[field]} in B"
                return f"member {one.name}: {field} is {values}"
    return ""


def _aligned(place: int) -> int:
    return (place + 3) // 4 * 4
