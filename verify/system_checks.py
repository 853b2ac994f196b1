"""Checks of the system around the copies: drives, PCI tree, CMBs, module, log, shutdown."""

import re
from collections.abc import Collection, Iterable

from boot.kernel_log import complaints
from boot.listing import expected_functions
from boot.machine import Guest
from boot.policy import Processor
from boot.topology import MODULE, NVME_DRIVER, Provider
from verify.check import CheckFailed, require
from verify.drivers import with_module
from verify.session import Drive, Session

# Bits of /proc/sys/kernel/tainted: Documentation/admin-guide/tainted-kernels.rst. The others say
# what kind of code is loaded.
FAULT_TAINTS = {
    4: "machine check",
    5: "bad page",
    7: "oops or BUG",
    9: "warning",
    14: "soft lockup",
}
LIST_DRIVES = (
    "for c in /sys/class/nvme/nvme*; do "
    "echo $(cat $c/serial) $(basename $(readlink -f $c/device)) $(basename $c/nvme*n*); done"
)
LIST_FUNCTIONS = (
    "for d in /sys/bus/pci/devices/*; do "
    "echo $(readlink -f $d) $(cat $d/vendor) $(cat $d/device); done"
)
LIST_NODES = (
    # Whatever the class is called: a user's own module may have another one than ours.
    "for d in /sys/class/*/p2pmem*; do [ -e $d/dev ] || continue; "
    "echo ${d##*/} $(basename $(readlink -f $d/device || echo none)) $(cat $d/dev); done"
)


def boot(session: Session) -> str:
    """The guest comes up; QEMU then knows where firmware placed the BARs."""
    session.guest.console.wait_ready(session.timeouts.boot)
    session.bars = session.guest.qmp.bars()
    cpuinfo = session.run("cat /proc/cpuinfo")
    session.processor = _processor(cpuinfo)
    release = session.run("uname -r").strip()
    require(release == session.release, f"Linux {release} runs, but {session.release} was built")
    processor = session.processor
    return f"Linux {release} on {processor.vendor} family {processor.family:#x}"


def drives(session: Session) -> str:
    """All drives are there, found by serial number: NVMe numbering changes from boot to boot."""
    session.drives = found_drives(session)
    return ", ".join(f"{drive.serial} is {drive.block}" for drive in session.drives.values())


def found_drives(session: Session) -> dict[str, Drive]:
    """Return the drives that ``nvme`` has to have by now, by serial.

    Raises:
        CheckFailed: one is not there, or not where it should be.
    """
    found = {}
    for line in session.run(LIST_DRIVES).splitlines():
        words = line.split()
        if len(words) == 3:
            found[words[0]] = Drive(words[0], words[1], f"/dev/{words[2]}")
    for drive in session.topology.drives:
        if session.bound.get(drive.serial) != NVME_DRIVER:
            continue
        require(drive.serial in found, f"no drive with serial {drive.serial}; found: {list(found)}")
        bdf, expected = found[drive.serial].bdf, session.function(drive.serial).bdf
        require(bdf == expected, f"drive {drive.serial} is at {bdf}, not at {expected}")
    return found


def pci_tree(session: Session) -> str:
    """Every function sits where the topology puts it, and is what it should be."""
    seen = {}
    for line in session.run(LIST_FUNCTIONS).splitlines():
        path, vendor, device = line.split()
        seen[path.removeprefix("/sys/devices/")] = f"{vendor[2:]}:{device[2:]}"
    expected = expected_functions(session.topology)
    for function in expected:
        actual = seen.get(function.path)
        require(
            actual == function.pci_id,
            f"{function.name}: expected {function.pci_id} at {function.path}, "
            f"found {actual or 'nothing'}",
        )
    return ", ".join(f"{item.name} {item.bdf}" for item in expected)


def cmb(session: Session) -> str:
    """The memory of each drive that has some is ready for peer-to-peer DMA."""
    for drive in session.topology.drives:
        if drive.provider:
            require_registered(session, drive.provider)
        else:
            require_none_registered(session, drive.name)
    return ", ".join(
        f"{drive.name} {drive.cmb_mib} MiB" if drive.cmb_mib else f"{drive.name} has none"
        for drive in session.topology.drives
    )


def require_registered(session: Session, provider: Provider) -> None:
    """See that a provider's memory is registered for peer-to-peer DMA, published, of its size.

    Raises:
        CheckFailed: it is not, or QEMU knows no such BAR.
    """
    where = session.attribute(provider.name, "p2pmem/")
    size, published = session.run(f"cat {where}size {where}published").split()
    require(
        int(size) == provider.size,
        f"{provider.name}: size is {size} bytes, not {provider.size}",
    )
    require(published == "1", f"{provider.name}: the memory is registered but not published")
    # Without its BAR the DMA trace could not tell this memory from RAM.
    bdf = session.function(provider.name).bdf
    known = [bar for bar in session.bars if bar.bdf == bdf and bar.size == int(size)]
    require(known, f"{provider.name}: QEMU knows no BAR of {size} bytes at {bdf}")


def require_none_registered(session: Session, function: str) -> None:
    """See that a function has no memory for peer-to-peer DMA, or none any more.

    Raises:
        CheckFailed: it has.
    """
    folder = session.attribute(function, "p2pmem")
    left = session.run(f"ls -d {folder} 2>/dev/null || true").strip()
    require(not left, f"{function}: there is {left}, but it should have no memory")


def load_module(session: Session) -> str:
    """The module loads, and the kernel has nothing to complain about meanwhile."""
    before = len(session.guest.log.lines)
    session.run(f"modprobe {session.module}")
    found = complaints(session.guest.log.lines[before:])
    require(not found, f"while loading: {found[0].line if found else ''}")
    session.bound = with_module(session.topology)
    return "loaded"


