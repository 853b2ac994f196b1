"""The userspace tool with several chunks in flight, by io_uring or by threads instead."""

import pytest

from tests.unit.p2pmem_tool import DRIVES, MIB, PEER, SECTOR, Tool, contents, pattern

pytest_plugins = ["tests.unit.p2pmem_fixtures"]

NONE = "io_uring_setup,*,0,errno,38"
ENGINES = [("", "io_uring"), (NONE, "threads")]


@pytest.mark.parametrize(("threads", "depth"), [("1", "2"), ("1", "16"), ("3", "5"), ("4", "4")])
@pytest.mark.parametrize("mem", [(), ("mem",)])
def test_copy(either: Tool, mem: tuple[str, ...], threads: str, depth: str) -> None:
    """Exactly the range is copied, whatever the depth, and all of it is compared."""
    a, b, _ = contents(either)
    args = (*DRIVES, *mem, "-c", "22", "-s", "16k", "-o", "128k", "-t", threads)
    report = either.json(*args, "--iodepth", depth, "--check", "--seed=3")
    start, end = 128 << 10, (128 + 22 * 16) << 10
    middle = pattern(start, end - start, 3)
    assert contents(either)[:2] == [x[:start] + middle + x[end:] for x in (a, b)]
    assert (report["result"], report["engine"], report["no_io_uring"]) == (
        "match",
        "io_uring",
        None,
    )
    assert report["bytes"] == end - start
    assert report["arguments"]["iodepth"] == int(depth)
    assert [report["latency_ns"][way]["count"] for way in ("read", "write")] == [22, 22]


def test_depth_is_reached(shimmed: Tool) -> None:
    """All that may be in flight is handed on before anything is waited for."""
    report = shimmed.json(*PEER, "-c8", "-s64k", "--iodepth=8")
    calls = shimmed.calls()
    assert report["engine"] == "io_uring"
    assert [call.kind for call in calls[:8]] == [("read", "a.img", "p2pmem")] * 8
    assert sorted(call.offset for call in calls[:8]) == [n << 16 for n in range(8)]
    writes = [call for call in calls if call.kind == ("write", "b.img", "p2pmem")]
    assert sum(call.length for call in writes) == 8 << 16
    assert len(calls) == 16


@pytest.mark.parametrize(("rules", "engine"), ENGINES)
def test_skipping_and_repeating(shimmed: Tool, rules: str, engine: str) -> None:
    """--skip-read, --skip-write, --duration and --overlap mean what they mean at depth 1."""
    peer = ("-c8", "--iodepth=4")
    report = shimmed.json("none", "b.img", "mem", "--skip-read", *peer, rules=rules)
    assert {c.kind[1:] for c in shimmed.calls()} == {("b.img", "p2pmem")}
    assert (report["engine"], report["latency_ns"]["read"]) == (engine, None)
    report = shimmed.json("a.img", "none", "mem", "--skip-write", *peer, rules=rules)
    assert {c.kind[1:] for c in shimmed.calls()} == {("a.img", "p2pmem")}
    assert (report["bytes"], report["latency_ns"]["write"]) == (8 * 4096, None)
    report = shimmed.json(*PEER, *peer, "-D1", "--check", rules=rules)
    assert report["bytes"] > 8 * 4096
    assert report["result"] == "match"
    report = shimmed.json(*PEER, "-c600", "-o4k", "--overlap", "--iodepth=4", rules=rules)
    assert report["bytes"] == 600 * 4096
    assert max(c.offset + c.length for c in shimmed.calls()) == 2 * MIB


@pytest.mark.parametrize(
    ("rules", "words"),
    [(NONE, "this kernel is built without it"),
     ("io_uring_setup,*,0,errno,1", "the sysctl kernel.io_uring_disabled"),
     ("io_uring_setup,*,0,errno,12", "the limit of locked memory")],
)  # fmt: skip
def test_threads_where_there_is_no_io_uring(shimmed: Tool, rules: str, words: str) -> None:
    """It works, with as many chunks in flight, and is said on stderr and in JSON."""
    args = (*PEER, "--check", "-c64", "-s16k", "-t2", "--iodepth=8", "--json")
    result = shimmed.run(*args, rules=rules)
    report = result.report
    assert (report["result"], report["engine"]) == ("match", "threads")
    assert words in report["no_io_uring"]
    assert report["no_io_uring"] in result.stderr
    assert "16 threads with one chunk each instead" in result.stderr
    assert report["arguments"]["threads"] == 2
    assert {c.call for c in shimmed.calls()} == {"pread", "pwrite"}
    text = shimmed.run(*args[:-1], rules=rules).stdout
    assert "threads 2, iodepth 8 (threads), seed" in text


