"""How the lab calls the kernel's build system: out of tree, and with the same bytes every time."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from host.process import run_logged
from kernel.environment import PASSED, REPRODUCIBLE

# What debug information and __FILE__ call the source and the build.
MAPPED_SOURCE = "/p2plab/linux"
MAPPED_BUILD = "/p2plab/build"
MAPPED_MODULE = "/p2plab/build/module"  # a user's own
# No Rust is built, but Kconfig would note a compiler's version where one is found, and the rustc in
# PATH may be one that depends on the user's home.
UNUSED = ("RUSTC=unused", "BINDGEN=unused")


def compiler() -> str:
    """Return the C compiler command: gcc, through ccache where that is installed and wanted."""
    wanted = "CCACHE_DISABLE" not in os.environ
    return "ccache gcc" if wanted and shutil.which("ccache") else "gcc"


@dataclass(frozen=True)
class Kbuild:
    """A kernel source tree and the directory that its build goes to.

    Attributes:
        source: the kernel tree; never written to.
        output: the build directory (``O=``).
        jobs: parallel jobs.
        module: where a user's own module is built. Its place is named after that of its sources,
            which must not be in the debug information.
    """

    source: Path
    output: Path
    jobs: int
    module: Path | None = None

    def argv(self, *targets: str) -> list[str]:
        """Return the make command for ``targets``."""
        return [
            "make",
            "-C", str(self.source),
            f"O={self.output}",
            f"-j{self.jobs}",
            "ARCH=x86_64",
            f"CC={compiler()}",
            *UNUSED,
            f"KCFLAGS={self._prefix_maps()}",
            f"KAFLAGS={self._prefix_maps()}",
            *targets,
        ]  # fmt: skip

    def run(self, targets: Sequence[str], *, title: str, log: Path) -> None:
        """Run make quietly with progress.

        Raises:
            ProgramFailed: make failed; the message has the end of the log.
        """
        run_logged(
            self.argv(*targets),
            title=title,
            log=log,
            env={**REPRODUCIBLE, **self._ccache()},
            passing=PASSED,
            writes=self.output,
        )

    def _ccache(self) -> dict[str, str]:
        """Return ccache's settings: an object that another checkout compiled is a hit in this one.

        All paths below the base directory are given to the compiler relative to where it runs,
        and prefix maps are no part of ccache's hash. The namespace stands for them: objects that
        were compiled under other maps have other names in their debug information. What an object
        depends on, make has the compiler list anyway: ccache need not preprocess every source once
        more to find that out, which is a sixth of a first build.
        """
        return {
            "CCACHE_BASEDIR": str(self.output.parent),
            "CCACHE_ABSSTDERR": "1",
            "CCACHE_DEPEND": "1",
            "CCACHE_NAMESPACE": ",".join(mapped for _, mapped in self._maps()),
        }

    def _prefix_maps(self) -> str:
        """Return the compiler's options that take this machine's paths out of what it writes."""
        return " ".join(f"-ffile-prefix-map={path}={mapped}" for path, mapped in self._maps())

    def _maps(self) -> list[tuple[str, str]]:
        """Return paths as the compiler is given them, and what stands for them in its output.

        Of several that fit gcc takes the last, so the deeper path comes later. A map with a
        trailing slash leaves DW_AT_comp_dir unmapped, and with it the build id.
        """
        above = self.output.parent
        maps = {above: MAPPED_BUILD, self.source: MAPPED_SOURCE}
        if self.module:
            maps[self.module] = MAPPED_MODULE
        inner_last = sorted(maps, key=lambda path: len(path.parts))
        # As ccache writes them: make calls the compiler in directories right below ``above``.
        relative = [path for path in inner_last if path.is_relative_to(above)]
        pairs = [(str(path), maps[path]) for path in inner_last]
        return pairs + [
            (str(Path("..") / path.relative_to(above)), maps[path]) for path in relative
        ]
