"""Directories in which somebody was killed."""

from pathlib import Path

import pytest

from host.errors import LabError
from host.process import ProgramKilled, run_logged
from host.unfinished import discard, empty, finished_or_empty


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "linux"
    (folder / "drivers/nvme").mkdir(parents=True)
    (folder / "drivers/nvme/half.o").touch()
    (folder / "drivers/whole.o").touch()
    (folder / ".config").touch()
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def test_orderly_ends_leave_it_as_it_is(folder: Path) -> None:
    before = names(folder)
    with finished_or_empty(folder):
        pass
    for error in (LabError("does not compile"), KeyboardInterrupt()):
        with pytest.raises(type(error)), finished_or_empty(folder):
            raise error
    with finished_or_empty(folder):
        assert names(folder) == before
    assert names(folder.parent) == {*before, "linux"}


def test_killed_program_leaves_nothing_to_go_on_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ProgramKilled), finished_or_empty(folder):
        run_logged(["sh", "-c", "kill -9 $$"], title="making", log=folder.parent / "log")
    assert "half.o" in names(folder)
    with finished_or_empty(folder, keep=folder / ".config"):
        assert names(folder) == {".config"}
    assert f"the last work in {folder} was killed: it starts afresh" in capsys.readouterr().err


def test_other_programs_start_afresh(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = names(folder)
    for _ in range(2):
        with finished_or_empty(folder, keep=folder / ".config", made_by="gcc 1"):
            assert names(folder) == before
    with finished_or_empty(folder, keep=folder / ".config", made_by="gcc 2"):
        assert names(folder) == {".config"}
    assert f"compiled by other programs, {folder} starts afresh" in capsys.readouterr().err


def test_place_that_is_not_there_yet(tmp_path: Path) -> None:
    with finished_or_empty(tmp_path / "deep/new"):
        (tmp_path / "deep/new").mkdir()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["new"]
    empty(tmp_path / "none")


def test_discarded_with_what_is_noted_about_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with pytest.raises(ProgramKilled), finished_or_empty(folder, made_by="gcc 12"):
            raise ProgramKilled("killed")
    folder.mkdir(exist_ok=True)
    (folder / ".config").touch()
    discard(folder, keep=folder / ".config")
    assert names(folder.parent) == {"linux", ".config"}
    discard(folder)
    discard(folder)
    assert names(folder.parent) == set()
    told = [line for line in capsys.readouterr().out.splitlines() if "removing" in line]
    assert told == [f"removing {folder}, except for .config", f"removing {folder}"]


def test_empty_keeps_one_file_that_may_be_deep(folder: Path) -> None:
    (folder / "drivers/link").symlink_to("/usr")
    empty(folder, keep=folder / "drivers/nvme/half.o")
    assert names(folder) == {"drivers", "nvme", "half.o"}
