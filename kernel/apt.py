"""Kernel sources of the distribution: packages ``linux-source-X.Y``, by apt and without root."""

import re
import shutil
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from host.errors import LabError, MissingToolError
from host.files import no_space_named, sha256_file
from host.lock import locked
from host.process import ProgramFailed, output_of, run_logged
from kernel import suites
from kernel.apt_lists import ENGLISH, MACHINE, Lists, have_own, own, refreshed
from kernel.checksum import set_aside
from kernel.registry import package_version
from kernel.version import OLDEST
from settings.paths import OTHER_DOWNLOADS

NETWORK = "check that this machine reaches a mirror of its distribution, then run the same again"
# In the download directory: what comes from another suite than the machine's own. `kernel=auto`
# takes what the machine's own offer, whatever else was downloaded.
OTHER_SUITES = "other-suites"
# What apt-get says when a mirror has replaced what the lists speak of.
STALE = re.compile(r"\b(404|410) |File not found|unexpected size|Hash Sum mismatch")


class AptError(LabError):
    """apt has no such source package, or cannot deliver it."""


class StaleListsError(AptError):
    """The mirror has moved on since apt's lists were made."""


@dataclass(frozen=True)
class Candidate:
    """The version of a package that apt would install."""

    package: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Package:
    """A source package in the download directory.

    Attributes:
        version: the package's version.
        sha256: of the file.
        vouched: apt's signed lists give the same sum.
    """

    file: Path
    version: str
    sha256: str
    vouched: bool


def offered(lists: Lists = MACHINE) -> dict[str, tuple[int, int]]:
    """Return the packages ``linux-source-X.Y`` that apt knows, with (X, Y); none without apt."""
    try:
        names = output_of(lists.cache("pkgnames", "linux-source-")).split()
    except (MissingToolError, ProgramFailed):
        return {}
    return _with_versions(names)


def downloaded(downloads: Path) -> dict[str, tuple[int, int]]:
    """Return the packages that are in the download directory already, with their (X, Y)."""
    return _with_versions(
        [file.name.partition("_")[0] for file in _debs(downloads, "linux-source-*")]
    )


def newest_usable(downloads: Path) -> tuple[str, str]:
    """Return (package, "") of the newest usable source, or ("", why there is none).

    Usable is 6.2 or later, and offered by apt or in the download directory. If the machine's lists
    know none, lists of the lab's own are brought up to date and asked.

    Raises:
        LabError: those lists cannot be kept (no space, no permission).
    """
    here = downloaded(downloads)
    package = _newest({**offered(), **here}, here, MACHINE)
    if package:
        return package, ""
    if not shutil.which("apt-cache"):
        return "", "there is no apt here"
    lists, complaint = refreshed()
    known = offered(lists)
    package = _newest(known, {}, lists)
    if package:
        return package, ""
    too_old = ", ".join(sorted({**known, **offered()}))
    what = f"apt has only {too_old}" if too_old else "apt has no linux-source package"
    return "", f"{what}, {_after_refresh(complaint)}"


def candidate(package: str, lists: Lists = MACHINE) -> Candidate | None:
    """Return what apt would install; None if it has no such package.

    Raises:
        MissingToolError: there is no apt.
    """
    try:
        text = output_of(lists.cache("show", "--no-all-versions", package))
    except ProgramFailed:
        return None
    fields = _fields(text)
    if fields.get("Package") != package or "SHA256" not in fields:
        return None  # a virtual package, or one that is only installed
    return Candidate(package, fields["Version"], fields["SHA256"])


def fetch(package: str, downloads: Path, log: Path) -> Package:
    """Return the package's file in the download directory, downloading it if it is not there.

    If apt cannot deliver, a version that is there already is used, with a word about it.

    Raises:
        AptError: no apt, no such package, or the download failed, and none is there.
        DiskFullError: no space left.
    """
    with locked(downloads / f"{package}.lock", f"downloading {package}", OTHER_DOWNLOADS):
        try:
            return _from_apt(package, downloads, log)
        except (AptError, MissingToolError) as error:
            return _from_directory(package, downloads, error)


def _newest(known: Mapping[str, tuple[int, int]], here: Collection[str], lists: Lists) -> str:
    """Return the newest usable package that is here or can be got by these lists; or nothing."""
    for package, version in sorted(known.items(), key=lambda item: item[1], reverse=True):
        if version >= OLDEST and (package in here or candidate(package, lists) is not None):
            return package
    return ""


def _after_refresh(complaint: str) -> str:
    if complaint:
        return f"and its lists could not all be refreshed: {complaint}"
    return "also in lists that were refreshed just now"


