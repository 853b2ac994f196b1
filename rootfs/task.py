"""What doit runs in the rootfs stage."""

from pathlib import Path

from host.files import remove
from host.process import run_logged
from host.unfinished import finished_or_empty
from kernel.environment import PASSED, REPRODUCIBLE
from kernel.selection import Selection
from rootfs.elf import kernel_vermagic
from rootfs.initramfs import ImageFile, Parts, find_busybox, image_files, pack
from settings.paths import Workspace

# gcc would take it for __DATE__ and __TIME__. A date in the tool is a mistake: it has to show
# when two builds are compared, and not be the same false date in both.
NOT_FOR_THE_TOOL = "SOURCE_DATE_EPOCH"


def tool(selection: Selection, folder: Path) -> None:
    """Build the user-space tool of a folder; keep the linker's list of what went into it."""
    workspace = selection.workspace
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
            log=workspace.logs / "tool.log",
            env={name: text for name, text in REPRODUCIBLE.items() if name != NOT_FOR_THE_TOOL},
            passing=PASSED,
            writes=workspace.tool_dir,
        )  # fmt: skip


def initramfs(selection: Selection) -> None:
    """Pack the root file system."""
    workspace = selection.workspace
    pack(_parts(workspace), workspace.gen_init_cpio, workspace.initramfs)


def contents(workspace: Workspace) -> list[ImageFile]:
    """Return the regular files that the packed root file system holds, and where they are from.

    Raises:
        OSError: nothing was built.
    """
    parts = _parts(workspace)
    release = kernel_vermagic(parts.vmlinux).split()[0]
    return image_files(parts, release, workspace.rootfs / "modules.dep")


def _parts(workspace: Workspace) -> Parts:
    return Parts(
        busybox=find_busybox(),
        module=workspace.module,
        tool=workspace.tool,
        vmlinux=workspace.vmlinux,
    )
