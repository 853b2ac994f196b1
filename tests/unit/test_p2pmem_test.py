"""The userspace tool on regular files: how it is built, copies and checks.

A library preloaded below the tool plays the kernel that refuses, stops short or
corrupts, so that no option of the tool exists for tests only.
"""

import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.p2pmem_tool import (
    DATA,
    DRIVES,
    MIB,
    PEER,
    SIZE,
    SOURCE,
    Result,
    Tool,
    contents,
    make,
    pattern,
)

pytest_plugins = ["tests.unit.p2pmem_fixtures"]


# --- build ---------------------------------------------------------------------


def test_is_static_and_reproducible(builds: Path, tmp_path: Path) -> None:
    """A second build in another folder is the same to the byte, and needs no libraries."""
    again = make(tmp_path / "elsewhere/deep")
    program = builds / "static/p2pmem-test"
    assert again.read_bytes() == program.read_bytes()
    headers = subprocess.run(
        ["readelf", "-lW", program], capture_output=True, text=True, check=True
    ).stdout
    assert "INTERP" not in headers
    assert str(SOURCE).encode() not in program.read_bytes()


def test_builds_alone_and_cleans(tmp_path: Path) -> None:
    """A plain make needs nothing but the folder, and make clean leaves it as it was."""
    alone = tmp_path / "alone"
    shutil.copytree(SOURCE, alone, ignore=shutil.ignore_patterns("*.o", "*.d", "p2pmem-test"))
    before = sorted(alone.iterdir())
    for words in (["-j2"], ["clean"]):
        subprocess.run(["make", "-s", *words], cwd=alone, check=True, timeout=300)
        assert (alone / "p2pmem-test").exists() == (words != ["clean"])
    assert sorted(alone.iterdir()) == before


def test_builds_with_a_compiler_that_lacks_gcc_options(tmp_path: Path) -> None:
    """Clang refuses an option that only GCC knows; the tool does without."""
    compiler = tmp_path / "cc"
    compiler.write_text(
        '#!/bin/sh\ncase " $* " in *" -fno-tree-loop-distribute-patterns "*) exit 1;; esac\n'
        'exec gcc "$@"\n'
    )
    compiler.chmod(0o755)
    assert make(tmp_path / "out", f"CC={compiler}").exists()


def device_loop(out: Path, source: Path = SOURCE) -> str:
    """Disassembly of the loop that fills device memory, at the highest optimization."""
    make(out, "CFLAGS=-O3 -mavx2", f"{out}/access.o", source=source)
    return subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", "--disassemble=touch_init", out / "access.o"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def is_scalar(disassembly: str) -> bool:
    """No vector register and no call that could use some."""
    assert "<touch_init>:" in disassembly
    return not re.search(r"%[xyz]mm|\bcall", disassembly)


def test_device_memory_is_accessed_by_scalars_only(tmp_path: Path) -> None:
    """A single load or store at a time, whatever the compiler could do; memset is found."""
    assert is_scalar(device_loop(tmp_path / "out"))
    wrong = tmp_path / "wrong"
    shutil.copytree(SOURCE, wrong, ignore=shutil.ignore_patterns("*.o", "*.d"))
    text = (wrong / "access.c").read_text()
    store = "store(job->region->base, i, job->spec.width, 0)"
    assert text.count(store) == 1
    (wrong / "access.c").write_text(
        text.replace(store, "memset(job->region->base, 0, i * job->spec.width)")
    )
    assert not is_scalar(device_loop(tmp_path / "wrong_out", wrong))


def test_help_names_every_option(tool: Tool) -> None:
    """--help and -h print the usage, --version one line; both succeed."""
    text = tool.run("--help").stdout
    assert tool.run("-h").stdout == text
    man = (SOURCE / "p2pmem-test.1").read_text().replace("\\-", "-")
    options = set(re.findall(r"(?<=[ ,])--?[a-zA-Z][\w-]*", text))
    assert len(options) == 23
    assert {option for option in options if option not in man} == set()
    assert tool.run("--version") == Result(0, "p2pmem-test 0.1.0\n", "")


# --- copies that work ----------------------------------------------------------


