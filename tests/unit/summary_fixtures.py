"""Fixtures of the summary's tests; the test files name this module as their plugin."""

from pathlib import Path

import pytest

from tests.unit.summary_project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a folder in which nothing was run, and not on GitHub."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return Project(tmp_path)
