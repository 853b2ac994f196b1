"""How long things may take: generous, since a timeout is for what never ends."""

from dataclasses import dataclass

# Emulation is an order of magnitude slower than KVM, and shares the machine with other work.
SCALE = {"kvm": 1.0, "tcg": 8.0}


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds.

    Attributes:
        boot: from QEMU's start until init serves requests.
        command: a short command in the guest.
        copy: a run of the tool.
        shutdown: from ``poweroff`` until QEMU closes the console.
    """

    boot: float
    command: float
    copy: float
    shutdown: float


def timeouts_for(accel: str) -> Timeouts:
    """Return the limits under an accelerator (``kvm`` or ``tcg``)."""
    scale = SCALE[accel]
    return Timeouts(boot=15 * scale, command=5 * scale, copy=20 * scale, shutdown=8 * scale)
