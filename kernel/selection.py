"""From a command line to one build: the settings, the kernel they mean, and where it is built."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from host.errors import LabError, SettingError
from kernel.choice import Choice, choose
from kernel.registry import TreeKernel
from kernel.version import check_user_tree, require_path_for_make
from settings.command_line import assignments, read_settings
from settings.model import AUTO_SCENARIO, Settings
from settings.parse import Root
from settings.paths import BUILD, CONFIGS, Workspace, invoked_from

BASE_FRAGMENT = CONFIGS / "p2pdma.config"
STANDARD_SCENARIO = "copy"  # for a topology that has none of its own
# Commands of doit that only look at tasks: they must not ask the network what auto means.
ONLY_SHOWING = {"list", "help", "info", "dumpdb", "tabcompletion", "forget", "clean"}
# Tasks that use no kernel: they must work where none can be had.
KERNELLESS = {
    "compare",
    "compat",
    "disk",
    "downloads",
    "settings",
    "summary",
    "test:lint",
    "test:format",
    "test:types",
    "test:unit",
}
# Tasks to which all words behind them belong.
TAKING_WORDS = {"compare"}
DEFAULT_TASK = "verify"  # what plain `doit` does
# Settings that decide what an image is.
IMAGE_SETTINGS = {
    "kernel", "config", "module", "tool", "rootfs", "topology", "scenario", "cpu",
}  # fmt: skip
# Settings that few tasks read, and which; and those that they must not be given with, since the
# file named by the setting decides them.
NO_OTHERS: frozenset[str] = frozenset()
SOLE_READERS = (
    (
        "bundle",
        ("verify",),
        {*IMAGE_SETTINGS, "jobs", "gdb", "keep"},
    ),
    ("manifest", ("reproduce",), {"rootfs", "topology", "scenario", "cpu", "gdb", "keep"}),
    ("against", ("bench",), NO_OTHERS),
    ("runs", ("bench",), NO_OTHERS),
    ("trees", ("compat",), NO_OTHERS),
    ("minutes", ("race", "soak"), NO_OTHERS),
    ("seed", ("lifecycle", "soak"), NO_OTHERS),
    ("cases", ("lifecycle", "soak"), NO_OTHERS),
)


@dataclass(frozen=True)
class Selection:
    """What one run of doit works on.

    Attributes:
        settings: all settings, with defaults.
        choice: the kernel.
        workspace: where it is built.
        given: the settings as they were typed.
        builds: this run may build in the workspace; others show something, or work elsewhere.
    """

    settings: Settings
    choice: Choice
    workspace: Workspace
    given: dict[str, str]
    builds: bool = True

    @property
    def fragments(self) -> tuple[Path, ...]:
        """The Kconfig fragments, later ones winning."""
        return (BASE_FRAGMENT, *self.settings.config)

    @property
    def run_name(self) -> str:
        """What runs on this kernel: the topology, and what else was chosen unlike its default."""
        settings = self.settings
        usual = (settings.topology, _usual_scenario(settings.topology))
        scenario = self.scenario if self.scenario not in usual else ""
        at = self.workspace
        chosen = (settings.cpu, scenario, at.own_module, at.own_tool, *at.rootfs_parts)
        return "+".join(filter(None, (settings.topology, *chosen)))

    @property
    def scenario(self) -> str:
        """The name of the scenario, also where nobody has chosen one."""
        chosen = self.settings.scenario
        return _usual_scenario(self.settings.topology) if chosen == AUTO_SCENARIO else chosen

    @property
    def bundle_name(self) -> str:
        """The bundle's folder in ``dist/``."""
        return f"p2plab-{self.workspace.root.name}-{self.run_name}"

    def run_dir(self, kind: str) -> Path:
        """Where a run of one kind (``boot``, ``verify``) keeps its files: a folder per choice."""
        return self.workspace.run_dir(kind, self.run_name)

    @property
    def topology_file(self) -> Path:
        """The TOML file of the chosen topology."""
        return CONFIGS / "topologies" / f"{self.settings.topology}.toml"

    @property
    def scenario_file(self) -> Path:
        """The TOML file of the chosen scenario."""
        return CONFIGS / "scenarios" / f"{self.scenario}.toml"


