"""One build of the image part: from copies of all inputs, in surroundings of its own."""

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from host.errors import LabError
from host.files import remove, sha256_file, unfinished
from host.process import run_logged
from host.sources import mirror, sources_below
from kernel.registry import TreeKernel
from kernel.selection import Selection
from reproduce.copies import copy_fragments, copy_project, copy_tree
from reproduce.surroundings import Surroundings
from settings.paths import AUTO_KERNEL, BUILD, DOWNLOADS_VARIABLE, PROJECT, cache_dir, downloads_dir

# The others are decided anew for each build, or change nothing of what is built.
HANDED_ON = ("rootfs", "topology", "scenario", "cpu")


@dataclass(frozen=True)
class Built:
    """The result of one build.

    Attributes:
        image: the folder with all files of the image part.
        seconds: that the build took, without the copying.
        log: of the build.
    """

    image: Path
    seconds: float
    log: Path

    @property
    def sums(self) -> dict[str, str]:
        """SHA-256 of each file, by its name below the folder."""
        files = sorted(path for path in self.image.rglob("*") if path.is_file())
        return {str(path.relative_to(self.image)): sha256_file(path) for path in files}


@dataclass(frozen=True)
class Copy:
    """All inputs of one build, copied to where it will run.

    Attributes:
        name: of the build.
        surroundings: in which it runs.
        scratch: the directory in which the copy lies.
        settings: the ``name=value`` words of its command line.
    """

    name: str
    surroundings: Surroundings
    scratch: Path
    settings: tuple[str, ...]

    @property
    def home(self) -> Path:
        """Where the copy really lies."""
        return self.surroundings.home(self.scratch)


def copied(
    selection: Selection,
    surroundings: Surroundings,
    scratch: Path,
    name: str,
    project: Path = PROJECT,
    overlay: Mapping[Path, Path] = MappingProxyType({}),
) -> Copy:
    """Copy all that a build reads, as it is now.

    Args:
        selection: what to build.
        surroundings: in which it will be built.
        scratch: where the copy is put.
        name: what the build is called.
        project: what is copied; its task ``image`` makes the image.
        overlay: files that replace those of the project, by their relative path.

    Raises:
        LabError: a copy cannot be made.
    """
    home = surroundings.home(scratch)
    remove(home)
    copy_project(project, home, int(surroundings.umask, 8))
    _copy_memory(project, home)
    for relative, source in overlay.items():
        (home / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, home / relative)
    settings = _settings(selection, home, scratch / surroundings.folder)
    return Copy(name, surroundings, scratch, tuple(settings))


def build_image(copy: Copy) -> Built:
    """Build the image part anew, from a copy; log and image are left in the scratch directory.

    Raises:
        ProgramFailed: the build failed; the message has the end of its log.
        LabError: the surroundings cannot be had.
    """
    surroundings, log = copy.surroundings, copy.scratch / f"{copy.name}.log"
    words = [*copy.settings, f"jobs={surroundings.jobs}", "image"]
    with surroundings.entered(copy.scratch) as where:
        start = time.monotonic()
        run_logged(
            surroundings.argv([sys.executable, "-m", "doit", *words]),
            title=f"build {copy.name}",
            log=log,
            cwd=where,
            env={
                **surroundings.environment,
                # Caches are no input: none is filled anew for another home.
                DOWNLOADS_VARIABLE: str(downloads_dir()),
                "XDG_CACHE_HOME": str(cache_dir().parent),
                "P2PLAB_INVOKED_FROM": str(where),
            },
        )
        seconds = time.monotonic() - start
    return Built(_taken(copy), seconds, log)


def _copy_memory(project: Path, home: Path) -> None:
    """Have ``kernel=auto`` mean in the copy what it means here."""
    memory = AUTO_KERNEL.relative_to(PROJECT)
    if (project / memory).is_file():
        (home / memory).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project / memory, home / memory)


def _settings(selection: Selection, home: Path, where: Path) -> list[str]:
    """Return the settings of a build, after copying the user's files that they name."""
    given = {name: text for name, text in selection.given.items() if name in HANDED_ON}
    given["kernel"] = selection.settings.kernel
    kernel = selection.choice.kernel
    build = BUILD.relative_to(PROJECT)
    if isinstance(kernel, TreeKernel):
        tree = build / "kernel-tree" / kernel.tree.name
        copy_tree(kernel.tree, home / tree, BUILD)
        given["kernel"] = str(where / tree)
    if selection.settings.config:
        copies = copy_fragments(selection.settings.config, home / build / "fragments")
        given["config"] = ",".join(str(where / copy.relative_to(home)) for copy in copies)
    for kind, folder in (("module", selection.settings.module), ("tool", selection.settings.tool)):
        if folder:
            copy = build / "own" / kind / folder.name
            mirror(sources_below(folder), folder, home / copy)
            given[kind] = str(where / copy)
    return [f"{name}={text}" for name, text in given.items()]


def _taken(copy: Copy) -> Path:
    """Move the image out of the copy; what is a user's own gives it another name there."""
    made = [path for path in copy.home.glob(f"{BUILD.name}/*/image/*") if not unfinished(path)]
    if len(made) != 1:
        raise LabError(f"the build in {copy.home} left {len(made)} images instead of one")
    target = copy.scratch / f"image-{copy.name}"
    remove(target)
    shutil.move(made[0], target)
    return target
