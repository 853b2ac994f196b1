"""Write the image part of a bundle: a function of its inputs, and of nothing else."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from boot.topology import load_topology
from bundle import manifest as manifests
from bundle.boot_script import boot_script
from bundle.inputs import gather, linked_into_tool
from bundle.manifest import Manifest, Output
from bundle.names import BILL, BOOT, READ_ME, SCENARIO, TOPOLOGY
from bundle.own import own_names
from bundle.parts import Parts
from bundle.read_me import read_me
from bundle.sbom import sbom, validate
from bundle.sums import NAME as SUMS
from bundle.sums import write_sums
from host.files import replacing, sha256_file
from host.process import run_logged
from kernel.environment import PASSED, REPRODUCIBLE
from kernel.selection import Selection
from rootfs.task import contents
from settings.paths import TOOL_FILE, VMLINUX

PROGRAMS = (TOOL_FILE, BOOT)  # files that are executable


@dataclass(frozen=True)
class _Part:
    name: str
    source: Path


def write_image(selection: Selection) -> Path:
    """Write the image part of what was built; return its folder.

    Raises:
        LabError: something of the build is not there; nothing is written then.
        OSError: the same.
    """
    topology = load_topology(selection.topology_file)
    target = selection.workspace.image_dir(selection.run_name)
    begun = gather(selection, topology)
    with replacing(target) as folder:
        folder.mkdir()
        _copy(selection, begun, folder)
        (folder / BOOT).write_text(boot_script(topology, begun.cpu), encoding="utf-8")
        text = sbom(_sbom_parts(selection, begun, outputs(folder)))
        validate(text)
        (folder / BILL).write_text(text, encoding="utf-8")
        (folder / READ_ME).write_text(read_me(begun), encoding="utf-8")
        manifest = replace(begun, outputs=tuple(outputs(folder)))
        (folder / manifests.NAME).write_text(manifests.as_text(manifest), encoding="utf-8")
        write_sums(folder)
        _set_modes(folder)
    return target


def outputs(folder: Path) -> Iterator[Output]:
    """Return what an image folder holds, sorted by name, but for the manifest and the sums."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (manifests.NAME, SUMS):
            yield Output(name, path.stat().st_size, sha256_file(path))


def _copy(selection: Selection, begun: Manifest, folder: Path) -> None:
    for part in _parts(selection, begun):
        target = folder / part.name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(part.source, target)
    # gdb reads compressed debug sections as they are; a compressed file it would not.
    compressed = folder / VMLINUX
    run_logged(
        [
            "objcopy",
            "--compress-debug-sections=zlib",
            str(selection.workspace.vmlinux),
            str(compressed),
        ],
        title="compressing the symbols of vmlinux",
        log=selection.workspace.logs / "image.log",
        env=REPRODUCIBLE,
        passing=PASSED,
        writes=selection.workspace.image_dir(selection.run_name),
    )


def _parts(selection: Selection, begun: Manifest) -> Iterator[_Part]:
    workspace = selection.workspace
    module = workspace.module.resolve()
    for path in (
        workspace.bzimage,
        workspace.system_map,
        workspace.dot_config,
        module,
        workspace.initramfs,
    ):
        yield _Part(path.name, path)
    yield _Part(TOOL_FILE, workspace.tool)  # whatever a user's own is called
    yield _Part(TOPOLOGY, selection.topology_file)
    yield _Part(SCENARIO, selection.scenario_file)
    for fragment, path in zip(begun.fragments, selection.fragments, strict=True):
        yield _Part(fragment.name, path)


def _sbom_parts(selection: Selection, begun: Manifest, made: Iterable[Output]) -> Parts:
    return Parts(
        kernel=begun.kernel,
        lab=begun.lab,
        tools=begun.tools,
        outputs=tuple(made),
        contents=tuple(contents(selection.workspace)),
        linked=tuple(linked_into_tool(selection.workspace)),
        own=own_names(begun),
    )


def _set_modes(folder: Path) -> None:
    # Whatever the umask is; an archive of the folder carries the modes.
    for path in (folder, *folder.rglob("*")):
        program = path.is_dir() or path.name in PROGRAMS
        path.chmod(0o755 if program else 0o644)
