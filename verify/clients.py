"""Checks with programs that nobody here wrote: fio, nvme-cli and pciutils (``rootfs=tools``).

fio writes to a drive from another function's memory and reads it back into that, checking a CRC of
every block. That the data went peer to peer is taken from QEMU's trace, as for a copy.
"""

import errno
import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import Any

from boot.listing import expected_functions
from boot.policy import MapType
from boot.trace import Memory, Sums, Transfer, Way, total
from verify.check import CheckFailed, require
from verify.copy_check import readable
from verify.images import unchanged_since
from verify.path import require_whole_range
from verify.refusal import refusal_line
from verify.scenario import ALIGNMENT, Scenario
from verify.session import Session

LIST_PATHS = "lspci -D -PP -n"  # the tree that `lspci -tv` draws, one path a line
DRAW_TREE = "lspci -tv"
UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
FIO_BYTES = 1 << 20
FIO_BLOCK = 64 << 10
VERIFY_FAILED = errno.EILSEQ  # fio's verify.c: data that is not what was written
# What the kernel answers to a transfer that it refuses: drivers/nvme before and from Linux 6.17 on.
TRANSFER_REFUSED = (errno.EREMOTEIO, errno.EINVAL)
IN_A_TRANSFER = "io_u error"  # in fio's words, if an error came of a read or write


@dataclass(frozen=True)
class FioRun:
    """What fio does with one drive and the memory of another function."""

    provider: str
    client: str
    offset: int
    length: int = FIO_BYTES

    @property
    def title(self) -> str:
        """A line for people."""
        return f"fio: {self.client} through p2pmem of {self.provider}, verify=crc32c"


