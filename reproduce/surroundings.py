"""What a build runs in, apart from its inputs: directory, clock, names, variables, and so on."""

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from host.process import tied
from reproduce.mounts import reversed_view


@dataclass(frozen=True)
class Surroundings:
    """One way in which a machine can differ from another.

    Attributes:
        folder: name of the directory for the build, below the scratch directory.
        jobs: parallel jobs of a build.
        umask: octal, as text.
        environment: variables that are set.
        host: the host's name; empty for this machine's own.
        passwd: a file in place of ``/etc/passwd``.
        reversed_entries: whether directories list their entries the other way round.
    """

    folder: str
    jobs: int
    umask: str = "022"
    environment: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    passwd: Path | None = None
    reversed_entries: bool = False

    def argv(self, command: Sequence[str]) -> list[str]:
        """Return the words that run a command in these names and with this umask."""
        steps = [f"umask {self.umask}"]
        if self.host:
            steps.append(f"hostname {shlex.quote(self.host)}")
        if self.passwd:
            steps.append(f"mount --bind {shlex.quote(str(self.passwd))} /etc/passwd")
            # faketime keeps a file there for each program, and leaves it if that one is killed.
            steps.append("mount -t tmpfs tmpfs /dev/shm")
        steps.append('exec "$@"')
        inside = tied(["sh", "-c", " && ".join(steps), "sh", *command])
        # In this order: the kernel forgets the tie when a user namespace is entered.
        return [*self._namespaces(), *inside]

    def _namespaces(self) -> list[str]:
        kinds = ["--uts"] * bool(self.host) + ["--mount"] * bool(self.passwd)
        if not kinds:
            return []
        # Only root may change names outside of a user namespace. Root stays outside: there it
        # may still give files to others, as apt does.
        own = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
        return ["unshare", *own, *kinds]

    def home(self, scratch: Path) -> Path:
        """Return the directory in which the files really lie, for whoever puts them there."""
        return scratch / (f"{self.folder}.plain" if self.reversed_entries else self.folder)

    @contextmanager
    def entered(self, scratch: Path) -> Iterator[Path]:
        """Give the directory in which a build finds what lies in :meth:`home`.

        Raises:
            LabError: it cannot be shown in reverse.
        """
        where = scratch / self.folder
        if self.reversed_entries:
            with reversed_view(self.home(scratch), where):
                yield where
        else:
            yield where

    def output_of(self, command: Sequence[str], scratch: Path) -> tuple[int, str]:
        """Run a short command; return its exit code and all that it printed.

        Raises:
            LabError: these surroundings cannot be had.
        """
        with self.entered(scratch) as where:
            done = subprocess.run(
                self.argv(command),
                cwd=where,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        return done.returncode, done.stdout.strip()
