"""Programs that run with another C library than the machine's: here a second copy of its own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from compat.runnable import LIBRARIES, LOADER, make_runnable
from host.errors import LabError

OF_MACHINE = Path("/lib64") / LOADER


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with a C library, a program, a link to it, a script and a library."""
    libraries, programs = tmp_path / LIBRARIES[1], tmp_path / "usr/bin"
    for folder in (libraries, programs):
        folder.mkdir(parents=True)
    shutil.copy(OF_MACHINE, libraries)
    for name in ("libc.so.6",):
        shutil.copy(OF_MACHINE.resolve().parent / name, libraries)
    source = tmp_path / "main.c"
    source.write_text(
        "#include <stdio.h>\n"
        'int main(int n, char **a) { FILE *f = fopen("/proc/self/maps", "r"); char t[4096];\n'
        'puts(a[0]); puts(n > 1 ? a[1] : "-"); while (fgets(t, 4096, f)) fputs(t, stdout); }\n'
    )
    program = programs / "x86-as"
    subprocess.run(["gcc", "-o", program, source], check=True)
    (programs / "as").symlink_to("x86-as")
    (programs / "script").write_text("#!/bin/sh\n")
    shutil.copy(program, programs / "plugin.so")
    for name in ("script", "plugin.so"):
        (programs / name).chmod(0o755)
    return tmp_path


def test_program_runs_with_the_libraries_beside_it(root: Path) -> None:
    assert make_runnable(root) == 1

    called = root / "usr/bin/as"
    done = subprocess.run([called, "a b"], check=True, capture_output=True, text=True)
    name, argument, *maps = done.stdout.splitlines()

    # By its own name, from which a compiler finds its other parts.
    assert (name, argument) == (str(called), "a b")
    used = {line.split()[-1] for line in maps if "libc.so" in line}
    assert used == {str(root / LIBRARIES[1] / "libc.so.6")}


def test_second_time_changes_nothing(root: Path) -> None:
    make_runnable(root)
    script = (root / "usr/bin/x86-as").read_text()

    assert make_runnable(root) == 0
    assert (root / "usr/bin/x86-as").read_text() == script
    assert (root / "usr/bin/script").read_text() == "#!/bin/sh\n"


def test_root_without_a_c_library(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="its programs cannot be run"):
        make_runnable(tmp_path)
