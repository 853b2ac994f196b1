"""tinyconfig + fragments -> .config, with a real make on a fake tree."""

import os
import stat
from pathlib import Path

import pytest

from host.process import ProgramFailed
from kernel.config import ConfigError, configure, edit
from kernel.fragments import FragmentError, read_config
from kernel.kbuild import Kbuild
from tests.unit.fake_kernel import fake_kbuild


class Lab:
    """A fake tree and fragments made from text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kbuild: Kbuild = fake_kbuild(folder)
        self.dot_config = self.kbuild.output / ".config"

    def fragment(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def configure(self, *texts: str) -> dict[str, str]:
        fragments = [self.fragment(f"{n}.config", text) for n, text in enumerate(texts)]
        configure(self.kbuild, fragments, self.folder / "logs/config.log")
        return read_config(self.dot_config)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_fragments_are_merged_onto_tinyconfig_out_of_tree(lab: Lab) -> None:
    before = sorted(lab.kbuild.source.rglob("*"))

    config = lab.configure("CONFIG_PCI=y\nCONFIG_64BIT=y\nCONFIG_P2PDMA=y\n")

    assert config == {
        "PRINTK": "y",
        "NAME": '"tiny"',
        "PCI": "y",
        "64BIT": "y",
        "P2PDMA": "y",
        "GENERIC_ALLOCATOR": "y",
    }
    assert sorted(lab.kbuild.source.rglob("*")) == before
    assert [path.name for path in lab.kbuild.output.parent.iterdir()] == ["linux"]


def test_later_fragment_overrides_earlier(lab: Lab) -> None:
    config = lab.configure(
        'CONFIG_PCI=y\nCONFIG_NAME="a"\n', "# CONFIG_PCI is not set\n", 'CONFIG_NAME="b"'
    )

    assert "PCI" not in config
    assert config["NAME"] == '"b"'


def test_fragment_without_last_newline_and_with_a_blank_in_its_path(lab: Lab) -> None:
    fragments = [
        lab.fragment("my first.config", "CONFIG_PCI=y"),
        lab.fragment("my second.config", "CONFIG_64BIT=y"),
    ]

    configure(lab.kbuild, fragments, lab.folder / "config.log")

    assert {"PCI", "64BIT"} <= read_config(lab.dot_config).keys()


def test_line_that_cannot_stick_is_explained(lab: Lab) -> None:
    with pytest.raises(ConfigError) as caught:
        lab.configure("# why\nCONFIG_P2PDMA=y\nCONFIG_PCI=y\n")

    assert caught.value.message == (
        "0.config:2: CONFIG_P2PDMA=y did not stick: the final configuration has 'n'; "
        "it depends on PCI && 64BIT (64BIT=n, PCI=y)"
    )
    assert str(lab.kbuild.output.with_name("linux.config") / ".config") in caught.value.hint


def test_alternatives_stay_together_in_the_explanation(lab: Lab) -> None:
    kconfig = lab.kbuild.source / "Kconfig"
    (lab.kbuild.source / "Kconfig.x").write_text(
        'config OTHER\n\tbool "o"\n\tdepends on PCI || NET\n\tdepends on 64BIT\n'
    )
    kconfig.write_text(kconfig.read_text() + 'source "Kconfig.x"\n')

    with pytest.raises(ConfigError, match=r"it depends on \(PCI \|\| NET\) && 64BIT \(64BIT=n,"):
        lab.configure("CONFIG_OTHER=y\n")


def test_all_lines_that_do_not_stick_are_named(lab: Lab) -> None:
    with pytest.raises(ConfigError) as caught:
        lab.configure("CONFIG_P2PMDA=y\n", "CONFIG_GENERIC_ALLOCATOR=y\n")

    unknown, selected = caught.value.message.splitlines()
    assert unknown.startswith("0.config:1: CONFIG_P2PMDA=y")
    assert unknown.endswith("this kernel has no symbol P2PMDA")
    assert selected.startswith("1.config:1: CONFIG_GENERIC_ALLOCATOR=y")
    assert "another symbol selects" in selected


def test_symbol_that_is_selected_cannot_be_switched_off(lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"(?m)_ALLOCATOR=n did not stick: .*selected by P2PDMA$"):
        lab.configure(
            "CONFIG_PCI=y\nCONFIG_64BIT=y\nCONFIG_P2PDMA=y\n# CONFIG_GENERIC_ALLOCATOR is not set\n"
        )


def test_an_optional_line_may_be_about_a_symbol_that_this_kernel_lacks(lab: Lab) -> None:
    fragment = lab.fragment("o.config", "# where it exists\nCONFIG_NEWER=y\nCONFIG_PCI=y\n")

    absent = configure(lab.kbuild, [fragment], lab.folder / "config.log")

    assert [(request.symbol, request.origin) for request in absent] == [("NEWER", "o.config:2")]
    assert "PCI" in read_config(lab.dot_config)


def test_an_optional_line_has_to_stick_where_the_symbol_exists(lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"CONFIG_P2PDMA=y did not stick: .*64BIT=n"):
        lab.configure("# where it exists\nCONFIG_P2PDMA=y\nCONFIG_PCI=y\n")


def test_bad_line_is_refused_before_make_runs(lab: Lab) -> None:
    with pytest.raises(FragmentError, match=r"0\.config:2: 'PCI=y' is not a line"):
        lab.configure("CONFIG_64BIT=y\nPCI=y\n")

    assert not lab.kbuild.output.parent.exists()


def test_config_is_not_touched_if_nothing_changed(lab: Lab) -> None:
    lab.configure("CONFIG_PCI=y\n")
    os.utime(lab.dot_config, (1, 1))

    lab.configure("CONFIG_PCI=y\n")

    assert lab.dot_config.stat().st_mtime == 1


def test_config_is_kept_if_the_new_one_is_refused(lab: Lab) -> None:
    lab.configure("CONFIG_PCI=y\n")
    before = lab.dot_config.read_bytes()

    with pytest.raises(ConfigError):
        lab.configure("CONFIG_P2PDMA=y\n")

    assert lab.dot_config.read_bytes() == before


def test_failing_make_is_told_with_its_words(lab: Lab) -> None:
    (lab.kbuild.source / "scripts/kconfig/conf.py").write_text("raise SystemExit('Kconfig:7: no')")

    with pytest.raises(
        ProgramFailed, match=r"(?s)^olddefconfig: `make` ended with 2.*Kconfig:7: no"
    ):
        lab.configure("CONFIG_PCI=y\n")


def editor(lab: Lab, recipe: str) -> None:
    """Make `make menuconfig` and scripts/diffconfig, as far as edit() uses them."""
    with (lab.kbuild.source / "Makefile").open("a") as makefile:
        makefile.write(f"\nmenuconfig:\n\t{recipe}\n")
    diffconfig = lab.kbuild.source / "scripts/diffconfig"
    diffconfig.write_text(
        "import sys\n_, option, old, new = sys.argv\nassert option == '-m'\n"
        "old = open(old).read().splitlines()\n"
        "print(*(line for line in open(new).read().splitlines() if line not in old), sep='\\n', "
        "end='')\n"
    )
    diffconfig.chmod(stat.S_IRUSR)


def test_changes_by_hand_become_a_fragment(lab: Lab) -> None:
    lab.configure("CONFIG_PCI=y\n")
    before = lab.dot_config.read_text()
    editor(lab, "echo CONFIG_64BIT=y >>$(O)/.config")

    changed = edit(lab.kbuild, lab.folder / "menuconfig.config")

    assert changed == 1
    assert (lab.folder / "menuconfig.config").read_text() == "CONFIG_64BIT=y"
    assert lab.dot_config.read_text() == before


def test_nothing_changed_by_hand(lab: Lab) -> None:
    lab.configure("CONFIG_PCI=y\n")
    editor(lab, "true")

    assert edit(lab.kbuild, lab.folder / "menuconfig.config") == 0
    assert not (lab.folder / "menuconfig.config").exists()


def test_menuconfig_that_fails(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    lab.configure("CONFIG_PCI=y\n")
    editor(lab, "false")

    with pytest.raises(ConfigError, match="menuconfig ended with an error") as caught:
        edit(lab.kbuild, lab.folder / "menuconfig.config")

    assert "libncurses-dev" in caught.value.hint
