"""The userspace tool when the kernel is difficult, and when the user is mistaken."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.p2pmem_tool import DRIVES, PEER, SECTOR, Tool, contents

pytest_plugins = ["tests.unit.p2pmem_fixtures"]

# --- a kernel that is difficult ------------------------------------------------


@pytest.mark.parametrize("size", [512, 700, 1024, 4095])
@pytest.mark.parametrize("call", ["pwrite,a.img", "pread,a.img", "pwrite,b.img", "pread,b.img"])
def test_short_transfers_are_continued(shimmed: Tool, call: str, size: int) -> None:
    """Each transfer goes on at the start of the block where the one before stopped."""
    args = (*PEER, "--check", "-c4", "-s8k", "-t2")
    assert shimmed.json(*args, rules=f"{call},0,short,{size}")["result"] == "match"
    assert any(c.offset % 8192 for c in shimmed.calls())
    assert all(c.offset % SECTOR == 0 for c in shimmed.calls())


def test_transfers_without_progress(shimmed: Tool) -> None:
    """Nothing at all, or never a whole block, is an error and no endless loop."""
    report = shimmed.json(*PEER, "-c1", rules="pread,a.img,0,short,100")
    assert "only parts of a block" in report["message"]
    assert report["exit_code"] == 4
    report = shimmed.json(*PEER, "-c1", rules="pread,a.img,1,short,0")
    assert "the drive ends there now" in report["message"]
    assert report["exit_code"] == 4


@pytest.mark.parametrize("call", ["pwrite,a.img", "pread,a.img", "pwrite,b.img", "pread,b.img"])
def test_eintr_is_retried(shimmed: Tool, call: str) -> None:
    """An interrupted system call is made again."""
    rules = f"{call},1,errno,4;{call},3,errno,4"
    assert shimmed.json(*PEER, "--check", "-c4", rules=rules)["result"] == "match"


@pytest.mark.parametrize(("number", "name"), [(121, "EREMOTEIO"), (22, "EINVAL")])
@pytest.mark.parametrize(
    ("call", "words"),
    [("pread,a.img", "let a.img reach mem (read at byte 4096"),
     ("pwrite,b.img", "let b.img reach mem (write at byte 4096")],
)  # fmt: skip
def test_refused_peer_to_peer(shimmed: Tool, number: int, name: str, call: str, words: str) -> None:
    """A refusal has a result and an exit code of its own, and says which pair was refused."""
    args = (*PEER, "-c4", "-t1")
    report = shimmed.json(*args, rules=f"{call},2,errno,{number}")
    assert (report["result"], report["exit_code"]) == ("refused", 3)
    assert (report["errno"], report["errno_name"]) == (number, name)
    assert words in report["message"]
    assert '"cannot be used for peer-to-peer DMA"' in report["message"]
    result = shimmed.run(*args, rules=f"{call},2,errno,{number}")
    assert result.code == 3
    assert "peer-to-peer refused" in result.stderr


def test_refusal_in_the_middle_of_a_chunk(shimmed: Tool) -> None:
    """What is told is where the refused transfer began, not its chunk."""
    rules = "pread,a.img,1,short,512;pread,a.img,1,errno,22"
    assert "(read at byte 512: EINVAL)" in shimmed.json(*PEER, "-c1", rules=rules)["message"]


@pytest.mark.parametrize("number", [121, 22])
def test_only_peer_memory_can_be_refused(shimmed: Tool, number: int) -> None:
    """With host memory, and in seed and verify, the same errno is an I/O error."""
    for args, call in (
        (DRIVES, "pread,a.img"),
        ((*PEER, "--check"), "pwrite,a.img"),
        ((*PEER, "--check"), "pread,b.img"),
    ):
        report = shimmed.json(*args, "-c1", rules=f"{call},1,errno,{number}")
        assert (report["result"], report["exit_code"]) == ("error", 4)


@pytest.mark.parametrize(
    ("rules", "name", "words"),
    [
        ("pread,a.img,1,errno,5", "EIO", "look in dmesg"),
        ("pwrite,b.img,1,errno,19", "ENODEV", "was removed"),
        ("pwrite,b.img,1,errno,28", "ENOSPC", "cannot write to b.img at byte "),
        ("pread,a.img,1,errno,14", "EFAULT", "its provider was unbound"),
        ("mmap,mem,1,errno,12", "ENOMEM", "the pool of P2P memory is exhausted"),
        ("mmap,mem,1,errno,19", "ENODEV", "it is no P2P memory, or its provider was unbound"),
        ("mmap,mem,1,errno,22", "EINVAL", "does not allow a shared, writable mapping"),
        ("mmap,mem,1,errno,11", "EAGAIN", "cannot map 8192 bytes of mem"),
        ("pthread_create,*,2,errno,11", "EAGAIN", "cannot start thread 1"),
        ("mmap,mem,1,truncate,0", "EFAULT", "its provider was unbound"),
    ],
)
def test_system_errors(shimmed: Tool, rules: str, name: str, words: str) -> None:
    """Each errno is named and explained."""
    report = shimmed.json(*PEER, "-c2", "-t2", rules=rules)
    assert (report["result"], report["exit_code"], report["errno_name"]) == ("error", 4, name)
    assert words in report["message"]


@pytest.mark.parametrize("option", ["--init", "--host_access"])
def test_sigbus(shimmed: Tool, option: str) -> None:
    """Memory that goes away under the CPU is told as such, with a report."""
    report = shimmed.json(*PEER, "-c2", option, rules="mmap,mem,1,truncate,0")
    assert (report["result"], report["exit_code"]) == ("error", 4)
    assert report["message"].startswith("SIGBUS on access to mem: ")
    assert not shimmed.calls()


def test_without_o_direct(shimmed: Tool) -> None:
    """A file system without O_DIRECT: it works, and is said."""
    rules = "open,a.img,0,errno,22"
    result = shimmed.run(*PEER, "--check", "-c2", "--json", rules=rules)
    assert "warning: no O_DIRECT on a.img" in result.stderr
    assert result.report["direct_io"] == {"read_dev": False, "write_dev": True}
    assert result.report["result"] == "match"
    rules = "open,b.img,0,errno,22;fdatasync,b.img,0,errno,28"
    report = shimmed.json(*PEER, "-c2", rules=rules)
    assert (report["exit_code"], report["errno_name"]) == (4, "ENOSPC")
    assert "cannot flush b.img" in report["message"]


def test_first_failure_stops_all_threads(shimmed: Tool) -> None:
    """Threads stop at their next chunk, and the failure is told once."""
    result = shimmed.run(*PEER, "-c512", "-t2", "--json", rules="pread,a.img,1,errno,5")
    assert result.code == 4
    assert result.stderr.count("\n") == 1
    assert result.report["bytes"] < 256 * 4096, "the other thread's share"


def test_lost_output(tool: Tool) -> None:
    """A report that nobody gets is no success."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [tool.program, *DRIVES, "-c1", "--json"], cwd=tool.folder, stdout=full, check=False
        )
    assert done.returncode == 4


