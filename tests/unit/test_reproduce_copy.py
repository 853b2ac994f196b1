"""A build reads nothing but copies: the user's kernel tree and fragments too."""

from pathlib import Path

import pytest

from host.errors import LabError
from kernel.selection import select
from reproduce.build import Copy, build_image, copied
from reproduce.surroundings import Surroundings
from tests.unit.kernel_fixtures import kernel_tree

PLACE = Surroundings("in/b", 3, umask="077", reversed_entries=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that remembers what ``kernel=auto`` means here."""
    project = tmp_path / "project"
    (project / "build").mkdir(parents=True)
    (project / "dodo.py").write_text("def task_image():\n    return {'actions': []}\n")
    (project / "build/auto-kernel.json").write_text("{}")
    return project


def test_own_tree_and_fragments_are_copied(tmp_path: Path, project: Path) -> None:
    tree = kernel_tree(tmp_path / "linux")
    (tree / ".git").mkdir()
    fragment = tmp_path / "my.config"
    fragment.write_text("CONFIG_A=y\n")
    words = [f"kernel={tree}", f"config={fragment}", "cpu=EPYC", "jobs=8", "keep=yes", "reproduce"]
    scratch = tmp_path / "scratch"

    copy = copied(select(words), PLACE, scratch, "b", project)

    where, home = scratch / "in/b", scratch / "in/b.plain"
    assert copy.home == home
    assert sorted(copy.settings) == [
        f"config={where}/build/fragments/0/my.config",
        "cpu=EPYC",
        f"kernel={where}/build/kernel-tree/linux",
    ]
    assert (home / "build/fragments/0/my.config").read_text() == "CONFIG_A=y\n"
    assert (home / "build/kernel-tree/linux/Makefile").is_file()
    assert not (home / "build/kernel-tree/linux/.git").exists()


def test_auto_means_the_same_in_the_copy(tmp_path: Path, project: Path) -> None:
    copy = copied(select(["settings"]), PLACE, tmp_path / "scratch", "b", project)

    assert copy.settings == ("kernel=auto",)
    assert (copy.home / "build/auto-kernel.json").read_text() == "{}"


def test_files_may_be_replaced(tmp_path: Path, project: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("theirs")
    overlay = {Path("configs/topologies/theirs.toml"): other}

    copy = copied(select(["settings"]), PLACE, tmp_path / "scratch", "b", project, overlay)

    assert (copy.home / "configs/topologies/theirs.toml").read_text() == "theirs"


def test_build_without_an_image(tmp_path: Path, project: Path) -> None:
    plain = Surroundings("a", 1)
    copy = copied(select(["settings"]), plain, tmp_path / "scratch", "a", project)
    assert isinstance(copy, Copy)

    with pytest.raises(LabError, match="left 0 images instead of one"):
        build_image(copy)
