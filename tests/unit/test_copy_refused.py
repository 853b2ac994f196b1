"""A copy that the kernel has to refuse, after it was tried."""

import pytest

from boot.policy import Processor
from tests.unit.copy_traces import LARGE, RAM, REFUSAL, failure, good_trace, moves, prepared
from tests.unit.fake_session import CMB, ONE, QEMU64, TWO, FakeGuest, counts_requests
from verify.copy_check import check_copy
from verify.session import Session

SEED = moves(ONE, "write", RAM, LARGE.length)
OWN_HALF = moves(ONE, "read", CMB[ONE], 65536, own=True)
REFUSED = {"result": "refused", "errno_name": "EREMOTEIO", "bytes": 0}


def refused(
    trace: list[str], dmesg: str = REFUSAL, status: int = 3, **tool: object
) -> tuple[Session, FakeGuest]:
    session, guest = prepared("root-ports", LARGE, trace, status, **{**REFUSED, **tool})
    guest.answers["dmesg"] = f"[ 0.0] Linux version\n{dmesg}\n"
    counts_requests(guest, read=65536, written=LARGE.length)
    return session, guest


@pytest.mark.parametrize("errno", ["EREMOTEIO", "EINVAL"])
def test_refused_as_predicted(errno: str) -> None:
    session, _guest = refused([*SEED, *OWN_HALF], errno_name=errno)
    assert (
        check_copy(session, LARGE)
        == f"refused with {errno}, as predicted; the kernel says once for a pair: {REFUSAL}; "
        f"writes of {LARGE.length} bytes ended in the guest and never came to {TWO}"
    )
    assert not session.copies[0].allowed
    assert session.copies[0].predicted == {
        ONE: "below a common upstream bridge",
        TWO: "not supported",
    }


def test_the_same_is_allowed_on_a_newer_processor() -> None:
    session, guest = prepared("root-ports", LARGE, good_trace(LARGE))
    counts_requests(guest)
    session.processor = Processor("AuthenticAMD", 23)
    assert "peer CMB 262144" in check_copy(session, LARGE)
    session.processor = QEMU64
    assert "expected a refusal, but p2pmem-test ended with 0, 'match'" in failure(session, LARGE)


@pytest.mark.parametrize(
    ("status", "result"), [(0, "match"), (3, "error"), (4, "refused"), (1, "mismatch")]
)
def test_not_refused(status: int, result: str) -> None:
    session, _guest = refused(SEED, status=status, result=result)
    assert f"ended with {status}, {result!r}" in failure(session, LARGE)


@pytest.mark.parametrize(
    "trace",
    [
        [],
        OWN_HALF,
        [*SEED, *moves(TWO, "write", CMB[ONE], 512)],
        [*SEED, *moves(ONE, "read", CMB[TWO], 512)],
        [*SEED, *moves(ONE, "write", RAM, 512)],
        [*SEED, *moves(ONE, "read", RAM, 512)],
    ],
    ids=["nothing traced", "no seed", "peer write", "peer read", "RAM write", "RAM read"],
)
def test_refused_but_the_trace_does_not_fit(trace: list[str]) -> None:
    session, _guest = refused(trace)
    message = failure(session, LARGE)
    assert f"although the kernel refused, expected {{'{ONE} write host RAM': 262144}}" in message


@pytest.mark.parametrize(
    "dmesg",
    [
        "",
        REFUSAL.replace("(0000:01:00.0)", "(0000:02:00.0)"),
        REFUSAL.replace("nvme 0000:02:00.0", "nvme 0000:05:00.0"),
        "[ 1.0] critical target error, dev nvme1n1, sector 0 op 0x1:(WRITE)",
    ],
)
def test_refused_without_the_reason_of_the_kernel(dmesg: str) -> None:
    session, _guest = refused(SEED, dmesg)
    assert "the kernel log lacks the reason" in failure(session, LARGE)


def test_refused_but_not_tried() -> None:
    """The kernel has said its words before, and all that was written is the seed of the source."""
    session, guest = refused(SEED)
    counts_requests(guest)
    assert failure(session, LARGE) == (
        "nothing was refused, as nothing was tried: each write of d00d0002 that the guest's kernel "
        "has ended came to the drive"
    )
