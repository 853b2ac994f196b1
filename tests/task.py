"""How doit runs the test programs: their output on the terminal, their failure as one line."""

import json
import os
import subprocess

from host.errors import LabError
from kernel.selection import Selection

# Tell the tests with a real kernel which build to use, and how to name it to another doit; see
# tests/integration/conftest.py.
WORKSPACE_VARIABLE = "P2PLAB_TEST_WORKSPACE"
SETTINGS_VARIABLE = "P2PLAB_TEST_SETTINGS"


class TestsFailed(LabError):
    """A linter, a type checker or a test has something to say."""


def run(argv: list[str], selection: Selection) -> None:
    """Run one test program.

    Raises:
        TestsFailed: it did not end with 0.
    """
    environment = {
        **os.environ,
        WORKSPACE_VARIABLE: str(selection.workspace.root),
        SETTINGS_VARIABLE: json.dumps(selection.given),
    }
    done = subprocess.run(argv, env=environment, check=False)
    if done.returncode != 0:
        raise TestsFailed(f"`{' '.join(argv[1:])}` ended with {done.returncode}")
