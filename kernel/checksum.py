"""A downloaded file is what it should be, or is set aside under a telling name."""

from pathlib import Path

from host.errors import LabError
from host.files import sha256_file


class ChecksumError(LabError):
    """A file has another SHA-256 than the one that is known for it."""


def verify_or_set_aside(file: Path, sha256: str, target: Path) -> None:
    """Check ``file``; a wrong one is renamed to ``<target>.sha256-mismatch``.

    So the next run finds nothing at ``target`` and downloads anew.

    Raises:
        ChecksumError: the sum is another one; the message has both.
    """
    found = sha256_file(file)
    if found == sha256:
        return
    aside = set_aside(file, target, "sha256-mismatch")
    raise ChecksumError(
        f"{target.name} has the wrong SHA-256\n"
        f"  expected {sha256}\n"
        f"  found    {found}\n"
        f"  the file was kept as {aside}",
        hint="run the same again to download it anew; if the sum is wrong again, compare it with "
        "the one that the origin of the file publishes",
    )


def set_aside(file: Path, target: Path, why: str) -> Path:
    """Rename ``file`` to ``<target>.<why>`` and return that path."""
    aside = target.with_name(f"{target.name}.{why}")
    file.replace(aside)
    return aside
