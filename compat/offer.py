"""Which kernels apt offers: sources that can be built whole, and headers to compile against."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from host.errors import LabError
from host.process import ProgramFailed, output_of
from kernel.apt import offered
from kernel.apt_lists import Lists
from kernel.version import OLDEST

FLAVOURS = ("amd64", "cloud-amd64", "rt-amd64")
HEADERS = re.compile(rf"linux-headers-(\d+)\.(\d+)\S*?-({'|'.join(FLAVOURS)})")
# What `apt-cache madison` prints: package | version | mirror suite/component architecture Packages
OFFER = re.compile(r"^\s*(\S+) \| +(\S+) \| \S+ ([^/\s]+)/\S+ \S+ Packages$", re.M)
# The kernel's image and what installs it: whoever compiles against headers needs neither.
NOT_FOR_COMPILING = ("linux-image-", "linux-base")


@dataclass(frozen=True)
class Headers:
    """A package ``linux-headers-VERSION-FLAVOUR``, ready to be fetched.

    Attributes:
        package: its name.
        version: the package's version.
        suite: where it is offered.
        series: (X, Y) of the kernel.
        needs: what apt has to install with it, as it takes it: ``name`` or ``name=version``.
    """

    package: str
    version: str
    suite: str
    series: tuple[int, int]
    needs: tuple[str, ...]

    @property
    def release(self) -> str:
        """What the kernel calls itself (``uname -r``)."""
        return self.package.removeprefix("linux-headers-")


@dataclass(frozen=True)
class Offer:
    """One line of what apt offers."""

    package: str
    version: str
    suite: str


def sources(lists: Lists) -> list[str]:
    """Return the series X.Y, oldest first, of the packages linux-source-X.Y that can be used."""
    series = sorted(version for version in offered(lists).values() if version >= OLDEST)
    return [f"{major}.{minor}" for major, minor in series]


def headers(lists: Lists, suites: Sequence[str]) -> list[Headers]:
    """Return the newest headers of each suite, series and flavour; oldest series first.

    A package that two suites share is listed once, with the first of them.

    Raises:
        ProgramFailed: apt cannot answer.
        MissingToolError: there is no apt.
    """
    names = [
        name
        for name in output_of(lists.cache("pkgnames", "linux-headers-")).split()
        if HEADERS.fullmatch(name)
    ]
    if not names:
        return []
    offers = parse_offers(output_of(lists.cache("madison", *sorted(names))))
    depends = _depends(lists, sorted({f"{it.package}={it.version}" for it in offers}))
    # linux-headers-6.12-amd64 and the like only lead to the package of the day.
    real = [it for it in offers if any("-common" in need for need in depends[it.package])]
    chosen = newest_of_each(real, suites)
    return [
        Headers(it.package, it.version, it.suite, _series(it.package), depends[it.package])
        for it in chosen
    ]


def parse_offers(text: str) -> list[Offer]:
    """Return what ``apt-cache madison`` printed."""
    return [Offer(*found) for found in OFFER.findall(text)]


def newest_of_each(offers: Iterable[Offer], suites: Sequence[str]) -> list[Offer]:
    """Return, of each suite, the newest of each series and flavour; the first suite wins."""
    newest: dict[tuple[tuple[int, int], str, int], Offer] = {}
    for it in offers:
        if it.suite not in suites:
            continue
        place = (_series(it.package), _flavour(it.package), suites.index(it.suite))
        if place not in newest or _is_newer(it.version, newest[place].version):
            newest[place] = it
    once: dict[tuple[str, str], Offer] = {}
    for _, it in sorted(newest.items(), key=lambda item: item[0]):
        once.setdefault((it.package, it.version), it)
    return list(once.values())


def parse_needs(depends: str) -> tuple[str, ...]:
    """Return what a field Depends asks for, the first of alternatives, an exact version with it."""
    wanted = []
    for part in depends.split(","):
        name, _, condition = part.partition("|")[0].strip().partition(" ")
        exact = re.fullmatch(r"\(= (\S+)\)", condition.strip())
        if name and not name.startswith(NOT_FOR_COMPILING):
            wanted.append(f"{name}={exact[1]}" if exact else name)
    return tuple(wanted)


def _depends(lists: Lists, packages: Sequence[str]) -> dict[str, tuple[str, ...]]:
    stanzas = output_of(lists.cache("show", *packages)).split("\n\n")
    found = {}
    for stanza in stanzas:
        fields = dict(re.findall(r"^(Package|Depends): (.*)$", stanza, re.M))
        if "Package" in fields:
            found[fields["Package"]] = parse_needs(fields.get("Depends", ""))
    if missing := [name for name in packages if name.partition("=")[0] not in found]:
        raise LabError(f"apt offers {missing[0]}, but does not describe it")
    return found


def _is_newer(one: str, other: str) -> bool:
    try:
        output_of(["dpkg", "--compare-versions", one, "gt", other])
    except ProgramFailed:
        return False
    return True


def _series(package: str) -> tuple[int, int]:
    match = HEADERS.fullmatch(package)
    assert match is not None
    return int(match[1]), int(match[2])


def _flavour(package: str) -> str:
    return next(it for it in sorted(FLAVOURS, key=len, reverse=True) if package.endswith(f"-{it}"))
