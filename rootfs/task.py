"""What doit runs in the rootfs stage."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from host.files import remove
from host.process import run_logged
from host.stamps import COMPILING, stamps
from host.unfinished import finished_or_empty
from kernel.environment import PASSED, REPRODUCIBLE
from kernel.selection import Selection
from rootfs.clients import client_data, client_programs
from rootfs.closure import closure
from rootfs.elf import kernel_vermagic
from rootfs.initramfs import TOOL, ImageFile, Parts, find_busybox, image_files, pack
from rootfs.own_tool import build_own_tool
from rootfs.packed import write_packed
from settings.paths import Workspace

# gcc would take it for __DATE__ and __TIME__. A date in the tool is a mistake: it has to show
# when two builds are compared, and not be the same false date in both.
NOT_FOR_THE_TOOL = "SOURCE_DATE_EPOCH"
CLIENTS_WANTED = "tools"  # the setting rootfs=


def tool(selection: Selection, folder: Path) -> None:
    """Build the user-space tool of a folder: the lab's, or the user's own.

    Of the lab's the linker's list of what went into it is kept.
    """
    workspace = selection.workspace
    log = workspace.logs / "tool.log"
    if workspace.own_tool:
        with finished_or_empty(workspace.tool_dir, made_by=stamps(COMPILING)):
            jobs = selection.settings.jobs
            build_own_tool(folder, workspace.tool_dir, workspace.tool, jobs=jobs, log=log)
        return
    with finished_or_empty(workspace.tool_dir):
        workspace.tool_dir.mkdir(parents=True, exist_ok=True)
        # Should the build fail, no list of an earlier one may be taken for this one.
        remove(workspace.tool_links)
        run_logged(
            [
                # -B: doit knows what has changed; make would overlook a file that was replaced by
                # an older one.
                "make", "-B",
                "-C", str(folder),
                f"O={workspace.tool_dir}",
                f"-j{selection.settings.jobs}",
                f"--eval=unexport {NOT_FOR_THE_TOOL}",
                "CC=gcc",
                # -Xlinker, not -Wl: a comma may be part of the path.
                f"LDFLAGS=-Xlinker --dependency-file={workspace.tool_links}",
            ],
            title=f"building {folder.name}",
            log=log,
            env={name: text for name, text in REPRODUCIBLE.items() if name != NOT_FOR_THE_TOOL},
            passing=PASSED,
            writes=workspace.tool_dir,
        )  # fmt: skip


def initramfs(selection: Selection) -> None:
    """Pack the root file system; keep a list of the machine's files that went into it."""
    workspace = selection.workspace
    parts = _parts(workspace)
    # Should packing fail, no list of an earlier image may be taken for this one's.
    remove(workspace.packed)
    pack(parts, workspace.gen_init_cpio, workspace.initramfs)
    write_packed(workspace.packed, {file.target: file.source for file in parts.more})


def pack_with(
    workspace: Workspace, more: Sequence[ImageFile], folder: Path, module: Path | None = None
) -> Path:
    """Pack what the built root file system has and further files, elsewhere; return the image.

    Args:
        workspace: the build.
        more: the further files.
        folder: gets the image, and what it is packed from.
        module: takes the place of the built one.

    Raises:
        ImageError: a file cannot go in; says which and why.
        OSError: nothing was built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / workspace.initramfs.name
    parts = _parts(workspace)
    parts = replace(parts, module=module or parts.module, more=(*parts.more, *more))
    pack(parts, workspace.gen_init_cpio, target)
    return target


def contents(workspace: Workspace) -> list[ImageFile]:
    """Return the regular files that the packed root file system holds, and where they are from.

    Raises:
        OSError: nothing was built.
    """
    parts = _parts(workspace)
    release = kernel_vermagic(parts.vmlinux).split()[0]
    return image_files(parts, release, workspace.rootfs)


def _parts(workspace: Workspace) -> Parts:
    tool = workspace.tool.resolve()
    return Parts(
        busybox=find_busybox(),
        module=workspace.module.resolve(),
        tool=tool,
        vmlinux=workspace.vmlinux,
        more=tuple(_more(workspace, tool)),
        own_tool=bool(workspace.own_tool),
    )


def _more(workspace: Workspace, tool: Path) -> Iterator[ImageFile]:
    """Yield what the machine gives: programs that were asked for, and libraries."""
    clients = client_programs() if CLIENTS_WANTED in workspace.rootfs_parts else []
    yield from clients
    if clients:
        yield from client_data()
    programs = [ImageFile(TOOL, tool, "755")] if workspace.own_tool else []
    yield from closure([*programs, *clients])
