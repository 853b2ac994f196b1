"""Which package lists apt answers from: the machine's, or the lab's own, which need no root.

A new machine often has lists that are months old or lack a suite. `apt-get update` would need root
and change the machine; the same with private directories needs neither. Sources and keys are
always the machine's, so what apt delivers is as trustworthy.
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
    places = (("Dir::State::Lists", _lists_dir()), ("Dir::Cache", apt_dir() / "cache"))
    options = [word for name, path in places for word in ("-o", f"{name}={path}")]
    return Lists(("-c", str(CONFIGURATION), *options))


def have_own() -> bool:
    """Tell whether the lab's own lists were ever filled."""
    return any(_lists_dir().glob("*Packages*"))


def refreshed() -> tuple[Lists, str]:
    """Bring the lab's own lists up to date; return them, and what apt complained about if it did.

    A complaint is no error: of many sources one may be gone. What could not be had stays as it was.

    Raises:
        DiskFullError: no space left.
        MissingToolError: there is no apt-get.
        LabError: the cache directory cannot be written.
    """
    title = "refreshing apt's lists"
    log = apt_dir() / "update.log"
    with locked(apt_dir() / "lock", title, OTHER_CACHE), no_space_named(apt_dir()):
        for folder in (_lists_dir(), apt_dir() / "cache/archives"):
            (folder / "partial").mkdir(parents=True, exist_ok=True)
        with Progress(title) as progress:
            progress.say(
                f"the machine's are missing or too old; the lab keeps its own: {apt_dir()}"
            )
        try:
            run_logged(own().get("update"), title=title, log=log, env=ENGLISH, writes=apt_dir())
        except ProgramFailed as error:
            return own(), _complaints(log) or error.message
    return own(), _complaints(log)


def _complaints(log: Path) -> str:
    """Return what apt-get wrote as errors and warnings, in one line; empty if nothing."""
    found = list(
        dict.fromkeys(COMPLAINT.findall(log.read_text(encoding="utf-8", errors="replace")))
    )
    more = len(found) - SHOWN_COMPLAINTS
    rest = [f"and {more} more in {log}"] if more > 0 else []
    return "; ".join([*found[:SHOWN_COMPLAINTS], *rest])


def _lists_dir() -> Path:
    return apt_dir() / "lists"
