"""KVM or TCG: decided by booting a guest, because ``/dev/kvm`` proves nothing.

The device may exist and open, and still no guest gets further than its firmware. So the lab's own
kernel and root file system are booted once with KVM; what came of it is remembered for this
machine, this QEMU and this CPU model.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from boot.console import GuestEnded
from boot.machine import QemuFailed, running
from boot.outcome import Outcome
from boot.qemu import QEMU, SERVE, Vm
from host.errors import LabError
from host.files import write_text
from host.process import output_of

KVM = Path("/dev/kvm")
PROBE_TIMEOUT = 10.0  # seconds; with a working KVM the guest is up in about one


def resolve(asked: str, vm: Vm, folder: Path, cache: Path, say: Callable[[str], None]) -> str:
    """Return ``kvm`` or ``tcg`` for a guest that is about to be booted.

    Args:
        asked: the setting: ``auto``, ``kvm`` or ``tcg``.
        vm: the guest; its own ``accel`` and kernel arguments are not looked at.
        folder: where the probe keeps its log.
        cache: the file that remembers results.
        say: gets a line before and after a probe.

    Raises:
        LabError: KVM was asked for and is not accessible.
    """
    if asked == "tcg":
        return "tcg"
    usable = os.access(KVM, os.R_OK | os.W_OK)
    if asked == "kvm":
        if not usable:
            raise LabError(f"accel=kvm: {KVM} cannot be opened", hint="use accel=tcg or auto")
        return "kvm"
    if not usable:
        return "tcg"
    return _remembered(vm, folder, cache, say)


def _remembered(vm: Vm, folder: Path, cache: Path, say: Callable[[str], None]) -> str:
    results = _read(cache)
    key = _key(vm)
    if key not in results:
        say(f"accel=auto: {KVM} exists; trying once whether a guest runs under it (up to 30 s)")
        probe = replace(vm, accel="kvm", kernel_arguments=SERVE, extra=())
        reason = _probe(probe, folder)
        results[key] = "tcg" if reason else "kvm"
        write_text(cache, json.dumps(results, indent=1, sort_keys=True) + "\n")
        say(f"accel=auto: no, using TCG: {reason}" if reason else "accel=auto: yes, using KVM")
    return results[key]


def _probe(vm: Vm, folder: Path) -> str:
    """Boot once; return an empty string if the guest came up, else why not."""
    try:
        with running(vm, folder) as guest:
            guest.console.wait_ready(PROBE_TIMEOUT)
    except (GuestEnded, QemuFailed) as error:
        if isinstance(error, GuestEnded) and error.outcome in (Outcome.OOPS, Outcome.PANIC):
            return ""  # a kernel that has come so far runs, whatever it is worth
        return error.message.splitlines()[0][:200]
    return ""


def _read(cache: Path) -> dict[str, str]:
    try:
        results = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a lost cache costs one probe
    if not isinstance(results, dict):
        return {}
    return {key: value for key, value in results.items() if value in ("kvm", "tcg")}


def _key(vm: Vm) -> str:
    """Name what the result depends on: host kernel, processor, QEMU, the guest's CPU model."""
    version = output_of([QEMU, "--version"]).split("\n", 1)[0]
    processor = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
    model = [line for line in processor.splitlines() if line.startswith("model name")]
    parts = (platform.release(), *model, version, vm.cpu)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
