"""How long things may take in the guest of the suite: generous, but for what must not hang."""

from dataclasses import dataclass
from pathlib import Path

from kernel.fragments import read_config

EMULATED = {"kvm": 1.0, "tcg": 4.0}
# Instrumented kernels are several times slower than plain ones.
INSTRUMENTED = {"KASAN", "KCSAN", "PROVE_LOCKING", "DEBUG_OBJECTS"}
SLOWER = 4.0
RATE, INSTRUMENTED_RATE = 512 << 10, 256 << 10  # bytes per second: two MiB take 3 and 6 seconds


@dataclass(frozen=True)
class Limits:
    """Limits, in seconds but for the rate.

    Attributes:
        boot: from QEMU's start until init serves requests.
        command: a short command in the guest.
        event: what the kernel is told to do, until it says that it is done.
        case: a whole case of the guest's program.
        shutdown: from ``poweroff`` until QEMU closes the console.
        rate: bytes per second of a drive whose transfer of 2 MiB is to outlast a few commands, but
            not to stop a guest for long whose QEMU waits for it.
    """

    boot: float
    command: float
    event: float
    case: float
    shutdown: float
    rate: int


def limits_for(accel: str, *, instrumented: bool) -> Limits:
    """Return the limits under an accelerator, for a plain or an instrumented kernel."""
    scale = EMULATED[accel] * (SLOWER if instrumented else 1.0)
    return Limits(
        boot=30 * scale,
        command=10 * scale,
        event=5 * scale,
        case=45 * scale,
        shutdown=15 * scale,
        rate=INSTRUMENTED_RATE if instrumented else RATE,
    )


def is_instrumented(dot_config: Path) -> bool:
    """Tell whether a kernel was configured with something that makes it slow."""
    return bool(INSTRUMENTED & read_config(dot_config).keys())
