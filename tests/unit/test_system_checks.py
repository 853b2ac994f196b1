"""The checks around the copies: each passes on a good guest, and fails for each thing amiss."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from boot.policy import Processor
from boot.qmp import Bar
from tests.unit.fake_session import BDF, CMB, ONE, SIZE, TWO, FakeGuest, session_on
from verify import system_checks
from verify.check import CheckFailed
from verify.session import Session

AT = BDF["switch-q35"]
CPUINFO = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 15\nmodel\t\t: 107\n"
DRIVES = f"{ONE} {AT[ONE]} nvme0n1\n{TWO} {AT[TWO]} nvme1n1\n"
TREE = """/sys/devices/pci0000:00/0000:00:00.0 0x8086 0x29c0
/sys/devices/pci0000:00/0000:00:04.0 0x1b36 0x000c
/sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0 0x104c 0x8232
/sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0/0000:02:00.0 0x104c 0x8233
/sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0/0000:02:01.0 0x104c 0x8233
/sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0/0000:02:00.0/0000:03:00.0 0x1b36 0x0010
/sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0/0000:02:01.0/0000:04:00.0 0x1b36 0x0010
"""
NODES = f"p2pmem0 {AT[ONE]} 251:0\np2pmem1 {AT[TWO]} 251:17\n"
SYSFS = "cat /sys/bus/pci/devices/{}/p2pmem/{}"


def good_guest() -> FakeGuest:
    """Return a guest with which all is well."""
    guest = FakeGuest()
    guest.answers = {
        "cat /proc/cpuinfo": CPUINFO,
        "uname -r": "6.3.2\n",
        system_checks.LIST_DRIVES: DRIVES,
        system_checks.LIST_FUNCTIONS: TREE,
        system_checks.LIST_NODES: NODES,
        "modprobe p2pmem_pci": "",
        "rmmod p2pmem_pci": "",
        "stat -c '%F %t:%T' /dev/p2pmem0": "character special file fb:0\n",
        "stat -c '%F %t:%T' /dev/p2pmem1": "character special file fb:11\n",
        "ls /dev": "console\nnull\nnvme0n1\n",
        "cat /proc/sys/kernel/tainted": "4096\n",
    }
    for bdf in AT.values():
        guest.answers[SYSFS.format(bdf, "size")] = f"{SIZE}\n1\n"
        guest.answers[SYSFS.format(bdf, "available")] = f"{SIZE - 131072}\n"
    return guest


@pytest.fixture
def guest() -> FakeGuest:
    """Return a guest with which all is well."""
    return good_guest()


def passes(check: Callable[[Session], str], guest: FakeGuest) -> Session:
    session = session_on("switch-q35", guest)
    assert check(session)
    return session


def fails(check: Callable[[Session], str], guest: FakeGuest) -> str:
    with pytest.raises(CheckFailed) as caught:
        check(session_on("switch-q35", guest))
    return caught.value.message


def test_boot(guest: FakeGuest) -> None:
    session = session_on("switch-q35", guest, booted=False)
    assert system_checks.boot(session) == "Linux 6.3.2 on AuthenticAMD family 0xf"
    assert session.processor == Processor("AuthenticAMD", 15)
    assert session.bars == guest.known_bars


@pytest.mark.parametrize("cpuinfo", ["", "vendor_id : GenuineIntel\n", "cpu family : 6\n"])
def test_boot_without_a_processor(guest: FakeGuest, cpuinfo: str) -> None:
    guest.answers["cat /proc/cpuinfo"] = cpuinfo
    assert "has no vendor_id and cpu family" in fails(system_checks.boot, guest)


def test_a_command_that_fails_fails_the_check(guest: FakeGuest) -> None:
    guest.answers["uname -r"] = (127, "sh: uname: not found\n")
    assert fails(system_checks.boot, guest) == "`uname -r` ended with 127: sh: uname: not found"


def test_drives_are_found_whatever_their_number(guest: FakeGuest) -> None:
    guest.answers[system_checks.LIST_DRIVES] = f"{TWO} {AT[TWO]} nvme0n1\n{ONE} {AT[ONE]} nvme1n1\n"
    session = session_on("switch-q35", guest)
    session.drives = {}
    assert f"{TWO} is /dev/nvme0n1" in system_checks.drives(session)
    assert session.drives[ONE].block == "/dev/nvme1n1"


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        ("", f"no drive with serial {ONE}; found: []"),
        (DRIVES.split("\n")[0], f"no drive with serial {TWO}; found: ['{ONE}']"),
        (f"{ONE} {AT[ONE]}\n", f"no drive with serial {ONE}"),
        (f"{TWO} {AT[ONE]} nvme0n1\n{ONE} {AT[TWO]} nvme1n1\n", f"{ONE} is at {AT[TWO]}, not at"),
    ],
    ids=["none", "one", "no block device", "swapped"],
)
def test_drives_amiss(guest: FakeGuest, listing: str, words: str) -> None:
    guest.answers[system_checks.LIST_DRIVES] = listing
    assert words in fails(system_checks.drives, guest)


def test_pci_tree(guest: FakeGuest) -> None:
    passes(system_checks.pci_tree, guest)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (TREE.splitlines()[5] + "\n", "", f"{ONE}: expected 1b36:0010 at pci0000:00/"),
        ("0x8232", "0x8233", "upstream: expected 104c:8232"),
        ("/0000:02:01.0/0000:04:00.0", "/0000:02:00.0/0000:04:00.0", f"{TWO}: expected 1b36"),
        (TREE, "", "root: expected 1b36:000c at pci0000:00/0000:00:04.0, found nothing"),
    ],
)
def test_pci_tree_amiss(guest: FakeGuest, old: str, new: str, words: str) -> None:
    assert TREE.count(old) == 1
    guest.answers[system_checks.LIST_FUNCTIONS] = TREE.replace(old, new)
    assert words in fails(system_checks.pci_tree, guest)


def test_cmb(guest: FakeGuest) -> None:
    passes(system_checks.cmb, guest)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (f"{SIZE // 2}\n1\n", f"{TWO}: size is {SIZE // 2} bytes, not {SIZE}"),
        ("0\n0\n", f"{TWO}: size is 0 bytes"),
        (f"{SIZE}\n0\n", f"{TWO}: the memory is registered but not published"),
        ((1, "cat: can't open"), "ended with 1: cat: can't open"),
    ],
)
def test_cmb_amiss(guest: FakeGuest, answer: str | tuple[int, str], words: str) -> None:
    guest.answers[SYSFS.format(AT[TWO], "size")] = answer
    assert words in fails(system_checks.cmb, guest)


@pytest.mark.parametrize("known", [[], [Bar(AT[TWO], 2, CMB[TWO], SIZE)]])
def test_cmb_that_qemu_does_not_know(guest: FakeGuest, known: list[Bar]) -> None:
    session = session_on("switch-q35", guest)
    session.bars = known
    with pytest.raises(CheckFailed, match=f"{ONE}: QEMU knows no BAR of {SIZE} bytes"):
        system_checks.cmb(session)


def test_drives_without_memory(guest: FakeGuest) -> None:
    session = session_on("testdev", guest)
    for bdf in AT.values():
        guest.answers[f"ls -d /sys/bus/pci/devices/{bdf}/p2pmem"] = ""
    assert system_checks.cmb(session) == f"{ONE} has none, {TWO} has none"
    folder = f"/sys/bus/pci/devices/{AT[TWO]}/p2pmem"
    guest.answers[f"ls -d {folder}"] = f"{folder}\n"
    with pytest.raises(CheckFailed, match=f"{TWO}: there is {folder}, but it should have no"):
        system_checks.cmb(session)


def test_load_module(guest: FakeGuest) -> None:
    guest.lines.append("[ 0.5] WARNING: CPU: 0 PID: 1 at something before")
    passes(system_checks.load_module, guest)


def test_module_does_not_load(guest: FakeGuest) -> None:
    guest.answers["modprobe p2pmem_pci"] = (1, "modprobe: invalid module format\n")
    words = "`modprobe p2pmem_pci` ended with 1: modprobe: invalid module format"
    assert fails(system_checks.load_module, guest) == words


def test_module_loads_with_a_warning(guest: FakeGuest) -> None:
    def load() -> str:
        guest.lines.append("[ 2.0] WARNING: CPU: 0 PID: 61 at p2pmem_probe+0x1")
        return ""

    guest.answers["modprobe p2pmem_pci"] = load
    assert "while loading: [ 2.0] WARNING" in fails(system_checks.load_module, guest)


def test_nodes_whatever_their_order(guest: FakeGuest) -> None:
    swapped = f"p2pmem0 {AT[TWO]} 251:0\np2pmem1 {AT[ONE]} 251:17\n"
    guest.answers[system_checks.LIST_NODES] = swapped
    session = session_on("switch-q35", guest)
    session.nodes = {}
    assert system_checks.nodes(session) == f"/dev/p2pmem1 is {ONE}, /dev/p2pmem0 is {TWO}"


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (NODES.splitlines()[0], "expected ['/dev/p2pmem0', '/dev/p2pmem1'], found"),
        ("", "expected ['/dev/p2pmem0', '/dev/p2pmem1'], found []"),
        (NODES.replace(AT[TWO], AT[ONE]), f"/dev/p2pmem0 both belong to {AT[ONE]}"),
        (NODES.replace(AT[TWO], "0000:00:04.0"), "belongs to 0000:00:04.0, which is none"),
        (NODES.replace("251:17", "251:1"), "/dev/p2pmem1 is 251:17, not 251:1"),
        # Of another class, sorted before the one that has the right number.
        (NODES.splitlines()[0] + f"\n{NODES}", f"/dev/p2pmem0 both belong to {AT[ONE]}"),
        (NODES.replace("p2pmem1", "p2pmem7"), "`stat -c '%F %t:%T' /dev/p2pmem7` ended with 127"),
    ],
)
def test_nodes_amiss(guest: FakeGuest, listing: str, words: str) -> None:
    guest.answers[system_checks.LIST_NODES] = listing
    session = session_on("switch-q35", guest)
    session.nodes = {}
    with pytest.raises(CheckFailed) as caught:
        system_checks.nodes(session)
    assert words in caught.value.message


CARD = "0000:05:00.0"


def session_with_card(guest: FakeGuest, *, size: int = SIZE) -> Session:
    """Return a session whose guest has loaded the module beside an ivshmem device."""
    nodes = f"p2pmem0 {AT[ONE]} 251:0\np2pmem1 {CARD} 251:17\n"
    guest.answers[system_checks.LIST_NODES] = nodes
    guest.answers[SYSFS.format(CARD, "size")] = f"{size}\n1\n"
    session = session_on("ivshmem", guest)
    session.bars = [*session.bars, Bar(CARD, 2, 0xFB000000, SIZE)]
    system_checks.load_module(session)
    return session


def test_node_of_memory_that_the_module_claims(guest: FakeGuest) -> None:
    session = session_with_card(guest)
    assert session.bound == {ONE: "nvme", TWO: "nvme", "shared": "p2pmem_pci"}
    assert system_checks.nodes(session) == f"/dev/p2pmem0 is {ONE}, /dev/p2pmem1 is shared"


def test_memory_that_the_module_does_not_claim(guest: FakeGuest) -> None:
    session = session_with_card(guest)
    guest.answers[system_checks.LIST_NODES] = f"p2pmem0 {AT[ONE]} 251:0\n"
    with pytest.raises(CheckFailed, match=r"expected \['/dev/p2pmem0', '/dev/p2pmem1'\], found"):
        system_checks.nodes(session)


def test_memory_of_another_size_than_the_card_has(guest: FakeGuest) -> None:
    with pytest.raises(CheckFailed, match=f"shared: size is {SIZE // 2} bytes, not {SIZE}"):
        system_checks.nodes(session_with_card(guest, size=SIZE // 2))


def test_memory_that_stays_behind_the_module(guest: FakeGuest) -> None:
    session = session_with_card(guest)
    folder = f"/sys/bus/pci/devices/{CARD}/p2pmem"
    guest.answers[f"ls -d {folder}"] = ""
    assert system_checks.unload_module(session)
    guest.answers[f"ls -d {folder}"] = f"{folder}\n"
    with pytest.raises(CheckFailed, match=f"shared: there is {folder}"):
        system_checks.unload_module(session)


def test_pools_where_no_memory_is_published(guest: FakeGuest) -> None:
    session = session_on("testdev", guest)
    assert system_checks.pools_before(session) == "no memory is published"
    assert system_checks.pools_after(session) == "no memory is published"


def test_node_that_is_no_device(guest: FakeGuest) -> None:
    guest.answers["stat -c '%F %t:%T' /dev/p2pmem1"] = "regular file 0:0\n"
    assert "/dev/p2pmem1 is a regular file" in fails(system_checks.nodes, guest)


def test_pools(guest: FakeGuest) -> None:
    session = passes(system_checks.pools_before, guest)
    assert session.pools == {ONE: SIZE - 131072, TWO: SIZE - 131072}
    assert system_checks.pools_after(session)
    guest.answers[SYSFS.format(AT[TWO], "available")] = f"{SIZE - 131072 - 4096}\n"
    with pytest.raises(CheckFailed, match=r"before: .*; now: "):
        system_checks.pools_after(session)


def test_pools_that_nobody_looked_at_before(guest: FakeGuest) -> None:
    assert "before the copies are not known" in fails(system_checks.pools_after, guest)


def test_unload(guest: FakeGuest) -> None:
    passes(system_checks.unload_module, guest)


def test_modules_from_elsewhere_are_no_fault(guest: FakeGuest) -> None:
    passes(system_checks.untainted, guest)


@pytest.mark.parametrize(("taint", "word"), [(512, "warning"), (4096 + 128, "oops or BUG")])
def test_kernel_that_knows_of_a_fault(guest: FakeGuest, taint: int, word: str) -> None:
    guest.answers["cat /proc/sys/kernel/tainted"] = f"{taint}\n"
    assert fails(system_checks.untainted, guest) == f"taint is {taint}: {word}"


def test_module_does_not_unload(guest: FakeGuest) -> None:
    guest.answers["rmmod p2pmem_pci"] = (1, "rmmod: Resource temporarily unavailable\n")
    assert "ended with 1: rmmod: Resource" in fails(system_checks.unload_module, guest)


def test_devices_left_behind(guest: FakeGuest) -> None:
    guest.answers["ls /dev"] = "console\np2pmem1\n"
    assert fails(system_checks.unload_module, guest) == "devices are left behind: p2pmem1"


def test_shutdown(guest: FakeGuest) -> None:
    assert system_checks.shutdown(session_on("switch-q35", guest)) == "QEMU ended with 0"
    (command,) = guest.commands
    assert command.startswith("run bye poweroff")


def test_a_shutdown_that_a_sysrq_ended_says_so(guest: FakeGuest) -> None:
    said = system_checks.shutdown(session_on("switch-q35", replace(guest, reminded=True)))
    assert "it got a SysRq" in said


@pytest.mark.parametrize(
    ("code", "last", "words"),
    [
        (-9, "[ 9.0] reboot: Power down", "QEMU ended with -9"),
        (1, "[ 9.0] reboot: Power down", "QEMU ended with 1"),
        (0, "[ 9.0] nothing more", "the kernel did not power down"),
    ],
)
def test_shutdown_amiss(guest: FakeGuest, code: int, last: str, words: str) -> None:
    guest = replace(guest, code=code, last_words=last)
    assert words in fails(system_checks.shutdown, guest)


def test_clean_log(guest: FakeGuest) -> None:
    passes(system_checks.clean_log, guest)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "the kernel printed nothing"),
        (["<p2plab=ready>"], "the kernel printed nothing"),
        (["Linux version 6", "x", "BUG: a", "WARNING: b"], "2 complaints, the first: BUG: a"),
    ],
)
def test_log_that_is_not_clean(guest: FakeGuest, lines: list[str], words: str) -> None:
    guest.lines = lines
    assert words in fails(system_checks.clean_log, guest)
