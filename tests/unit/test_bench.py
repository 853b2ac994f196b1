"""doit bench: what is measured, how figures become ratios, and what is written about them."""

import json
from pathlib import Path

import pytest

from bench import measure
from bench.measure import Group, Series, memories
from bench.plan import BASE, OTHER, OWN, SIZES, Amount, Memory, Plan, amount, variants
from bench.report import Subject, compared, markdown, rows, write_reports
from host.task import report
from tests.unit.fake_session import ONE, TWO, FakeGuest, session_on
from verify.check import CheckFailed

CMB = Memory("CMB of x", "/dev/p2pmem0")
RAM = Memory("host RAM", "")
ROOM = 64 << 20
SUBJECT = Subject("6.12.1", "switch-q35", "tcg", "qemu64", "QEMU 7.2", {"p2pmem-test": "0"}, "old")


def test_variants_fit_into_the_memory() -> None:
    """Sixteen chunks of 1 MiB are more than a CMB can give; RAM is there for comparison alone."""
    assert variants(Plan(True, 1), CMB, 4096) == [BASE, OTHER, *OWN]
    assert variants(Plan(False, 1), CMB, 4096) == [BASE, *OWN]
    at_1m = variants(Plan(True, 1), CMB, 1 << 20)
    assert [item.in_flight for item in at_1m] == [1, 1, 4, 4]
    assert variants(Plan(True, 1), RAM, 4096) == [BASE, OTHER]
    assert variants(Plan(False, 1), RAM, 4096) == [BASE]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rate", [1e3, 1e6, 1e8, 1e10])
def test_an_amount_takes_about_the_time_and_stays_on_the_drive(size: int, rate: float) -> None:
    much = amount(Plan(True, 1, seconds=1.5), size, rate, ROOM)
    assert max(item.in_flight for item in OWN) <= much.chunks <= ROOM // size
    seconds = much.chunks * much.times * size / rate
    least = 16 * size / rate  # every variant needs its chunks
    assert seconds == pytest.approx(max(1.5, least), rel=0.5)


def group(*rates: tuple[float, ...]) -> Group:
    mib = float(1 << 20)
    series = [
        Series(variant, [rate * mib for rate in own])
        for variant, own in zip((BASE, OTHER), rates, strict=True)
    ]
    return Group(CMB, 65536, Amount(16, 2), series, {"read": {"p50": 1}})


def test_a_ratio_is_of_the_same_turn() -> None:
    """A machine that gets slower from turn to turn changes the figures and not the ratio."""
    measured = group((100, 50, 10), (50, 25, 5))
    ours, other = measured.series
    assert (ours.rate, other.ratio(ours), ours.ratio(other)) == (50 * (1 << 20), 0.5, 2.0)
    assert compared([measured]) == ["CMB of x, 64k: 2.00"]
    assert rows(measured)[1] == ("CMB of x", "64k", "against", "25.0", "5.0", "50.0", "0.50")


def test_reports(tmp_path: Path) -> None:
    groups = [group((4, 4), (2, 1))]
    write_reports(SUBJECT, groups, tmp_path)
    data = json.loads((tmp_path / "bench.json").read_text())
    assert data["subject"]["kernel"] == "6.12.1"
    assert data["groups"][0]["chunks"] == 16
    assert data["groups"][0]["variants"][1]["ratio"] == 0.375
    page = (tmp_path / "bench.md").read_text()
    assert page == markdown(SUBJECT, groups)
    assert "| CMB of x | 64k | ours | 4.0 | 4.0 | 4.0 | 1.00 |\n" in page
    assert "Ours, old (against) being 1:\n\n- CMB of x, 64k: 3.00\n" in page


# --- in a guest that has an answer for everything --------------------------------

TOLD = json.dumps({"throughput": 2**20, "latency_ns": {"read": {"p50": 5}}})


def guest(clock: str | tuple[int, str] = "10.00 10.50", told: str = TOLD) -> FakeGuest:
    return FakeGuest(answers={"(read a x": clock, "/bin/p2pmem-test": f"{told}\n"})