# --- mistakes of the user ------------------------------------------------------

USAGE = [
    ((), "READ_DEV and WRITE_DEV are missing"),
    (("a.img",), "WRITE_DEV is missing"),
    (("", "b.img"), "an argument is empty"),
    ((*PEER, "more"), "'more' is one argument too many"),
    ((*DRIVES, "-c", "0"), "--chunks is zero"),
    ((*DRIVES, "-c", "-4"), "--chunks '-4' is negative"),
    ((*DRIVES, "-c", ""), "--chunks '' is empty"),
    ((*DRIVES, "-c", "4x"), "--chunks '4x' is not a size"),
    ((*DRIVES, "-c", "4kB"), "--chunks '4kB' is not a size"),
    ((*DRIVES, "-c", "k"), "--chunks 'k' is not a number"),
    ((*DRIVES, "-c", " 4"), "--chunks ' 4' is not a number"),
    ((*DRIVES, "-c", "0x10"), "--chunks '0x10' is not a size"),
    ((*DRIVES, "-c", "18446744073709551616"), "is too large"),
    ((*DRIVES, "-c", "99999999999999999999999"), "is too large"),
    ((*DRIVES, "-s", "16777216T"), "--chunk_size '16777216T' is too large"),
    ((*DRIVES, "-s", "0"), "--chunk_size is zero"),
    ((*DRIVES, "-s", "1000"), "--chunk_size 1000 is no multiple of 512"),
    ((*DRIVES, "-s", "8388607T", "-c1"), "--chunk_size is too large"),
    ((*DRIVES, "-s", "1T", "-c", "16M"), "a range ends below 2^63"),
    ((*DRIVES, "-o", "8388608T"), "a range ends below 2^63"),
    ((*DRIVES, "-o", "18446744073709551104"), "a range ends below 2^63"),
    ((*DRIVES, "-o", "1"), "--offset 1 is no multiple of 512"),
    ((*DRIVES, "-t", "0"), "--threads is not 1 ... 1024"),
    ((*DRIVES, "-t", "1025", "-c4k"), "--threads is not 1 ... 1024"),
    ((*DRIVES, "-t", "1k"), "--threads '1k' is not a plain number"),
    ((*DRIVES, "-t", "3", "-c2"), "--threads 3 is more than --chunks 2"),
    ((*DRIVES, "--iodepth", "0"), "--iodepth is not 1 ... 1024"),
    ((*DRIVES, "--iodepth", "1025", "-c4k"), "--iodepth is not 1 ... 1024"),
    ((*DRIVES, "--iodepth", "-1"), "--iodepth '-1' is negative"),
    ((*DRIVES, "--iodepth", "2k"), "--iodepth '2k' is not a plain number"),
    ((*DRIVES, "--iodepth"), "--iodepth needs a value"),
    ((*DRIVES, "-t", "3", "--iodepth=3", "-c8"), "--threads 3 x --iodepth 3 is more than --chunks"),
    ((*DRIVES, "-t", "5", "--iodepth=1024", "-c9k"), "--threads 5 x --iodepth 1024 is more than"),
    ((*DRIVES, "--force"), "--force needs a value"),
    ((*DRIVES, "a\nb", "more\033[2J"), "'more?[2J' is one argument too many"),
    ((*DRIVES, "-D", "0"), "--duration '0' is zero"),
    ((*DRIVES, "-D", "-2"), "--duration '-2' is negative"),
    ((*DRIVES, "-D", "1.5"), "--duration '1.5' is not a plain number"),
    ((*DRIVES, "-D", "4294967296"), "--duration '4294967296' is more than"),
    ((*DRIVES, "--seed", "x"), "--seed 'x' is not a number"),
    ((*DRIVES, "--seed"), "--seed needs a value"),
    ((*DRIVES, "-c"), "-c needs a value"),
    ((*DRIVES, "--chnks", "4"), "unknown or ambiguous option '--chnks'"),
    ((*DRIVES, "-x"), "unknown option '-x'"),
    ((*DRIVES, "--check=1"), "option '--check=1' takes no value"),
    ((*DRIVES, "--help=1"), "option '--help=1' takes no value"),
    ((*DRIVES, "--check", "--skip-read"), "--check needs a whole copy"),
    ((*DRIVES, "--check", "--skip-write"), "--check needs a whole copy"),
    ((*DRIVES, "--check", "--overlap"), "--check needs every chunk in a place of its own"),
    ((*DRIVES, "--skip-read", "--skip-write"), "leave nothing to do"),
    ((*DRIVES, "--host_access=3"), "the width of an access is 1, 2, 4 or 8"),
    ((*DRIVES, "--host_access=88"), "the width of an access is 1, 2, 4 or 8"),
    ((*DRIVES, "--host_access="), "the width of an access is 1, 2, 4 or 8"),
    ((*DRIVES, "--host_access=8:0"), "zero accesses"),
    ((*DRIVES, "--host_access=8:x"), "--host_access 'x' is not a number"),
    ((*DRIVES, "--init=-8"), "the width is negative"),
    ((*DRIVES, "--init=8:12"), "12 bytes is no multiple of the width 8"),
    ((*DRIVES, "--init=8:8192"), "8192 bytes is more than the buffer of 4096"),
    (("a.img", "./a.img", "-c1"), "are the same place"),
]


