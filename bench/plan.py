"""What is measured: memories, sizes of a chunk, and the programs and options that are compared."""

from dataclasses import dataclass

KIB, MIB = 1 << 10, 1 << 20
SIZES = (4 * KIB, 64 * KIB, MIB)  # bytes of a chunk
# Bytes of device memory that a variant may take: CMBs have 16 MiB and hold the driver's queues too.
MOST_MEMORY = 8 * MIB
OURS, AGAINST = "p2pmem-test", "against"  # programs in the guest's /bin


@dataclass(frozen=True)
class Variant:
    """One program with options.

    Attributes:
        name: as it is shown.
        program: in the guest.
        options: added to those that all have.
        in_flight: chunks that it has in the buffer at a time.
    """

    name: str
    program: str = OURS
    options: tuple[str, ...] = ()
    in_flight: int = 1


BASE = Variant("ours")
OTHER = Variant("against", program=AGAINST)
OWN = (
    Variant("ours, iodepth 4", options=("--iodepth", "4"), in_flight=4),
    Variant("ours, iodepth 16", options=("--iodepth", "16"), in_flight=16),
    Variant("ours, threads 4", options=("-t", "4"), in_flight=4),
    Variant("ours, threads 16", options=("-t", "16"), in_flight=16),
)
LEAST_CHUNKS = max(item.in_flight for item in OWN)  # of a copy that every variant can do


@dataclass(frozen=True)
class Memory:
    """What data is copied through: the memory of a provider, or host RAM if there is none."""

    name: str
    provider: str


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        against: whether there is another program to compare with.
        runs: of each variant, interleaved.
        seconds: that one run is to take, about.
    """

    against: bool
    runs: int
    seconds: float = 1.0


def variants(plan: Plan, memory: Memory, size: int) -> list[Variant]:
    """Return what is compared for chunks of ``size`` bytes; the first is what others are held to.

    Host RAM is there to tell what going peer to peer costs, and one variant is enough for that.
    """
    other = [OTHER] if plan.against else []
    own = [item for item in OWN if memory.provider and item.in_flight * size <= MOST_MEMORY]
    return [BASE, *other, *own]


@dataclass(frozen=True)
class Amount:
    """What one run copies: so many chunks, so many times by the same command."""

    chunks: int
    times: int


def amount(plan: Plan, size: int, rate: float, room: int) -> Amount:
    """Return what takes about ``plan.seconds`` at ``rate`` (bytes per second).

    A program's start is measured with it, so it copies as much of the ``room`` bytes as it can
    before it is started again.
    """
    wanted = round(rate * plan.seconds / size)
    chunks = min(max(wanted, LEAST_CHUNKS), room // size)
    return Amount(chunks, max(1, round(wanted / chunks)))