@pytest.mark.parametrize("mem", [(), ("mem",)])
@pytest.mark.parametrize("threads", ["1", "3", "4"])
def test_copy(either: Tool, mem: tuple[str, ...], threads: str) -> None:
    """Exactly the range is copied, nothing else is touched."""
    a, b, _ = contents(either)
    report = either.json(*DRIVES, *mem, "-c", "10", "-s", "64k", "-t", threads, "-o", "128k")
    start, end = 128 << 10, 768 << 10
    after = contents(either)
    assert after[0] == a
    assert after[1] == b[:start] + a[start:end] + b[end:]
    assert report["result"] == "copied"
    assert report["exit_code"] == 0
    assert report["bytes"] == end - start
    assert report["throughput"] > 0
    assert report["seconds"]["seed"] is report["seconds"]["verify"] is None
    assert report["arguments"]["p2pmem"] == (mem[0] if mem else None)


@pytest.mark.parametrize("mem", [(), ("mem",)])
def test_check_matches(either: Tool, mem: tuple[str, ...]) -> None:
    """--check leaves the documented pattern in the range of both drives, and only there."""
    a, b, _ = contents(either)
    report = either.json(
        *DRIVES, *mem, "--check", "-c", "3", "-s", "512k", "-o", "1k", "--seed", "7"
    )
    start, end = 1024, 1024 + 3 * 512 * 1024
    middle = pattern(start, end - start, 7)
    after = contents(either)
    assert after[0] == a[:start] + middle + a[end:]
    assert after[1] == b[:start] + middle + b[end:]
    assert (report["result"], report["exit_code"]) == ("match", 0)
    assert report["first_difference"] is report["errno"] is report["message"] is None
    assert report["direct_io"] == {"read_dev": True, "write_dev": True}


def test_text_output(tool: Tool) -> None:
    """Text is one short line per fact, with a throughput per phase."""
    result = tool.run(*PEER, "-c", "1", "-s", "4k", "--check", "--seed", "5")
    lines = result.stdout.splitlines()
    assert (result.code, result.stderr) == (0, "")
    assert lines[0] == "a.img -> b.img through mem, both drives are overwritten"
    assert lines[1] == "1 x 4 KiB = 4 KiB from byte 0, threads 1, seed 5"
    assert lines[2] == "overwriting bytes 0 to 4095 of a.img"
    assert lines[3] == "overwriting bytes 0 to 4095 of b.img"
    assert lines[4] == "overwriting bytes 0 to 4095 of mem, the buffer"
    phases = ["seed", "copy", "read", "write", "verify", "MATCH"]
    assert [line.split()[0] for line in lines[5:]] == phases
    assert all(lines[at].endswith("B/s") for at in (5, 6, 9))
    latency = r"  (read |write)     p50 [\d.]+, p99 [\d.]+, p99\.9 [\d.]+, max [\d.]+ us"
    assert all(re.fullmatch(latency, lines[at]) for at in (7, 8))


def test_defaults_and_spellings(tool: Tool) -> None:
    """Long spellings with '_' and '-' are the same, as are suffixes in either case."""
    small = tool.json(*DRIVES, "--chunks=1k", "--chunk_size=1K", "--threads", "2", "--offset=4K")
    again = tool.json(*DRIVES, "--chunks=1K", "--chunk-size=1024", "-t2", "-o4096", "--seed=-1")
    for report in (small, again):
        del report["arguments"]["seed"]
    assert small["arguments"] == again["arguments"]
    arguments = tool.json(*DRIVES, "-c", "1")["arguments"]
    assert arguments["chunk_size"] == 4096
    assert tool.json("a", "b", "-c", "0")["arguments"]["threads"] == 1


def test_fresh_seed_for_each_run(tool: Tool) -> None:
    """What an earlier run left on the drives cannot pass for this run's data."""
    args = (*DRIVES, "-c", "1", "--check")
    seeds = {tool.json(*args)["arguments"]["seed"] for _ in range(4)}
    assert len(seeds) == 4


def test_duration_repeats(shimmed: Tool) -> None:
    """The copy is repeated until the time is over."""
    begin = time.monotonic()
    report = shimmed.json(*PEER, "-c", "2", "-s", "64k", "-t", "2", "-D", "1", "--check")
    assert 1 <= report["seconds"]["copy"] < time.monotonic() - begin < 10
    copies = [c for c in shimmed.calls() if c.kind == ("pwrite", "b.img", "p2pmem")]
    assert report["bytes"] == sum(c.length for c in copies) > 4 * 128 * 1024
    assert {c.offset for c in copies} == {0, 64 << 10}


