"""Kernel sources of the distribution: packages ``linux-source-X.Y``, by apt and without root."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from host.errors import LabError, MissingToolError
from host.files import no_space_named, sha256_file
from host.lock import locked
from host.process import ProgramFailed, output_of, run_logged
from kernel.checksum import set_aside
from kernel.registry import package_version
from kernel.version import OLDEST
from settings.paths import OTHER_DOWNLOADS

STALE = (
    "apt's lists may be missing or out of date: run `apt-get update` as root, then the same again"
)

NETWORK = "check that this machine reaches a mirror of its distribution, then run the same again"
NO_SPACE = ("No space left on device", "enough free space")  # as apt-get says it


class AptError(LabError):
    """apt has no such source package, or cannot deliver it."""


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


def offered() -> dict[str, tuple[int, int]]:
    """Return the packages ``linux-source-X.Y`` that apt knows, with (X, Y); none without apt."""
    try:
        names = output_of(["apt-cache", "pkgnames", "linux-source-"]).split()
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

    Usable is 6.2 or later, and offered by apt or in the download directory.
    """
    here = downloaded(downloads)
    known = {**offered(), **here}
    for package, version in sorted(known.items(), key=lambda item: item[1], reverse=True):
        if version >= OLDEST and (package in here or candidate(package) is not None):
            return package, ""
    if not shutil.which("apt-cache"):
        return "", "there is no apt here"
    too_old = ", ".join(sorted(known))
    return "", f"apt has only {too_old}" if too_old else f"apt has no linux-source package; {STALE}"


def candidate(package: str) -> Candidate | None:
    """Return what apt would install; None if it has no such package.

    Raises:
        MissingToolError: there is no apt.
    """
    try:
        text = output_of(["apt-cache", "show", "--no-all-versions", package])
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


def _from_apt(package: str, downloads: Path, log: Path) -> Package:
    wanted = candidate(package)
    if wanted is None:
        raise AptError(f"apt has no package {package} to download", hint=STALE)
    for file in _debs(downloads, package):
        if _version_of(file) == wanted.version:
            if sha256_file(file) == wanted.sha256:
                return Package(file, wanted.version, wanted.sha256, vouched=True)
            aside = set_aside(file, file, "sha256-mismatch")
            print(f"{file.name} is not what apt's lists say; kept as {aside}", file=sys.stderr)
    # A folder of its own, always the same: apt resumes there what was interrupted, and a file
    # in the download directory is always a whole one.
    scratch = downloads / f".apt-{package}"
    with no_space_named(scratch):
        scratch.mkdir(exist_ok=True)
        file = _download(wanted, scratch, log)
    found = sha256_file(file)
    if found != wanted.sha256:
        shutil.rmtree(scratch)
        raise AptError(
            f"{file.name} has the wrong SHA-256\n  expected {wanted.sha256}\n  found    {found}",
            hint=STALE,
        )
    target = downloads / file.name
    file.replace(target)
    shutil.rmtree(scratch)
    return Package(target, wanted.version, found, vouched=True)


def _download(wanted: Candidate, scratch: Path, log: Path) -> Path:
    # Root's apt downloads as user _apt, who may not write here, and warns about it.
    as_root = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    command = ["apt-get", *as_root, "download", f"{wanted.package}={wanted.version}"]
    try:
        run_logged(
            command,
            title=f"downloading {wanted.package} {wanted.version}",
            log=log,
            cwd=scratch,
            env={"LC_ALL": "C"},
        )
    except ProgramFailed as error:
        if any(text in error.message for text in NO_SPACE):
            raise OSError(errno.ENOSPC, "apt-get says so", str(scratch)) from error
        raise AptError(error.message, hint=STALE if "404" in error.message else NETWORK) from error
    files = [file for file in _debs(scratch, wanted.package) if _version_of(file) == wanted.version]
    if not files:
        raise AptError(f"`apt-get download` left no package; its log is {log}")
    return files[0]


def _from_directory(package: str, downloads: Path, error: LabError) -> Package:
    files = sorted(_debs(downloads, package), key=lambda file: file.stat().st_mtime)
    if not files:
        raise AptError(
            error.message,
            hint=f"{error.hint or STALE}; or put a file {package}_VERSION_all.deb into {downloads}",
        ) from error
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
