"""Stand-ins for QEMU: one that only speaks QMP on a socket, and a program of that name."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from boot.qemu import Vm
from boot.topology import load_topology
from settings.paths import CONFIGS

GREETING: dict[str, Any] = {"QMP": {"version": {}, "capabilities": []}}
READY: dict[str, Any] = {"return": {}}
# Connects to the sockets of its command line, in order, as QEMU does; then {behaviour}.
PROGRAM = """#!{python} -SE
import json, socket, sys, time
if "--version" in sys.argv:
    print("QEMU emulator version 7.2.22\\nCopyright")
    sys.exit()
def dial(name):
    option = next(w for w in sys.argv if w.startswith(f"socket,id={{name}},"))
    end = socket.socket(socket.AF_UNIX)
    end.connect(option.partition("path=")[2])
    return end
def words(end, *messages):
    end.sendall("".join(json.dumps(m) + "\\n" for m in messages).encode())
{behaviour}
"""
FAILS_AT_ONCE = 'print("qemu: unknown machine", file=sys.stderr)\nsys.exit(1)'
FAILS_AT_ITS_DEVICES = """
console, qmp = dial("console"), dial("qmp")
words(qmp, {"QMP": {}})
print("qemu: no such drive", file=sys.stderr)
sys.exit(1)
"""
BOOTS = """
console, qmp = dial("console"), dial("qmp")
words(qmp, {"QMP": {}}, {"return": {}})
console.sendall(b"<p2plab=ready>\\n")
time.sleep(60)
"""
ENDS_AFTER_ITS_GREETING = """
console, qmp = dial("console"), dial("qmp")
words(qmp, {"QMP": {}}, {"return": {}})
qmp.recv(4096)
console.sendall(b"[ 1.0] Linux version 6.3.2\\n")
"""
PANICS = ENDS_AFTER_ITS_GREETING + 'console.sendall(b"Kernel panic - not syncing: x\\n")\n'


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str) -> None:
    """Put a stand-in for QEMU first on the PATH."""
    folder.mkdir(exist_ok=True)
    program = folder / "qemu-system-x86_64"
    program.write_text(PROGRAM.format(python=sys.executable, behaviour=behaviour))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def vm(accel: str = "tcg") -> Vm:
    """Return a guest whose files do not exist."""
    return Vm(
        topology=load_topology(CONFIGS / "topologies/switch-q35.toml"),
        kernel=Path("/nowhere/bzImage"),
        initramfs=Path("/nowhere/initramfs"),
        drives={"d00d0001": Path("/nowhere/1"), "d00d0002": Path("/nowhere/2")},
        accel=accel,
        cpu="qemu64",
        console=(),
    )


def said(*messages: dict[str, Any]) -> bytes:
    """Return QMP messages as they stand on the wire."""
    return "".join(json.dumps(message) + "\r\n" for message in messages).encode()