def nodes(session: Session) -> str:
    """There is a character device for each provider, and it belongs to that function."""
    for provider in session.published:
        if provider.driver == MODULE:
            require_registered(session, provider)
    session.nodes = found_nodes(session)
    wanted = {f"/dev/p2pmem{number}" for number in range(len(session.published))}
    found = set(session.nodes.values())
    require(found == wanted, f"expected {sorted(wanted)}, found {sorted(found)}")
    return ", ".join(f"{node} is {name}" for name, node in sorted(session.nodes.items()))


def found_nodes(session: Session, known: Collection[str] = ()) -> dict[str, str]:
    """Return the ``/dev/p2pmemN`` that are there, by provider; ``known`` ones were looked at.

    Raises:
        CheckFailed: one is no such device, or belongs to none of the providers, or two to one.
    """
    found: dict[str, str] = {}
    by_bdf = {session.function(item.name).bdf: item.name for item in session.published}
    for line in session.run(LIST_NODES).splitlines():
        name, bdf, numbers = line.split()
        if f"/dev/{name}" not in known:
            _require_device(session, name, numbers)
        require(bdf != "none", f"/dev/{name} has no `device` in sysfs: whose memory is it?")
        require(bdf in by_bdf, f"/dev/{name} belongs to {bdf}, which is none of the providers")
        other = found.get(by_bdf[bdf])
        require(other is None, f"/dev/{name} and {other} both belong to {bdf}")
        found[by_bdf[bdf]] = f"/dev/{name}"
    return found


def _require_device(session: Session, name: str, numbers: str) -> None:
    device = session.run(f"stat -c '%F %t:%T' /dev/{name}").strip()
    kind, _, actual = device.rpartition(" ")
    require(kind == "character special file", f"/dev/{name} is a {kind}")
    major, minor = (int(number, 16) for number in actual.split(":"))
    require(f"{major}:{minor}" == numbers, f"/dev/{name} is {major}:{minor}, not {numbers}")


def pools_before(session: Session) -> str:
    """Note how much memory of each provider is free before the copies."""
    session.pools = available(session, session.published)
    return _shown(session.pools)


def pools_after(session: Session) -> str:
    """As much memory of each provider is free as before the copies: nothing leaked."""
    now = available(session, session.published)
    require(now.keys() == session.pools.keys(), "the pools before the copies are not known")
    require(now == session.pools, f"before: {_shown(session.pools)}; now: {_shown(now)}")
    return _shown(now)


def unload_module(session: Session) -> str:
    """The module unloads and its devices are gone."""
    session.run(f"rmmod {session.module}")
    left = session.run("ls /dev").split()
    remaining = [name for name in left if name.startswith("p2pmem")]
    require(not remaining, f"devices are left behind: {', '.join(remaining)}")
    for function in [name for name, driver in session.bound.items() if driver == MODULE]:
        require_none_registered(session, function)
    return "unloaded"


def untainted(session: Session) -> str:
    """The kernel has noted no fault of its own, also none that the console did not show."""
    taint = int(session.run("cat /proc/sys/kernel/tainted"))
    faults = [name for bit, name in FAULT_TAINTS.items() if taint >> bit & 1]
    require(not faults, f"taint is {taint}: {', '.join(faults)}")
    return f"taint is {taint}"


def shutdown(session: Session) -> str:
    """The guest powers off and QEMU ends by itself, with 0."""
    return power_off(session.guest, session.timeouts.shutdown)


def power_off(guest: Guest, timeout: float) -> str:
    """Let a guest power off; see that it does, and that QEMU then ends by itself, with 0.

    Returns what was seen.

    Raises:
        CheckFailed: it ended otherwise.
        GuestEnded: it did not go down within ``timeout`` seconds.
        QemuFailed: QEMU still runs.
    """
    guest.console.send("run bye poweroff -f")
    asked = guest.console.drain(timeout)
    code = guest.wait_exit()
    require(code == 0, f"QEMU ended with {code}")
    # A guest that resets itself (a triple fault) ends QEMU with 0 too.
    down = [line for line in guest.log.lines if "reboot: Power down" in line]
    require(down, "QEMU ended with 0, but the kernel did not power down")
    reminded = ", but took so long that it got a SysRq: the console log has what it waited for"
    return f"QEMU ended with 0{reminded if asked else ''}"


def clean_log(session: Session) -> str:
    """There is no oops, WARN or BUG anywhere in the console log."""
    lines = session.guest.log.lines
    # A kernel that prints nothing (or not here) has nothing to complain about.
    require(any("Linux version" in line for line in lines), "the kernel printed nothing")
    found = complaints(lines)
    if found:
        raise CheckFailed(f"{len(found)} complaints, the first: {found[0].line}")
    return f"{len(lines)} lines"


def _processor(cpuinfo: str) -> Processor:
    vendor = re.search(r"^vendor_id\s*:\s*(\S+)", cpuinfo, re.M)
    family = re.search(r"^cpu family\s*:\s*(\d+)", cpuinfo, re.M)
    if not vendor or not family:
        raise CheckFailed("/proc/cpuinfo has no vendor_id and cpu family")
    return Processor(vendor[1], int(family[1]))


def available(session: Session, providers: Iterable[Provider]) -> dict[str, int]:
    """Return how many bytes of each of these are free, by name."""
    return {
        item.name: int(session.run(f"cat {session.attribute(item.name, 'p2pmem/available')}"))
        for item in providers
    }


def _shown(pools: dict[str, int]) -> str:
    if not pools:
        return "no memory is published"
    return ", ".join(f"{name} {size} bytes free" for name, size in sorted(pools.items()))