@pytest.mark.parametrize(("args", "words"), USAGE)
def test_usage_errors(either: Tool, args: tuple[str, ...], words: str) -> None:
    """One line says what is wrong; nothing was touched; --json tells the same."""
    before = contents(either)
    result = either.run(*args)
    assert result.code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    report = either.run("--json", *args).report
    assert (report["result"], report["exit_code"]) == ("error", 2)
    assert words in report["message"]
    assert contents(either) == before


def test_first_mistake_is_told_and_json_counts_anywhere(tool: Tool) -> None:
    """--json after the mistake is still obeyed; words after -- are no options."""
    assert "--chunks 'x'" in tool.json("-c", "x", "-s", "y")["message"]
    report = json.loads(tool.run("--json", "--", "-c", "b.img").stdout)
    assert report["message"].startswith("cannot open -c:")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("none", "b.img"), "cannot open none: No such file"),
        (("a.img", "none"), "cannot open none: No such file"),
        ((*DRIVES, "none"), "cannot open none: No such file"),
        (("a.img", "/dev/null"), "/dev/null is neither a block device nor a regular file"),
        ((".", "b.img"), ". is neither a block device nor a regular file"),
        ((*DRIVES, "."), "cannot open .: Is a directory"),
        ((*DRIVES, "/dev/null"), "cannot map 4096 bytes of /dev/null: No such device"),
        ((*DRIVES, "small"), "small is too short: it has 512 bytes, the buffer needs 4096"),
        (("small", "b.img"), "small is too short: the range ends at byte 4096, the drive at 512"),
        (("a.img", "small"), "small is too short: the range ends at byte 4096, the drive at 512"),
        (("a.img", "small", "--overlap"), "small is too short"),
    ],
)
def test_wrong_files(either: Tool, args: tuple[str, ...], words: str) -> None:
    """Files that cannot serve are refused before anything is written, even with --check."""
    (either.folder / "small").write_bytes(bytes(512))
    before = contents(either)
    check = () if "--overlap" in args else ("--check",)
    report = either.json(*args, "-c1", *check)
    assert (report["result"], report["exit_code"]) == ("error", 4)
    assert words in report["message"]
    assert contents(either) == before
    assert (either.folder / "small").read_bytes() == bytes(512)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-s", "6k"), "--chunk_size 6144 is no multiple of the 4096-byte blocks of b.img"),
        (("-o", "1k"), "--offset 1024 is no multiple of the 4096-byte blocks of b.img"),
    ],
)
def test_unaligned_for_the_drive(shimmed: Tool, args: tuple[str, ...], words: str) -> None:
    """The larger block of either drive counts; so EINVAL later on can only be a refusal."""
    report = shimmed.json(*PEER, "-c2", "--check", *args, rules="statx,b.img,0,align,4096")
    assert (report["exit_code"], report["message"]) == (2, words)
    assert not shimmed.calls()
    assert shimmed.json(*PEER, "-c2", "--check", *args)["result"] == "match"


