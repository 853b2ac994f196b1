"""What fio, nvme-cli and lspci have to say, and what is made of it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from host.errors import MissingToolError
from rootfs.clients import client_programs
from tests.unit.copy_traces import RAM, REFUSAL, moves
from tests.unit.fake_session import CMB, ONE, SIZE, TWO, FakeGuest, session_on, sparse_images
from verify.check import CheckFailed
from verify.clients import FioRun, fio, fio_runs, lspci_tree, nvme_list, nvme_registers
from verify.plan import guest_checks
from verify.scenario import Copy, Scenario
from verify.session import Session

TREE = """\
0000:00:00.0 0600: 8086:29c0
0000:00:04.0 0604: 1b36:000c
0000:00:04.0/01:00.0 0604: 104c:8232 (rev 02)
0000:00:04.0/01:00.0/02:00.0 0604: 104c:8233 (rev 01)
0000:00:04.0/01:00.0/02:01.0 0604: 104c:8233 (rev 01)
0000:00:04.0/01:00.0/02:00.0/03:00.0 0108: 1b36:0010 (rev 02)
0000:00:04.0/01:00.0/02:01.0/04:00.0 0108: 1b36:0010 (rev 02)
"""
LIST = f"""\
Node                  Generic               SN                   Model
--------------------- --------------------- -------------------- --------
/dev/nvme1n1          /dev/ng1n1            {TWO}             QEMU NVMe Ctrl
/dev/nvme0n1          /dev/ng0n1            {ONE}             QEMU NVMe Ctrl
"""
REGISTERS = """\
csts    : 1
	Ready                          (RDY): Yes

cmbloc  : 62
	Offset                                                        (OFST): 0x0
	Base Indicator Register                                        (BIR): 0x2

cmbsz   : 1021d
	Size                      (SZ): 16
	Size Units               (SZU): 1 MB
	Read Data Support        (RDS): Read Data is Supported

bpinfo  : 0
pmrcap  : 0
	Base Indicator Register                              (BIR): 0
