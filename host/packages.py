"""Packages of the distribution: which one a file of this machine came with.

Only dpkg is asked (Debian, Ubuntu and what is made from them). On a machine without it no file
has an owner, and nothing else goes wrong.
"""

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from host.process import ProgramFailed

if TYPE_CHECKING:  # slow to load, and doit asks for no package when it starts
    from packageurl import PackageURL

QUERY = "dpkg-query"
# dpkg-query(1): the first is unambiguous where a package is installed for two architectures.
FIELDS = (
    "binary:Package", "Package", "Version", "Architecture",
    "source:Package", "source:Version", "Built-Using", "Static-Built-Using",
)  # fmt: skip
NO_MATCH = 1  # dpkg-query's exit code if it does not know one of the things asked for
# dpkg-query -S tells of a diverted file in two lines more, "from" the one first.
DIVERSION = re.compile(
    r"(?:local diversion|diversion by (?P<by>\S+)) (?P<end>from|to): (?P<path>.+)"
)
BUILT_USING = re.compile(r"(\S+) \(= (\S+)\)")


@dataclass(frozen=True)
class Source:
    """A source package, in one version."""

    name: str
    version: str


@dataclass(frozen=True)
class Distribution:
    """What ``/etc/os-release`` calls this machine's distribution: ``debian`` and ``12``, say."""

    name: str
    release: str


@dataclass(frozen=True)
class Package:
    """A binary package.

    Attributes:
        name: without the architecture.
        version: with epoch and revision.
        arch: of dpkg, such as ``amd64``; ``source`` for a source package.
        distribution: where it is from.
        source: what it was built from.
        built_using: other source packages that put bytes into it, as its own maker says
            (Debian policy 7.8).
    """

    name: str
    version: str
    arch: str
    distribution: Distribution
    source: Source
    built_using: tuple[Source, ...] = ()

    @property
    def purl(self) -> "PackageURL":
        """The package URL, of type ``deb``."""
        from packageurl import PackageURL

        where = self.distribution
        qualifiers = {
            "arch": self.arch,
            "distro": "-".join(filter(None, (where.name, where.release))),
        }
        return PackageURL("deb", where.name, self.name, self.version, qualifiers)


def distribution() -> Distribution:
    """Return this machine's distribution; one without a name if it does not tell."""
    try:
        facts = platform.freedesktop_os_release()
    except OSError:
        return Distribution("", "")
    return Distribution(facts["ID"], facts.get("VERSION_ID", ""))


def source_package(source: Source) -> Package:
    """Return a source package of this machine's distribution."""
    return Package(source.name, source.version, "source", distribution(), source)


def owners(paths: Iterable[Path]) -> dict[Path, Package]:
    """Return the packages of files, links resolved; a file without one is left out.

    However many files are asked for, dpkg is run two or three times.

    Raises:
        ProgramFailed: dpkg is there and does not work.
    """
    spellings = {path: _spellings(path.resolve()) for path in paths}
    claims = _claims({name for names in spellings.values() for name in names})
    claimed = {
        path: next(claims[name] for name in names if name in claims)
        for path, names in spellings.items()
        if not claims.keys().isdisjoint(names)
    }
    found = installed(claimed.values())
    return {path: found[name] for path, name in claimed.items() if name in found}


def installed(names: Iterable[str]) -> dict[str, Package]:
    """Return installed packages by the name that was asked for, with or without ``:arch``.

    A package that is not installed is left out.

    Raises:
        ProgramFailed: dpkg is there and does not work.
    """
    wanted = sorted(set(names))
    if not wanted:
        return {}
    form = "".join(("${db:Status-Status}", *(f"\\t${{{name}}}" for name in FIELDS), "\\n"))
    where = distribution()
    found: dict[str, Package] = {}
    for line in sorted(_asked(["-W", f"--showformat={form}", *wanted])):
        status, *fields = line.split("\t")
        if status in ("not-installed", "config-files") or len(fields) != len(FIELDS):
            continue
        qualified, package = _package(fields, where)
        found[qualified] = package
        found.setdefault(package.name, package)
    return {name: found[name] for name in wanted if name in found}


def _package(fields: Sequence[str], where: Distribution) -> tuple[str, Package]:
    qualified, name, version, arch, source, source_version, *using = fields
    others = BUILT_USING.findall(" ".join(using))
    package = Package(
        name=name,
        version=version,
        arch=arch,
        distribution=where,
        source=Source(source, source_version),
        built_using=tuple(Source(*other) for other in sorted(set(others))),
    )
    return qualified, package


def _spellings(path: Path) -> list[str]:
    """Return the names by which a package may own a file.

    On a machine where /bin is a link to /usr/bin, a package may still have shipped /bin/busybox,
    and dpkg knows it by that name only.
    """
    names = [path]
    if path.parts[:2] == ("/", "usr"):
        short = Path("/", *path.parts[2:])
        if short.resolve() == path:
            names.append(short)
    return [str(name) for name in names]


@dataclass
class _Search:
    """What dpkg says about paths.

    Attributes:
        claims: packages that ship a path.
        diverter: a path that was diverted: the package that did it; empty if a person did.
        origin: where a file was moved to: the path that it is shipped as.
    """

    claims: dict[str, set[str]] = field(default_factory=dict)
    diverter: dict[str, str] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def owner(self, path: str) -> str | None:
        """Return the package whose file is at ``path`` now.

        A package that diverts a path puts its own file there; the others' files are moved away.
        """
        origin = self.origin.get(path, path)
        names = self.claims.get(origin, set())
        if origin in self.diverter:
            by, moved = self.diverter[origin], origin != path
            names = {name for name in names if (name.partition(":")[0] == by) != moved}
        return min(names, default=None)


def _claims(paths: set[str]) -> dict[str, str]:
    """Return the name of the owning package for each path that has one."""
    search = _Search()
    _add(search, paths)
    # Of a file that was moved away dpkg names only where it was moved from.
    _add(search, set(search.origin.values()) - paths)
    return {path: owner for path in paths if (owner := search.owner(path))}


def _add(search: _Search, paths: set[str]) -> None:
    if not paths:
        return
    diverted = ""
    # The arguments are patterns, as the shell's.
    patterns = [re.sub(r"([*?\[\]\\])", r"\\\1", path) for path in sorted(paths)]
    for line in _asked(["-S", *patterns]):
        diversion = DIVERSION.fullmatch(line)
        if diversion and diversion["end"] == "from":
            diverted = diversion["path"]
            search.diverter[diverted] = diversion["by"] or ""
        elif diversion:
            search.origin[diversion["path"]] = diverted
        else:
            names, _, path = line.partition(": ")
            search.claims.setdefault(path, set()).update(names.split(", "))


def _asked(arguments: Sequence[str]) -> list[str]:
    """Return the lines that dpkg-query answers; none if there is no dpkg."""
    try:
        done = subprocess.run(
            [QUERY, *arguments],
            env={**os.environ, "LC_ALL": "C"},  # "diversion by" is translated
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        return []
    if done.returncode not in (0, NO_MATCH):
        raise ProgramFailed(f"`{QUERY} {arguments[0]}` ended with {done.returncode}: {done.stderr}")
    return done.stdout.splitlines()
