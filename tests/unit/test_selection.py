"""From a command line to a workspace."""

from pathlib import Path

import pytest

from host.errors import LabError, SettingError
from kernel import choice, selection
from kernel.registry import AptKernel, TreeKernel
from kernel.selection import BASE_FRAGMENT, name_of_own, only_shows, select
from settings.paths import BUILD, CONFIGS
from tests.unit.kernel_fixtures import kernel_tree


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bool]:
    """Collect what choose() is called with for ``decide``; nothing is remembered or downloaded."""
    decisions: list[bool] = []

    def choose(name: str, *, decide: bool) -> choice.Choice:
        decisions.append(decide)
        return choice.choose(name, decide=False, memory=tmp_path / "memory.json")

    monkeypatch.setattr(selection, "choose", choose)
    monkeypatch.setenv("P2PLAB_DOWNLOADS", str(tmp_path / "downloads"))
    monkeypatch.setenv("P2PLAB_INVOKED_FROM", str(tmp_path))
    return decisions


def test_kernel_of_the_registry() -> None:
    selected = select(["build", "kernel=6.12", "topology=root-ports"])

    assert selected.choice.kernel == AptKernel("6.12", "linux-source-6.12")
    assert selected.workspace.root == BUILD / "6.12"
    assert selected.fragments == (BASE_FRAGMENT,)
    assert selected.topology_file == CONFIGS / "topologies/root-ports.toml"
    assert selected.scenario_file.is_file()


@pytest.mark.parametrize(
    ("words", "scenario", "run_name"),
    [
        ([], "copy", "switch-q35"),
        (["scenario=copy"], "copy", "switch-q35"),
        (["topology=testdev"], "testdev", "testdev"),
        (["topology=testdev", "scenario=auto"], "testdev", "testdev"),
        (["topology=testdev", "scenario=testdev", "cpu=EPYC"], "testdev", "testdev+EPYC"),
        (["topology=ivshmem", "scenario=copy"], "copy", "ivshmem+copy"),
        (["scenario=takeover", "cpu=EPYC"], "takeover", "switch-q35+EPYC+takeover"),
    ],
)
def test_a_topology_brings_its_scenario(words: list[str], scenario: str, run_name: str) -> None:
    selected = select([*words, "kernel=6.12"])
    assert selected.scenario_file == CONFIGS / f"scenarios/{scenario}.toml"
    assert selected.run_name == run_name


def test_kernel_tree_is_found_from_where_the_user_is(tmp_path: Path) -> None:
    tree = kernel_tree(tmp_path / "linux")

    kernel = select(["kernel=./linux"]).choice.kernel

    assert isinstance(kernel, TreeKernel)
    assert kernel.tree == tree


def test_path_that_is_no_kernel_tree_is_refused_at_once_where_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=f"there is no directory {tmp_path}/linux"):
        select(["build", "kernel=./linux"])

    select(["list", "kernel=./linux"])


def test_trees_that_a_table_cannot_take_are_refused_at_once(tmp_path: Path) -> None:
    tree = kernel_tree(tmp_path / "linux")
    assert select(["compat", "trees=linux"]).settings.trees == (tree,)

    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingError, match=r"trees=.*/empty is not a Linux source tree"):
        select(["compat", "trees=linux,empty"])
    with pytest.raises(SettingError, match="trees=lunix: no such directory"):
        select(["compat", "trees=lunix"])


def test_a_table_of_all_kernels_takes_no_choice_of_one() -> None:
    for words in (["compat", "kernel=6.12"], ["kernel=6.12", "build", "compat"]):
        with pytest.raises(SettingError, match="takes every kernel"):
            select(words)

    select(["kernel=6.12", "clean", "compat"])


def test_other_fragments_are_another_workspace(tmp_path: Path) -> None:
    for name in ("debug.config", "my own:.config"):
        (tmp_path / name).touch()

    selected = select(["kernel=6.12", "config=debug.config,my own:.config"])

    assert selected.workspace.root == BUILD / "6.12+debug+my_own_"
    assert [path.name for path in selected.fragments] == [
        "p2pdma.config",
        "debug.config",
        "my own:.config",
    ]


@pytest.mark.parametrize(
    ("argv", "decide"),
    [
        ([], True),
        (["build"], True),
        (["-n", "2", "boot"], True),
        (["settings", "boot"], True),
        (["test"], True),
        (["list", "--all"], False),
        (["clean", "kernel"], False),
        (["accel=tcg", "settings"], False),
        (["test:unit"], False),
        (["test:lint", "test:types"], False),
        (["compare", "dist/a", "build"], False),
        (["settings", "compare", "verify", "boot"], False),
        (["build", "compare", "a", "b"], True),
    ],
)
def test_network_is_asked_only_where_a_kernel_is_needed(
    asked: list[bool], argv: list[str], decide: bool
) -> None:
    assert select(argv).builds is decide
    assert asked == [decide]


