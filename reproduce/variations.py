"""All that varies between the two builds, and the proof that it really does on this machine."""

import os
import pwd
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from host.errors import LabError
from host.files import remove
from host.process import ProgramFailed, output_of
from reproduce.noise import NOISE
from reproduce.surroundings import Surroundings
from settings.paths import PROJECT

Change = Callable[[Surroundings], Surroundings]
SHIFT = 400  # days: another year, another month, another day of the month
OTHER_USER = "somebody-else"
OTHER_HOST = "another-host"
NO_WITNESS: tuple[str, ...] = ()
OTHER_LOCALE = "tr_TR"  # where i and I are two letters, not one


@dataclass(frozen=True)
class Variation:
    """One thing that differs between build A and build B.

    Attributes:
        name: for people.
        values: what it is in A and in B, for people.
        change: what it changes for A and for B.
        witness: a command that prints one thing in A and another one in B if it really differs;
            empty for what is a setting of the build itself.
        lacking: why it cannot even be tried here; empty if it can.
    """

    name: str
    values: tuple[str, str]
    change: tuple[Change, Change]
    witness: tuple[str, ...]
    lacking: str = ""

    def possible(self, start: tuple[Surroundings, Surroundings], scratch: Path) -> str:
        """Return why it cannot be had on this machine; empty if the witness saw it."""
        if self.lacking:
            return self.lacking
        a, b = (change(one) for change, one in zip(self.change, start, strict=True))
        return self.unseen((a, b), scratch)

    def unseen(self, pair: tuple[Surroundings, Surroundings], scratch: Path) -> str:
        """Return why the witness does not tell these surroundings apart; empty if it does."""
        if not self.witness:
            return ""
        said = []
        for surroundings in pair:
            home = surroundings.home(scratch)
            try:
                _put_some_files(home)
                code, text = surroundings.output_of(self.witness, scratch)
            except LabError as error:
                return error.message
            finally:
                remove(home)
            if code != 0:
                return text.splitlines()[-1] if text else f"`{self.witness[0]}` ended with {code}"
            said.append(text)
        return "" if said[0] != said[1] else f"`{' '.join(self.witness)}` says the same in both"


def _put_some_files(folder: Path) -> None:
    remove(folder)
    folder.mkdir(parents=True)
    for name in "abcdefgh":
        (folder / name).touch()


def variations(scratch: Path, jobs: int) -> list[Variation]:
    """Return all variations; what they need is made in the scratch directory.

    Build A runs as the user does, B as somebody else would; ``jobs`` are A's.
    """
    return [
        Variation(
            "build path",
            ("a/", "in/another/place/"),
            (_with(folder="a"), _with(folder="in/another/place")),
            ("pwd",),
        ),
        _clock(),
        _variable("time zone", "TZ", ("UTC", "XYZ-14:30"), ("date", "+%z")),
        _locale(scratch / "locales"),
        Variation(
            "umask", ("022", "077"), (_with(umask="022"), _with(umask="077")), ("sh", "-c", "umask")
        ),
        _user(scratch / "passwd", scratch / "home"),
        _home(scratch / "home"),
        Variation(
            "host name",
            ("this machine's", OTHER_HOST),
            (_same, _with(host=OTHER_HOST)),
            ("uname", "-n"),
            _missing("unshare", "hostname"),
        ),
        Variation(
            "jobs", (str(jobs), str(jobs + 1)), (_with(jobs=jobs), _with(jobs=jobs + 1)), NO_WITNESS
        ),
        Variation(
            "directory order",
            ("as it is", "reversed"),
            (_same, _with(reversed_entries=True)),
            ("ls", "-U"),
            _missing("disorderfs"),
        ),
        _cache(),
        _exported(),
    ]


def _same(surroundings: Surroundings) -> Surroundings:
    return surroundings


def _with(**fields: object) -> Change:
    return lambda surroundings: replace(surroundings, **fields)  # type: ignore[arg-type]


def _setting(**variables: str) -> Change:
    def change(surroundings: Surroundings) -> Surroundings:
        return replace(surroundings, environment={**surroundings.environment, **variables})

    return change


