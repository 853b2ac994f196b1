"""What doit runs in the bundle stage."""

import shutil
import tempfile
from pathlib import Path

from boot.qemu import QEMU
from bundle import check
from bundle.archive import SUFFIX, pack, unpacked
from bundle.check import Bundle, open_bundle, open_image
from bundle.evidence import drop_evidence, write_evidence
from bundle.image import write_image
from bundle.names import EVIDENCE, IMAGE
from bundle.read_me import kernel_line
from host.files import replacing
from host.progress import mebibytes
from host.tools import require_programs
from kernel.selection import Selection
from settings.paths import DIST, VERDICT_FILE, accel_cache
from verify.run import Inputs
from verify.task import judge


def image(selection: Selection) -> None:
    """Write the image part of a bundle."""
    folder = write_image(selection)
    print(f"   {folder}: {_size(folder)}", flush=True)


def bundle(selection: Selection) -> None:
    """Verify the image part by booting it, and keep both in ``dist/``: as folder and archive.

    Raises:
        NotVerified: the verdict is not a pass; a bundle of an earlier run stays as it was.
        LabError: nothing could be verified, or written.
    """
    require_programs(QEMU)
    built = selection.workspace.image_dir(selection.run_name)
    run = selection.run_dir("verify")
    target = DIST / selection.bundle_name
    archive = target.with_name(f"{target.name}{SUFFIX}")
    judge(_inputs(selection, open_image(built), run), kept=run)
    with replacing(target) as folder:
        shutil.copytree(built, folder / IMAGE)
        write_evidence(run, folder / EVIDENCE, selection.given)
        open_bundle(folder)
        # Whatever ends this between the two: no older archive may lie beside the new folder.
        archive.unlink(missing_ok=True)
    pack(target, archive)
    print(f"   {target}: {_size(target)}")
    print(f"   {archive}: {_size(archive)}", flush=True)


def verify(selection: Selection) -> None:
    """Check the bundle that the setting ``bundle=`` names, boot its files, judge them.

    Raises:
        BundleError: it is not what it claims to be; nothing was booted.
        NotVerified: the verdict is not a pass; the evidence is written all the same.
    """
    require_programs(QEMU)
    given = selection.settings.bundle
    assert given is not None  # the task exists only with the setting
    evidence = given.parent / f"{given.name.removesuffix(SUFFIX)}.evidence"
    drop_evidence(evidence)
    with unpacked(given) as folder, tempfile.TemporaryDirectory(prefix="p2plab-") as scratch:
        opened = open_bundle(folder)
        print(f"   {kernel_line(opened.manifest.kernel)}", flush=True)
        for remark in check.foreign(opened):
            print(f"   {remark}", flush=True)
        run = Path(scratch) / "run"
        try:
            own = check.held(opened, Path(scratch) / "held")
            judge(_inputs(selection, own, run), kept=evidence)
        finally:
            if (run / VERDICT_FILE).exists():
                write_evidence(run, evidence, selection.given)


def _inputs(selection: Selection, opened: Bundle, run: Path) -> Inputs:
    topology = check.topology(opened)
    return Inputs(
        artifacts=check.artifacts(opened),
        topology=topology,
        scenario=check.scenario(opened, topology),
        accel=selection.settings.accel,
        accel_cache=accel_cache(),
        cpu=opened.manifest.cpu,
        folder=run,
    )


def _size(path: Path) -> str:
    files = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
    total = mebibytes(sum(item.stat().st_size for item in files))
    return f"{len(files)} files, {total}" if path.is_dir() else total
