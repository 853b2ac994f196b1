"""Which commit a project is at: asked of git, or kept in a file where a copy has no repository."""

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from host.errors import LabError

NAME = "origin.json"  # at the top of a copy


@dataclass(frozen=True)
class Origin:
    """Where the files of a project come from.

    Attributes:
        commit: full hash; empty outside of git.
        dirty: whether the files differ from that commit, untracked ones included.
    """

    commit: str = ""
    dirty: bool = False


def origin_of(project: Path) -> Origin:
    """Return the origin of a checkout or of a copy; an empty one if it is neither.

    Raises:
        LabError: it is a checkout, and git does not tell its commit.
    """
    # A copy lies below a checkout, whose repository git would find and take for the copy's own.
    if (project / ".git").exists():
        commit = git(project, "rev-parse", "--verify", "--quiet", "HEAD")
        status = git(project, "status", "--porcelain")
        if status is None:
            raise LabError(
                f"git does not tell the commit of {project}, which an image has to name",
                hint=f"see what `git -C {project} status` says",
            )
        return Origin((commit or "").strip(), bool(status))
    return _recorded(project / NAME)


def write_origin(project: Path, origin: Origin) -> None:
    """Write ``origin.json`` at the top of a copy."""
    text = json.dumps(asdict(origin), indent=2) + "\n"
    (project / NAME).write_text(text, encoding="utf-8")


def git(project: Path, *words: str) -> str | None:
    """Return what a git command prints in a checkout; None if it fails or there is no git.

    Variables such as GIT_DIR are for another repository. The checkout may belong to another user
    (in a container, in a user namespace): who runs its code may read its history too.
    """
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    argv = ["git", "-c", f"safe.directory={project}", "-C", str(project), *words]
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None


def _recorded(path: Path) -> Origin:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Origin(str(data["commit"]), bool(data["dirty"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Origin()
