"""Each variation is seen to catch its own kind of leak; nothing else differs."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundle.errors import OutputsDiffer
from host.process import ProgramFailed
from kernel.selection import Selection, select
from reproduce import double
from reproduce.double import Tried, build_both, emptied, surroundings_of, table
from reproduce.mounts import mounts_below
from reproduce.surroundings import Surroundings
from reproduce.task import clean
from reproduce.variations import NO_WITNESS, Change, Variation, variations
from settings.paths import PROJECT

# One file of the image for each variation, with what a careless build would put into it.
LEAKS = {
    "build path": "os.getcwd()",
    "time": "datetime.date.today().isoformat()",
    "time zone": "time.strftime('%z')",
    "locale": "locale.setlocale(locale.LC_ALL, '')",
    "umask": "subprocess.getoutput('umask')",
    "user name": "pwd.getpwuid(os.getuid()).pw_name",
    "home": "str(pathlib.Path.home())",
    "host name": "socket.gethostname()",
    "jobs": "get_var('jobs')",
    "directory order": "' '.join(os.listdir('entries'))",
    "ccache": "str('CCACHE_DISABLE' in os.environ)",
    "environment": "os.environ.get('CFLAGS', '')",
}
PAIR = Surroundings("a", 1), Surroundings("b", 1, umask="077")
DODO = """\
import datetime, locale, os, pathlib, pwd, socket, subprocess, time
from doit import get_var

LEAKS = {leaks!r}
IMAGE = pathlib.Path("build/6.12/image/switch-q35")

def image():
    IMAGE.mkdir(parents=True)
    for name in {chosen!r}:
        (IMAGE / name.replace(" ", "-")).write_text(str(eval(LEAKS[name])))
    (IMAGE / "clean").write_text("clean")
    (IMAGE / "SHA256SUMS").write_text("sums")
    for path in IMAGE.iterdir():
        path.chmod(0o644)

def task_image():
    return dict(actions=[image])
"""


def project_with(folder: Path, *leaks: str) -> Path:
    """Make a project whose image has these leaks and is otherwise clean."""
    (folder / "entries").mkdir(parents=True)
    for name in "abcdefgh":
        (folder / "entries" / name).touch()
    (folder / "dodo.py").write_text(DODO.format(leaks=LEAKS, chosen=leaks))
    return folder


@pytest.fixture
def selection() -> Selection:
    return select(["kernel=6.12", "reproduce"])


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Tried], set[str], Path]:
    """A double build of a project that leaks everything: what was tried, and what differed."""
    folder = tmp_path_factory.mktemp("double")
    project = project_with(folder / "project", *LEAKS)
    scratch = folder / "scratch"
    pair, tried = surroundings_of(scratch, 1)
    with pytest.raises(OutputsDiffer):
        build_both(select(["kernel=6.12", "reproduce"]), pair, tried, scratch, project)
    result = json.loads((scratch / "result.json").read_text())
    return tried, {item["file"] for item in result["differences"]}, scratch


@pytest.mark.parametrize("name", LEAKS)
def test_variation_catches_its_kind_of_leak(
    everything: tuple[list[Tried], set[str], Path], name: str
) -> None:
    tried, differing, _ = everything
    (item,) = (item for item in tried if item.variation.name == name)

    # Where this machine refuses a variation, the reason is told, and the leak stays unseen.
    assert (name.replace(" ", "-") in differing) == (not item.reason), item.reason


def zone(name: str, b: str, witness: tuple[str, ...]) -> Variation:
    """Return a variation of the time zone, from UTC to another one."""

    def change(text: str) -> Change:
        return lambda one: replace(one, environment={**one.environment, "TZ": text})

    return Variation(name, ("UTC", b), (change("UTC"), change(b)), witness)


def test_variation_that_another_one_undoes_is_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is seen alone; the builds would run with both, and in the same zone."""
    both = [zone("zone", "XYZ-3", ("date", "+%z")), zone("noise", "UTC", NO_WITNESS)]
    monkeypatch.setattr(double, "variations", lambda *_: both)

    _, (first, second) = surroundings_of(tmp_path, 1)

    assert first.reason == "only alone: `date +%z` says the same in both"
    assert second.reason == ""


def test_every_variation_has_its_leak(everything: tuple[list[Tried], set[str], Path]) -> None:
    tried, differing, _ = everything

    assert [item.variation.name for item in tried] == [*LEAKS]
    assert "clean" not in differing


def test_results_are_kept(everything: tuple[list[Tried], set[str], Path]) -> None:
    _, _, scratch = everything
    result = json.loads((scratch / "result.json").read_text())

    assert not result["same"]
    assert [item["name"] for item in result["variations"]] == [*LEAKS]
    a, b = result["builds"]["a"]["sums"], result["builds"]["b"]["sums"]
    assert (
        a.keys() == b.keys() == {*(name.replace(" ", "-") for name in LEAKS), "clean", "SHA256SUMS"}
    )
    assert a["clean"] == b["clean"]
    assert (scratch / "a.log").read_text().startswith("+ cd ")


