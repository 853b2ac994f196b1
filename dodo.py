"""The task graph of p2plab: every task, what it needs and what it makes. `doit list` shows it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from doit.tools import config_changed

from host.reserve import keep
from host.sources import sources_below
from host.stamps import COMPILING, stamp
from host.task import EXPECTED, Reporter, as_made, as_then, report, stage
from kernel.external import module_sources
from kernel.registry import TreeKernel
from kernel.selection import DEFAULT_TASK, only_shows, select
from rootfs.linked import stamps_of_linked
from rootfs.packed import stamps_of_packed
from rootfs.sources import tool_sources
from settings.paths import BUILD, COMPAT, DIST, PROJECT, TESTS, invoked_from

Task = dict[str, Any]

try:
    SELECTED = select(sys.argv[1:])
    AT = SELECTED.workspace
    AT.root.mkdir(parents=True, exist_ok=True)
    if SELECTED.builds:
        keep(AT.reserve)
except EXPECTED as error:
    sys.exit(report(error).exit_code)

MODULE = SELECTED.settings.module or PROJECT / "p2pmem-pci"
TOOL = SELECTED.settings.tool or PROJECT / "p2pmem-test"
OWN_MODULE, OWN_TOOL = SELECTED.settings.module, SELECTED.settings.tool
# Flags and environment of every compilation: after an edit, make has to look through all of them.
RECIPE = (PROJECT / "kernel/kbuild.py", PROJECT / "kernel/environment.py")
PROGRAMS = {name: stamp(name) for name in COMPILING}
VERDICT, BENCH = SELECTED.run_dir("verify"), SELECTED.run_dir("bench")
VERDICT_LOCK = VERDICT.with_name(f"{VERDICT.name}.lock")
BENCH_LOCK = BENCH.with_name(f"{BENCH.name}.lock")
GUESTS_LOCK = AT.root / "lifecycle.lock"
# Where a task leaves its report, and the lock of whoever makes or removes it.
REPORTS = {
    "verify": (VERDICT, VERDICT_LOCK),
    "bench": (BENCH, BENCH_LOCK),
    "lifecycle": (AT.root / "lifecycle", GUESTS_LOCK),
    "soak": (AT.root / "soak", GUESTS_LOCK),
}
BUNDLE = DIST / SELECTED.bundle_name
OWN_TREE = isinstance(SELECTED.choice.kernel, TreeKernel)

DOIT_CONFIG = {
    "default_tasks": [DEFAULT_TASK],
    "reporter": Reporter,
    "verbosity": 2,
    "sort": "definition",
    "par_type": "thread",
    # One record of what is up to date per kernel: switching kernels rebuilds nothing. Tasks that
    # build nothing are always done, on a full disk too, and leave no record.
    "dep_file": str(AT.state) if SELECTED.builds or only_shows(sys.argv[1:]) else ":memory:",
    "backend": "sqlite3",
}


def cleaning(*paths: Path) -> list[Any]:
    """Return what `doit clean` does for a task; it waits for a stage that works in this folder."""
    return [(stage("host.files", "discard", lock=AT.lock), [path]) for path in paths]


def there(sources: list[Path]) -> list[Path]:
    """Return the sources that doit can look into: a user's folder may have links to nothing."""
    return [path for path in sources if path.is_file()]


def of_choice(choice: str, task: Task) -> Iterator[Task]:
    """Yield a task as a sub-task that belongs to one choice of the user's.

    doit keeps one record a task: so it knows each choice, and going back to one makes nothing anew.
    """
    yield {**task, "name": choice, "title": lambda found: str(found.name).partition(":")[0]}


def task_source() -> Task:
    """get the kernel's source: download, verify, unpack"""
    return {
        "actions": [(stage("kernel.task", "source", lock=AT.lock), [SELECTED])],
        "targets": [AT.source_record],
        "uptodate": [config_changed({"choice": repr(SELECTED.choice)}), as_made, not OWN_TREE],
        "clean": cleaning(AT.source_record, AT.source),
    }


def task_config() -> Task:
    """make the kernel's .config from tinyconfig and the fragments, and check every line"""
    return {
        "actions": [(stage("kernel.task", "configure", lock=AT.lock), [SELECTED])],
        "file_dep": [*RECIPE, AT.source_record, *SELECTED.fragments],
        "targets": [AT.dot_config],
        "uptodate": [
            config_changed({"fragments": [*map(str, SELECTED.fragments)], "programs": PROGRAMS}),
            as_made,
            not OWN_TREE,
        ],
        # linux.config and linux.menuconfig: what a trial that failed has left.
        "clean": cleaning(AT.dot_config, *AT.root.glob(f"{AT.linux.name}.*")),
    }


