"""How doit runs the test programs."""

import sys
from pathlib import Path

import pytest

from bundle.records import read_step
from kernel.choice import Choice
from kernel.registry import AptKernel
from kernel.selection import Selection
from settings.command_line import read_settings
from settings.parse import Root
from settings.paths import CONFIGS, Workspace
from tests import task


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the records away from those of the run that these tests are part of."""
    folder = tmp_path / "tests"
    monkeypatch.setattr(task, "TESTS", folder)
    return folder


@pytest.fixture
def selection(tmp_path: Path) -> Selection:
    settings = read_settings({}, Root(CONFIGS, tmp_path))
    choice = Choice("6.12", AptKernel("6.12", "linux-source-6.12"))
    return Selection(settings, choice, Workspace(tmp_path / "6.12"), {"jobs": "3"})


def test_program_learns_which_build_to_use(
    selection: Selection, capfd: pytest.CaptureFixture[str]
) -> None:
    names = (task.WORKSPACE_VARIABLE, task.SETTINGS_VARIABLE)
    code = f"import os; print(*map(os.environ.get, {names!r}))"

    task.run("unit", [sys.executable, "-c", code], selection)

    assert capfd.readouterr().out == f'{selection.workspace.root} {{"jobs": "3"}}\n'


def test_failing_program_is_one_message(selection: Selection) -> None:
    with pytest.raises(task.TestsFailed, match=r"^`-c import sys; sys.exit\(3\)` ended with 3$"):
        task.run("unit", [sys.executable, "-c", "import sys; sys.exit(3)"], selection)


@pytest.mark.parametrize("code", [0, 3])
def test_how_a_step_ended_is_written_down(selection: Selection, records: Path, code: int) -> None:
    try:
        task.run("unit", [sys.executable, "-c", f"import sys; sys.exit({code})"], selection)
    except task.TestsFailed:
        assert code
    assert read_step(records / "unit.json").exit_code == code


@pytest.mark.parametrize("made", [True, False])
def test_a_program_that_did_nothing_has_not_passed(
    selection: Selection, records: Path, made: bool
) -> None:
    records.mkdir()
    report = records / "unit.xml"
    report.write_text("of an earlier run")
    code = f"open({str(report)!r}, 'w')" if made else ""
    argv = [sys.executable, "-c", code, "--junitxml=unit.xml"]
    if made:
        task.run("unit", argv, selection)
        return
    with pytest.raises(task.TestsFailed, match=r"ended with 0, but made no .*unit\.xml"):
        task.run("unit", argv, selection)
    assert read_step(records / "unit.json").exit_code != 0


def test_a_soak_that_did_nothing_has_not_passed(
    selection: Selection, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "select", lambda _: selection)
    soaked = selection.workspace.root / "soak/soak.json"
    soaked.parent.mkdir(parents=True)
    soaked.write_text("of an earlier run")
    argv = [sys.executable, "-c", "", "doit", "minutes=1", "soak"]
    with pytest.raises(task.TestsFailed, match=r"ended with 0, but made no .*soak\.json"):
        task.run("debug", argv, selection)


def test_a_running_step_leaves_no_older_result(selection: Selection, records: Path) -> None:
    records.mkdir()
    (records / "unit.xml").write_text("of an earlier run")
    (records / "unit.json").write_text("of an earlier run")
    copied = records / "copied.json"
    look = (
        f"import os, shutil; shutil.copy({str(records / 'unit.json')!r}, {str(copied)!r}); "
        f"os._exit(os.path.exists({str(records / 'unit.xml')!r}))"
    )

    task.run("unit", [sys.executable, "-c", look], selection)

    assert read_step(copied).result == "not finished"