def test_clean_project_gives_the_same_bytes(
    selection: Selection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scratch = tmp_path / "scratch"

    build_both(selection, PAIR, [], scratch, project_with(tmp_path / "project"))

    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("   the same bytes: 2 files, sum of SHA256SUMS ")
    assert json.loads((scratch / "result.json").read_text())["same"]
    assert not (scratch / "a").exists(), "the copies are big and of no use any more"
    assert (scratch / "image-a/clean").exists()


def test_first_difference_is_in_the_message(selection: Selection, tmp_path: Path) -> None:
    with pytest.raises(OutputsDiffer, match="first in umask: line 1: '0022' in A, '0077' in B"):
        build_both(
            selection, PAIR, [], tmp_path / "scratch", project_with(tmp_path / "project", "umask")
        )

    assert OutputsDiffer.exit_code == 20


def test_build_that_fails(selection: Selection, tmp_path: Path) -> None:
    project = project_with(tmp_path / "project")
    (project / "dodo.py").write_text("def task_image():\n    return {'actions': ['false']}\n")

    with pytest.raises(ProgramFailed, match=r"build a: `.*` ended with 1; the end of .*a\.log"):
        build_both(selection, PAIR, [], tmp_path / "scratch", project)


def test_variation_that_is_refused_tells_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "unshare": "echo unshare: Operation not permitted >&2; exit 1",
        "faketime": "echo no such library >&2; exit 1",
        "disorderfs": "echo fuse: device not found >&2; exit 1",
        "localedef": "exit 1",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    pair, tried = surroundings_of(tmp_path / "scratch", 1)

    reasons = {item.variation.name: item.reason for item in tried if item.reason}
    assert reasons.pop("user name") == "unshare: Operation not permitted"
    assert reasons.pop("host name") == "unshare: Operation not permitted"
    assert "no such library" in reasons.pop("time")
    assert "fuse: device not found" in reasons.pop("directory order")
    assert reasons.keys() <= {"ccache"}
    assert not pair[1].host
    assert "not applied: unshare: Operation not permitted" in table(tried)
    assert "C.UTF-8" in table(tried), "another encoding is what is left of the locale"


def test_a_semaphore_of_a_dead_process_does_not_stop_the_clocks_variation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "faketime").write_text(
        '#!/bin/sh\nPATH=/usr/bin:/bin\n[ -e "$0.met" ] && exec faketime "$@"\n'
        '>"$0.met"\necho faketime: sem_open: File exists >&2\nexit 1\n'
    )
    (programs / "faketime").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    _pair, tried = surroundings_of(tmp_path / "scratch", 1)

    assert (programs / "faketime.met").exists()
    (clock,) = (item for item in tried if item.variation.name == "time")
    assert not clock.reason


def test_variation_that_has_no_effect_is_not_called_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCACHE_DISABLE", "1")
    monkeypatch.setattr("reproduce.variations.OTHER_LOCALE", "none")  # takes seconds to make
    plain = Surroundings("a", 1), Surroundings("b", 1)
    (cache,) = (item for item in variations(tmp_path, 1) if item.name == "ccache")

    assert "says the same in both" in cache.possible(plain, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    project = project_with(tmp_path / "project")
    started = tmp_path / "started"
    (project / "dodo.py").write_text(
        "import os, pathlib, time\n"
        "def image():\n"
        f"    pathlib.Path({str(started)!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "def task_image():\n"
        "    return {'actions': [image]}\n"
    )
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from host.task import stage\n"
        "from kernel.selection import select\n"
        "from reproduce.surroundings import Surroundings\n"
        "project, scratch = map(Path, sys.argv[1:])\n"
        "b = Surroundings('b', 1, reversed_entries=True, host='other')\n"
        "build = stage('reproduce.double', 'build_both')\n"
        "build(select(['kernel=6.12', 'reproduce']), (b, b), [], scratch, project)\n"
    )
    scratch = tmp_path / "scratch"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(project), str(scratch)],
        cwd=PROJECT,
        stderr=subprocess.DEVNULL,
    ) as lab:
        _until(lambda: started.exists() and started.read_text().strip() != "")
        assert mounts_below(scratch) == [scratch / "b"]
        lab.send_signal(number)
        lab.wait(timeout=20)

    _until(lambda: not Path(f"/proc/{started.read_text().strip()}").exists())
    _until(lambda: mounts_below(scratch) == [])


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def stale(tmp_path: Path) -> Iterator[Path]:
    """A mount that a killed run has left."""
    scratch = tmp_path / "scratch with a blank"
    plain, where = scratch / "b.plain", scratch / "b"
    for folder in (plain, where):
        folder.mkdir(parents=True)
    subprocess.run(["disorderfs", "-q", str(plain), str(where)], check=True)
    yield scratch
    for left in mounts_below(scratch):
        subprocess.run(["umount", "-l", str(left)], check=True)


def test_stale_mount_is_undone(stale: Path) -> None:
    assert mounts_below(stale) == [stale / "b"]

    emptied(stale)

    assert mounts_below(stale) == []
    assert [*stale.iterdir()] == []


def test_clean_undoes_a_stale_mount_too(
    stale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reproduce.double.SCRATCH", stale)
    monkeypatch.setattr("reproduce.rebuild.SCRATCH", tmp_path / "none")

    clean()

    assert mounts_below(stale) == []
    assert not stale.exists()


def test_names_for_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    argv = Surroundings("b", 1, host="other").argv(["uname", "-n"])

    assert argv[:5] == ["unshare", "--user", "--map-current-user", "--keep-caps", "--uts"]
    assert "hostname other && exec" in " ".join(argv)
