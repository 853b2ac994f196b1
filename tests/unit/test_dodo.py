"""The task graph itself, in a copy of the checkout that has never built anything."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.archive import pack
from bundle.records import TEST_STEPS
from kernel.selection import KERNELLESS
from settings.paths import PROJECT
from tests.unit import elf_files
from tests.unit.bundle_fixtures import BUNDLE_NAME, make_bundle

# There is no network, and whoever asks it is heard.
NO_NETWORK = """
import os, socket
def refuse(*args, **kwargs):
    os.write(2, b"asked the network\\n")
    raise OSError("no network")
socket.getaddrinfo = socket.socket.connect = refuse
"""

# For each task: does it always run, and do its actions fit the functions that they name?
INSPECT = """
import importlib, inspect, json, sys
sys.argv[:] = ["doit", "list", *sys.argv[1:]]
sys.path.insert(0, ".")
import dodo
from doit.loader import load_tasks
found = {}
for task in load_tasks(vars(dodo)):
    calls = []
    for action in task.actions:
        module, _, name = action.py_callable.__name__.rpartition(".")
        function = getattr(importlib.import_module(module), name)
        typed = {task.pos_arg: []} if task.pos_arg else {}
        inspect.signature(function).bind(*action.args, **action.kwargs, **typed)
        calls.append(f"{module}.{name}")
    for action in task.clean_actions:
        inspect.signature(action.py_callable).bind(*action.args, **action.kwargs)
    always = any(check == (False, None, None) for check in task.uptodate)
    found[task.name] = {"calls": calls, "always": always}
json.dump(found, sys.stdout)
"""


class Checkout:
    """A copy of the project's sources with its own build and download directories."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "lab"
        shutil.copytree(
            PROJECT,
            self.root,
            ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "unit", "*.md"),
        )
        guard = folder / "guard"
        guard.mkdir()
        (guard / "sitecustomize.py").write_text(NO_NETWORK)
        for name in ("apt-get", "apt-cache"):
            (guard / name).write_text("#!/bin/sh\necho asked apt >&2\nexit 99\n")
            (guard / name).chmod(0o755)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(guard),
            "PATH": f"{guard}:{os.environ['PATH']}",
            "P2PLAB_DOWNLOADS": str(folder / "downloads"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "P2PLAB_INVOKED_FROM": str(folder),
        }

    def python(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *args],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def doit(self, *args: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "doit", *args)

    def tasks(self, *settings: str) -> dict[str, dict[str, object]]:
        done = self.python("-c", INSPECT, *settings)
        assert done.stderr == ""
        found: dict[str, dict[str, object]] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("dodo"))


def test_every_action_names_a_function_that_takes_its_arguments(checkout: Checkout) -> None:
    tasks = checkout.tasks()

    assert tasks["kernel"]["calls"] == ["kernel.task.kernel"]
    assert tasks["verify"]["calls"] == ["verify.task.run"]
    assert tasks["build"]["calls"] == []
    assert [name for name in tasks if name.startswith("test:")] == [
        f"test:{step}" for step in TEST_STEPS
    ]
    # Not a task of the same run, whose notes the tests' own runs of doit would not have.
    assert tasks["test:kernel"]["calls"] == ["tests.task.build", "tests.task.run"]
    assert set(tasks) > KERNELLESS


def test_only_a_users_own_tree_is_looked_through_by_make_every_time(checkout: Checkout) -> None:
    def always(*settings: str) -> set[str]:
        stages = {"source", "config", "kernel", "module", "tool", "initramfs"}
        tasks = checkout.tasks(*settings)
        # Some are groups, with a sub-task for what the user chose.
        return {name.partition(":")[0] for name, task in tasks.items() if task["always"]} & stages

    assert always("kernel=6.12") == set()
    assert always("kernel=/home/me/linux") == {"source", "config", "kernel", "module"}


def test_list_reads_as_a_table_of_contents_and_asks_nobody(checkout: Checkout) -> None:
    done = checkout.doit("list")

    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names[:3] == ["source", "config", "kernel"]
    assert all(len(line.split()) > 2 for line in done.stdout.splitlines())


def test_a_build_that_fails_is_not_tested(checkout: Checkout) -> None:
    done = checkout.doit("kernel=6.12", "test:kernel")

    assert done.returncode == 1
    assert done.stderr.endswith("error: there is no build to test, see above\n")


def test_build_without_any_source_is_one_clear_error(checkout: Checkout) -> None:
    done = checkout.doit("build")

    assert done.returncode == 1
    asked, _, told = done.stderr.partition("error: ")
    network, lists = sorted(set(asked.splitlines()))
    assert network == "asked the network"
    assert lists.startswith("refreshing apt's lists")
    assert told.startswith("kernel=auto finds no kernel source:")
    assert "Traceback" not in done.stderr


def test_start_imports_no_stage_and_no_big_library(checkout: Checkout) -> None:
    done = checkout.python("-X", "importtime", "-m", "doit", "list")

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"requests", "elftools", "pexpect", "host.process", "kernel.source", "kernel.download"}
    stages = {f"{stage}.task" for stage in ("kernel", "rootfs", "boot", "verify")}
    assert "kernel.selection" in imported
    assert imported.isdisjoint(heavy | stages)


