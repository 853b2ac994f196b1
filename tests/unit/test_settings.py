"""name=value words become settings, or one error that names the choices."""

import os
from pathlib import Path

import pytest

from host.errors import SettingError
from settings import command_line
from settings.command_line import assignments, read_settings
from settings.model import SETTINGS, Settings
from settings.parse import Root
from settings.paths import (
    CONFIGS,
    PROJECT,
    Workspace,
    cache_dir,
    downloads_dir,
    invoked_from,
)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    for name in ("topologies/switch-q35", "topologies/root-ports", "scenarios/copy"):
        path = tmp_path / "configs" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("p2pdma", "debug"):
        (tmp_path / "configs" / f"{name}.config").touch()
    return Root(tmp_path / "configs", tmp_path)


def read(root: Root, **given: str) -> Settings:
    return read_settings(given, root)


def test_words_with_an_equals_sign_are_settings() -> None:
    argv = ["kernel=6.3.2", "verify", "-n", "2", "--db-file=x", "cpu=EPYC,x2apic=on", "jobs="]

    assert assignments(argv) == {"kernel": "6.3.2", "cpu": "EPYC,x2apic=on", "jobs": ""}


def test_defaults(root: Root) -> None:
    assert read(root) == Settings(
        kernel="auto",
        config=(),
        module=None,
        tool=None,
        rootfs="plain",
        topology="switch-q35",
        scenario="auto",
        accel="auto",
        cpu="",
        jobs=os.cpu_count() or 1,
        keep=False,
        gdb=False,
        bundle=None,
        manifest=None,
        against=None,
        runs=5,
        trees=(),
        minutes=10,
        seed=0,
        cases=(),
    )


def test_defaults_exist_in_the_configs_of_the_project() -> None:
    read_settings({}, Root(CONFIGS, PROJECT))


def test_given_values(root: Root) -> None:
    settings = read(root, topology="root-ports", accel="tcg", jobs="3", keep="YES", gdb="1")

    assert settings.topology == "root-ports"
    assert (settings.accel, settings.jobs, settings.keep, settings.gdb) == ("tcg", 3, True, True)


def test_unknown_setting_gets_the_nearest_name_and_the_list(root: Root) -> None:
    with pytest.raises(SettingError) as caught:
        read(root, kernal="6.3.2")

    assert caught.value.message == "unknown setting 'kernal'. Did you mean 'kernel'?"
    names = ", ".join(sorted(setting.name for setting in SETTINGS))
    assert caught.value.hint == f"there are: {names}"
    assert caught.value.exit_code == 64


def test_unknown_setting_that_is_near_to_nothing(root: Root) -> None:
    with pytest.raises(SettingError) as caught:
        read(root, zzz="1")

    assert caught.value.message == "unknown setting 'zzz'."