def test_duration_ends_a_long_copy(shimmed: Tool) -> None:
    """The time may end the first pass at any chunk, but not with --check; -1 is no limit."""
    args = (*PEER, "-c8", "-s4k")
    slow = "pread,a.img,1,delay,1100"
    assert shimmed.json(*args, "-D1", rules=slow)["bytes"] == 4096
    report = shimmed.json(*args, "-D1", "--check", rules=slow)
    assert (report["bytes"], report["result"]) == (8 * 4096, "match")
    report = shimmed.json(*args, "-D", "-1")
    assert (report["bytes"], report["arguments"]["duration"]) == (8 * 4096, None)


def test_phases_do_not_overlap(shimmed: Tool) -> None:
    """Seed and verify use host memory, the copy P2PMEM alone, each after the other."""
    shimmed.json(*PEER, "--check", "-c", "8", "-s", "128k", "-t", "4")
    calls = shimmed.calls()
    phases = {
        ("pwrite", "a.img", "host"): "seed",
        ("pread", "a.img", "p2pmem"): "copy",
        ("pwrite", "b.img", "p2pmem"): "copy",
        ("pread", "b.img", "host"): "verify",
    }
    order = [phases[call.kind] for call in calls]
    assert order == sorted(order, key=["seed", "copy", "verify"].index)
    for kind in phases:
        assert sum(c.length for c in calls if c.kind == kind) == MIB


def test_skip_read_and_skip_write(shimmed: Tool) -> None:
    """Only the other half of the copy is done; the skipped drive is not even opened."""
    memory = contents(shimmed)[2]
    shimmed.json("none", "b.img", "mem", "--skip-read", "-c", "3")
    assert {c.kind for c in shimmed.calls()} == {("pwrite", "b.img", "p2pmem")}
    assert contents(shimmed)[1][:4096] == memory[:4096]
    report = shimmed.json("a.img", "none", "mem", "--skip_write", "-c", "3")
    assert {c.kind for c in shimmed.calls()} == {("pread", "a.img", "p2pmem")}
    assert report["bytes"] == 3 * 4096


