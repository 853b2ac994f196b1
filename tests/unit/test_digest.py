import os
from pathlib import Path

import pytest

from host.digest import sha256_of_files, sha256_of_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_text("one")
    (root / "sub/b").write_text("two")
    (root / "link").symlink_to("sub/b")
    (root / "folder").symlink_to("sub")
    (root / ".git").mkdir()
    (root / ".git/HEAD").write_text("ref")
    return root


def test_place_time_and_order_do_not_matter(tree: Path, tmp_path: Path) -> None:
    files = [tree / "a", tree / "sub/b"]
    before = sha256_of_files(tree, files)
    os.utime(tree / "a", (1, 1))
    other = tree.rename(tmp_path / "elsewhere")
    assert sha256_of_files(other, [other / "sub/b", other / "a"]) == before


@pytest.mark.parametrize("change", ["content", "mode", "name", "link", "more", "folder link"])
def test_everything_else_does(tree: Path, change: str) -> None:
    before = sha256_of_tree(tree, "summing")
    if change == "content":
        (tree / "sub/b").write_text("twö")
    elif change == "mode":
        (tree / "a").chmod(0o755)
    elif change == "name":
        (tree / "a").rename(tree / "c")
    elif change == "link":
        (tree / "link").unlink()
        (tree / "link").symlink_to("a")
    elif change == "folder link":
        (tree / "folder").unlink()
        (tree / "folder").symlink_to(".")
    else:
        (tree / "sub/empty").touch()
    assert sha256_of_tree(tree, "summing") != before


def test_what_git_keeps_for_itself_is_no_part_of_a_tree(tree: Path) -> None:
    before = sha256_of_tree(tree, "summing")
    (tree / ".git/HEAD").write_text("another ref")
    (tree / "sub/.git").write_text("gitdir: elsewhere")  # of a work tree or a submodule
    assert sha256_of_tree(tree, "summing") == before


def test_modes_of_others_do_not_matter(tree: Path) -> None:
    # They come from the umask of whoever unpacked it.
    before = sha256_of_tree(tree, "summing")
    (tree / "a").chmod(0o600)
    assert sha256_of_tree(tree, "summing") == before
