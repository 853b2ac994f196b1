"""Which package lists apt answers from: the machine's, or the lab's own, which need no root.

A new machine often has lists that are months old or lack a suite. `apt-get update` would need root
and change the machine; the same with private directories needs neither. Sources and keys are
always the machine's, so what apt delivers is as trustworthy. (Further suites of the same mirrors
are in kernel.suites.)
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from host.files import no_space_named
from host.lock import locked
from host.process import ProgramFailed, run_logged
from host.progress import Progress
from settings.paths import apt_dir

CONFIGURATION = Path(__file__).with_name("apt-lists.conf")
ENGLISH = {"LC_ALL": "C"}  # messages of apt are looked at
COMPLAINT = re.compile(r"^[EW]: (.*)$", re.M)
SHOWN_COMPLAINTS = 3
OTHER_CACHE = "choose another cache directory with the variable XDG_CACHE_HOME"


@dataclass(frozen=True)
class Lists:
    """Package lists.

    Attributes:
        options: what apt-get and apt-cache need in order to use them.
    """

    options: tuple[str, ...] = ()

    def cache(self, *words: str) -> list[str]:
        """Return a command of apt-cache that answers from these lists."""
        return ["apt-cache", *self.options, *words]

    def get(self, *words: str) -> list[str]:
        """Return a command of apt-get that works with these lists."""
        # Root's apt downloads as user _apt, who may not write where the lab does.
        as_root = ("-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else ()
        return ["apt-get", *self.options, *as_root, *words]


MACHINE = Lists()


def own() -> Lists:
    """Return the lab's own lists as they are; there may be none yet."""
    return private(apt_dir())


def private(folder: Path, **options: Path | str) -> Lists:
    """Return lists that are kept below a folder.

    Args:
        folder: has ``lists`` and ``cache``; there may be nothing yet.
        options: further ones of apt.conf(5), with ``_`` for ``::``.
    """
    given = {"Dir_State_Lists": folder / "lists", "Dir_Cache": folder / "cache", **options}
    words = [
        word
        for name, value in given.items()
        for word in ("-o", f"{name.replace('_', '::')}={value}")
    ]
    return Lists(("-c", str(CONFIGURATION), *words))


def have_own() -> bool:
    """Tell whether the lab's own lists were ever filled."""
    return filled(apt_dir())


def filled(folder: Path) -> bool:
    """Tell whether the lists below a folder were ever filled."""
    return any((folder / "lists").glob("*Packages*"))


def refreshed() -> tuple[Lists, str]:
    """Bring the lab's own lists up to date; return them, and what apt complained about if it did.

    A complaint is no error: of many sources one may be gone. What could not be had stays as it was.

    Raises:
        DiskFullError: no space left.
        MissingToolError: there is no apt-get.
        LabError: the cache directory cannot be written.
    """
    reason = "the machine's are missing or too old; the lab keeps its own"
    return own(), update(own(), apt_dir(), "refreshing apt's lists", reason)


def update(lists: Lists, folder: Path, title: str, reason: str) -> str:
    """Fill private lists below a folder; return what apt complained about, in one line.

    Args:
        lists: of :func:`private`.
        folder: where they are kept.
        title: what the progress line begins with.
        reason: told with the place, before the work begins.

    Raises:
        LabError: as :func:`refreshed`.
    """
    log = folder / "update.log"
    with locked(folder / "lock", title, OTHER_CACHE), no_space_named(folder):
        for place in (folder / "lists", folder / "cache/archives"):
            (place / "partial").mkdir(parents=True, exist_ok=True)
        with Progress(title) as progress:
            progress.say(f"{reason}: {folder}")
        try:
            run_logged(lists.get("update"), title=title, log=log, env=ENGLISH, writes=folder)
        except ProgramFailed as error:
            return _complaints(log) or error.message
    return _complaints(log)


def _complaints(log: Path) -> str:
    """Return what apt-get wrote as errors and warnings, in one line; empty if nothing."""
    found = list(
        dict.fromkeys(COMPLAINT.findall(log.read_text(encoding="utf-8", errors="replace")))
    )
    more = len(found) - SHOWN_COMPLAINTS
    rest = [f"and {more} more in {log}"] if more > 0 else []
    return "; ".join([*found[:SHOWN_COMPLAINTS], *rest])
