"""A guest with module and drives ready, for work that is not a verification."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from boot import accel
from boot.artifacts import Artifacts
from boot.drives import create_filled, image_paths
from boot.machine import running
from boot.qemu import SERVE, Vm
from boot.topology import Topology
from boot.trace import TraceReader
from rootfs.initramfs import ImageFile, Parts, find_busybox, pack
from settings.paths import Workspace, accel_cache
from verify import system_checks
from verify.images import Images
from verify.session import Session
from verify.timeouts import timeouts_for

PREPARE = (
    system_checks.boot,
    system_checks.drives,
    system_checks.load_module,
    system_checks.nodes,
)


def image_with(workspace: Workspace, more: Sequence[ImageFile], folder: Path) -> Path:
    """Pack the build's root file system with further files, below ``folder``; return it.

    Raises:
        ImageError: a file cannot go in; says which and why.
    """
    image = folder / "rootfs/initramfs.cpio.lz4"
    image.parent.mkdir()
    parts = Parts(
        busybox=find_busybox(),
        module=workspace.module,
        tool=workspace.tool,
        vmlinux=workspace.vmlinux,
        more=tuple(more),
    )
    pack(parts, workspace.gen_init_cpio, image)
    return image


def machine(artifacts: Artifacts, topology: Topology, cpu: str, asked: str, folder: Path) -> Vm:
    """Return a machine whose drives are filled; ``asked`` is the accelerator as in the setting.

    Raises:
        LabError: KVM was asked for and is not accessible.
    """
    vm = Vm(
        topology=topology,
        kernel=artifacts.bzimage,
        initramfs=artifacts.initramfs,
        drives=create_filled(topology, folder),
        cpu=cpu,
        kernel_arguments=SERVE,
    )
    return replace(vm, accel=accel.resolve(asked, vm, folder / "probe", accel_cache(), print))


@contextmanager
def ready(vm: Vm, folder: Path, release: str) -> Iterator[Session]:
    """Boot, find the drives, load the module; at the end power off and look through the log.

    ``release`` is what ``uname -r`` has to say, ``folder`` gets the logs.

    Raises:
        LabError: the guest did not come that far, or the kernel complained.
    """
    with running(vm, folder) as guest:
        session = Session(
            topology=vm.topology,
            guest=guest,
            images=Images(vm.topology, image_paths(vm.topology, folder)),
            trace=TraceReader(folder / "trace.log"),
            timeouts=timeouts_for(vm.accel),
            release=release,
        )
        for prepare in PREPARE:
            prepare(session)
        yield session
        system_checks.shutdown(session)
    system_checks.clean_log(session)