"""
RUN = FioRun(ONE, TWO, 1 << 20)
MEMORY = CMB[ONE] + 0x20000
DATA = hashlib.shake_128(b"fio's").digest(RUN.length)
GOOD = json.dumps({"jobs": [{"error": 0, "write": {"io_bytes": RUN.length}}]})
READ_BACK = json.dumps(
    {"jobs": [{"error": 0, "read": {"io_bytes": RUN.length}, "write": {"io_bytes": 0}}]}
)
REFUSED = (
    "fio: io_u error on file /dev/nvme1n1: Remote I/O error: write offset=0, buflen=65536\n"
    '{"jobs": [{"error": 121}]}'
)


def session_for(topology: str = "switch-q35") -> tuple[Session, FakeGuest]:
    guest = FakeGuest()
    guest.answers["lspci -D"] = TREE
    guest.answers["lspci -tv"] = "-[0000:00]-+-00.0\n"
    guest.answers["nvme list"] = LIST
    guest.answers["nvme show-regs"] = REGISTERS
    guest.answers["cat /sys"] = f"{SIZE}\n"
    return session_on(topology, guest), guest


def failing(act: Callable[[Session], str], session: Session) -> str:
    with pytest.raises(CheckFailed) as caught:
        act(session)
    return caught.value.message


def test_tree_of_lspci() -> None:
    session, guest = session_for()
    assert lspci_tree(session) == "-[0000:00]-+-00.0"
    guest.answers["lspci -D"] = TREE.replace("02:01.0/04:00.0", "02:00.0/04:00.0")
    assert failing(lspci_tree, session).startswith(
        f"{TWO}: expected 1b36:0010 at 0000:00:04.0/01:00.0/02:01.0/04:00.0, lspci shows "
    )
    guest.answers["lspci -D"] = TREE.replace("104c:8232", "104c:8231")
    assert "lspci shows 104c:8231" in failing(lspci_tree, session)


def test_list_of_nvme() -> None:
    session, guest = session_for()
    assert nvme_list(session) == "2 drives"
    guest.answers["nvme list"] = LIST.replace("nvme1n1", "nvme2n1")
    assert f"does not show {TWO} as /dev/nvme1n1" in failing(nvme_list, session)
    guest.answers["nvme list"] = ""
    assert f"does not show {ONE}" in failing(nvme_list, session)


def test_registers_of_nvme() -> None:
    session, guest = session_for()
    assert nvme_registers(session) == f"{ONE} 16 MiB in BAR 2, {TWO} 16 MiB in BAR 2"
    assert "nvme show-regs -H /dev/nvme0" in guest.commands


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(SZ): 16", "(SZ): 8", f"{ONE}: CMBSZ is 8388608 bytes, not 16777216"),
        ("1 MB", "64 KB", "CMBSZ is 1048576 bytes, not"),
        ("(BIR): 0x2", "(BIR): 0x4", "CMBLOC is BAR 4, QEMU has it as BAR [2]"),
        ("1 MB", "1 XB", "in a unit that is not known"),
        ("cmbsz", "other", "does not tell cmbsz"),
    ],
)
def test_registers_that_are_not_as_they_should_be(old: str, new: str, words: str) -> None:
    session, guest = session_for()
    guest.answers["nvme show-regs"] = REGISTERS.replace(old, new)
    assert words in failing(nvme_registers, session)


def test_registers_that_sysfs_does_not_know() -> None:
    session, guest = session_for()
    guest.answers["cat /sys"] = "4096\n"
    assert "sysfs has 4096" in failing(nvme_registers, session)


class Fio:
    """A session with real drive images, and a fio that does what a test wants."""

    def __init__(self, folder: Path, topology: str = "switch-q35") -> None:
        self.session, self.guest = session_for(topology)
        self.session.images = sparse_images(self.session, folder)
        self.phases: list[tuple[list[str], bytes, int, str]] = [
            (moved("write"), DATA, 0, GOOD),
            (moved("read"), b"", 0, READ_BACK),
        ]
        self.guest.answers["dmesg"] = REFUSAL
        self.guest.answers["fio"] = self.run  # type: ignore[assignment]

    def run(self) -> tuple[int, str]:
        traced, data, status, output = self.phases.pop(0)
        self.guest.new_trace = traced
        self.session.images.put(RUN.client, RUN.offset, data)
        return status, output

    def failure(self) -> str:
        return failing(lambda session: fio(session, RUN), self.session)


def moved(command: str, address: int = MEMORY) -> list[str]:
    """Return the trace of all blocks of a run."""
    return [
        line.replace("lba 0x0", f"lba {(RUN.offset + at) // 512:#x}")
        for at in range(0, RUN.length, 65536)
        for line in moves(RUN.client, command, address, 65536)
    ]


def test_good_run(tmp_path: Path) -> None:
    lab = Fio(tmp_path)
    assert "1048576 bytes written from and read back to the peer's memory" in fio(lab.session, RUN)
    assert lab.session.written == [(TWO, 1 << 20, 2 << 20)]
    write, read = (command for command in lab.guest.commands if command.startswith("fio"))
    assert "--mem=mmapshared:/dev/p2pmem0" in write
    assert "--filename=/dev/nvme1n1" in write
    assert write.endswith("--rw=write --do_verify=0")
    assert read.endswith("--rw=read")
    assert "--verify=crc32c" in read


@pytest.mark.parametrize(
    ("phase", "change", "words"),
    [
        (0, {0: moved("write", RAM)}, f"QEMU traced {{'{TWO} write host RAM': 1048576}}, expected"),
        (0, {0: moved("write")[3:]}, f"{{'{TWO} write peer CMB 0000:03:00.0': 983040}}"),
        (0, {0: [*moved("write")[3:], *moved("write")[3:6]]}, "writing: at byte 1114112 instead"),
        (0, {1: b""}, f"byte 1048576 of {TWO} was never written"),
        (0, {2: 1, 3: "error: no memory\n"}, "ended with 1, error 0: error: no memory"),
        (0, {3: '{"jobs": [{"error": 121}]}'}, "ended with 0, error 121"),
        (
            1,
            {2: 1, 3: 'verify: bad data\n{"jobs": [{"error": 84}]}'},
            "ended with 1, error 84: verify: bad data",
        ),
        (1, {0: moved("read", RAM)}, f"expected {{'{TWO} read peer CMB 0000:03:00.0': 1048576}}"),
        # It ended with 0, and nobody knows whether it looked at anything.
        (1, {3: ""}, "reports 0 bytes, not 1048576"),
        (1, {3: READ_BACK.replace("1048576", "65536")}, "reports 65536 bytes, not 1048576"),
    ],
)
def test_run_that_is_not_good(
    tmp_path: Path, phase: int, change: dict[int, object], words: str
) -> None:
    lab = Fio(tmp_path)
    parts: list[object] = list(lab.phases[phase])
    for place, part in change.items():
        parts[place] = part
    lab.phases[phase] = tuple(parts)  # type: ignore[assignment]
    assert words in lab.failure()


def test_run_on_a_topology_that_must_be_refused(tmp_path: Path) -> None:
    lab = Fio(tmp_path, "root-ports")
    lab.phases = [([], b"", 1, REFUSED)]
    assert fio(lab.session, RUN).startswith("refused, as predicted: fio: io_u error on file")
    assert lab.session.written == []


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (([], b"", 0, GOOD), "fio was content, but the kernel has to refuse this"),
        ((moved("write"), b"", 1, REFUSED), "although the kernel refused"),
        (([], DATA, 1, REFUSED), "was written all the same"),
        # It fails, but for a reason of its own.
        (([], b"", 127, "sh: fio: not found"), "a transfer was to be refused, but fio ended with"),
        (([], b"", 1, REFUSED.replace("121", "2")), "refused, but fio ended with 1, error 2"),
        (
            ([], b"", 1, 'fio: mmap: Invalid argument\n{"jobs": [{"error": 22}]}'),
            "refused, but fio ended with 1, error 22: fio: mmap",
        ),
    ],
)
def test_run_that_was_not_refused(
    tmp_path: Path, phase: tuple[list[str], bytes, int, str], words: str
) -> None:
    lab = Fio(tmp_path, "root-ports")
    lab.phases = [phase]
    assert words in lab.failure()


def test_refusal_of_which_the_kernel_says_nothing(tmp_path: Path) -> None:
    lab = Fio(tmp_path, "root-ports")
    lab.phases = [([], b"", 1, REFUSED)]
    lab.guest.answers["dmesg"] = ""
    assert "the kernel log lacks the reason" in lab.failure()


def test_drive_that_is_too_small(tmp_path: Path) -> None:
    lab = Fio(tmp_path)
    run = replace(RUN, offset=64 << 20)
    assert "ends before byte 68157440" in failing(lambda s: fio(s, run), lab.session)


def test_runs_lie_behind_all_copies_and_use_memory_of_others() -> None:
    copies = tuple(
        Copy("p2pmem", provider, ONE, TWO, 1, 4096, number << 20, number)
        for number, provider in enumerate((ONE, TWO))
    )
    runs = fio_runs(Scenario("s", "", copies))
    assert runs == [FioRun(ONE, TWO, 2 << 20), FioRun(TWO, ONE, 3 << 20)]


def test_checks_are_there_only_with_the_programs() -> None:
    copies = (Copy("p2pmem", ONE, ONE, TWO, 1, 4096, 0, 1),)
    plain = [check.title for check in guest_checks(Scenario("s", "", copies))]
    more = [check.title for check in guest_checks(Scenario("s", "", copies, clients=True))]
    added = [title for title in more if title not in plain]
    assert [title.split()[0] for title in added] == ["lspci:", "nvme", "nvme", "fio:"]
    assert more.index(added[-1]) < more.index("pools the same after the copies")


def test_program_that_is_not_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [file.target for file in client_programs()] == ["/bin/fio", "/bin/nvme", "/bin/lspci"]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("rootfs.clients.ADMIN", ())

    with pytest.raises(MissingToolError, match="fio is not on this machine") as caught:
        client_programs()

    assert "install the package fio (Debian)" in caught.value.hint