def test_what_can_be_copied_through() -> None:
    """One drive's memory is as good as the other's; other providers, and RAM."""
    lab = session_on("switch-q35", guest())
    lab.nodes = {TWO: "/dev/p2pmem1", ONE: "/dev/p2pmem0", "shared": "/dev/p2pmem2"}
    assert memories(lab) == [
        Memory(f"CMB of {ONE}", "/dev/p2pmem0"),
        Memory("shared", "/dev/p2pmem2"),
        RAM,
    ]


def test_variants_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are measured in each turn, another one first; the clock makes the rate."""
    monkeypatch.setattr(measure, "SIZES", (4096,))
    fake = guest()
    lab = session_on("switch-q35", fake)
    lab.nodes = {ONE: "/dev/p2pmem0"}
    seen: list[Group] = []
    groups = list(measure.measure(lab, Plan(against=True, runs=2), seen.append))
    assert groups == seen
    assert [item.memory.name for item in groups] == [f"CMB of {ONE}", "host RAM"]
    timed = [command for command in fake.commands if command.startswith("(read")][:12]
    first = ["/bin/against" in command for command in timed]
    assert first.index(True) == 1
    assert first[6:].index(True) == 0
    assert all("/dev/nvme0n1 /dev/nvme1n1 /dev/p2pmem0 -c 256 -s 4096" in c for c in timed)
    assert [item.rates for item in groups[0].series] == [[2 * 2**20] * 2] * 6
    assert groups[0].latency_ns == {"read": {"p50": 5}}


def test_a_trial_is_repeated_until_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 1 MiB takes 0.26 s here, and the start is in it; the next, faster ones count."""
    monkeypatch.setattr(measure, "SIZES", (1 << 20,))
    rates = iter([3.9, 8.0, 8.0, 8.0])
    fake = guest()
    fake.answers["/bin/p2pmem-test"] = lambda: json.dumps(
        {"throughput": next(rates) * 2**20, "latency_ns": {}}
    )
    lab = session_on("switch-q35", fake)
    lab.nodes = {}
    (found,) = measure.measure(lab, Plan(against=False, runs=1, seconds=2.0), lambda group: None)
    trials = [command for command in fake.commands if command.startswith("/bin")][:-1]
    assert [command.split()[4] for command in trials] == ["1", "2", "4"]
    assert found.amount == Amount(16, 1)


@pytest.mark.parametrize(
    ("fake", "words"),
    [(guest(clock=(3, "refused")), "ended with 3: refused"),
     (guest(told="no JSON"), "ended with 0: no JSON")],
)  # fmt: skip
def test_a_program_that_fails_gives_no_figure(fake: FakeGuest, words: str) -> None:
    lab = session_on("switch-q35", fake)
    lab.nodes = {ONE: "/dev/p2pmem0"}
    with pytest.raises(CheckFailed, match=words):
        list(measure.measure(lab, Plan(against=False, runs=1), lambda group: None))


def test_what_a_guest_says_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lab = session_on("switch-q35", guest(clock=(3, "\x1b[2J\x9b1mrefused")))
    lab.nodes = {ONE: "/dev/p2pmem0"}
    with pytest.raises(CheckFailed) as caught:
        list(measure.measure(lab, Plan(against=False, runs=1), lambda group: None))

    report(caught.value)

    assert "ended with 3: ?[2J?1mrefused\n" in capsys.readouterr().err


def test_a_program_that_copies_less_than_it_was_told_to_gives_no_figure() -> None:
    fake = guest()
    fake.copies = 4096
    lab = session_on("switch-q35", fake)
    lab.nodes = {ONE: "/dev/p2pmem0"}
    with pytest.raises(CheckFailed, match="but QEMU counts 4096 read and 4096 written"):
        list(measure.measure(lab, Plan(against=False, runs=1), lambda group: None))


def test_no_clock_tick_is_no_division_by_zero() -> None:
    lab = session_on("switch-q35", guest(clock="10.00 10.00"))
    lab.nodes = {ONE: "/dev/p2pmem0"}
    first = next(measure.measure(lab, Plan(against=False, runs=1), lambda group: None))
    assert first.series[0].rate == 2**20 * 100
