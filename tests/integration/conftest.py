"""What the tests with a real kernel and a real QEMU share: the build, and ways to verify it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from boot.artifacts import built_in
from boot.topology import load_topology
from compat import offer
from compat.offer import Headers
from compat.unpacked import Unpacked, nothing_installed, unpack
from host.lock import locked
from kernel import suites
from kernel.kbuild import Kbuild
from kernel.source import read_record
from settings.paths import COMPAT, CONFIGS, PROJECT, Workspace, accel_cache
from tests.task import SETTINGS_VARIABLE, WORKSPACE_VARIABLE
from verify import run
from verify.plan import image_checks
from verify.run import Inputs, verify
from verify.runner import Check, Result
from verify.scenario import load_scenario
from verify.session import Session
from verify.verdict import Verdict

# For each of those that run tests side by side.
JOBS = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
# Its newest kernel, of the backports, has PCI_P2PDMA; its own has not.
RELEASE, WITHOUT_P2PDMA = "trixie", (6, 12)
Act = Callable[[Session], str]  # what a test does as if it were a check


@pytest.fixture(scope="session")
def workspace() -> Workspace:
    """Return the build that is tested; `doit test` names it."""
    named = os.environ.get(WORKSPACE_VARIABLE)
    if not named:
        raise pytest.UsageError(
            f"these tests need a built kernel: run `doit test:kernel`, which sets "
            f"{WORKSPACE_VARIABLE}, or `pytest -m 'not kernel'` for the others"
        )
    return Workspace(Path(named))


@pytest.fixture(scope="session")
def kbuild(workspace: Workspace) -> Kbuild:
    """Return how to build something against the tested kernel."""
    return Kbuild(read_record(workspace.source_record).tree, workspace.linux, JOBS)


@dataclass(frozen=True)
class AptHeaders:
    """Headers packages of the distribution, unpacked with their compiler.

    Attributes:
        unpacked: all of them.
        works: those of a kernel that the module has to compile for.
        refused: those of a kernel without PCI_P2PDMA.
    """

    unpacked: Unpacked
    works: Headers
    refused: Headers


@pytest.fixture(scope="session")
def apt_headers() -> AptHeaders:
    """Return headers that apt has now; `doit compat` uses the same directory, and its own way."""
    folder = COMPAT / RELEASE
    with locked(COMPAT.with_suffix(".lock"), f"headers of {RELEASE}"):
        suites.refreshed()
        lists = nothing_installed(RELEASE, folder)
        offered = [
            it
            for it in offer.headers(lists, suites.load().releases[RELEASE])
            if not it.package.endswith(("-cloud-amd64", "-rt-amd64"))
        ]
        refused = next(it for it in offered if it.series == WITHOUT_P2PDMA)
        works = offered[-1]
        unpacked = unpack(RELEASE, [works, refused], folder, COMPAT / "logs/apt-short.log")
    return AptHeaders(unpacked, works, refused)


def doit_argv(*words: str) -> list[str]:
    """Return a doit command line that works on the tested build; later settings win."""
    given = json.loads(os.environ[SETTINGS_VARIABLE])
    return [
        sys.executable,
        "-m",
        "doit",
        *(f"{name}={text}" for name, text in given.items()),
        *words,
    ]


@dataclass(frozen=True)
class Lab:
    """Verifies the tested build, each time in a folder of its own."""

    workspace: Workspace
    folder: Path

    def inputs(
        self, topology: str = "switch-q35", scenario: str = "copy", **changes: object
    ) -> Inputs:
        """Return what a verification of a topology takes, with some of it changed."""
        tree = load_topology(CONFIGS / "topologies" / f"{topology}.toml")
        inputs = Inputs(
            artifacts=built_in(self.workspace),
            topology=tree,
            scenario=load_scenario(CONFIGS / "scenarios" / f"{scenario}.toml", tree),
            accel="auto",
            accel_cache=accel_cache(),
            cpu=tree.cpu,
            folder=self.folder,
        )
        return replace(inputs, **changes)  # type: ignore[arg-type]

    def verify(self, inputs: Inputs) -> Verdict:
        """Verify, printing each result (pytest shows them if the test fails)."""
        return verify(inputs, _print, print)


@pytest.fixture
def lab(workspace: Workspace, tmp_path: Path) -> Lab:
    """Return a lab for one test."""
    return Lab(workspace, tmp_path / "run")


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Act], None]:
    """Return a function that puts one more act between power-off and the host's checks."""

    def insert(act: Act) -> None:
        monkeypatch.setattr(
            run,
            "image_checks",
            lambda scenario: [Check("tampering", act), *image_checks(scenario)],
        )

    return insert


def git(*words: str, cwd: Path) -> str:
    """Run git as on a machine where nobody has configured it; return what it prints."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    done = subprocess.run(
        ["git", *identity, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """Return a clone of the project as it stands, committed or not; it is gone after the test.

    It comes from a repository of its own, so that the project need not be one, and need not
    belong to whoever runs the tests.
    """
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    git("init", "--quiet", str(origin), cwd=tmp_path)
    of_project = (f"--git-dir={origin / '.git'}", f"--work-tree={PROJECT}")
    git(*of_project, "add", "--all", cwd=PROJECT)
    git(*of_project, "commit", "--quiet", "--message=as it stands", cwd=PROJECT)
    git("clone", "--quiet", str(origin), str(clone), cwd=tmp_path)
    try:
        yield clone
    finally:
        shutil.rmtree(clone)  # a whole kernel build


def _print(result: Result) -> None:
    print(result.status.value, result.title, result.detail)
