"""What doit runs in the rootfs stage."""

from pathlib import Path

from host.process import run_logged
from host.unfinished import finished_or_empty
from kernel.environment import PASSED, REPRODUCIBLE
from kernel.selection import Selection
from rootfs.initramfs import Parts, find_busybox, pack


def tool(selection: Selection, folder: Path) -> None:
    """Build the user-space tool of a folder."""
    output = selection.workspace.tool_dir
    with finished_or_empty(output):
        output.mkdir(parents=True, exist_ok=True)
        run_logged(
            # -B: doit knows what has changed; make would overlook a file replaced by an older one.
            ["make", "-B", "-C", str(folder), f"O={output}", f"-j{selection.settings.jobs}"],
            title=f"building {folder.name}",
            log=selection.workspace.logs / "tool.log",
            env=REPRODUCIBLE,
            passing=PASSED,
            writes=output,
        )


def initramfs(selection: Selection) -> None:
    """Pack the root file system."""
    workspace = selection.workspace
    parts = Parts(
        busybox=find_busybox(),
        module=workspace.module,
        tool=workspace.tool,
        vmlinux=workspace.vmlinux,
    )
    pack(parts, workspace.gen_init_cpio, workspace.initramfs)
