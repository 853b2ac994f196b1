"""Gather what a run left behind, so that a CI system has to keep one folder and no more."""

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

from host.files import replacing
from settings.paths import TESTS, VERDICT_FILE

# Of a double build, or of one from a manifest.
REPRODUCTION = ("result.json", "*.log", "diffoscope.*", "image-*/SHA256SUMS")
# Of the files below build/, what is worth keeping; never a drive image, nor what a stage builds.
KEPT = (
    "*/source.json",
    "*/logs/*.log",
    f"*/verify/*/{VERDICT_FILE}",
    "*/verify/*/junit.xml",
    # Once more in the folder of the boot that probed KVM.
    "*/verify/**/console.log",
    "*/verify/**/qemu.sh",
    "*/verify/**/qemu.log",
    "*/verify/*/trace.log",
    *(f"*/{kind}/{kind}.json" for kind in ("lifecycle", "soak")),
    *(f"*/{kind}/guest-*/console.log" for kind in ("lifecycle", "soak", "race")),
    "compat/compat.*",
    "compat/logs/*.log",
    *(f"{folder}/{name}" for folder in ("reproduce", "rebuild") for name in REPRODUCTION),
    f"{TESTS.name}/*.json",
    f"{TESTS.name}/*.xml",
)
LARGE = 1 << 20  # bytes, above which a file is kept compressed: a DMA trace shrinks 25 times


def gather(build: Path, target: Path) -> list[Path]:
    """Copy logs and reports of all builds to ``target``, which then mirrors the build folder.

    What an earlier call put there is replaced. Returns the copies, relative to ``target``.
    """
    copies = []
    with replacing(target) as folder:
        folder.mkdir()
        for path in _kept(build):
            name = path.relative_to(build)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copies.append(_copy(path, folder / name).relative_to(folder))
    return copies


def _kept(build: Path) -> Iterator[Path]:
    found = {path for pattern in KEPT for path in build.glob(pattern)}
    # A link could lead anywhere, and no stage makes one here.
    yield from (path for path in sorted(found) if path.is_file() and not path.is_symlink())


def _copy(path: Path, target: Path) -> Path:
    if path.stat().st_size <= LARGE:
        return Path(shutil.copy2(path, target))
    target = target.with_name(f"{target.name}.gz")
    with path.open("rb") as source, gzip.open(target, "wb") as packed:
        shutil.copyfileobj(source, packed)
    shutil.copystat(path, target)
    return target
