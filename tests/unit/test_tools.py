"""The table of host tools, as Python reads it."""

import os
import shutil
from pathlib import Path

import pytest

from host.errors import MissingToolError
from host.tools import ADMIN, TABLE, missing_tool, read_table, require_programs
from kernel.task import BUILD_TOOLS


def test_lines_of_the_table(tmp_path: Path) -> None:
    table = tmp_path / "tools.txt"
    table.write_text(
        "# comment\n\ncmd:bc build bc1 bc2 bc3  kernel build: timeconst.h\nfile:/a,/b run d f a w\n"
    )

    one, two = read_table(table)

    assert (one.command, one.debian, one.fedora, one.arch) == ("bc", "bc1", "bc2", "bc3")
    assert (one.work, two.work) == ("build", "run")
    assert one.why == "kernel build: timeconst.h"
    assert two.command == ""


def test_missing_tool_names_packages_and_remedy() -> None:
    error = missing_tool("/usr/bin/bison")

    assert error.message == "bison is not on this machine (kernel build: Kconfig parser)"
    assert error.hint == (
        "run ./doit, or install the package bison (Debian), bison (Fedora) or bison (Arch)"
    )
    assert error.exit_code == 69


def test_static_tool_is_found_in_the_table_as_well() -> None:
    assert "busybox-static (Debian)" in missing_tool("busybox").hint


def test_tool_that_nobody_packages() -> None:
    assert str(missing_tool("nosuchtool")) == "nosuchtool is not on this machine"


def test_require_names_the_first_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_programs("sh", "cat")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingToolError, match=r"^flex is not"):
        require_programs("flex", "bison")


def test_every_tool_that_the_build_asks_for_is_in_the_table() -> None:
    works = {need.command: need.work for need in read_table(TABLE)}

    assert {works[name] for name in (*BUILD_TOOLS, "busybox", "lz4")} == {"build"}
    assert works["qemu-system-x86_64"] == "run"


def test_no_command_is_probed_where_an_ordinary_user_does_not_look() -> None:
    """Installed or not, it would be missing for ever; a file is probed where it is."""
    everybodys = os.pathsep.join(set(os.get_exec_path()) - set(ADMIN))
    hidden = [
        need.command
        for need in read_table(TABLE)
        if need.command
        and shutil.which(need.command, path=os.pathsep.join(ADMIN))
        and not shutil.which(need.command, path=everybodys)
    ]
    assert hidden == []
