"""Build what somebody else's manifest describes, and compare every output with its sum there."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from bundle.compare import (
    Comparison,
    InputChange,
    compare,
    print_comparison,
    print_inputs,
    require_same_outputs,
)
from bundle.inputs import (
    fragment_inputs,
    lab_input,
    packed_inputs,
    source_inputs,
    tool_inputs,
)
from bundle.manifest import NAME, FileInput, KernelInput, Manifest, ToolInput, load
from bundle.own import PACKED, has_clients
from bundle.read_me import kernel_line
from host.digest import sha256_of_tree
from host.files import remove, sha256_file, write_text
from host.process import output_of
from host.programs import DECIDING
from kernel import apt
from kernel.environment import SOURCE_DATE_EPOCH
from kernel.registry import AptKernel, Kernel, TreeKernel
from kernel.selection import Selection
from kernel.version import check_user_tree
from reproduce.build import build_image, copied
from reproduce.described import Described, described
from reproduce.double import emptied
from reproduce.surroundings import Surroundings
from rootfs.clients import client_files
from settings.paths import BUILD, PROJECT, downloads_dir

SCRATCH = BUILD / "rebuild"
RESULT = "result.json"


def run(selection: Selection, file: Path, scratch: Path = SCRATCH, project: Path = PROJECT) -> None:
    """Build what the manifest ``file`` describes; results are in ``build/rebuild/``.

    Which inputs differ here is told before any long work.

    Raises:
        ManifestError: it cannot be read, or names what is nowhere to be had.
        SettingError: it wants a user's kernel tree that was not given.
        OutputsDiffer: an output differs, and no differing input explains it.
        InputsDiffer: outputs differ because inputs do.
        LabError: the build failed.
    """
    theirs = load(file)
    # First of all: it may be another kernel than the one that was asked for.
    print(f"   {kernel_line(theirs.kernel)}", flush=True)
    emptied(scratch)
    plan = described(theirs, file.parent, selection, scratch)
    _tell(differing_inputs(theirs, expected(theirs, plan, scratch / "apt-download.log")))
    surroundings = Surroundings("copy", selection.settings.jobs)
    copy = copied(plan.selection, surroundings, scratch, "again", project, plan.overlay)
    built = build_image(copy)
    found = compare(theirs, load(built.image / NAME))
    _write_result(scratch / RESULT, found, built.seconds)
    print_comparison(found, (str(file), "built here"), sys.stdout)
    require_same_outputs(found)
    remove(copy.home)
    print(f"   the same bytes: {len(theirs.outputs)} outputs, built in {built.seconds:.0f} s")


def differing_inputs(theirs: Manifest, ours: Manifest) -> tuple[InputChange, ...]:
    """Return the inputs that differ, by name."""
    return compare(theirs, ours).inputs


def expected(theirs: Manifest, plan: Described, log: Path) -> Manifest:
    """Return the inputs that a build of ``plan`` will have here, as far as they are known before.

    A distribution's kernel source is downloaded for that; ``log`` is of the download.

    Raises:
        LabError: a program or the kernel's source is not to be had.
    """
    settings = plan.selection.settings
    return replace(
        theirs,
        kernel=_expected_kernel(theirs.kernel, plan.selection.choice.kernel, log),
        lab=lab_input(PROJECT),
        topology=FileInput(theirs.topology.name, sha256_file(plan.topology)),
        scenario=FileInput(theirs.scenario.name, sha256_file(plan.scenario)),
        fragments=tuple(fragment_inputs(plan.fragments)),
        sources=tuple(source_inputs(PROJECT, settings.module, settings.tool)),
        tools=(*tool_inputs(_linked_here(theirs)), *packed_inputs(_packed_here(theirs))),
        source_date_epoch=SOURCE_DATE_EPOCH,
    )


def _expected_kernel(theirs: KernelInput, kernel: Kernel, log: Path) -> KernelInput:
    """Return the kernel's source here; what only the build will tell is taken to be the same."""
    if isinstance(kernel, TreeKernel):
        version = str(check_user_tree(kernel.tree))
        sum_of_all = sha256_of_tree(kernel.tree, "summing the kernel tree")
        return replace(theirs, version=version, sha256=sum_of_all)
    if isinstance(kernel, AptKernel):
        found = apt.fetch(kernel.package, downloads_dir(), log)
        return replace(
            theirs, package_version=found.version, file=found.file.name, sha256=found.sha256
        )
    return theirs  # the sum is pinned: it is this archive or none


def _linked_here(theirs: Manifest) -> list[Path]:
    """Return where the compiler finds the libraries that were linked into their tool."""
    linked = (tool for tool in theirs.tools if not _is_packed(tool))
    names = [tool.name for tool in linked if tool.name not in DECIDING]
    found = (output_of(["gcc", f"-print-file-name={name}"]).strip() for name in names)
    # gcc answers with the bare name if it does not find the file.
    return [Path(path).resolve() for path in found if Path(path).is_file()]


def _packed_here(theirs: Manifest) -> dict[str, Path]:
    """Return what this machine packs for theirs: programs, what these read, and libraries.

    The libraries of a user's own tool are known only when that is built; until then theirs are
    looked for where they were.
    """
    names = (tool.name.removeprefix(PACKED) for tool in theirs.tools if _is_packed(tool))
    there = {name: Path(name) for name in names if Path(name).is_file()}
    clients = client_files() if has_clients(theirs) else []
    return there | {file.target: file.source for file in clients}


def _is_packed(tool: ToolInput) -> bool:
    return tool.name.startswith(f"{PACKED}/")


def _tell(changes: tuple[InputChange, ...]) -> None:
    if not changes:
        print("   all inputs are the same here", flush=True)
    print_inputs(changes, "inputs that differ, manifest -> here", sys.stdout)
    sys.stdout.flush()


def _write_result(path: Path, found: Comparison, seconds: float) -> None:
    data = {
        "same": not found.outputs,
        "inputs": [asdict(item) for item in found.inputs],
        "outputs": [asdict(item) for item in found.outputs],
        "seconds": round(seconds, 1),
    }
    write_text(path, json.dumps(data, indent=2) + "\n")
