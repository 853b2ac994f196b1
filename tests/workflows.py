"""The CI workflows as the services read them: every command of theirs with its environment."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from settings.paths import PROJECT

GITHUB = PROJECT / ".github/workflows/verify.yml"
GITLAB = PROJECT / ".gitlab-ci.yml"
SCHEMAS = {GITHUB: "vendor.github-workflows", GITLAB: "vendor.gitlab-ci"}

# What GitLab keeps for itself at the top level; everything else is a job.
NO_JOBS = {"workflow", "stages", "variables", "default"}


@dataclass(frozen=True)
class Step:
    """One command of a workflow.

    Attributes:
        job: its name.
        script: what the shell gets, one line or several.
        variables: that the workflow sets for it.
        always: whether it runs after a failed one too.
    """

    job: str
    script: str
    variables: dict[str, str]
    always: bool


def read(path: Path) -> dict[str, Any]:
    """Return a workflow as data."""
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(path)
    return data


def steps() -> list[Step]:
    """Return all commands of both workflows, in order, one for each value of a matrix."""
    return [*github_steps(), *gitlab_steps()]


def github_steps() -> Iterator[Step]:
    """Yield the commands of the GitHub workflow."""
    for name, job in read(GITHUB)["jobs"].items():
        for values in _combinations(job.get("strategy", {}).get("matrix", {})):
            for step in job["steps"]:
                if "run" in step:
                    given = {**job.get("env", {}), **step.get("env", {})}
                    variables = {key: _expanded(text, values) for key, text in given.items()}
                    yield Step(name, step["run"], variables, step.get("if") == "always()")


def gitlab_steps() -> Iterator[Step]:
    """Yield the commands of the GitLab workflow."""
    workflow = read(GITLAB)
    for name, job in workflow.items():
        if name in NO_JOBS:
            continue
        for matrix in job.get("parallel", {}).get("matrix", [{}]):
            for values in _combinations(matrix):
                variables = {**workflow["variables"], **job.get("variables", {}), **values}
                for script in job["script"]:
                    yield Step(name, script, variables, always=False)
                for script in workflow["default"]["after_script"]:
                    yield Step(name, script, variables, always=True)


def _combinations(matrix: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    for values in product(*matrix.values()):
        yield dict(zip(matrix, values, strict=True))


def _expanded(text: str, matrix: dict[str, str]) -> str:
    """Replace the one kind of expression that the workflow uses in a variable."""
    found = re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda name: matrix[name[1]], text)
    assert "${{" not in found, text
    return found
