"""Gather every input of an image: what it was made from, by whom, with which programs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from boot.topology import Topology
from bundle.manifest import FileInput, KernelInput, LabInput, Manifest, ToolInput
from bundle.names import FRAGMENTS
from bundle.own import OURS, PACKED, source_name
from host.digest import sha256_of_files, sha256_of_tree
from host.files import sha256_file
from host.origin import origin_of
from host.programs import deciding, describe
from host.sources import sources_below
from kernel.environment import SOURCE_DATE_EPOCH
from kernel.external import module_sources
from kernel.selection import Selection, plain
from kernel.source import SourceRecord, read_record
from rootfs.linked import linked_files
from rootfs.packed import packed_files
from rootfs.sources import script_sources, tool_sources
from settings.paths import PROJECT, Workspace

# Code and data that decide how an image is made. Not the rest of the lab: a change of a check,
# of a test or of the README makes no other image.
RECIPE_FOLDERS = ("host", "settings", "kernel", "rootfs", "bundle")
RECIPE_FILES = (
    "boot/topology.py",
    "boot/qemu.py",
    "bundle/manifest.schema.json",
    "requirements.lock",
)
SOURCES: dict[str, Callable[[Path], list[Path]]] = {
    "p2pmem-pci": module_sources,
    "p2pmem-test": tool_sources,
    "rootfs": lambda _folder: script_sources(),
}


def gather(selection: Selection, topology: Topology) -> Manifest:
    """Return the manifest of a finished build, still without outputs.

    Raises:
        LabError: there is no record of the kernel's source, or a program has gone meanwhile.
    """
    record = read_record(selection.workspace.source_record)
    release = selection.workspace.release.read_text(encoding="utf-8").strip()
    return Manifest(
        kernel=kernel_input(record, release),
        lab=lab_input(PROJECT),
        topology=_named(selection.topology_file),
        scenario=_named(selection.scenario_file),
        cpu=selection.settings.cpu or topology.cpu,
        fragments=tuple(fragment_inputs(selection.fragments)),
        sources=tuple(source_inputs(PROJECT, selection.settings.module, selection.settings.tool)),
        tools=(
            *tool_inputs(linked_into_tool(selection.workspace)),
            *packed_inputs(packed_files(selection.workspace.packed)),
        ),
        source_date_epoch=SOURCE_DATE_EPOCH,
        outputs=(),
    )


def kernel_input(record: SourceRecord, release: str) -> KernelInput:
    """Return where a kernel came from, without the name of any place on this machine.

    A user's own tree has no archive with a sum; the sum over its files stands for it.
    """
    own = record.kind == "path"
    return KernelInput(
        asked="path" if own else record.asked,
        used="path" if own else record.used,
        substituted=bool(record.reason),
        reason=record.reason,
        kind=record.kind,
        version=record.version,
        release=release,
        url=record.url,
        package=record.package,
        package_version=record.package_version,
        file=record.file,
        sha256=sha256_of_tree(record.tree, "summing the kernel tree") if own else record.sha256,
    )


def lab_input(project: Path) -> LabInput:
    """Return which state of the lab this is."""
    origin = origin_of(project)
    files = [path for folder in RECIPE_FOLDERS for path in (project / folder).glob("*.py")]
    files += [project / name for name in RECIPE_FILES]
    return LabInput(origin.commit, origin.dirty, sha256_of_files(project, files))


def fragment_inputs(fragments: tuple[Path, ...]) -> Iterator[FileInput]:
    """Return the fragments under their names in the image: those tell their order."""
    for number, path in enumerate(fragments):
        yield FileInput(f"{FRAGMENTS}{number}-{plain(path.name)}", sha256_file(path))


def source_inputs(
    project: Path, module: Path | None = None, tool: Path | None = None
) -> Iterator[FileInput]:
    """Return one sum for each folder that module, tool and root file system are made of.

    Args:
        project: the lab.
        module: the folder of a user's own module, if there is one.
        tool: the same for the tool.
    """
    own = {OURS["module"]: ("module", module), OURS["tool"]: ("tool", tool)}
    for name, files in SOURCES.items():
        kind, folder = own.get(name, ("", None))
        if folder:
            yield FileInput(
                source_name(kind, folder), sha256_of_files(folder, sources_below(folder))
            )
        else:
            yield FileInput(name, sha256_of_files(project / name, files(project / name)))


def linked_into_tool(workspace: Workspace) -> list[Path]:
    """Return what the lab's tool was linked from; nobody knows it of a user's own."""
    return [] if workspace.own_tool else linked_files(workspace.tool_links)


def packed_inputs(files: Mapping[str, Path]) -> Iterator[ToolInput]:
    """Return the machine's files that are in the root file system, by their place there."""
    found = describe((), files.values())
    for target, program in zip(files, found, strict=True):
        yield ToolInput(**{**asdict(program), "name": f"{PACKED}{target}"})


def tool_inputs(linked: Iterable[Path]) -> Iterator[ToolInput]:
    """Return the programs of this machine that decide bytes, and the libraries linked in."""
    for program in describe(deciding(), linked):
        yield ToolInput(**asdict(program))


def _named(path: Path) -> FileInput:
    return FileInput(path.stem, sha256_file(path))