def _missing(*programs: str) -> str:
    absent = [name for name in programs if not shutil.which(name)]
    return f"{' and '.join(absent)} not on this machine" if absent else ""


def _variable(
    name: str, variable: str, values: tuple[str, str], witness: tuple[str, ...]
) -> Variation:
    changes = _setting(**{variable: values[0]}), _setting(**{variable: values[1]})
    return Variation(name, values, changes, witness)


def _clock() -> Variation:
    library, lacking = "", _missing("faketime")
    if not lacking:
        try:
            library = _faketime_library()
        except ProgramFailed as error:
            lacking = error.message
    shifted = _setting(
        LD_PRELOAD=library,
        FAKETIME=f"+{SHIFT}d",
        # Only the calendar: waiting and the times of files stay true, or make sees files from
        # the future.
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        NO_FAKE_STAT="1",
    )
    return Variation(
        "time", ("now", f"{SHIFT} days later"), (_same, shifted), ("date", "+%F"), lacking
    )


def _faketime_library(attempts: int = 3) -> str:
    """Return what faketime preloads.

    It makes a semaphore that is named after its process, and so does each program under its
    library, which leaves that behind when it is killed or becomes another program. Who meets such
    a name gives up; the next process has another one.
    """
    try:
        return output_of(["faketime", "-f", "+0", "printenv", "LD_PRELOAD"]).strip()
    except ProgramFailed as error:
        if attempts > 1 and "sem_open" in error.message:
            return _faketime_library(attempts - 1)
        raise


def _locale(folder: Path) -> Variation:
    """A language with rules of its own if it can be made, else at least another encoding."""
    name, place = "C.UTF-8", {}
    lacking = _missing("localedef")
    if not lacking:
        target = folder / f"{OTHER_LOCALE}.UTF-8"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            output_of(["localedef", "-i", OTHER_LOCALE, "-f", "UTF-8", str(target)])
            name, place = target.name, {"LOCPATH": str(folder)}
        except ProgramFailed:
            pass  # the machine has no sources of locales; C.UTF-8 is built into the C library
    other = _setting(LC_ALL=name, LANG=name, LANGUAGE=name[:2], **place)
    return Variation(
        "locale",
        ("C", name),
        (_setting(LC_ALL="C", LANG="C", LANGUAGE="C"), other),
        ("locale", "charmap"),
    )


def _user(passwd: Path, home: Path) -> Variation:
    """Another name for the same user id: an entry of /etc/passwd is replaced."""
    own = pwd.getpwall()
    mine = [entry for entry in own if entry.pw_uid == os.getuid()]
    fields = mine[0] if mine else (OTHER_USER, "x", os.getuid(), os.getuid(), "", "/", "/bin/sh")
    line = ":".join(map(str, (OTHER_USER, *fields[1:5], home, *fields[6:])))
    others = [":".join(map(str, entry)) for entry in own if entry.pw_uid != os.getuid()]
    passwd.parent.mkdir(parents=True, exist_ok=True)
    passwd.write_text("\n".join([line, *others]) + "\n", encoding="utf-8")
    return Variation(
        "user name",
        (mine[0].pw_name if mine else "none", OTHER_USER),
        (_same, _with(passwd=passwd)),
        ("id", "-un"),
        _missing("unshare", "mount"),
    )


def _home(home: Path) -> Variation:
    home.mkdir(parents=True, exist_ok=True)
    other = _setting(HOME=str(home), USER=OTHER_USER, LOGNAME=OTHER_USER)
    return Variation("home", ("yours", str(home)), (_same, other), ("sh", "-c", "echo $HOME $USER"))


def _cache() -> Variation:
    ask = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from kernel import kbuild"
    return Variation(
        "ccache",
        ("on", "off"),
        (_same, _setting(CCACHE_DISABLE="1")),
        (sys.executable, "-c", f"{ask}; print(kbuild.compiler())"),
        _missing("ccache"),
    )


def _exported() -> Variation:
    return Variation(
        "environment",
        ("yours", f"{len(NOISE)} variables more"),
        (_same, _setting(**NOISE)),
        ("sh", "-c", 'echo "$CFLAGS"'),
    )
