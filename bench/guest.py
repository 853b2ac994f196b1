"""A guest with module and drives ready, for work that is not a verification."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from boot import accel
from boot.artifacts import Artifacts
from boot.drives import image_paths
from boot.machine import running
from boot.qemu import SERVE, Vm
from boot.topology import Topology
from boot.trace import TraceReader
from settings.paths import accel_cache
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


def machine(
    artifacts: Artifacts,
    topology: Topology,
    images: Mapping[str, Path],
    asked: str,
    folder: Path,
    cpu: str = "",
) -> Vm:
    """Return a machine with these drive images; ``asked`` is the accelerator as in the setting.

    Without ``cpu`` it has the topology's; ``folder`` gets the log of a probe for KVM.

    Raises:
        LabError: KVM was asked for and is not accessible.
    """
    vm = Vm(
        topology=topology,
        kernel=artifacts.bzimage,
        initramfs=artifacts.initramfs,
        drives=images,
        cpu=cpu or topology.cpu,
        kernel_arguments=SERVE,
        steady_clock=False,  # the tool reads it for each chunk: up to a fifth of the time of a copy
    )
    return replace(vm, accel=accel.resolve(asked, vm, folder / "probe", accel_cache(), print))


@contextmanager
def ready(vm: Vm, folder: Path, artifacts: Artifacts) -> Iterator[Session]:
    """Boot, find the drives, load the module; at the end power off and look through the log.

    ``folder`` gets the logs; the machine is of these artifacts.

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
            release=artifacts.release,
            module=artifacts.module,
        )
        for prepare in PREPARE:
            prepare(session)
        yield session
        system_checks.shutdown(session)
    system_checks.clean_log(session)