def task_kernel() -> Task:
    """build bzImage, vmlinux and what external modules need"""
    return {
        "actions": [(stage("kernel.task", "kernel", lock=AT.lock), [SELECTED])],
        "file_dep": [*RECIPE, AT.source_record, AT.dot_config],
        "targets": [AT.bzimage, AT.vmlinux, AT.auto_conf, AT.symbols],
        # In a user's own tree only make knows what has changed.
        "uptodate": [config_changed({"programs": PROGRAMS}), as_made, not OWN_TREE],
        "clean": [(stage("kernel.task", "clean", lock=AT.lock), [SELECTED])],
    }


def task_module() -> Iterator[Task]:
    """build the kernel module p2pmem_pci.ko, or your own"""
    sources = sources_below(MODULE) if OWN_MODULE else module_sources(MODULE)
    task = {
        "actions": [(stage("kernel.task", "module", lock=AT.lock), [SELECTED, MODULE])],
        "file_dep": [*RECIPE, AT.symbols, AT.dot_config, *there(sources)],
        "targets": [AT.module],
        # In a user's own tree a header may change, and Module.symvers stay the same.
        "uptodate": [config_changed({"programs": PROGRAMS}), as_made, not OWN_TREE],
        "clean": [
            *(cleaning(AT.module) if OWN_MODULE else ()),  # first: a link into the folder
            (stage("host.unfinished", "discard", lock=AT.lock), [AT.module_dir]),
        ],
    }
    return of_choice(AT.module_dir.name, task)


def task_tool() -> Iterator[Task]:
    """build the user-space tool p2pmem-test, static, or your own"""
    sources = sources_below(TOOL) if OWN_TOOL else tool_sources(TOOL)
    recipe = [PROJECT / "rootfs" / name for name in ("task.py", *["own_tool.py"] * bool(OWN_TOOL))]
    task = {
        "actions": [(stage("rootfs.task", "tool", lock=AT.lock), [SELECTED, TOOL])],
        "file_dep": [*RECIPE, *recipe, *there(sources)],
        # What a user's own was linked from, only its own Makefile knows.
        "targets": [AT.tool, *([] if OWN_TOOL else [AT.tool_links])],
        "uptodate": [
            config_changed({"programs": PROGRAMS}),
            as_then("linked", lambda: stamps_of_linked(AT.tool_links)),
            as_made,
        ],
        "clean": [
            *(cleaning(AT.tool) if OWN_TOOL else ()),
            (stage("host.unfinished", "discard", lock=AT.lock), [AT.tool_dir]),
        ],
    }
    return of_choice(AT.tool_dir.name, task)


def task_initramfs() -> Iterator[Task]:
    """check module and tool, pack them with busybox into the root file system"""
    scripts = [path for path in sorted((PROJECT / "rootfs").iterdir()) if path.is_file()]
    task = {
        "actions": [(stage("rootfs.task", "initramfs", lock=AT.lock), [SELECTED])],
        "file_dep": [AT.module, AT.tool, AT.vmlinux, *scripts],
        "targets": [AT.initramfs],
        "uptodate": [
            config_changed({"busybox": stamp("busybox"), "lz4": stamp("lz4")}),
            as_then("packed", lambda: stamps_of_packed(AT.packed)),
            as_made,
        ],
        "clean": cleaning(AT.rootfs),
    }
    return of_choice(AT.rootfs.name, task)


def task_build() -> Task:
    """build everything that a boot needs"""
    return {
        "actions": None,
        # All of them, though one leads to the other: `doit forget -s` goes by nothing else.
        "task_dep": ["source", "config", "kernel", "module", "tool", "initramfs"],
        "clean": cleaning(AT.logs),
    }


def task__no_report() -> Iterator[Task]:
    """remove the last report of a task, which must not outlive what it was about"""
    # The empty folder stays: one without a report tells that a run did not come to any.
    for name, (folder, lock) in REPORTS.items():
        action = (stage("host.files", "emptied", lock=lock), [folder])
        yield {"name": name, "actions": [action]}