def test_range_past_the_end(tool: Tool) -> None:
    """The last block of the drive can be used, the one after it cannot."""
    assert tool.json(*PEER, "-c512", "--check")["exit_code"] == 0
    assert tool.json(*PEER, "-c512", "-o512")["exit_code"] == 4
    assert tool.json(*PEER, "-c511", "-o4k", "--check")["exit_code"] == 0


def test_same_file_by_other_names(tool: Tool) -> None:
    """Links to the same file are the same drive."""
    os.link(tool.folder / "a.img", tool.folder / "hard")
    (tool.folder / "soft").symlink_to("a.img")
    for name in ("hard", "soft"):
        assert tool.json("a.img", name, "-c1")["exit_code"] == 2


@pytest.mark.parametrize("args", [(), ("--check",), ("--skip-write",)])
def test_memory_that_is_a_drive(tool: Tool, args: tuple[str, ...]) -> None:
    """Also by another name; nothing is written."""
    (tool.folder / "link").symlink_to("a.img")
    before = contents(tool)
    result = tool.run("a.img", "b.img", "link", "-c1", *args)
    assert result.code == 2
    assert "link is P2PMEM and a drive (a.img) at once" in result.stderr
    assert contents(tool) == before


def test_a_file_as_memory_is_said_to_be_overwritten(tool: Tool) -> None:
    """By what is read or stored, as far as the buffer goes; not if it is only written out."""
    line = "overwriting bytes 0 to 4095 of mem, the buffer\n"
    assert line in tool.run(*PEER, "-c1").stdout
    assert line in tool.run(*PEER, "-c1", "--skip-read", "--init=8").stdout
    assert line in tool.run(*PEER, "-c1", "--skip-read", "--host_access=8").stdout
    for read_only in ((), ("--host_access=-8",)):
        before = contents(tool)[2]
        assert line not in tool.run(*PEER, "-c1", "--skip-read", *read_only).stdout
        assert contents(tool)[2] == before


def test_json_with_odd_names(either: Tool) -> None:
    """Any file name makes valid JSON that decodes to the same bytes."""
    names = [b'a"b\\c\x01\x7f', "ü€😀".encode(), b"\xff\xc0\x80\xed\xa0\x80\xf5", b"\xe2\x82"]
    for name in names:
        result = either.run(name, b"none", b"--json")
        path = json.loads(result.stdout)["arguments"]["read_dev"]
        assert path.encode("utf-8", "surrogateescape") == name
