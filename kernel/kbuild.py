"""How the lab calls the kernel's build system: out of tree, and with the same bytes every time."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from host.process import run_logged

# Documentation/kbuild/reproducible-builds.rst names these variables. The moment is fixed, not
# taken from the clock: the same inputs have to give the same bytes at any time.
SOURCE_DATE_EPOCH = 1684152000
REPRODUCIBLE = {
    "KBUILD_BUILD_USER": "p2plab",
    "KBUILD_BUILD_HOST": "p2plab",
    "KBUILD_BUILD_VERSION": "1",
    "KBUILD_BUILD_TIMESTAMP": "Mon May 15 12:00:00 UTC 2023",
    "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
    "LC_ALL": "C",
    "TZ": "UTC",
}


def compiler() -> str:
    """Return the C compiler command: gcc, through ccache where that is installed."""
    return "ccache gcc" if shutil.which("ccache") else "gcc"


@dataclass(frozen=True)
class Kbuild:
    """A kernel source tree and the directory that its build goes to.

    Attributes:
        source: the kernel tree; never written to.
        output: the build directory (``O=``).
        jobs: parallel jobs.
    """

    source: Path
    output: Path
    jobs: int

    def argv(self, *targets: str) -> list[str]:
        """Return the make command for ``targets``."""
        return [
            "make",
            "-C", str(self.source),
            f"O={self.output}",
            f"-j{self.jobs}",
            "ARCH=x86_64",
            f"CC={compiler()}",
            f"KCFLAGS={self._prefix_maps()}",
            f"KAFLAGS={self._prefix_maps()}",
            *targets,
        ]  # fmt: skip

    def run(self, targets: Sequence[str], *, title: str, log: Path) -> None:
        """Run make quietly with progress.

        Raises:
            ProgramFailed: make failed; the message has the end of the log.
        """
        environment = {**REPRODUCIBLE, "CCACHE_NAMESPACE": self._ccache_namespace()}
        run_logged(self.argv(*targets), title=title, log=log, env=environment)

    def _maps(self) -> tuple[tuple[Path, str], ...]:
        """Return the directories that must not show, and what stands for them in all output.

        The last map that fits counts: a source below the build's parent must be /p2plab/linux
        too, as a user's tree is. No name ends in a slash: that would leave DW_AT_comp_dir
        unmapped, and with it the build id.
        """
        return ((self.output.parent, "/p2plab/build"), (self.source, "/p2plab/linux"))

    def _prefix_maps(self) -> str:
        return " ".join(f"-ffile-prefix-map={path}={name}" for path, name in self._maps())

    def _ccache_namespace(self) -> str:
        # ccache leaves prefix maps out of its hash, so that checkouts can share objects; but an
        # object that was compiled under other maps has other names in its debug information.
        return ",".join(name for _, name in self._maps())
