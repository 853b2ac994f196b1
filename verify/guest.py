"""A guest that is looked at: QEMU's trace of its drives, and a session with it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from boot import trace
from boot.drives import image_paths
from boot.machine import running
from boot.qemu import Vm
from boot.setup import Setup
from verify.images import Images
from verify.session import Session
from verify.timeouts import timeouts_for

TRACE_LOG = "trace.log"


def traced(vm: Vm, folder: Path, events: Iterable[str] = trace.EVENTS) -> Vm:
    """Return the machine with a trace, from the start that of its drives' DMA.

    ``folder`` is that of the guest.
    """
    return replace(vm, extra=trace.options(folder / TRACE_LOG, events))


@contextmanager
def session_with(vm: Vm, setup: Setup) -> Iterator[Session]:
    """Start a guest and give a session with it, of which nothing is known yet.

    The folder of the setup has the images of its drives, and gets the logs.

    Raises:
        QemuFailed: QEMU ends before its guest starts.
    """
    with running(vm, setup.folder) as guest:
        yield Session(
            topology=setup.topology,
            guest=guest,
            images=Images(setup.topology, image_paths(setup.topology, setup.folder)),
            trace=trace.TraceReader(setup.folder / TRACE_LOG),
            timeouts=timeouts_for(vm.accel),
            release=setup.artifacts.release,
            module=setup.artifacts.module,
            own_tool=bool(setup.artifacts.own_tool),
        )