@pytest.mark.parametrize(
    ("name", "value", "message", "hint"),
    [
        ("topology", "switch", "Did you mean 'switch-q35'?", "there are: root-ports, switch-q35"),
        ("scenario", "", "unknown value ''.", "there are: auto, copy"),
        ("accel", "kmv", "Did you mean 'kvm'?", "there are: auto, kvm, tcg"),
        ("keep", "maybe", "unknown value 'maybe'.", "yes"),
        ("jobs", "0", "'0' is not a whole number of at least 1", "in digits"),
        ("against", ".", " is no file", "give a program"),
        ("manifest", ".", " is no file", "give the manifest.json of a bundle"),
        ("jobs", "-2", "'-2' is not a whole number of at least 1", ""),
        ("jobs", "²", "'²' is not a whole number of at least 1", ""),
        ("cpu", "a b", "'a b' is not a name that QEMU can take", "-cpu help"),
        ("kernel", "", "the value is empty", "give auto"),
        ("kernel", "~nobody.here/linux", "'~nobody.here/linux': ", ""),
        ("config", "absent.config", "no such file: ", "Kconfig fragments"),
        ("config", "~nobody.here/f", "'~nobody.here/f': ", ""),
        ("config", "debgu", "unknown fragment 'debgu'. Did you mean 'debug'?", "there are: debug"),
        ("config", "debug,./debug", "no such file: ", "or names: debug"),
        ("config", "p2pdma", "unknown fragment 'p2pdma'", "there are: debug"),
        ("minutes", "0", "'0' is not a whole number of at least 1", ""),
        ("minutes", "1.5", "'1.5' is not a whole number of at least 1", ""),
        ("minutes", "", "'' is not a whole number of at least 1", ""),
        ("seed", "-1", "'-1' is not a whole number", "in digits"),
        ("seed", "0x1", "'0x1' is not a whole number", ""),
    ],
)
def test_unusable_value(root: Root, name: str, value: str, message: str, hint: str) -> None:
    with pytest.raises(SettingError) as caught:
        read(root, **{name: value})

    assert caught.value.message.startswith(f"{name}={value}: ")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_relative_paths_start_where_the_user_is(root: Root) -> None:
    (root.invoked_from / "my.config").touch()
    (root.invoked_from / "sub").mkdir()
    below = Root(root.configs, root.invoked_from / "sub")

    assert read(below, kernel="../linux").kernel == str(root.invoked_from / "linux")
    assert read(below, kernel=".").kernel == str(root.invoked_from / "sub")
    assert read(below, config="../my.config,").config == (root.invoked_from / "my.config",)


def test_shipped_fragments_go_by_name_and_a_path_is_a_path(root: Root) -> None:
    (root.invoked_from / "debug").touch()

    assert read(root, config="debug,./debug").config == (
        root.configs / "debug.config",
        root.invoked_from / "debug",
    )


def test_home_directory_in_paths(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")

    assert read(root, kernel="~/linux").kernel == "/home/somebody/linux"


def test_name_of_a_kernel_stays_as_it_is(root: Root) -> None:
    assert read(root, kernel="6.12").kernel == "6.12"


def test_table_of_settings_has_each_with_default_and_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command_line.show({})

    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert heads == [f"{setting.name}={setting.default}" for setting in SETTINGS]
    assert len(lines) >= 2 * len(heads)
    assert max(map(len, lines)) <= 80


def test_settings_that_were_given_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    command_line.show({"topology": "switch"})

    shown = capsys.readouterr().out
    assert "topology=switch\n    (default: switch-q35)\n" in shown


def test_directory_that_the_wrapper_hands_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("P2PLAB_INVOKED_FROM", str(tmp_path))
    assert invoked_from() == tmp_path

    monkeypatch.delenv("P2PLAB_INVOKED_FROM")
    monkeypatch.chdir(tmp_path)
    assert invoked_from() == tmp_path


def test_where_downloads_and_caches_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("P2PLAB_DOWNLOADS", raising=False)
    assert downloads_dir() == Path("/home/somebody/.cache/p2plab/downloads")

    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_dir() == Path("/cache/p2plab")

    monkeypatch.setenv("P2PLAB_DOWNLOADS", "~/dl")
    assert downloads_dir() == Path("/home/somebody/dl")

    monkeypatch.setenv("P2PLAB_INVOKED_FROM", str(tmp_path))
    monkeypatch.setenv("P2PLAB_DOWNLOADS", "dl")
    assert downloads_dir() == tmp_path / "dl"

    monkeypatch.setenv("P2PLAB_DOWNLOADS", "~nobody.here/dl")
    with pytest.raises(SettingError, match=r"'~nobody\.here/dl': ") as caught:
        downloads_dir()
    assert "HOME" in caught.value.hint


def test_everything_that_is_built_is_in_the_workspace() -> None:
    at = Workspace(Path("/build/6.3.2"))

    paths = [getattr(at, name) for name, kind in vars(Workspace).items() if _is_property(kind)]
    assert len(paths) > 10
    assert all(path.is_relative_to(at.root) for path in [*paths, at.run_dir("boot", "switch")])


def _is_property(kind: object) -> bool:
    return isinstance(kind, property)
