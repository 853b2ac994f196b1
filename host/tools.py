"""Programs that the stages need, and the packages that carry them.

The table is ``host/tools.txt``; the wrapper ``./doit`` reads the same one to prepare a machine.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from host.errors import MissingToolError

TABLE = Path(__file__).with_name("tools.txt")
COMMAND_PROBES = ("cmd", "static")
ADMIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not in everybody's PATH
WORK = ("run", "build", "reproduce", "test", "tools")


@dataclass(frozen=True)
class Need:
    """One line of the table: how it is probed, what kind of work needs it, who packages it, why."""

    probe: str
    work: str
    debian: str
    fedora: str
    arch: str
    why: str

    @property
    def command(self) -> str:
        """The command that the line is about; empty if it is about a file."""
        kind, _, name = self.probe.partition(":")
        return name if kind in COMMAND_PROBES else ""

    @property
    def names(self) -> set[str]:
        """The names of what the line is about: its command, or its files without their folders."""
        _, _, what = self.probe.partition(":")
        return {path.rpartition("/")[2] for path in what.split(",")}


def read_table(path: Path = TABLE) -> list[Need]:
    """Return the lines of the table."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    rows = (line.split(None, 5) for line in lines if line and not line.startswith("#"))
    return [Need(*row) for row in rows]


def missing_tool(command: str) -> MissingToolError:
    """Return the error for a program that is not there, with its package where known."""
    name = Path(command).name
    for need in read_table():
        if name in need.names:
            return MissingToolError(
                f"{name} is not on this machine ({need.why})",
                hint=f"run ./doit, or install the package {need.debian} (Debian), "
                f"{need.fedora} (Fedora) or {need.arch} (Arch)",
            )
    return MissingToolError(f"{name} is not on this machine")


def require_programs(*commands: str) -> None:
    """Check that programs are there before work starts that would need them at its end.

    Raises:
        MissingToolError: the first one that is not.
    """
    for command in commands:
        if not shutil.which(command):
            raise missing_tool(command)