def fio_runs(scenario: Scenario) -> list[FioRun]:
    """Return a run for each drive with each memory that is not its own, behind all copies."""
    ends = [copy.offset + copy.length for copy in scenario.copies]
    start = -(-max(ends) // ALIGNMENT) * ALIGNMENT
    pairs = {
        (copy.provider, drive): None
        for copy in scenario.copies
        if copy.memory == "p2pmem"
        for drive in (copy.source, copy.destination)
        if drive != copy.provider
    }
    return [FioRun(*pair, start + number * FIO_BYTES) for number, pair in enumerate(pairs)]


def lspci_tree(session: Session) -> str:
    """lspci finds every function where the topology puts it, behind the same bridges."""
    seen = {}
    for line in session.run(LIST_PATHS).splitlines():
        path, _kind, pci_id = line.split()[:3]
        seen[path] = pci_id
    for function in expected_functions(session.topology):
        path = _as_lspci(function.path)
        actual = seen.get(path)
        require(
            actual == function.pci_id,
            f"{function.name}: expected {function.pci_id} at {path}, lspci shows "
            f"{actual or ', '.join(seen)}",
        )
    return session.run(DRAW_TREE).rstrip()


def _as_lspci(path: str) -> str:
    """Return a path below /sys/devices as lspci has it: the domain once, and no root."""
    first, *rest = path.split("/")[1:]
    return "/".join((first, *(name.partition(":")[2] for name in rest)))


def nvme_list(session: Session) -> str:
    """nvme-cli lists the same drives by serial and name."""
    lines = session.run("nvme list").splitlines()
    for drive in session.drives.values():
        found = [line for line in lines if drive.serial in line.split()]
        require(
            len(found) == 1 and drive.block in found[0].split(),
            f"`nvme list` does not show {drive.serial} as {drive.block}: {found}",
        )
    return f"{len(session.drives)} drives"


def nvme_registers(session: Session) -> str:
    """What nvme-cli decodes of CMBLOC and CMBSZ is what topology, sysfs and QEMU say."""
    told = []
    for drive in session.drives.values():
        if not session.topology.drive(drive.serial).cmb_mib:
            continue
        controller = re.sub(r"n\d+$", "", drive.block)
        text = session.run(f"nvme show-regs -H {controller}")
        size, bar = _cmb_size(text), int(_field(text, "cmbloc", r"\(BIR\):\s*(\w+)"), 0)
        expected = session.topology.drive(drive.serial).cmb_mib << 20
        require(size == expected, f"{drive.serial}: CMBSZ is {size} bytes, not {expected}")
        where = session.attribute(drive.serial, "p2pmem/size")
        in_sysfs = int(session.run(f"cat {where}"))
        require(size == in_sysfs, f"{drive.serial}: CMBSZ is {size} bytes, sysfs has {in_sysfs}")
        bars = [item.number for item in session.bars if item.bdf == drive.bdf and item.size == size]
        require(bar in bars, f"{drive.serial}: CMBLOC is BAR {bar}, QEMU has it as BAR {bars}")
        told.append(f"{drive.serial} {size >> 20} MiB in BAR {bar}")
    return ", ".join(told) or "no drive has a CMB"


def _cmb_size(text: str) -> int:
    units = re.fullmatch(r"(\d+) (\w+)", _field(text, "cmbsz", r"\(SZU\):\s*(\d+ \w+)"))
    if not units or units[2] not in UNITS:
        raise CheckFailed("nvme show-regs tells the size in a unit that is not known")
    return int(_field(text, "cmbsz", r"\(SZ\):\s*(\d+)")) * int(units[1]) * UNITS[units[2]]


def _field(text: str, register: str, pattern: str) -> str:
    """Return what `nvme show-regs -H` says in the part about one register."""
    part = re.search(rf"^{register}\s*:.*?(?=^\S|\Z)", text, re.M | re.S)
    found = re.search(pattern, part[0]) if part else None
    if not found:
        raise CheckFailed(f"nvme show-regs does not tell {register} {pattern}")
    return found[1]


def fio(session: Session, run: FioRun) -> str:
    """fio writes from peer memory and verifies what it reads back, and the data went that way."""
    drive = session.topology.drive(run.client)
    end = run.offset + run.length
    require(end <= drive.drive_bytes, f"{run.client} ends before byte {end}, which fio is to write")
    allowed = session.predicted(run.provider, run.client) is not MapType.NOT_SUPPORTED
    before = session.images.now(run.client, run.offset, run.length)
    if not allowed:
        return _refused(session, run, before)
    session.written.append((run.client, run.offset, end))
    written = _fio(session, run, "--rw=write", "--do_verify=0")
    require_peer_to_peer(session, run, "write", written)
    now = session.images.now(run.client, run.offset, run.length)
    stale = unchanged_since(before, now)
    require(stale is None, f"byte {run.offset + (stale or 0)} of {run.client} was never written")
    if not session.topology.provider(run.provider).remembers:
        return _found_out(session, run)
    read = _fio(session, run, "--rw=read")
    require_peer_to_peer(session, run, "read", read)
    return (
        f"{run.length} bytes written from and read back to the peer's memory, none through host "
        "RAM; every CRC is right"
    )


def _found_out(session: Session, run: FioRun) -> str:
    """What went through memory that does not remember fio has to find wrong, and nothing else."""
    command = fio_command(session, run, "--rw=read")
    session.trace.take()
    answer = session.guest.console.run(command, session.timeouts.copy)
    moved = total(session.transfers(session.trace.take()))
    error = _report(answer.output).get("error", 0)
    require(
        answer.status != 0 or error,
        f"fio is content, but the memory of {run.provider} does not remember what is written",
    )
    require(
        error == VERIFY_FAILED,
        f"fio was to find wrong data (error {VERIFY_FAILED}), but ended with {answer.status}, "
        f"error {error}: {_words(answer.output)}",
    )
    # It ends with the first block that is wrong.
    require(
        moved.keys() == {_way(session, run, "read")},
        f"QEMU traced {readable(session, moved)}, expected reads into the peer's memory alone",
    )
    return f"fio finds wrong what it reads back, as it must: {_words(answer.output)}"


def fio_command(session: Session, run: FioRun, *mode: str) -> str:
    """Return fio's command line, as it is typed in the guest."""
    words = [
        "fio",
        "--name=p2plab",
        f"--filename={session.drive(run.client).block}",
        f"--offset={run.offset}",
        f"--size={run.length}",
        f"--bs={FIO_BLOCK}",
        "--ioengine=psync",
        "--direct=1",
        "--thread",
        f"--mem=mmapshared:{session.node(run.provider)}",
        "--verify=crc32c",
        "--output-format=json",
        *mode,
    ]
    return shlex.join(words)


def _fio(session: Session, run: FioRun, *mode: str) -> list[Transfer]:
    """Run fio; return what QEMU moved.

    Raises:
        CheckFailed: it found wrong data, or an error.
    """
    command = fio_command(session, run, *mode)
    session.trace.take()
    answer = session.guest.console.run(command, session.timeouts.copy)
    moved = session.transfers(session.trace.take())
    report = _report(answer.output)
    error = report.get("error", 0)
    require(
        answer.status == 0 and not error,
        f"`{command}` ended with {answer.status}, error {error}: {_words(answer.output)}",
    )
    done = sum(report.get(way, {}).get("io_bytes", 0) for way in ("read", "write"))
    require(done == run.length, f"`{command}` reports {done} bytes, not {run.length}")
    return moved


def _report(output: str) -> dict[str, Any]:
    """Return the part about the one job of fio's report; other lines may come before it."""
    start = output.find("\n{") + 1 if not output.startswith("{") else 0
    try:
        data, _ = json.JSONDecoder().raw_decode(output[start:])
        job: dict[str, Any] = data["jobs"][0]
    except (ValueError, KeyError, IndexError, TypeError):
        return {}
    return job


def _words(output: str) -> str:
    """Return what fio said besides its report."""
    lines = output[: output.find("{")] if "{" in output else output
    return " ".join(lines.split())


def require_peer_to_peer(
    session: Session, run: FioRun, command: str, moved: list[Transfer]
) -> None:
    """Check that all data of one phase went between the drive and the peer's memory.

    Raises:
        CheckFailed: some did not, or something else was moved.
    """
    sums = total(moved)
    expected: Sums = Counter({_way(session, run, command): run.length})
    require(
        sums == expected,
        f"QEMU traced {readable(session, sums)}, expected {readable(session, expected)}, and "
        "nothing else",
    )
    require_whole_range(run, {"write": "writing", "read": "reading"}[command], moved)


def _way(session: Session, run: FioRun, command: str) -> Way:
    """Return who moves the data of one phase, in which direction, and through whose memory."""
    return run.client, command, Memory.PEER, session.function(run.provider).bdf


def _refused(session: Session, run: FioRun, before: bytes) -> str:
    command = fio_command(session, run, "--rw=write", "--do_verify=0")
    session.trace.take()
    answer = session.guest.console.run(command, session.timeouts.copy)
    moved = total(session.transfers(session.trace.take()))
    error = _report(answer.output).get("error", 0)
    require(answer.status != 0 or error, "fio was content, but the kernel has to refuse this")
    require(
        error in TRANSFER_REFUSED and IN_A_TRANSFER in answer.output,
        f"a transfer was to be refused, but fio ended with {answer.status}, error {error}: "
        f"{_words(answer.output)}",
    )
    require(not moved, f"QEMU traced {readable(session, moved)} although the kernel refused")
    now = session.images.now(run.client, run.offset, run.length)
    require(now == before, f"{run.client} was written all the same")
    refusal_line(session, run.provider, run.client)
    return f"refused, as predicted: {_words(answer.output)}"