def test_summary_of_nothing_asks_nobody(checkout: Checkout) -> None:
    done = checkout.doit("summary")

    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing has been run here")
    assert len(done.stderr.splitlines()) == 2
    assert (checkout.root / "dist/summary.md").is_file()


def test_settings_are_shown_without_any_kernel(checkout: Checkout) -> None:
    done = checkout.doit("settings")

    assert (done.returncode, done.stderr) == (0, "")
    assert "kernel=auto" in done.stdout


def test_bundles_are_compared_without_any_kernel(checkout: Checkout, tmp_path: Path) -> None:
    """Relative paths start where the user is, which is not the checkout."""
    here = Path(checkout.environment["P2PLAB_INVOKED_FROM"])
    pack(make_bundle(tmp_path), here / "a.tar.xz")
    shutil.copytree(tmp_path / BUNDLE_NAME, here / "b")

    same = checkout.doit("compare", "a.tar.xz", "b")
    (here / "b/image/bzImage").write_text("another kernel")
    changed = checkout.doit("compare", "a.tar.xz", "b")
    alone = checkout.doit("compare", "a.tar.xz")

    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "all outputs are the same")
    assert "asked" not in same.stderr  # neither network nor apt
    assert changed.returncode == 22
    assert "image/bzImage: changed" in changed.stderr
    assert (alone.returncode, "takes two bundles, not 1" in alone.stderr) == (64, True)
    assert not any("Traceback" in run.stderr for run in (same, changed, alone))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("kernal=6.12", "error: unknown setting 'kernal'. Did you mean 'kernel'?\n  hint: there"),
        ("topology=swich", "error: topology=swich: unknown value 'swich'. Did you mean 'switch'?"),
        ("kernel=6.3.3", "error: unknown kernel '6.3.3'. Did you mean"),
    ],
)
def test_bad_setting(checkout: Checkout, word: str, told: str) -> None:
    done = checkout.doit("list", word)

    assert done.returncode == 64
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 2
    assert done.stdout == ""


def test_no_kernel_to_be_had(checkout: Checkout) -> None:
    toml = checkout.root / "configs/kernels.toml"
    text = toml.read_text()
    toml.write_text("this is no TOML")

    done = checkout.doit("build")

    toml.write_text(text)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {toml}: not valid TOML")
    assert "Traceback" not in done.stderr


def test_build_directory_that_cannot_be_made(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    (checkout.root / "build").touch()

    done = checkout.doit("list")

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert f"{checkout.root}/build/" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_scenario_that_does_not_fit_is_told_before_anything_is_built(checkout: Checkout) -> None:
    done = checkout.doit("kernel=6.12", "topology=testdev", "scenario=copy", "verify")

    assert done.returncode not in (0, 2)
    assert "error: copy.toml: there is no provider 1; the topology has 1, from 0 on" in done.stderr
    assert "Traceback" not in done.stderr
    assert "== source" not in done.stdout


def test_program_that_cannot_run_in_the_guest_is_told_before_anything_is_built(
    checkout: Checkout, tmp_path: Path
) -> None:
    """So is what else a task of its own has to be given: by the same exit code."""
    script, dynamic = tmp_path / "script", elf_files.program(tmp_path / "dynamic")
    script.write_text("#!/bin/sh\n")
    for given, told in (
        (script, f"against={script}: {script} is not a whole ELF file"),
        (dynamic, f"against={dynamic}: {dynamic} is not a static program: it needs "),
    ):
        done = checkout.doit("kernel=6.12", f"against={given}", "bench")

        assert done.returncode == 64
        assert done.stderr.startswith(f"error: {told}")
        assert len(done.stderr.splitlines()) <= 2
        assert "== source" not in done.stdout


@pytest.mark.parametrize("word", ["kernel=6.12", "trees=."])
def test_setting_that_a_table_of_all_kernels_cannot_take(checkout: Checkout, word: str) -> None:
    report = checkout.root / "build/compat/compat.md"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.touch()

    done = checkout.doit("compat", word)

    assert done.returncode == 64
    assert len(done.stderr.splitlines()) == 2
    assert "asked" not in done.stderr  # neither network nor apt
    assert done.stdout == ""
    assert report.exists()  # of an earlier run, to which nothing has happened


@pytest.mark.parametrize("task", ["verify", "bench", "lifecycle", "soak"])
def test_no_report_outlives_what_it_was_about(checkout: Checkout, task: str) -> None:
    """The build comes to nothing, and what an earlier one came to must not be found."""
    run = "switch-q35" if task in ("verify", "bench") else ""
    names = {"verify": "verdict"}
    folder = checkout.root / "build/6.3.2" / task / run
    folder.mkdir(parents=True)
    report = folder / f"{names.get(task, task)}.json"
    report.write_text('{"outcome": "passed"}')

    done = checkout.doit("kernel=6.3.2", task)

    assert done.returncode != 0
    assert "no network" in done.stderr
    assert not report.exists()
