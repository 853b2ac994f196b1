"""What is recorded of the programs that decide bytes."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from host.errors import LabError, MissingToolError
from host.programs import DECIDING, Program, deciding, describe, in_path
from tests.unit.elf_files import compiled
from tests.unit.fake_dpkg import database


class Machine:
    """Programs of a test, and nothing else in PATH but the shell's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.dpkg = database(folder, monkeypatch)
        monkeypatch.setenv("PATH", f"{self.bin}:{os.environ['PATH']}")

    def program(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_program_with_a_package(machine: Machine) -> None:
    path = machine.program("bc", 'echo; echo "bc 1.07.1"; echo Copyright')
    machine.dpkg.add("bc", "1.07.1-3", path)

    assert describe(["bc"]) == [
        Program(
            name="bc",
            version="bc 1.07.1",
            package="bc",
            package_version="1.07.1-3",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
    ]


def test_link_is_described_by_what_it_points_at_and_called_by_its_name(machine: Machine) -> None:
    source = "#include <stdio.h>\nint main(int c, char **v) { (void)c; puts(v[0]); }\n"
    real = compiled(machine.bin / "x86_64-linux-gnu-mytool-12", source)
    (machine.bin / "mytool").symlink_to(real)
    machine.dpkg.add("mytool-12", "12", real)

    (found,) = describe(["mytool"])

    assert (found.version, found.package) == ("mytool", "mytool-12")


def test_version_does_not_depend_on_language_or_warnings(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    machine.program("make", 'echo "ld.so: cannot preload" >&2; echo "GNU Make 4.3 ($LC_ALL)"')

    assert describe(["make"])[0].version == "GNU Make 4.3 (C)"


def test_version_on_stderr(machine: Machine) -> None:
    machine.program("lz4", 'echo "*** LZ4 v1.9.4 ***" >&2')

    assert describe(["lz4"])[0].version == "*** LZ4 v1.9.4 ***"


def test_compiler_behind_a_launcher(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launchers = tmp_path / "launchers"
    launchers.mkdir()
    ccache = machine.program("ccache", "echo ccache 4")
    (launchers / "gcc").symlink_to(ccache)
    gcc = machine.program("gcc", "echo gcc 12")
    monkeypatch.setenv("PATH", f"{launchers}:{os.environ['PATH']}")

    assert in_path("gcc") == gcc
    assert in_path("ccache") == ccache
    assert describe(["gcc"])[0].version == "gcc 12"


def test_missing_program(machine: Machine) -> None:
    with pytest.raises(MissingToolError, match=r"^nosuchtool is not on this machine"):
        describe(["nosuchtool"])


def test_compiler_without_its_compiler_proper(machine: Machine) -> None:
    machine.program("gcc", "echo cc1")

    with pytest.raises(MissingToolError, match=r"^cc1 is not on this machine"):
        describe(["cc1"])


@pytest.mark.parametrize("script", ["exit 0", "echo version 1; exit 3"])
def test_program_that_does_not_tell_its_version(machine: Machine, script: str) -> None:
    path = machine.program("flex", script)

    with pytest.raises(LabError, match=r"`flex --version` does not tell its version") as caught:
        describe(["flex"])
    assert str(path) in caught.value.hint


def test_library(machine: Machine, tmp_path: Path) -> None:
    library = tmp_path / "libc.a"
    library.write_text("!<arch>\n")
    machine.dpkg.add("libc6-dev", "2.36", library)

    (found,) = describe([], [library])

    assert (found.name, found.version, found.package) == ("libc.a", "", "libc6-dev")
    with pytest.raises(LabError, match=r"cannot read .*libm\.a: No such file"):
        describe([], [tmp_path / "libm.a"])


def test_programs_of_this_machine() -> None:
    """The real ones: every version line is one, and tells no place, day or host."""
    found = {program.name: program for program in describe(DECIDING)}

    assert list(found) == list(DECIDING)
    for program in found.values():
        assert any(character.isdigit() for character in program.version), program
        assert "/" not in program.version
        assert os.uname().nodename not in program.version.split()
    assert found["python3"].version == f"Python {sys.version.split()[0]}"
    assert found["cc1"].version.startswith("GNU C")
    assert found["gcc"].version.startswith("gcc ")
    assert describe(DECIDING) == list(found.values())


def test_variables_of_the_caller_change_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe(("gcc", "cc1", "ld", "make"))
    # cc1 would fail, gcc would call another cc1, make would say more.
    for name, value in {
        "DEPENDENCIES_OUTPUT": "/nowhere/depends",
        "GCC_EXEC_PREFIX": "/nowhere/",
        "MAKEFLAGS": "--debug",
    }.items():
        monkeypatch.setenv(name, value)

    assert describe(("gcc", "cc1", "ld", "make")) == before


def test_program_that_decides_only_where_it_is_there(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.program("pahole", "echo v1.24")

    assert deciding() == (*DECIDING, "pahole")
    (found,) = describe(["pahole"])
    assert found.version == "v1.24"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert deciding() == DECIDING
