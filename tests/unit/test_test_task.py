"""How doit runs the test programs."""

import sys
from pathlib import Path

import pytest

from kernel.choice import Choice
from kernel.registry import AptKernel
from kernel.selection import Selection
from settings.command_line import read_settings
from settings.parse import Root
from settings.paths import CONFIGS, Workspace
from tests import task


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

    task.run([sys.executable, "-c", code], selection)

    assert capfd.readouterr().out == f'{selection.workspace.root} {{"jobs": "3"}}\n'


def test_failing_program_is_one_message(selection: Selection) -> None:
    with pytest.raises(task.TestsFailed, match=r"^`-c import sys; sys.exit\(3\)` ended with 3$"):
        task.run([sys.executable, "-c", "import sys; sys.exit(3)"], selection)