def _from_apt(package: str, downloads: Path, log: Path) -> Package:
    """Get a package by the lists that there are, by refreshed ones, or from another suite."""
    for lists in (MACHINE, own()) if have_own() else (MACHINE,):
        if found := _delivered(package, lists, downloads, log):
            return found
    lists, complaint = refreshed()
    wanted = candidate(package, lists)
    if wanted is None:
        what = f"apt has no package {package} to download, {_after_refresh(complaint)}"
        return _from_other_suite(package, downloads / OTHER_SUITES, log, what)
    return _present(wanted, downloads) or _downloaded(wanted, lists, downloads, log)


def _from_other_suite(package: str, downloads: Path, log: Path, what: str) -> Package:
    """Get a package that the machine's own suites lack, for the reason ``what``.

    Raises:
        AptError: no suite has it, or it cannot be downloaded.
    """
    if suites.have() and (found := _delivered(package, suites.everywhere(), downloads, log)):
        return found
    try:
        lists, complaint = suites.refreshed()
    except LabError as error:
        raise AptError(f"{what};\n{error.message}", hint=error.hint or NETWORK) from error
    wanted = candidate(package, lists)
    if wanted is None:
        known = ", ".join(sorted(offered(lists))) or "none"
        raise AptError(
            f"apt has no package {package} in any suite of {suites.FILE.name}, "
            f"{_after_refresh(complaint)}; there are: {known}",
            hint=NETWORK if complaint else "name one of these, or give a tree of your own",
        )
    return _present(wanted, downloads) or _downloaded(wanted, lists, downloads, log)


def _delivered(package: str, lists: Lists, downloads: Path, log: Path) -> Package | None:
    """Get a package by these lists; None if they do not know it, or are older than the mirror."""
    wanted = candidate(package, lists)
    with suppress(StaleListsError):
        if wanted is not None:
            return _present(wanted, downloads) or _downloaded(wanted, lists, downloads, log)
    return None


def _present(wanted: Candidate, downloads: Path) -> Package | None:
    for file in _debs(downloads, wanted.package):
        if _version_of(file) == wanted.version:
            if sha256_file(file) == wanted.sha256:
                return Package(file, wanted.version, wanted.sha256, vouched=True)
            aside = set_aside(file, file, "sha256-mismatch")
            print(f"{file.name} is not what apt's lists say; kept as {aside}", file=sys.stderr)
    return None


def _downloaded(wanted: Candidate, lists: Lists, downloads: Path, log: Path) -> Package:
    # A folder of its own, always the same: apt resumes there what was interrupted, and a file
    # in the download directory is always a whole one.
    scratch = downloads / f".apt-{wanted.package}"
    with no_space_named(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
        file = _download(wanted, lists, scratch, log)
    found = sha256_file(file)
    if found != wanted.sha256:
        shutil.rmtree(scratch)
        raise AptError(
            f"{file.name} has the wrong SHA-256\n  expected {wanted.sha256}\n  found    {found}",
            hint=NETWORK,
        )
    target = downloads / file.name
    file.replace(target)
    shutil.rmtree(scratch)
    return Package(target, wanted.version, found, vouched=True)


def _download(wanted: Candidate, lists: Lists, scratch: Path, log: Path) -> Path:
    try:
        run_logged(
            lists.get("download", f"{wanted.package}={wanted.version}"),
            title=f"downloading {wanted.package} {wanted.version}",
            log=log,
            cwd=scratch,
            env=ENGLISH,
        )
    except ProgramFailed as error:
        kind = StaleListsError if STALE.search(error.message) else AptError
        raise kind(error.message, hint=NETWORK) from error
    files = [file for file in _debs(scratch, wanted.package) if _version_of(file) == wanted.version]
    if not files:
        raise AptError(f"`apt-get download` left no package; its log is {log}")
    return files[0]


def _from_directory(package: str, downloads: Path, error: LabError) -> Package:
    found = [*_debs(downloads / OTHER_SUITES, package), *_debs(downloads, package)]
    files = sorted(found, key=lambda file: file.stat().st_mtime)
    if not files:
        by_hand = f"or put a file {package}_VERSION_all.deb into {downloads}"
        raise AptError(error.message, hint=f"{error.hint or NETWORK}; {by_hand}") from error
    file = files[-1]
    print(f"{error.message}\nusing {file}, which is there already", file=sys.stderr)
    return Package(file, _version_of(file), sha256_file(file), vouched=False)


def _debs(folder: Path, package: str) -> list[Path]:
    return sorted(folder.glob(f"{package}_*.deb"))


def _version_of(file: Path) -> str:
    # apt writes the colon of an epoch as %3a in a file's name
    return file.name.split("_")[1].replace("%3a", ":")


def _with_versions(names: list[str]) -> dict[str, tuple[int, int]]:
    pairs = ((name, package_version(name)) for name in names)
    return {name: version for name, version in pairs if version is not None}


def _fields(text: str) -> Mapping[str, str]:
    stanza = text.partition("\n\n")[0]
    return dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, re.M))