def test_only_commands_of_doit_itself_show_and_run_nothing() -> None:
    for argv in (["list"], ["kernel=6.12", "clean", "kernel"], ["-n", "forget"]):
        assert only_shows(argv)
    for argv in ([], ["build", "list"], ["disk"], ["bundle=x", "verify"]):
        assert not only_shows(argv)


def test_mistakes_are_told_with_the_choices() -> None:
    with pytest.raises(SettingError, match="unknown setting 'kernl'"):
        select(["build", "kernl=6.12"])
    with pytest.raises(SettingError, match=r"'6\.3\.3'"):
        select(["build", "kernel=6.3.3"])


@pytest.mark.parametrize("folder", ["my lab", "a:b"])
def test_checkout_where_no_kernel_can_be_built(
    monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(selection, "BUILD", Path("/home") / folder / "build")

    with pytest.raises(LabError, match="has a space or a colon"):
        select(["list"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["bundle=b", "build"], "bundle= is for `doit verify` alone, not for `doit build`"),
        (["bundle=b", "verify", "boot"], "not for `doit verify boot`"),
        (["manifest=b"], "manifest= is for `doit reproduce` alone, not for `doit verify`"),
        (["bundle=b", "kernel=6.12"], "bundle= and kernel= do not go together"),
        (["bundle=b", "cpu=EPYC", "verify"], "bundle= and cpu= do not go together"),
        (["manifest=b", "topology=switch", "reproduce"], "manifest= and topology= do not"),
        (["against=b"], "against= is for `doit bench` alone, not for `doit verify`"),
        (["runs=2", "verify"], "runs= is for `doit bench` alone"),
        (["bundle=b", "module=own"], "bundle= and module= do not go together"),
        (["bundle=b", "tool=own"], "bundle= and tool= do not go together"),
        (["bundle=b", "rootfs=tools"], "bundle= and rootfs= do not go together"),
        (["manifest=b", "rootfs=tools", "reproduce"], "manifest= and rootfs= do not go together"),
        (["trees=own", "verify"], "trees= is for `doit compat` alone, not for `doit verify`"),
        (["minutes=5", "lifecycle"], "minutes= is for `doit race` and `doit soak` alone"),
        (["cases=fuzz"], "cases= is for `doit lifecycle` and `doit soak` alone"),
        (["seed=5"], "seed= is for `doit lifecycle` and `doit soak` alone, not for `doit verify`"),
    ],
)
def test_a_setting_that_nothing_would_read_is_refused(
    tmp_path: Path, words: list[str], complaint: str
) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "own").mkdir()
    (tmp_path / "own/Makefile").touch()
    with pytest.raises(SettingError, match=complaint):
        select(words)


def test_a_seed_serves_two_tasks() -> None:
    assert select(["seed=5", "lifecycle", "soak"]).settings.seed == 5
    assert select(["minutes=3", "soak", "config=debug"]).settings.minutes == 3


@pytest.mark.parametrize("words", [["bundle=b"], ["verify", "bundle=b", "accel=tcg"]])
def test_a_bundle_brings_its_kernel(asked: list[bool], tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "b").touch()
    assert select(words).settings.bundle == tmp_path / "b"
    assert asked == [False]


def test_a_manifest_brings_its_kernel(asked: list[bool], tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    assert select(["reproduce", "manifest=b", "kernel=6.12"]).settings.manifest == tmp_path / "b"
    assert asked == [False]


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=f"bundle=b: there is no {tmp_path}/b"):
        select(["bundle=b"])


def test_bundle_of_a_choice() -> None:
    words = ["kernel=6.12", "topology=root-ports", "cpu=EPYC"]
    assert select(words).bundle_name == "p2plab-6.12-root-ports+EPYC"


def test_each_choice_has_outputs_of_its_own(tmp_path: Path) -> None:
    for name in ("a/own", "b/own"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "Makefile").touch()
    words = [[], ["module=a/own"], ["module=b/own"], ["tool=a/own"], ["rootfs=tools"]]
    chosen = [select(["kernel=6.12", *more]) for more in words]

    assert len({item.run_name for item in chosen}) == len(words)
    assert len({item.bundle_name for item in chosen}) == len(words)
    assert len({item.run_dir("verify") for item in chosen}) == len(words)
    assert len({item.workspace.rootfs for item in chosen}) == len(words)
    assert len({item.workspace.module for item in chosen}) == 3
    assert len({item.workspace.tool for item in chosen}) == 2
    assert {item.workspace.bzimage for item in chosen} == {chosen[0].workspace.bzimage}
    assert chosen[4].workspace.rootfs.name == "rootfs+tools"
    assert name_of_own(chosen[1].workspace.own_module) == "own"
