"""The real tool under all variations: the same bytes, and a `__DATE__` in it is found."""

from pathlib import Path

import pytest

from bundle.errors import OutputsDiffer
from kernel.selection import select
from reproduce.copies import copy_project
from reproduce.double import build_both, surroundings_of
from reproduce.surroundings import Surroundings
from reproduce.variations import variations
from settings.paths import PROJECT

# Replaces the task of the same name: an image of which only the tool has to be built.
IMAGE = """

def task_image():
    import pathlib, shutil
    target = AT.image_dir(SELECTED.run_name)
    def copy():
        target.mkdir(parents=True)
        shutil.copyfile(AT.tool, target / "p2pmem-test")
        (target / "SHA256SUMS").write_text("of the tool alone")
        for path in target.iterdir():
            path.chmod(0o644)
    return {"actions": [copy], "task_dep": ["tool"]}
"""


def project_with_tool(folder: Path) -> Path:
    """Copy the project; its image is the tool alone."""
    copy_project(PROJECT, folder, 0o022)
    with (folder / "dodo.py").open("a") as dodo:
        dodo.write(IMAGE)
    return folder


def built_twice(project: Path, scratch: Path, pair: tuple[Surroundings, Surroundings]) -> None:
    build_both(select(["kernel=6.12", "reproduce"]), pair, [], scratch, project)


def test_tool_is_the_same_everywhere(tmp_path: Path) -> None:
    pair, _ = surroundings_of(tmp_path / "scratch", 2)

    built_twice(project_with_tool(tmp_path / "project"), tmp_path / "scratch", pair)


def test_date_in_the_tool_is_caught_with_file_and_section(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reproduce.variations.OTHER_LOCALE", "none")  # takes seconds to make
    (clock,) = (item for item in variations(tmp_path / "scratch", 2) if item.name == "time")
    a, b = Surroundings("a", 2), Surroundings("b", 2)
    project = project_with_tool(tmp_path / "project")
    with (project / "p2pmem-test/main.c").open("a") as source:
        source.write('\nconst char built[] = "built on " __DATE__;\n')

    with pytest.raises(OutputsDiffer, match=r"differ, first in p2pmem-test: section \.rodata"):
        built_twice(project, tmp_path / "scratch", (clock.change[0](a), clock.change[1](b)))

    assert "report: " in capsys.readouterr().out
    assert "built on" in (tmp_path / "scratch/diffoscope.txt").read_text()