def task__fits() -> Task:
    """see that the scenario can be done on the topology, before anything is built for it"""
    return {"actions": [(stage("verify.task", "fits"), [SELECTED])]}


def task_boot() -> Task:
    """boot into a shell on the serial console"""
    return {
        "actions": [(stage("boot.task", "boot"), [SELECTED])],
        "task_dep": ["build"],
        "clean": cleaning(AT.root / "boot"),
    }


def task_verify() -> Task:
    """boot, run every check, write the verdict (this is what plain `doit` does)"""
    if SELECTED.settings.bundle:
        return {"actions": [(stage("bundle.task", "verify"), [SELECTED])]}
    return {
        # Another doit may come to build here again: not while this one is about what is there.
        "actions": [(stage("verify.task", "run", lock=VERDICT_LOCK, reads=AT.lock), [SELECTED])],
        # First of all: should the build fail, no verdict of an earlier one may be found.
        "task_dep": ["_no_report:verify", "_fits", "build"],
        "clean": [(stage("host.disk", "discard_runs"), [AT.root / "verify"])],
    }


def task_image() -> Task:
    """write the image part of a bundle: the same bytes for the same inputs"""
    return {
        "actions": [(stage("bundle.task", "image", lock=AT.lock), [SELECTED])],
        "task_dep": ["build"],
        "clean": cleaning(AT.root / "image"),
    }


def task_bundle() -> Task:
    """verify the image, and keep it with the evidence in dist/: as folder and archive"""
    return {
        "actions": [(stage("bundle.task", "bundle", lock=VERDICT_LOCK, reads=AT.lock), [SELECTED])],
        "task_dep": ["_no_report:verify", "_fits", "image"],
        "clean": cleaning(BUNDLE, BUNDLE.with_name(f"{BUNDLE.name}.tar.xz")),
    }


def task_compare() -> Task:
    """explain what differs between two bundles: doit compare A B"""
    return {
        "actions": [(stage("bundle.compare", "run"), [], {"invoked_from": invoked_from()})],
        "pos_arg": "words",
    }


def task_reproduce() -> Task:
    """build the image twice, as differently as this machine allows, and compare every byte"""
    lock = BUILD / "reproduce.lock"
    return {
        "actions": [(stage("reproduce.task", "run", lock=lock), [SELECTED])],
        "clean": [(stage("reproduce.task", "clean", lock=lock), [])],
    }


def task__bench_fits() -> Task:
    """see that the other program can run in the guest, before anything is built for it"""
    return {"actions": [(stage("bench.task", "fits"), [SELECTED])]}


def task_bench() -> Task:
    """measure in one boot how fast the tool is, against another one too: against=FILE"""
    return {
        "actions": [(stage("bench.task", "run", lock=BENCH_LOCK, reads=AT.lock), [SELECTED])],
        "task_dep": ["_no_report:bench", "_bench_fits", "build"],
        "clean": [(stage("host.disk", "discard_runs"), [AT.root / "bench"])],
    }


def task_compat() -> Task:
    """try the module on every kernel that can be had: a table of what compiles and verifies"""
    lock = COMPAT.with_suffix(".lock")
    return {
        "actions": [(stage("compat.task", "run", lock=lock), [SELECTED, MODULE])],
        "clean": [(stage("host.files", "discard", lock=lock), [COMPAT])],
    }


def in_guests(module: str, function: str) -> tuple[Any, list[Any]]:
    """Return the action that runs the life-cycle suite: one at a time, on what is built."""
    action = stage(f"tests.lifecycle.{module}", function, lock=GUESTS_LOCK, reads=AT.lock)
    return (action, [SELECTED])


def task__suite_fits() -> Task:
    """see that the life-cycle suite can be run on the topology, before anything is built for it"""
    return {"actions": [(stage("tests.lifecycle.task", "fits"), [SELECTED])]}


def task_lifecycle() -> Task:
    """cross who holds device memory with all that can happen to it: the module's own suite"""
    return {
        "actions": [in_guests("task", "lifecycle")],
        "task_dep": ["_no_report:lifecycle", "_suite_fits", "build"],
        "clean": cleaning(AT.root / "lifecycle", AT.root / "lifecycle-image"),
    }


def task_soak() -> Task:
    """run the life-cycle suite again and again: doit soak minutes=10"""
    return {
        "actions": [in_guests("task", "soak")],
        "task_dep": ["_no_report:soak", "_suite_fits", "build"],
        "clean": cleaning(AT.root / "soak"),
    }


