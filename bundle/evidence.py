"""The evidence part of a bundle: what happened when its image was verified."""

import json
import os
import platform
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boot.trace import EVENTS
from bundle.sums import NAME as SUMS
from bundle.sums import write_sums
from host.errors import LabError
from host.files import remove, replacing, sha256_file
from settings.paths import VERDICT_FILE

# What a verification leaves behind, and what of it is kept as it is. qemu.sh is the command.
KEPT = (VERDICT_FILE, "junit.xml", "console.log", "qemu.sh")
TRACE = "trace.json"
HOST = "host.json"
NAMES = frozenset((*KEPT, TRACE, HOST, SUMS))


def write_evidence(run: Path, target: Path, given: Mapping[str, str]) -> None:
    """Write the evidence of one verification; what was at ``target`` is replaced.

    Args:
        run: the folder that the verification left behind.
        target: the evidence folder.
        given: the settings that were typed.

    Raises:
        LabError: the verification left no verdict.
    """
    verdict = _verdict(run)
    with replacing(target) as folder:
        folder.mkdir()
        for name in KEPT:
            if (run / name).exists():  # QEMU may never have started
                shutil.copyfile(run / name, folder / name)
        _write_json(folder / TRACE, trace_summary(verdict, run / "trace.log"))
        _write_json(folder / HOST, host_facts(verdict, given))
        write_sums(folder)
        for path in folder.iterdir():
            path.chmod(0o644)
        folder.chmod(0o755)


def drop_evidence(folder: Path) -> None:
    """Remove the evidence of an earlier verification: it must not be taken for this one's.

    Raises:
        LabError: what is there is something else, or has something else in it.
    """
    if not os.path.lexists(folder):
        return
    folder_of_its_own = folder.is_dir() and not folder.is_symlink()
    names = {path.name for path in folder.iterdir()} if folder_of_its_own else set()
    if HOST not in names or not names <= NAMES:
        raise LabError(
            f"{folder} is in the way: the evidence belongs there, but this is something else",
            hint="move it, or move the bundle to another place",
        )
    remove(folder)


def trace_summary(verdict: Mapping[str, Any], trace: Path) -> dict[str, Any]:
    """Return what QEMU's DMA trace says, in sums: the trace itself is many megabytes."""
    events = Counter[str]()
    if trace.exists():
        with trace.open(encoding="utf-8", errors="replace") as lines:
            events.update(line.split(maxsplit=1)[0] for line in lines if line.strip())
    return {
        "traced_always": list(EVENTS),
        "lines_by_event": dict(sorted(events.items())),
        "sha256": sha256_file(trace) if trace.exists() else "",
        "copies": [
            {
                "copy": f"{item['source']} -> {item['destination']}, {item['memory']}",
                "provider": item["provider"],
                "bytes": item["chunks"] * item["chunk_size"],
                "predicted": item["predicted"],
                "traced_bytes": item["traced_bytes"],
            }
            for item in verdict["copies"]
        ],
    }


def host_facts(verdict: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Return what the verification ran on; settings as they were typed, paths too."""
    return {
        "qemu": verdict["qemu"],
        "accel": verdict["accel"],
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": _system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "settings": dict(given),
    }


def _verdict(run: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads((run / VERDICT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"the verification left no verdict in {run}: {error}") from error
    return data


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
