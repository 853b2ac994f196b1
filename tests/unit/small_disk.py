"""A small file system that can be filled and emptied, for what happens when a disk is full."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE = 64 << 20  # bytes
# Where no mount is allowed, a container's own small /dev/shm serves as well.
SHM = Path("/dev/shm")
SMALL_SHM = 256 << 20  # bytes; filling a larger one would take the machine's RAM

NAMESPACES = (["unshare", "-Urm"], ["unshare", "-m"])  # the second for root without the first
HOLD = 'mount -t tmpfs -o size=$1 none "$0" && echo mounted && exec sleep infinity'


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own behind a directory.

    Attributes:
        entering: prefix of a command that is to see it.
        seen: its directory, as this process sees it.
    """

    entering: tuple[str, ...]
    seen: Path

    def prefix(self, folder: Path) -> tuple[str, ...]:
        """Return the prefix of a command that is to see the disk, and to start in ``folder``."""
        return (*self.entering, "sh", "-c", 'cd "$0" && exec "$@"', str(folder))

    def leave(self, count: int) -> None:
        """Let so many bytes be free, about: what is written comes in pages."""
        self.free()
        status = os.statvfs(self.seen)
        with (self.seen / "ballast").open("wb") as ballast:
            filled = status.f_bavail * status.f_frsize - count
            os.posix_fallocate(ballast.fileno(), 0, filled)

    def free(self) -> None:
        """Let all be free that was filled."""
        (self.seen / "ballast").unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Put a small disk at ``folder``, which must not exist.

    Raises:
        AssertionError: this machine allows no way to have one; says what was tried.
    """
    with ExitStack() as stack:
        refusals = []
        folder.mkdir()
        for namespace in NAMESPACES:
            holder = stack.enter_context(
                subprocess.Popen(
                    [*namespace, "sh", "-c", HOLD, str(folder), str(SIZE)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(holder.kill)
            assert holder.stdout is not None
            assert holder.stderr is not None
            if holder.stdout.readline() == "mounted\n":
                yield SmallDisk(_entering(holder.pid, namespace), _outside(holder.pid, folder))
                return
            refusals.append(f"{' '.join(namespace)}: {holder.stderr.read().strip()}")
        size = shutil.disk_usage(SHM).total if SHM.is_dir() else 0
        assert 0 < size <= SMALL_SHM, (
            f"no small disk can be had: {'; '.join(refusals)}; {SHM} has {size >> 20} MiB. "
            "Allow user namespaces, or run the tests in a container with a /dev/shm of 64 MiB."
        )
        folder.rmdir()
        place = SHM / f"p2plab-test-{os.getpid()}"
        place.mkdir()
        stack.callback(shutil.rmtree, place)
        folder.symlink_to(place)
        yield SmallDisk((), place)


def _entering(process: int, namespace: list[str]) -> tuple[str, ...]:
    user = ("-U", "--preserve-credentials") if "-Urm" in namespace else ()
    return ("nsenter", "-t", str(process), *user, "-m")


def _outside(process: int, folder: Path) -> Path:
    return Path(f"/proc/{process}/root{folder}")