def select(argv: Sequence[str]) -> Selection:
    """Return what doit's command line (without the program) selects.

    Raises:
        LabError: a setting, the registry of kernels, no kernel at all to be had, or a checkout
            in a directory where no kernel can be built.
    """
    require_path_for_make(BUILD, "move this checkout to another directory")
    given = assignments(argv)
    settings = read_settings(given, Root(CONFIGS, invoked_from()))
    _require_readers(argv, given)
    _refuse_kernel_for_all(argv, given)
    needed = _needs_kernel(argv) and not (settings.bundle or settings.manifest)
    choice = choose(settings.kernel, decide=needed)
    if needed and isinstance(choice.kernel, TreeKernel):
        _require_tree(choice.kernel.tree, f"kernel={settings.kernel}")
    for tree in settings.trees:
        _require_tree(tree, f"trees={tree}")
    # Another set of fragments is another kernel: both stay built, side by side.
    label = "+".join([choice.label, *(plain(path.stem) for path in settings.config)])
    workspace = Workspace(
        BUILD / label,
        own_module=own_label("module", settings.module),
        own_tool=own_label("tool", settings.tool),
        rootfs_parts=() if settings.rootfs == "plain" else (settings.rootfs,),
    )
    return Selection(settings, choice, workspace, given, builds=needed)


def own_label(kind: str, folder: Path | None) -> str:
    """Return the name of what is built from a user's own folder: another one for each folder."""
    if folder is None:
        return ""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()
    return f"{kind}-{plain(folder.name)}-{digest[:8]}"


def name_of_own(label: str) -> str:
    """Return the name of the folder that :func:`own_label` was given, as far as it shows."""
    return label.partition("-")[2].rpartition("-")[0]


def _require_readers(argv: Sequence[str], given: Mapping[str, str]) -> None:
    """Refuse a setting that nothing would read, or that another one has decided already."""
    for name, readers, brought in SOLE_READERS:
        if not given.get(name):
            continue
        words = _task_words(argv) or [DEFAULT_TASK]
        if not set(words) <= set(readers):
            raise SettingError(
                f"{name}= is for {' and '.join(f'`doit {it}`' for it in readers)} alone, "
                f"not for `doit {' '.join(words)}`",
                hint=f"./doit {name}={given[name]} {readers[-1]}",
            )
        for other in sorted(brought & given.keys()):
            raise SettingError(
                f"{name}= and {other}= do not go together: the {name} says it already",
                hint=f"leave out {other}=",
            )


def _refuse_kernel_for_all(argv: Sequence[str], given: Mapping[str, str]) -> None:
    """Refuse to choose one kernel for the task that takes every kernel there is."""
    if "kernel" in given and "compat" in _task_words(argv) and not only_shows(argv):
        raise SettingError(
            "`doit compat` takes every kernel: kernel= says nothing to it",
            hint=f"./doit kernel={given['kernel']} verify tries that one; trees=PATH adds trees "
            "of your own to the table",
        )


def _require_tree(tree: Path, given: str) -> None:
    try:
        check_user_tree(tree)
    except LabError as error:
        raise SettingError(f"{given}: {error.message}", hint=error.hint) from error


def _usual_scenario(topology: str) -> str:
    own = CONFIGS / "scenarios" / f"{topology}.toml"
    return topology if own.exists() else STANDARD_SCENARIO


def _needs_kernel(argv: Sequence[str]) -> bool:
    words = _task_words(argv)
    return not words or (words[0] not in ONLY_SHOWING and not KERNELLESS.issuperset(words))


def only_shows(argv: Sequence[str]) -> bool:
    """Tell whether this is a command of doit that looks at tasks and runs none."""
    return bool(ONLY_SHOWING.intersection(_task_words(argv)[:1]))


def _task_words(argv: Sequence[str]) -> list[str]:
    words = [word for word in argv if not word.startswith("-") and "=" not in word]
    ends = (number for number, word in enumerate(words, 1) if word in TAKING_WORDS)
    return words[: next(ends, len(words))]


def plain(name: str) -> str:
    """Return a name without blanks and colons, which make takes in no path (``O=``)."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)