def test_an_older_io_uring(shimmed: Tool) -> None:
    """A kernel that does not know the flags of newer ones is asked again without."""
    rules = "io_uring_setup,*,1,errno,22;io_uring_setup,*,1,errno,22"
    assert shimmed.json(*PEER, "-c4", "--iodepth=2", rules=rules)["engine"] == "threads"
    report = shimmed.json(*PEER, "-c4", "--iodepth=2", rules="io_uring_setup,*,1,errno,22")
    assert report["engine"] == "io_uring"


def test_a_ring_that_cannot_be_made(shimmed: Tool) -> None:
    """What works for the first look and not for a thread is an error."""
    report = shimmed.json(*PEER, "-c4", "--iodepth=2", rules="io_uring_setup,*,2,errno,12")
    assert (report["exit_code"], report["errno_name"]) == (4, "ENOMEM")
    assert "cannot make an io_uring of depth 2" in report["message"]


@pytest.mark.parametrize("number", [4, 11, 16])
def test_interrupted_waits_are_repeated(shimmed: Tool, number: int) -> None:
    """EINTR, EAGAIN and EBUSY of io_uring_enter are no errors; another errno is."""
    args = (*PEER, "--check", "-c16", "--iodepth=4")
    rules = f"io_uring_enter,*,1,errno,{number};io_uring_enter,*,3,errno,{number}"
    assert shimmed.json(*args, rules=rules)["result"] == "match"
    report = shimmed.json(*args, rules="io_uring_enter,*,2,errno,9")
    assert (report["exit_code"], report["errno_name"]) == (4, "EBADF")
    assert "io_uring fails" in report["message"]


@pytest.mark.parametrize("size", [512, 700, 4095])
def test_short_transfers_are_continued(shimmed: Tool, size: int) -> None:
    """Each transfer goes on at the start of the block where the one before stopped."""
    args = (*PEER, "--check", "-c16", "-s8k", "--iodepth=4", "-t2")
    assert shimmed.json(*args, rules=f"cqe,*,0,short,{size}")["result"] == "match"
    moved = [c for c in shimmed.calls() if c.call in ("read", "write")]
    assert any(c.offset % 8192 for c in moved)
    assert all(c.offset % SECTOR == 0 for c in moved)
    report = shimmed.json(*args, rules="cqe,*,0,short,100")
    assert "only parts of a block" in report["message"]


@pytest.mark.parametrize(
    ("number", "result", "code"),
    [(121, "refused", 3), (22, "refused", 3), (5, "error", 4), (14, "error", 4)],
)
def test_failures(shimmed: Tool, number: int, result: str, code: int) -> None:
    """The first failure is told, once; what was in flight is waited for."""
    rules = f"cqe,*,3,errno,{number};cqe,*,4,errno,5"
    done = shimmed.run(*PEER, "-c64", "--iodepth=8", "--json", rules=rules)
    report = done.report
    assert (report["result"], report["exit_code"], report["errno"]) == (result, code, number)
    assert done.stderr.count("\n") == 1
    assert report["bytes"] < 64 * 4096


def test_two_threads_that_fail(shimmed: Tool) -> None:
    """Whoever fails first is told, even if it fails again while it waits for the rest."""
    report = shimmed.json(*PEER, "-c64", "-t2", "--iodepth=8", rules="cqe,*,0,errno,121")
    assert (report["result"], report["exit_code"]) == ("refused", 3)


def test_check_finds_what_io_uring_did_not_do(shimmed: Tool) -> None:
    """A completion that lies about a write is found by the verification."""
    report = shimmed.json(
        *PEER, "--check", "-c4", "-s8k", "--iodepth=2", "--seed=1",
        rules="cqe,*,1,errno,4;pread,b.img,0,flip,8192",
    )  # fmt: skip
    assert (report["result"], report["exit_code"]) == ("mismatch", 1)
    assert report["first_difference"]["offset"] == 8192
