"""A guest with module and drives ready, for work that is not a verification."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from boot.qemu import Vm
from boot.setup import Setup, serving
from verify import system_checks
from verify.guest import session_with, traced
from verify.session import Session

PREPARE = (
    system_checks.boot,
    system_checks.drives,
    system_checks.load_module,
    system_checks.nodes,
)


def machine(setup: Setup, images: Mapping[str, Path]) -> Vm:
    """Return a machine with these drive images, in which nothing is traced until it is asked for.

    Raises:
        LabError: KVM was asked for and is not accessible.
    """
    vm = traced(serving(setup, images, print), setup.folder, events=())
    # The tool reads the clock for each chunk: a steady one takes up to a fifth of a copy's time.
    return replace(vm, steady_clock=False)


@contextmanager
def ready(vm: Vm, setup: Setup) -> Iterator[Session]:
    """Boot, find the drives, load the module; at the end power off and look through the log.

    Raises:
        LabError: the guest did not come that far, or the kernel complained.
    """
    with session_with(vm, setup) as session:
        for prepare in PREPARE:
            prepare(session)
        yield session
        system_checks.shutdown(session)
    system_checks.clean_log(session)
