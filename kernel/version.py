"""Which Linux a source tree is, and whether the lab can build it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from host.errors import LabError

OLDEST = (6, 2)
MARKS = ("Makefile", "Kconfig", "scripts/kconfig")
# What the kernel's own Makefile (rule "outputmakefile") takes for traces of a build in the tree.
IN_PLACE = (".config", "include/config", "arch/x86/include/generated")
NUMBER = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", re.M)
HEAD_BYTES = 4096  # the numbers are the first lines of the Makefile


class TreeError(LabError):
    """A directory is not a kernel tree that the lab can build."""


@dataclass(frozen=True, order=True)
class KernelVersion:
    """A kernel's version; ``extra`` (as in ``-rc3``) takes no part in comparisons."""

    major: int
    minor: int
    patch: int = 0
    extra: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return it as ``make kernelversion`` does, but always with three numbers."""
        return f"{self.major}.{self.minor}.{self.patch}{self.extra}"


def missing_mark(tree: Path) -> str:
    """Return what a directory lacks to be a kernel tree; empty if it looks like one."""
    absent = [mark for mark in MARKS if not (tree / mark).exists()]
    if absent:
        return f"it has no {absent[0]}"
    return "" if "VERSION" in _numbers(tree) else "its Makefile has no VERSION"


def read_version(tree: Path, called: str = "") -> KernelVersion:
    """Return the version that a tree's Makefile gives; errors name ``called`` or else the path.

    Raises:
        TreeError: this is no kernel tree, or it is older than 6.2.
    """
    called = called or str(tree)
    lack = missing_mark(tree)
    if lack:
        raise TreeError(
            f"{called} is not a Linux source tree: {lack}",
            hint="give the top directory of a kernel tree",
        )
    numbers = _numbers(tree)
    try:
        version = KernelVersion(
            int(numbers["VERSION"]),
            int(numbers["PATCHLEVEL"]),
            int(numbers.get("SUBLEVEL") or 0),
            numbers.get("EXTRAVERSION", ""),
        )
    except (KeyError, ValueError) as error:
        raise TreeError(f"{called}: its Makefile gives no version ({error})") from error
    require_supported((version.major, version.minor), f"{called} is Linux {version}")
    return version


def require_supported(version: tuple[int, int], what: str) -> None:
    """Refuse a kernel without P2PDMA for user space.

    Raises:
        TreeError: older than 6.2; the message begins with ``what``.
    """
    if version < OLDEST:
        raise TreeError(
            f"{what}, too old: P2PDMA reaches user space since 6.2",
            hint="take 6.2 or later, for example kernel=6.3.2",
        )


def require_path_for_make(path: Path, hint: str) -> None:
    """Refuse a path that cannot be a kernel's source or build directory (``O=``).

    Raises:
        TreeError: it has a blank or a colon; ``hint`` says what to do.
    """
    if re.search(r"[\s:]", str(path)):
        raise TreeError(
            f"the path '{path}' has a space or a colon; the kernel's Makefile refuses both",
            hint=hint,
        )


def check_user_tree(tree: Path) -> KernelVersion:
    """Return the version of a user's own tree if it can be built out of tree; only reads it.

    Raises:
        TreeError: no such directory, no kernel tree, too old, or built in place before.
    """
    if not tree.exists():
        raise TreeError(f"there is no directory {tree}", hint="check the path after kernel=")
    if not tree.is_dir():
        raise TreeError(
            f"{tree} is not a directory",
            hint="unpack it and give the directory, or describe it in configs/kernels.toml",
        )
    version = read_version(tree)
    require_path_for_make(tree, "rename the directory or give another path to it")
    traces = [name for name in IN_PLACE if (tree / name).exists()]
    if traces:
        raise TreeError(
            f"{tree} was built in place (it has {traces[0]}), so it refuses a build elsewhere",
            hint=f"`make -C {tree} mrproper` cleans it (and removes its .config), or "
            f"`git -C {tree} worktree add ../clean` makes a clean copy of the sources",
        )
    return version


def _numbers(tree: Path) -> dict[str, str]:
    makefile = tree / "Makefile"
    if not makefile.is_file():
        return {}
    with makefile.open("rb") as stream:
        return dict(NUMBER.findall(stream.read(HEAD_BYTES).decode(errors="replace")))
