"""doit bench: what is measured, how figures become ratios, and what is written about them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import measure
from bench.measure import Group, Series, memories
from bench.plan import BASE, OTHER, OWN, SIZES, Amount, Memory, Plan, amount, variants
from bench.report import Subject, compared, markdown, rows, write_reports
from boot.trace import EVENTS
from host.task import report
from tests.unit import fake_session
from tests.unit.fake_session import ONE, TWO, FakeGuest, session_on
from verify.check import CheckFailed

CMB = Memory("CMB of x", "x")
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

RAM_ADDRESS = 0x17C3000
TOLD = json.dumps({"throughput": 2**20, "latency_ns": {"read": {"p50": 5}}})


def guest(clock: str | tuple[int, str] = "10.00 10.50", told: str = TOLD) -> FakeGuest:
    """Return a guest with two programs that copy as they are told to."""
    fake = FakeGuest(answers={"(read a x": clock})
    copies = copying(fake, traced, lambda: told)
    fake.answers |= {"/bin/p2pmem-test": copies, "/bin/against": copies}
    return fake


def copying(
    fake: FakeGuest, trace: Callable[[str], list[str]], told: Callable[[], str] = lambda: ""
) -> Callable[[], str]:
    """Return the answer of a program of which QEMU traces this when it gets such a command."""

    def copies() -> str:
        fake.new_trace = trace(fake.commands[-1])
        return told()

    return copies


def traced(command: str) -> list[str]:
    """Return what QEMU traces of a copy: through the CMB of the first drive, or through RAM."""
    words = command.split()
    chunks, size = (int(words[words.index(option) + 1]) for option in ("-c", "-s"))
    own = "/dev/p2pmem0" in words
    address = fake_session.CMB[ONE] if own else RAM_ADDRESS
    lines = []
    for start in range(0, chunks * size, size):
        data = f"nlb {size // 512} count {size} lba {start // 512:#x}"
        mapped = f"addr {address:#x} len {size}"
        lines += [f"pci_nvme_read cid 1 nsid 1 {data}", f"pci_nvme_map_addr {mapped}"]
        lines += [f"pci_nvme_map_addr_cmb {mapped}"] if own else []
        lines += [f"pci_nvme_write cid 1 nsid 2 {data}", f"pci_nvme_map_addr {mapped}"]
    return lines


def test_what_can_be_copied_through() -> None:
    """One drive's memory is as good as the other's; other providers, and RAM."""
    lab = session_on("switch-q35", guest())
    lab.nodes = {TWO: "/dev/p2pmem1", ONE: "/dev/p2pmem0", "shared": "/dev/p2pmem2"}
    assert memories(lab) == [
        Memory(f"CMB of {ONE}", ONE),
        Memory("shared", "shared"),
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

    def told() -> str:
        if not fake.commands[-1].endswith("--json"):
            return ""
        return json.dumps({"throughput": next(rates) * 2**20, "latency_ns": {}})

    fake.answers["/bin/p2pmem-test"] = copying(fake, traced, told)
    lab = session_on("switch-q35", fake)
    lab.nodes = {}
    (found,) = measure.measure(lab, Plan(against=False, runs=1, seconds=2.0), lambda group: None)
    trials = [command for command in fake.commands if command.endswith("--json")][:-1]
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


def through_ram(command: str) -> list[str]:
    """The memory is ignored."""
    return traced(command.replace("/dev/p2pmem0", ""))


def through_both(command: str) -> list[str]:
    """As much goes through the memory as should, but the first drive is read to RAM, too."""
    lines = traced(command)
    return [*lines[:5], *through_ram(command)[:2], *lines[5:]]


def only_at_first(command: str) -> list[str]:
    """One chunk goes through the memory, and all others through RAM."""
    return [*traced(command)[:5], *through_ram(command)[4:]]


@pytest.mark.parametrize(
    ("trace", "figures"),
    [
        (through_ram, "read host RAM': 65536"),
        (through_both, "read host RAM': 4096"),
        (only_at_first, "read own CMB 0000:03:00.0': 4096"),
        (lambda _command: [], "{}"),
    ],
)
def test_a_program_that_goes_another_way_gives_no_figure(
    trace: Callable[[str], list[str]], figures: str
) -> None:
    fake = guest()
    fake.answers["/bin/against"] = copying(fake, trace)
    lab = session_on("switch-q35", fake)
    lab.nodes = {ONE: "/dev/p2pmem0"}
    with pytest.raises(CheckFailed) as caught:
        list(measure.measure(lab, Plan(against=True, runs=1), lambda group: None))
    assert "/bin/against /dev/nvme0n1 /dev/nvme1n1 /dev/p2pmem0 -c 16" in caught.value.message
    traced, _, expected = caught.value.message.partition("QEMU traced ")[2].partition(", expected ")
    assert figures in traced
    assert "read own CMB 0000:03:00.0': 65536" in expected
    assert "write peer CMB 0000:03:00.0': 65536" in expected
    assert not [command for command in fake.commands if command.startswith("(read")]


def test_memory_that_was_not_asked_for() -> None:
    """What is to show the way through host RAM must not go through a CMB either."""
    fake = guest()
    fake.answers["/bin/against"] = copying(fake, lambda words: traced(f"{words} /dev/p2pmem0"))
    lab = session_on("switch-q35", fake)
    lab.nodes = {}
    with pytest.raises(CheckFailed, match=r"own CMB 0000:03:00\.0': 65536.*, expected {}"):
        list(measure.measure(lab, Plan(against=True, runs=1), lambda group: None))


def test_nothing_is_traced_while_the_clock_runs() -> None:
    fake = guest()
    traced_while_timed = []

    def timed() -> str:
        traced_while_timed.append([event for event, on in dict(fake.events).items() if on])
        return "10.00 10.50"

    fake.answers["(read a x"] = timed
    lab = session_on("switch-q35", fake)
    lab.nodes = {ONE: "/dev/p2pmem0"}
    list(measure.measure(lab, Plan(against=True, runs=1), lambda group: None))
    assert {event for event, on in fake.events if on} == set(EVENTS)
    assert traced_while_timed
    assert not any(traced_while_timed)


def test_no_clock_tick_is_no_division_by_zero() -> None:
    lab = session_on("switch-q35", guest(clock="10.00 10.00"))
    lab.nodes = {ONE: "/dev/p2pmem0"}
    first = next(measure.measure(lab, Plan(against=False, runs=1), lambda group: None))
    assert first.series[0].rate == 2**20 * 100
