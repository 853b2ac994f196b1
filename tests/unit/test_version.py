"""Versions, and users' own trees."""

import shutil
from pathlib import Path

import pytest

from kernel.version import KernelVersion, TreeError, check_user_tree, read_version
from tests.unit.kernel_fixtures import kernel_tree


def snapshot(tree: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in [tree, *tree.rglob("*")])


def test_version_is_read_and_the_tree_left_alone(tmp_path: Path) -> None:
    tree = kernel_tree(tmp_path / "linux", (6, 3, 2))
    before = snapshot(tree)
    assert str(check_user_tree(tree)) == "6.3.2"
    assert snapshot(tree) == before


def test_release_candidate(tmp_path: Path) -> None:
    tree = kernel_tree(tmp_path / "linux")
    (tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 0\nSUBLEVEL = 0\nEXTRAVERSION = -rc3")
    assert str(read_version(tree)) == "7.0.0-rc3"


def test_order() -> None:
    assert (
        KernelVersion(6, 2) < KernelVersion(6, 12) < KernelVersion(6, 12, 1) < KernelVersion(7, 0)
    )


@pytest.mark.parametrize("version", [(6, 1, 99), (5, 19, 0)])
def test_older_than_6_2_is_refused(tmp_path: Path, version: tuple[int, int, int]) -> None:
    tree = kernel_tree(tmp_path / "linux", version)
    with pytest.raises(
        TreeError, match=r"is Linux .*too old: P2PDMA reaches user space since 6\.2"
    ):
        read_version(tree)
    assert str(read_version(kernel_tree(tmp_path / "oldest", (6, 2, 0)))) == "6.2.0"


def test_no_directory_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match="there is no directory"):
        check_user_tree(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(TreeError, match="is not a directory"):
        check_user_tree(tmp_path / "file")


@pytest.mark.parametrize("lack", ["Makefile", "Kconfig", "scripts/kconfig"])
def test_no_kernel_tree(tmp_path: Path, lack: str) -> None:
    tree = kernel_tree(tmp_path / "linux")
    shutil.rmtree(tree / lack) if (tree / lack).is_dir() else (tree / lack).unlink()
    with pytest.raises(TreeError, match=f"not a Linux source tree: it has no {lack}"):
        check_user_tree(tree)


def test_makefile_of_something_else(tmp_path: Path) -> None:
    tree = kernel_tree(tmp_path / "linux")
    (tree / "Makefile").write_text("all:\n")
    with pytest.raises(TreeError, match="its Makefile has no VERSION"):
        read_version(tree)
    (tree / "Makefile").write_text("VERSION = six\nPATCHLEVEL = 2\n")
    with pytest.raises(TreeError, match="its Makefile gives no version"):
        read_version(tree)


@pytest.mark.parametrize("trace", [".config", "include/config", "arch/x86/include/generated"])
def test_built_in_place(tmp_path: Path, trace: str) -> None:
    tree = kernel_tree(tmp_path / "linux")
    (tree / trace).mkdir(parents=True)
    with pytest.raises(TreeError, match="built in place") as caught:
        check_user_tree(tree)
    assert "mrproper" in caught.value.hint
    assert "worktree" in caught.value.hint


def test_a_space_in_the_path(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match="a space or a colon"):
        check_user_tree(kernel_tree(tmp_path / "my linux"))
