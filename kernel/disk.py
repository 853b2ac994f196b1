"""What every stage of every kernel takes of the disk, and the command that frees it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from host.disk import Use, allocated, print_table
from host.errors import LabError
from host.progress import Progress, mebibytes
from kernel.choice import choose
from kernel.selection import Selection
from kernel.source import read_record
from settings.paths import BUILD, DIST, PROJECT, Workspace, cache_dir, downloads_dir

# In build/, where a task works that is about no single kernel: that task.
SCRATCH = {"reproduce": "reproduce", "rebuild": "reproduce", "compat": "compat"}
SHOWN = 1 << 18  # bytes from which a place has a line of its own
# By what lies in build/<label>/: the task that made it, and whose clean action removes it.
TASKS = {
    "source": "source",
    "linux": "kernel",
    "p2pmem-pci": "module",
    "p2pmem-test": "tool",
    "rootfs": "initramfs",
    "image": "image",
    "logs": "build",
    "boot": "boot",
    "verify": "verify",
    "lifecycle": "lifecycle",
    "lifecycle-image": "lifecycle",
    "soak": "soak",
    "race": "race",
    "race-module": "race",
}


def show(selection: Selection) -> None:
    """Print one table: build/ by kernel and stage, dist/, downloads, caches; and what is free."""
    uses, small = [], 0
    with Progress("measuring") as progress:
        for place, remark in _places(selection):
            progress.update(str(place))
            size = allocated(place)
            if size >= SHOWN:
                uses.append(Use(size, _shown(place), remark))
            else:
                small += size
    print_table([*uses, Use(small, f"what takes less than {mebibytes(SHOWN)}", "")])
    print(f"{mebibytes(shutil.disk_usage(PROJECT).free):>14}  free on the disk of {PROJECT}")


def _places(selection: Selection) -> Iterator[tuple[Path, str]]:
    """Yield every place that is measured, with how to free it; none lies in another one."""
    for path in _inside(BUILD):
        if Workspace(path).state.exists():
            yield from _stages(Workspace(path), selection)
        else:
            # Its builds may be mounted somewhere: no rm for them.
            task = SCRATCH.get(path.name)
            yield path, f"./doit clean {task}" if task else _removal(path)
    yield DIST, _removal(DIST)
    yield downloads_dir(), "./doit clean downloads"
    for path in _inside(cache_dir()):
        if path != downloads_dir():
            yield path, _removal(path)
    for path in sorted(PROJECT.glob(".venv-*")):
        yield path, f"{_removal(path)}, made again by ./doit"


def _stages(workspace: Workspace, selection: Selection) -> Iterator[tuple[Path, str]]:
    words = _words(workspace, selection)
    for path in _inside(workspace.root):
        task = TASKS.get(path.name)
        if task and words is not None:
            yield path, " ".join(["./doit", *words, "clean", task])
        else:
            yield path, _removal(path)


def _words(workspace: Workspace, selection: Selection) -> list[str] | None:
    """Return the settings that select a workspace; None if they cannot be told from it."""
    if workspace.root == selection.workspace.root:
        return [
            f"{name}={text}"
            for name, text in selection.given.items()
            if name in ("kernel", "config")
        ]
    try:
        used = read_record(workspace.source_record).used
        same = choose(used, decide=False).label == workspace.root.name
    except LabError:  # nothing is known, or it is not in the registry any more
        return None
    return [f"kernel={used}"] if same else None


def _removal(path: Path) -> str:
    return f"rm -r {_shown(path)}"


def _shown(path: Path) -> str:
    return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
