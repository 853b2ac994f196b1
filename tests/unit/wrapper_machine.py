"""A pretended machine for ./doit: stand-ins for Python, pip, apt-get and sudo that keep a log."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What ./doit itself calls, taken from the real system.
BASE_TOOLS = (
    *("cat", "chmod", "cp", "env", "flock", "grep", "head", "ln", "mkdir", "mv", "readlink"),
    *("rm", "rmdir", "sha256sum", "sleep", "true"),
)

STUB = "#!/bin/sh\nexit 0\n"

PYTHON = """\
#!/bin/sh
# Stands for python3 and, copied by "-m venv", for the environment's python.
case "$1 $2" in
"-c "*version_info*) [ ! -e "$STATE/python-is-old" ] ;;
"-c "*realpath*) echo "$0" ;;
"-c import ensurepip") [ -e "$STATE/ensurepip" ] ;;
"--version ") echo "Python 3.9.2" ;;
"-m venv")
    echo "venv ${3##*/}" >>"$STATE/calls"
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
    ;;
"-m pip")
    mkdir "$STATE/pip-runs" || { echo "two pips at once" >>"$STATE/calls"; exit 1; }
    echo "$*" >>"$STATE/calls"
    [ ! -e "$STATE/pip-takes-time" ] || sleep 0.3
    [ ! -e "$STATE/pip-hangs" ] || sleep 60
    rmdir "$STATE/pip-runs"
    [ ! -e "$STATE/pip-fails" ] || exit 1
    cp "$STATE/doit" "${0%/*}/doit"
    ;;
*) echo "unexpected: $*" >>"$STATE/calls"; exit 1 ;;
esac
"""

# Takes the place of doit in the environment: tells how it was called.
DOIT = """\
#!/bin/sh
echo "cwd=$PWD"
echo "from=$P2PLAB_INVOKED_FROM"
echo "pythonpath=${PYTHONPATH-unset}"
for argument; do echo "arg=$argument"; done
exit 7
"""

# Knows the packages in $STATE/index; "update" brings in those of $STATE/mirror.
APT_GET = """\
#!/bin/sh
echo "apt-get $*" >>"$STATE/calls"
case " $* " in
*" update "*) [ ! -e "$STATE/mirror" ] || mv "$STATE/mirror" "$STATE/index"; exit ;;
esac
for word; do
    case $word in
    -* | install | DPkg::*) ;;
    *) [ -d "$STATE/index/$word" ] || { echo "E: Unable to locate package $word"; exit 100; } ;;
    esac
done
case " $* " in
*" --simulate "*) exit ;;
esac
for word; do
    [ ! -d "$STATE/index/$word" ] || cp "$STATE/index/$word"/* "$BIN"
done
"""

SUDO = """\
#!/bin/sh
echo "sudo $1" >>"$STATE/calls"
if [ "$1" = -n ]; then
    [ ! -e "$STATE/sudo-asks" ] || exit 1
    shift
fi
exec "$@"
"""


def write_program(path: Path, text: str = STUB) -> None:
    """Puts an executable script at ``path``."""
    path.write_text(text)
    path.chmod(0o755)


@dataclass(frozen=True)
class Machine:
    """A checkout, the directory that is its whole PATH, and the state of the stand-ins."""

    checkout: Path
    bin: Path
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "STATE": str(self.state),
            "BIN": str(self.bin),
            "HOME": str(self.state),
        }

    def start(
        self, *arguments: str, wrapper: Path | None = None, cwd: Path | None = None, **extra: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(wrapper or self.checkout / "doit"), *arguments],
            cwd=cwd or self.checkout,
            env=self.environment | extra,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *arguments: str, wrapper: Path | None = None, cwd: Path | None = None, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, wrapper=wrapper, cwd=cwd, **extra)
        output, errors = process.communicate(timeout=30)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def set(self, flag: str) -> None:
        (self.state / flag).touch()

    def unset(self, flag: str) -> None:
        (self.state / flag).unlink()

    def calls(self, program: str) -> list[str]:
        log = self.state / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.startswith(program)]

    def remove_tool(self, name: str) -> None:
        (self.bin / name).unlink()

    def add_apt(self, *, uid: int, index: str = "index") -> None:
        write_program(self.bin / "apt-get", APT_GET)
        write_program(self.bin / "id", f"#!/bin/sh\necho {uid}\n")
        package = self.state / index / "qemu-system-x86"
        package.mkdir(parents=True)
        write_program(package / "qemu-system-x86_64")


def install_needs(table: Path, binaries: Path, sysroot: Path) -> None:
    """Provides everything that the table asks for; moves its file probes below ``sysroot``."""
    lines = []
    for line in table.read_text().splitlines():
        probe = line.split()[0] if line and not line.startswith("#") else ""
        kind, _, name = probe.partition(":")
        if kind == "file":
            file = sysroot / Path(name.split(",")[-1]).name
            file.touch()
            line = line.replace(probe, f"file:/nonexistent/file,{file}")
        elif kind in ("cmd", "static") and not (binaries / name).exists():
            write_program(binaries / name)
        lines.append(line)
    table.write_text("\n".join(lines) + "\n")


def pretend_machine(directory: Path) -> Machine:
    """Make a machine with all that the table asks for, but without any package manager."""
    checkout, binaries, state = (directory / name for name in ("my lab", "bin", "state"))
    for made in (checkout / "host", binaries, state):
        made.mkdir(parents=True)
    shutil.copy(ROOT / "doit", checkout)
    shutil.copy(ROOT / "host/tools.txt", checkout / "host")
    (checkout / "requirements.lock").write_text("doit==1 --hash=sha256:00\n")
    for name in BASE_TOOLS:
        path = shutil.which(name)
        assert path, f"the test needs {name}"
        (binaries / name).symlink_to(path)
    write_program(binaries / "python3", PYTHON)
    write_program(state / "doit", DOIT)
    (state / "ensurepip").touch()
    install_needs(checkout / "host/tools.txt", binaries, state)
    return Machine(checkout, binaries, state)