def task__race_fits() -> Task:
    """see that a race can be looked for with these settings, before anything is built for it"""
    return {"actions": [(stage("tests.lifecycle.race", "fits"), [SELECTED])]}


def task_race() -> Task:
    """plant a data race in the module, which has to be found: doit config=kcsan race"""
    return {
        "actions": [in_guests("race", "race")],
        "task_dep": ["_race_fits", "build"],
        "clean": cleaning(AT.root / "race", AT.root / "race-module"),
    }


def task_menuconfig() -> Task:
    """change the kernel's configuration by hand; the changes are kept as a fragment"""
    return {
        "actions": [(stage("kernel.task", "menuconfig", lock=AT.lock), [SELECTED])],
        "task_dep": ["config"],
    }


def task_settings() -> Task:
    """show every setting: doit NAME=VALUE ... TASK"""
    return {"actions": [(stage("settings.command_line", "show"), [SELECTED.given])]}


def task_disk() -> Task:
    """show what everything takes of the disk, and the command that frees it"""
    return {"actions": [(stage("kernel.disk", "show"), [SELECTED])]}


def task_downloads() -> Task:
    """show what was downloaded; `doit clean downloads` removes it, and nothing else does"""
    # `doit clean -a` comes here too, but only who names them means them.
    named = "downloads" in sys.argv[1:]
    return {
        "actions": [(stage("kernel.downloads", "show"), [])],
        "clean": [(stage("kernel.downloads", "clean"), [named])],
    }


def task_test() -> Iterator[Task]:
    """run all tests, the fast ones first"""
    python = [sys.executable, "-m"]
    # Side by side, for a guest or a compiler seldom keeps more than one processor busy.
    together = SELECTED.settings.jobs
    # A user's own tree is built again by each doit that a test starts, under those that boot it.
    on_kernel = 1 if OWN_TREE else together
    pytest = [*python, "pytest", "-m"]
    build = stage("tests.task", "build"), [SELECTED]
    steps: dict[str, tuple[str, list[str], list[Any]]] = {
        "lint": ("ruff: rules", [*python, "ruff", "check", "."], []),
        "format": ("ruff: format", [*python, "ruff", "format", "--check", "."], []),
        "types": ("mypy: strict types", [*python, "mypy"], []),
        "unit": (
            "no kernel needed",
            [*pytest, "not kernel", side_by_side(together), junit("unit")],
            [],
        ),
        "kernel": (
            "real kernel, real QEMU",
            [*pytest, "kernel", side_by_side(on_kernel), junit("kernel")],
            [build],
        ),
        "debug": ("the life-cycle suite on a debug kernel", on_debug_kernel(python), []),
    }
    for name, (doc, argv, before) in steps.items():
        yield {
            "name": name,
            "doc": doc,
            "actions": [*before, (stage("tests.task", "run"), [name, argv, SELECTED])],
            "clean": cleaning(TESTS / f"{name}.json", TESTS / f"{name}.xml"),
        }


def on_debug_kernel(python: list[str]) -> list[str]:
    """Return the doit command that soaks the same kernel with the debug fragment, shortly.

    The plain kernel has had every case by then; these are where its instruments see most.
    """
    given = SELECTED.given
    kept = ("kernel", "accel", "jobs", "module", "tool")
    words = [f"{name}={given[name]}" for name in kept if name in given]
    own = [word for word in given.get("config", "").split(",") if word]
    config = ",".join(dict.fromkeys([*own, "debug"]))
    cases = "cases=mapping x *,DMA in flight x *,fork*,exhaustion,dma-unmapped,race*,fuzz*"
    return [*python, "doit", *words, f"config={config}", cases, "minutes=1", "soak"]


def side_by_side(count: int) -> str:
    """Return pytest's option for how many tests run at a time."""
    return f"--numprocesses={count}"


def junit(step: str) -> str:
    """Return pytest's option for the report of a test step."""
    return f"--junitxml={TESTS.relative_to(PROJECT)}/{step}.xml"


def task_summary() -> Task:
    """gather logs and reports in dist/run, and tell on one page how everything ended"""
    lock = BUILD / "summary.lock"
    return {
        "actions": [(stage("bundle.summary", "run", lock=lock), [BUILD, DIST])],
        "clean": cleaning(DIST / "run", DIST / "summary.md"),
    }