def test_init_zeroes_the_buffer(tool: Tool) -> None:
    """All of the buffer, or as many bytes as asked for."""
    tool.json(*PEER, "--skip-read", "--init", "-c", "2", "-t", "2")
    assert contents(tool)[1][:8192] == contents(tool)[2][:8192] == bytes(8192)
    before = contents(tool)[2]
    tool.json(
        *PEER, "--skip-read", "--skip-write", "--host-access=-1", "-c4", "-t4", "--init=2:8200"
    )
    assert contents(tool)[2] == bytes(8200) + before[8200:]


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_host_access(either: Tool, width: int) -> None:
    """The CPU writes and reads words of the width asked for."""
    args = (*PEER, "--skip-read", "--skip-write", "-c", "4", "-t", "4")
    before = contents(either)[2]
    report = either.json(*args, "--host_access", f"{width}:500")
    after = contents(either)[2]
    changed = [i for i in range(SIZE) if before[i] != after[i]]
    assert report["result"] == "match"
    assert report["arguments"]["host_access"] == {"width": width, "count": 500, "read_only": False}
    assert 0 < len({i // width for i in changed}) <= 500
    assert changed[-1] < 16384
    report = either.json(*args, "--host_access", f"-{width}:500")
    assert contents(either)[2] == after
    assert report["result"] == "copied"


def test_access_width_zero_is_none(tool: Tool) -> None:
    """A width of 0 switches --init and --host_access off."""
    arguments = tool.json(*PEER, "--init", "0", "--host_access", "0", "-c1")["arguments"]
    assert arguments["init"] is arguments["host_access"] is None


def test_overlap(tool: Tool) -> None:
    """A range longer than the drive wraps around; a drive may be copied onto itself."""
    a, _, _ = contents(tool)
    assert (
        tool.json(*DRIVES, "-c", "600", "-s", "4k", "-o", "4k", "--overlap")["bytes"] == 600 * 4096
    )
    assert contents(tool)[1][4096:] == a[4096:]
    assert tool.json("a.img", "a.img", "mem", "--overlap", "-c", "4")["result"] == "copied"
    assert contents(tool)[0] == a


# --- the check is seen to fail -------------------------------------------------

LAST = 4096 + 64 * 4096 - 1  # byte of the range of test_check_finds_a_flipped_byte


@pytest.mark.parametrize(("mem", "place"), [((), 4096), ((), 70001), (("mem",), LAST)])
@pytest.mark.parametrize("call", ["pwrite,b.img", "pread,b.img", "pwrite,a.img"])
def test_check_finds_a_flipped_byte(
    shimmed: Tool, call: str, mem: tuple[str, ...], place: int
) -> None:
    """One inverted byte, wherever it happens, is told with its place and value."""
    report = shimmed.json(
        *DRIVES, *mem, "--check", "-c64", "-s4k", "-t4", "-o4k", "--seed", "9",
        rules=f"{call},0,flip,{place}",
    )  # fmt: skip
    expected = pattern(0, 5 * MIB // 4, 9)[place : min(place + 16, 65 * 4096)]
    assert (report["result"], report["exit_code"]) == ("mismatch", 1)
    assert report["first_difference"] == {
        "where": "b.img",
        "offset": place,
        "expected": expected.hex(),
        "found": (bytes([expected[0] ^ 0xFF]) + expected[1:]).hex(),
        "different_bytes": 1,
    }


def test_mismatch_in_text(shimmed: Tool) -> None:
    """The text says MISMATCH, where, and what was found."""
    result = shimmed.run(*PEER, "--check", "-c1", "--seed=1", rules="pwrite,b.img,1,flip,513")
    assert result.code == 1
    assert "MISMATCH on data check: b.img, first difference at byte 513\n" in result.stdout
    assert "expected 00 00 00" in result.stdout
    assert "found    ff 00 00" in result.stdout
    assert "b.img differs" in result.stderr
    assert "MATCH on data check: 4 KiB" not in result.stdout


def test_check_finds_a_lost_write(shimmed: Tool) -> None:
    """A chunk that never came leaves stale data, and that is found."""
    stale = DATA["b.img"][1024:2048]
    report = shimmed.json(*PEER, "--check", "-c4", "-s1k", rules="pwrite,b.img,2,lose,0")
    assert report["exit_code"] == 1
    assert report["first_difference"]["offset"] == 1024
    assert report["first_difference"]["found"] == stale[:16].hex()
    assert report["first_difference"]["different_bytes"] > 1000


def test_check_finds_a_lost_read(shimmed: Tool) -> None:
    """What was never read back cannot match, whatever was in host memory before."""
    dirty = replace(shimmed, env={"MALLOC_PERTURB_": "165"})
    report = dirty.json(*PEER, "--check", "-c4", rules="pread,b.img,0,lose,0")
    assert report["exit_code"] == 1
    assert report["first_difference"]["found"] == bytes(16).hex()


def test_host_access_finds_memory_that_forgets(shimmed: Tool) -> None:
    """Pages that are the same memory do not keep what was stored; no copy is begun."""
    report = shimmed.json(*PEER, "--host_access=8:4096", "-c4", "-t4", rules="mmap,mem,1,fold,4096")
    difference = report["first_difference"]
    assert (report["result"], report["exit_code"]) == ("mismatch", 1)
    assert difference["where"] == "mem"
    assert difference["expected"][:2] != difference["found"][:2]
    assert len(difference["found"]) == 16 - 2 * (difference["offset"] % 8)
    assert report["seconds"]["copy"] is None


def test_host_access_tells_the_byte(shimmed: Tool) -> None:
    """The first byte of the word that differs, also where the word begins alike."""
    report = shimmed.json(
        *PEER, "--host_access=8:4096", "-c4", "-t4", "--seed=115", rules="mmap,mem,1,fold,4096"
    )
    assert report["first_difference"] == {
        "where": "mem",
        "offset": 5313,
        "expected": "3d6ebb1a1a9b30",
        "found": "c04fb41ab9e57c",
        "different_bytes": 6,
    }
    assert "mem differs at byte 5313 " in report["message"]
