"""The life-cycle suite's own logic; tests/integration runs it on a real kernel."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from boot.console import Answer
from boot.outcome import Outcome
from boot.topology import MODULE, load_topology
from settings.paths import CONFIGS, PROJECT
from tests.lifecycle import drives
from tests.lifecycle.aftermath import (
    Complained,
    check_leaks,
    check_lockdep,
    check_log,
    check_whole_log,
)
from tests.lifecycle.cases import INSIDE, MAIN, RESETS, Inside, all_cases
from tests.lifecycle.events import EVENTS, Ended
from tests.lifecycle.holders import HOLDERS, Left, judge, parse_left
from tests.lifecycle.known import KNOWN, examine
from tests.lifecycle.limits import is_instrumented, limits_for
from tests.lifecycle.mutations import MUTATIONS, RACE, Mutation, mutate
from tests.lifecycle.program import GUEST, NAME
from tests.lifecycle.rig import State, parse_state
from verify.check import CheckFailed

STATE = (
    "node p2pmem0 0000:03:00.0 100\nnode p2pmem1 0000:04:00.0 200\ndrive d1 0000:03:00.0 nvme0n1"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the guest's program, compiled without a warning."""
    output = tmp_path_factory.mktemp("program")
    done = subprocess.run(
        ["make", "-C", str(GUEST), f"O={output}", "CC=gcc", "CFLAGS=-O2 -Werror"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output / NAME


def test_every_holder_meets_every_event() -> None:
    names = [case.name for case in all_cases()]

    assert len(names) == len(set(names)) == len(INSIDE) + len(HOLDERS) * len(EVENTS)
    for holder in HOLDERS:
        for event in EVENTS:
            assert f"{holder.name} x {event.name}" in names
    guests = {case.guest for case in all_cases() if "function-level reset" in case.name}
    assert guests == {RESETS}
    assert {case.guest for case in all_cases()} == {MAIN, RESETS}


def test_every_case_of_the_program_is_run(program: Path) -> None:
    listed = subprocess.run([program, "cases"], capture_output=True, text=True, check=True)

    assert listed.stdout.split() == [item.name for item in INSIDE]


def test_a_mistake_on_the_command_line_is_told(program: Path) -> None:
    for words in ([], ["nothing"], ["case", "no-such", "m", "d", "1", "1"], ["await", "x"]):
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stdout.startswith("Bail out! ")


def test_an_event_that_does_not_end_is_not_waited_for_for_ever(
    program: Path, tmp_path: Path
) -> None:
    out = tmp_path / "event"
    out.write_text("begin 5 77\n")
    done = subprocess.run(
        [program, "await", out, "0.1"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "begin 5 77\n")

    out.write_text("begin 5 77\nend 9 EBUSY\n")
    done = subprocess.run(
        [program, "await", out, "0.1"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "begin 5 77\nend 9 EBUSY\n")


def test_host_and_guest_mean_the_same_pattern() -> None:
    header = (GUEST / "lifecycle.h").read_text()
    for name, value in (
        ("PATTERN_START", f"({drives.PATTERN_START >> 20} * MIB)"),
        ("PATTERN_LENGTH", f"({drives.PATTERN_LENGTH >> 20} * MIB)"),
        ("PATTERN_KEY", f"{drives.PATTERN_KEY:#x}ULL"),
    ):
        assert re.search(rf"^#define {name}\s+{re.escape(value)}$", header, re.M), name


def test_images_hold_the_pattern(tmp_path: Path) -> None:
    topology = load_topology(CONFIGS / "topologies/switch-q35.toml")

    paths = drives.create_patterned(topology, tmp_path)

    for drive in topology.drives:
        content = paths[drive.serial].read_bytes()
        assert len(content) == drive.drive_bytes
        at = drives.PATTERN_START + 4096
        word = int.from_bytes(content[at : at + 8], "little")
        assert word == at ^ drives.PATTERN_KEY
        assert not any(content[: drives.PATTERN_START])


def test_what_is_not_as_it_was_is_told() -> None:
    before = parse_state(STATE)

    assert before == State(
        {"0000:03:00.0": ("p2pmem0", 100), "0000:04:00.0": ("p2pmem1", 200)}, {"d1": "nvme0n1"}
    )
    assert before.differs(before) == ""
    # A drive may come back under another name.
    assert before.differs(parse_state(STATE.replace("nvme0n1", "nvme2n1"))) == ""
    for old, new, told in (
        ("03:00.0 100", "03:00.0 96", "available of 0000:03:00.0 is 96 bytes, it was 100"),
        ("node p2pmem0", "node p2pmem2", "/dev/p2pmem0 of 0000:03:00.0 is p2pmem2 now"),
        ("node p2pmem1 0000:04:00.0 200\n", "", "there is no /dev/p2pmemN of 0000:04:00.0"),
        ("\ndrive d1 0000:03:00.0 nvme0n1", "", "drives are gone: d1"),
        ("node p2pmem0", "node p2pmem7 0000:05:00.0 1\nnode p2pmem0", "more nodes than before"),
    ):
        assert told in before.differs(parse_state(STATE.replace(old, new)))


def test_what_a_holder_is_left_with() -> None:
    assert parse_left("mmap ENODEV\n") == Left(None, "", "", "ENODEV")
    assert parse_left("transfer 5 9 whole\ncontent kept\nmmap 0\n") == Left(9, "whole", "kept", "0")


LOCKDEP = [
    "[   69.478065] WARNING: lock held when returning to user space!",
    "[   69.478798] 6.12.117 #1 Tainted: G           O      ",
    "[   69.479257] p2pmem-lifecycl/70 is leaving the kernel with locks still held!",
    "[   69.480779]  #0: ffff8880048c9278 (&q->q_usage_counter(io)#2){++++}-{0:0}, "
    "at: nvme_start_freeze+0x96/0xc7",
]


def test_only_a_complaint_that_fits_its_rule_in_all_is_excused() -> None:
    (found,) = examine(["quiet", *LOCKDEP, "quiet"], "6.12.117", MODULE)
    assert found.known is KNOWN[0]

    for lines, release in (
        (LOCKDEP, "6.6.1"),
        (LOCKDEP[:3], "6.12.117"),
        ([*LOCKDEP, "[   9.1]        p2pmem_revoke+0x5c/0xb0 [p2pmem_pci]"], "6.12.117"),
        ([*LOCKDEP, " #1: ffff8880048c92b0 (&node->lock){+.+.}, at: fault+0x96/0xc7"], "6.12.117"),
        (["[   9.1] WARNING: possible recursive locking detected", *LOCKDEP[1:]], "6.12.117"),
        # What follows another complaint is about that one.
        ([LOCKDEP[0], "WARNING: CPU: 0 PID: 5", *LOCKDEP[1:]], "6.12.117"),
    ):
        assert examine(lines, release, MODULE)[0].known is None


@pytest.mark.parametrize(
    ("module", "called"),
    [(MODULE, "p2pmem_pci"), ("own_p2pmem", "own_p2pmem"), ("own-p2pmem", "own_p2pmem")],
)
def test_a_data_race_is_excused_unless_the_module_is_in_it(module: str, called: str) -> None:
    race = ["BUG: KCSAN: data-race in blk_x / nvme_y", "read to 0xffff of 8 bytes by task 1:"]

    def excused(*lines: str) -> bool:
        (found,) = examine(lines, "6.12.1", module)
        assert found.known in (None, KNOWN[1])
        return found.known is not None

    assert excused(*race)
    assert not excused(*race, f" its_mmap+0x1/0x2 [{called}]")
    assert not excused(
        *race, f" its_mmap+0x1/0x2 [{called} 1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c]"
    )
    # The stacks have not come yet.
    assert not excused(f"BUG: KCSAN: data-race in blk_x / its_fault [{called}]")
    assert excused(*race, f" its_mmap+0x1/0x2 [{called}_of_another]")


def test_a_report_that_came_in_pieces_is_looked_at_as_a_whole() -> None:
    log = ["BUG: KCSAN: data-race in a / b"]
    rig = FakeRig("", log)
    rig.looked, rig.known = 0, []
    check_log(rig, "6.12.1")  # type: ignore[arg-type]
    log.append(" p2pmem_mmap+0x1/0x2 [p2pmem_pci]")
    check_log(rig, "6.12.1")  # type: ignore[arg-type]
    with pytest.raises(Complained, match="KCSAN"):
        check_whole_log(rig, "6.12.1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("ok 1 - x\nok 2 - the pool\n# note\n", "2 checks, note"),
        ("ok 1 - the pool\n", "has checked nothing"),
        ("", "has checked nothing"),
    ],
)
def test_a_case_that_checks_nothing_has_not_passed(output: str, told: str) -> None:
    drive = SimpleNamespace()
    rig = SimpleNamespace(
        node="/dev/p2pmem0",
        peer=drive,
        block=lambda _: "/dev/nvme1n1",
        ask=lambda *_: Answer(0, output),
        limits=limits_for("kvm", instrumented=False),
    )
    if told.startswith("2"):
        assert Inside("dup").run(rig, 1) == told  # type: ignore[arg-type]
    else:
        with pytest.raises(CheckFailed, match=told):
            Inside("dup").run(rig, 1)  # type: ignore[arg-type]


def test_a_holder_that_tells_nothing_of_its_transfer() -> None:
    ended = Ended(1, 9, "0")
    event = next(item for item in EVENTS if item.name == "driver unbind")
    by_kind = {item.name: item for item in HOLDERS}
    whole = Left(5, "whole", "sigbus", "ENODEV")
    judge(by_kind["DMA in flight"], event, ended, whole)
    for name, left in (
        ("DMA in flight", replace(whole, transfer_ended=None)),
        ("DMA in flight", replace(whole, content="")),
        ("mapping", Left(None, "", "", "ENODEV")),
    ):
        with pytest.raises(CheckFailed, match="the holder tells of"):
            judge(by_kind[name], event, ended, left)


class FakeRig:
    """Answers as a guest with kmemleak would."""

    looked: int
    known: list[str]

    def __init__(self, report: str, log: list[str]) -> None:
        self.report = report
        self.hidden = False
        self.limits = limits_for("kvm", instrumented=False)
        self.module = MODULE
        self.guest = SimpleNamespace(log=SimpleNamespace(lines=log))

    def ask(self, command: str, _seconds: float | None = None) -> Answer:
        known = command == "grep -q ' kmemleak_alloc$' /proc/kallsyms"
        assert known or command == "test -e /sys/kernel/debug/kmemleak"
        return Answer(int(not (known if self.hidden else True)), "")

    def run(self, command: str, _seconds: float | None = None) -> str:
        return self.report if command.startswith("cat ") else ""


LEAK = """unreferenced object 0xffff888007a4d780 (size 96):
  comm "p2pmem-lifecycl", pid 60, jiffies 4294899
  backtrace (crc 5d5d7b0a):
    [<ffffffff812a36c1>] __kmalloc_cache_noprof+0x1b1/0x250
    [<ffffffffa0002f3b>] p2pmem_mmap+0x5b/0x2a0 [p2pmem_pci]
"""


def test_memory_that_nobody_refers_to_is_a_complaint() -> None:
    assert check_leaks(FakeRig("", [])) == "no leak"  # type: ignore[arg-type]
    with pytest.raises(Complained, match=r"1 leaks: .*p2pmem_mmap") as caught:
        check_leaks(FakeRig(LEAK, []))  # type: ignore[arg-type]
    assert caught.value.outcome is Outcome.WARNING


def test_a_leak_detector_that_gave_up_has_found_nothing() -> None:
    log = ["[ 1.0] kmemleak: Kernel memory leak detector disabled"]
    with pytest.raises(CheckFailed, match="kmemleak gave up"):
        check_leaks(FakeRig("", log))  # type: ignore[arg-type]


def test_a_leak_detector_that_cannot_be_asked_has_found_nothing() -> None:
    rig = FakeRig("", [])
    rig.hidden = True
    with pytest.raises(CheckFailed, match="this kernel has kmemleak, but there is no /sys"):
        check_leaks(rig)  # type: ignore[arg-type]


def lockdep_says(text: str, *known: str, status: int = 0) -> None:
    """Have lockdep looked at in a guest whose statistics say this."""
    rig = SimpleNamespace(ask=lambda _command: Answer(status, text), known=list(known))
    check_lockdep(rig)  # type: ignore[arg-type]


def test_lockdep_that_turned_itself_off_has_watched_nothing() -> None:
    lockdep_says(" debug_locks:                             1\n")
    lockdep_says("", status=2)  # a kernel without it
    lockdep_says(" debug_locks:                             0\n", "lockdep: known")
    with pytest.raises(CheckFailed, match="lockdep has turned itself off"):
        lockdep_says(" debug_locks:                             0\n", "KCSAN: known")


def test_limits_are_longer_where_the_kernel_is_slow(tmp_path: Path) -> None:
    config = tmp_path / ".config"
    config.write_text("CONFIG_PCI=y\n# CONFIG_KASAN is not set\n")
    assert not is_instrumented(config)
    config.write_text("CONFIG_KASAN=y\n")
    assert is_instrumented(config)

    plain, slow = (limits_for("tcg", instrumented=item) for item in (False, True))
    assert slow.event > plain.event > limits_for("kvm", instrumented=False).event


@pytest.mark.parametrize("mutation", [*MUTATIONS, RACE], ids=lambda item: item.name)
def test_a_mutation_changes_the_module_as_it_is_now(mutation: Mutation, tmp_path: Path) -> None:
    mutate(PROJECT / "p2pmem-pci", mutation, tmp_path / "mutated")

    changed = (tmp_path / "mutated" / mutation.file).read_text()
    assert changed != (PROJECT / "p2pmem-pci" / mutation.file).read_text()
    assert mutation.case in [case.name for case in all_cases()]


def test_a_mutation_whose_text_is_gone_is_an_error(tmp_path: Path) -> None:
    gone = replace(MUTATIONS[0], old="text that nobody wrote")

    with pytest.raises(AssertionError, match=r"its text is 0 times in p2pmem_mmap\.c"):
        mutate(PROJECT / "p2pmem-pci", gone, tmp_path / "mutated")
