"""Package lists of further suites than the machine's own, from the machine's own mirrors.

A machine with Debian 12 can get, unpack and look into packages of Debian 13 or sid, though it had
better not install them. `configs/suites.toml` names the suites, the machine's apt knows mirrors
that carry them; the lists are kept apart from all others, so that nothing else ever sees them.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from host.errors import LabError
from host.files import no_space_named, write_text
from host.process import output_of
from kernel.apt_lists import MACHINE, Lists, filled, private, update
from settings.paths import CONFIGS, apt_dir

FILE = CONFIGS / "suites.toml"
SUITE = re.compile(r"[a-z][a-z0-9.-]*")
# What `apt-get update --print-uris` says of a suite of a mirror.
SUITE_OF_MIRROR = re.compile(r"^'(\S+)/dists/([^/\s]+)/InRelease'", re.M)
SECURITY = "-security"
ENDINGS = re.compile(r"-(security|updates|backports|proposed-updates)$")


class SuitesError(LabError):
    """``suites.toml`` has something that cannot be used."""


@dataclass(frozen=True)
class Suites:
    """What ``suites.toml`` says.

    Attributes:
        keyring: what apt checks signatures with, if it is there.
        releases: by name, the suites that go together.
        aliases: other names of releases.
    """

    keyring: Path
    releases: Mapping[str, tuple[str, ...]]
    aliases: frozenset[str]


@dataclass(frozen=True)
class Mirrors:
    """Where the machine gets its own release; empty where it has no such source."""

    archive: str
    security: str

    def of(self, suite: str) -> str:
        """Return the mirror that may carry a suite."""
        return self.security if suite.endswith(SECURITY) else self.archive


def load(path: Path = FILE) -> Suites:
    """Return what a TOML file says of releases and their suites.

    Raises:
        SuitesError: the file cannot be read or has a mistake.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        keyring, aliases, releases = table["keyring"], table["aliases"], table["releases"]
        names = [*aliases, *releases, *(suite for suites in releases.values() for suite in suites)]
    except OSError as error:
        raise SuitesError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuitesError(f"{path}: not valid TOML: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SuitesError(
            f"{path}: {error}", hint="it has keyring, aliases, and [releases] with lists of suites"
        ) from error
    wrong = [name for name in names if not (isinstance(name, str) and SUITE.fullmatch(name))]
    if wrong or not isinstance(keyring, str):
        raise SuitesError(f"{path}: {wrong[0] if wrong else keyring!r} is no name of a suite")
    return Suites(
        Path(keyring),
        {name: tuple(suites) for name, suites in releases.items()},
        frozenset(aliases),
    )


def mirrors(suites: Suites) -> Mirrors:
    """Return where the machine's own apt gets its release from; needs no lists and no network.

    Raises:
        ProgramFailed: apt refuses its own configuration.
        MissingToolError: there is no apt-get.
    """
    archive = security = ""
    known = suites.aliases.union(suites.releases)
    printed = output_of(MACHINE.get("update", "--print-uris"))
    for mirror, suite in SUITE_OF_MIRROR.findall(printed):
        if ENDINGS.sub("", suite) not in known:
            continue  # of somebody else: it carries packages of another kind
        if suite.endswith(SECURITY):
            security = security or mirror
        else:
            archive = archive or mirror
    return Mirrors(archive, security)


def everywhere() -> Lists:
    """Return the lists of all suites together, as they are; there may be none yet."""
    return _lists("all")


def of_release(release: str, *, status: Path) -> Lists:
    """Return the lists of the suites of one release.

    Args:
        release: its name in ``suites.toml``.
        status: what apt is told is installed; an empty file for nothing.
    """
    return _lists(release, Dir_State_Status=status)


def have() -> bool:
    """Tell whether these lists were ever filled."""
    return filled(_folder())


def refreshed() -> tuple[Lists, str]:
    """Bring the lists of all suites up to date; return them, and what apt complained about.

    Raises:
        LabError: ``suites.toml`` has a mistake, the machine's apt knows no mirror of such a
            release, or the lists cannot be kept.
    """
    suites = load()
    found = mirrors(suites)
    if not found.archive and not found.security:
        raise LabError(
            f"this machine's apt has no source that carries a release of {FILE.name}",
            hint=f"the releases are {', '.join(suites.releases)}; see {FILE}",
        )
    with no_space_named(_folder()):
        _none().mkdir(parents=True, exist_ok=True)
        for name, members in _sources(suites).items():
            write_text(_file(name), "\n".join(_stanzas(members, found, suites.keyring)))
    reason = "of all suites that a kernel may come from; the lab keeps them"
    return everywhere(), update(everywhere(), _folder(), "refreshing apt's lists", reason)


def _sources(suites: Suites) -> dict[str, Sequence[str]]:
    """Return the suites of each list of sources that apt is given: one per release, and all."""
    return {**suites.releases, "all": [it for names in suites.releases.values() for it in names]}


def _stanzas(members: Sequence[str], found: Mirrors, keyring: Path) -> Iterator[str]:
    """Yield apt's description (sources.list(5), deb822) of each suite that has a mirror."""
    signed = f"Signed-By: {keyring}\n" if keyring.is_file() else ""
    for suite in members:
        if mirror := found.of(suite):
            yield f"Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n{signed}"


def _lists(name: str, **places: Path) -> Lists:
    # Neither may pins and a default release of the machine decide about releases of others.
    apart: dict[str, Path | str] = {
        "Dir_Etc_SourceList": _file(name),
        "Dir_Etc_SourceParts": _none(),
        "Dir_Etc_Preferences": _none() / "preferences",
        "Dir_Etc_PreferencesParts": _none(),
        "APT_Default-Release": "",
    }
    return private(_folder(), **apart, **places)


def _file(name: str) -> Path:
    return _folder() / f"{name}.sources"


def _none() -> Path:
    """Return a directory in which nothing is."""
    return _folder() / "none"


def _folder() -> Path:
    return apt_dir() / "suites"
