"""What is copied for a build, and that the copy knows where it comes from."""

import os
import subprocess
from pathlib import Path

import pytest

from host.errors import LabError
from host.origin import NAME, Origin, origin_of, write_origin
from reproduce.copies import copy_fragments, copy_project, copy_tree


def git(folder: Path, *words: str) -> str:
    argv = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *words]
    return subprocess.check_output(argv, text=True, stderr=subprocess.DEVNULL).strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one commit."""
    project = tmp_path / "project"
    (project / "kernel").mkdir(parents=True)
    (project / "doit").write_text("#!/bin/sh\n")
    (project / "doit").chmod(0o755)
    (project / "kernel/a.py").write_text("committed\n")
    (project / "gone.py").write_text("gone\n")
    (project / "link").symlink_to("kernel/a.py")
    (project / ".gitignore").write_text("/build/\n")
    git(tmp_path, "init", "-q", str(project))
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first")
    return project


def files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {str(path.relative_to(folder)) for path in found}


def test_copy_has_the_work_tree_and_nothing_that_git_ignores(
    checkout: Path, tmp_path: Path
) -> None:
    (checkout / "kernel/a.py").write_text("edited\n")
    (checkout / "kernel/new.py").write_text("untracked\n")
    (checkout / "gone.py").unlink()
    (checkout / "build").mkdir()
    (checkout / "build/made").touch()
    copy = tmp_path / "copy"

    copy_project(checkout, copy, 0o022)

    assert files(copy) == {"doit", "kernel/a.py", "kernel/new.py", "link", ".gitignore", NAME}
    assert (copy / "kernel/a.py").read_text() == "edited\n"
    assert (copy / "link").readlink() == Path("kernel/a.py")
    assert origin_of(copy) == Origin(git(checkout, "rev-parse", "HEAD"), dirty=True)


@pytest.mark.parametrize(("umask", "modes"), [(0o022, (0o755, 0o644)), (0o077, (0o700, 0o600))])
def test_modes_are_those_of_a_checkout_with_this_umask(
    checkout: Path, tmp_path: Path, umask: int, modes: tuple[int, int]
) -> None:
    copy_project(checkout, tmp_path / "copy", umask)

    found = [(tmp_path / "copy" / name).stat().st_mode & 0o777 for name in ("doit", "kernel/a.py")]
    assert tuple(found) == modes


def test_copy_of_what_is_in_no_repository(tmp_path: Path) -> None:
    project = tmp_path / "project"
    made = ("build/made", "dist/kept", ".venv-1/python", "kernel/__pycache__/a.pyc")
    kept = ("kernel/a.py", ".ci/run", ".github/build/a.yml")
    for name in (*made, *kept):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    (project / "link").symlink_to("kernel")

    assert copy_project(project, tmp_path / "copy", 0o022) == Origin()

    assert files(tmp_path / "copy") == {*kept, "link", NAME}
    assert (tmp_path / "copy/link").is_symlink()


def test_nothing_to_copy(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="has no file to copy"):
        copy_project(tmp_path, tmp_path / "copy", 0o022)


def test_kernel_tree_without_its_repository_and_without_the_lab_in_it(tmp_path: Path) -> None:
    tree = tmp_path / "linux"
    for name in ("Makefile", ".git/config", "lab/build/big", "sub/.git"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()

    copy_tree(tree, tmp_path / "copy", tree / "lab/build")

    assert files(tmp_path / "copy") == {"Makefile", "sub/.git"}


def test_fragments_of_the_same_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.config").write_text(folder)

    copies = copy_fragments([tmp_path / "a/my.config", tmp_path / "b/my.config"], tmp_path / "c")

    assert [path.name for path in copies] == ["my.config", "my.config"]
    assert [path.read_text() for path in copies] == ["a", "b"]


def test_origin_of_a_clean_checkout(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")

    assert origin_of(checkout) == Origin(commit, dirty=False)
    (checkout / "untracked").touch()
    assert origin_of(checkout) == Origin(commit, dirty=True)


def test_origin_is_not_that_of_another_repository(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    below = checkout / "build/copy"
    below.mkdir(parents=True)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))

    assert origin_of(checkout).commit != ""
    assert origin_of(below) == Origin()
    write_origin(below, Origin("abc", dirty=True))
    assert origin_of(below) == Origin("abc", dirty=True)


def test_origin_of_a_checkout_of_another_user(checkout: Path) -> None:
    if os.geteuid() == 0:  # nobody else may give files away
        os.chown(checkout, 12345, 12345)

    assert origin_of(checkout).commit == git(
        checkout, "-c", f"safe.directory={checkout}", "rev-parse", "HEAD"
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"commit": 1}'])
def test_damaged_origin_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)

    assert origin_of(tmp_path) == Origin()


def test_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", str(tmp_path / "new"))

    assert origin_of(tmp_path / "new") == Origin()


def test_a_checkout_whose_commit_git_does_not_tell_is_no_unknown_one(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(LabError, match="git does not tell the commit of"):
        origin_of(tmp_path)
