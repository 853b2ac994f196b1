"""The folders are the pipeline: each uses only those above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings.paths import PROJECT
from tests.conftest import IN_CHECKOUT

STAGES = ("kernel", "rootfs", "boot", "verify", "bench", "bundle", "reproduce", "compat")
PIPELINE = ("host", "settings", *STAGES)


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level packages that a module imports, at its start or later."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


@pytest.mark.parametrize("stage", PIPELINE)
def test_stage_imports_only_stages_above_it(stage: str) -> None:
    below = {*PIPELINE[PIPELINE.index(stage) + 1 :], "tests", "dodo"}
    modules = sorted((PROJECT / stage).glob("*.py"))
    assert modules
    wrong = {path.name: found for path in modules if (found := below & set(imported(path)))}
    assert wrong == {}


def test_tests_that_run_doit_in_the_checkout_take_turns() -> None:
    folder = PROJECT / "tests/integration"
    by_doit = {path.name for path in folder.glob("test_*.py") if "doit_argv(" in path.read_text()}
    in_checkout = {f"test_{name}.py" for name in IN_CHECKOUT}
    assert by_doit <= in_checkout <= {path.name for path in folder.iterdir()}


def test_readme_lists_the_stages_in_this_order() -> None:
    text = (PROJECT / "README.md").read_text()
    places = [text.index(f"\n    {stage}/ ") for stage in PIPELINE]
    assert places == sorted(places)
