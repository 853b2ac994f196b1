"""The tool's folder for those who package it: compilers, manual page, install, completion."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest

from tests.unit.p2pmem_tool import DRIVES, SOURCE, Tool, make

pytest_plugins = ["tests.unit.p2pmem_fixtures"]

MAN = SOURCE / "p2pmem-test.1"


# --- compilers -------------------------------------------------------------------


@pytest.mark.parametrize("words", [("CC=clang",), ("CFLAGS=-O2 -fanalyzer",)])
def test_no_warnings(tmp_path: Path, words: tuple[str, ...]) -> None:
    """What gcc's analyzer and clang have to say; -Wall, -Wextra, -Wconversion are always on."""
    assert make(tmp_path / "out", *words).exists()


def test_warnings_stop_the_build(tmp_path: Path) -> None:
    """A sign conversion, and a leak that only the analyzer sees, are told."""
    source = tmp_path / "source"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("*.o", "*.d"))
    with (source / "size.c").open("a") as file:
        file.write("#include <stdlib.h>\nint leak(int n);\n")
        file.write("int leak(int n)\n{\n\tchar *p = malloc(8);\n\n\treturn p ? n : 0;\n}\n")
    with pytest.raises(subprocess.CalledProcessError):
        make(tmp_path / "analyzed", "CFLAGS=-O2 -fanalyzer", source=source)
    assert make(tmp_path / "plain", source=source).exists()
    with (source / "size.c").open("a") as file:
        file.write("unsigned int cut(long n);\nunsigned int cut(long n)\n{\n\treturn n;\n}\n")
    with pytest.raises(subprocess.CalledProcessError):
        make(tmp_path / "plain", source=source)


# --- manual page -----------------------------------------------------------------


def warnings_of(page: Path) -> str:
    done = subprocess.run(
        ["man", "--warnings=w", "-E", "UTF-8", "-l", page],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_STDERR": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stderr


def test_manual_page_is_well_formed(tmp_path: Path) -> None:
    """Groff has nothing to complain about; a mistake is seen."""
    assert warnings_of(MAN) == ""
    wrong = tmp_path / "wrong.1"
    wrong.write_text(MAN.read_text() + ".TQQ\n\\fZunknown font\n")
    assert "TQQ" in warnings_of(wrong)


def test_manual_page_is_complete(tool: Tool) -> None:
    """Each member of the JSON object, each exit code and each reason of --force is explained."""
    page = re.sub(r"\\f[BIR]|\\", "", MAN.read_text())
    report = tool.json(*DRIVES, "-c1")
    names = [*report, *report["arguments"], *report["seconds"], *report["overwrites"][0]]
    names += report["latency_ns"]["read"]
    assert {name for name in names if not re.search(rf"\b{name}\b", page)} == set()
    header = (SOURCE / "outcome.h").read_text()
    codes = re.findall(r"STATUS_\w+ = (\d+),\n", header)
    assert len(codes) == 6
    for code in (*codes, "129, 130, 143"):
        assert f".B {code}\n" in page
    words = re.search(r"not a list of (.*)\"", (SOURCE / "use.c").read_text())
    assert words
    for word in words[1].split(", "):
        assert f".B {word}\n" in page


# --- install ---------------------------------------------------------------------


def installed(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): path.stat().st_mode & 0o777
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(("prefix", "below"), [((), "usr/local"), (("PREFIX=/opt/x",), "opt/x")])
def test_install_and_uninstall(tmp_path: Path, prefix: tuple[str, ...], below: str) -> None:
    """Below DESTDIR and PREFIX, with the right modes; uninstall removes just that."""
    root = tmp_path / "root"
    other = root / below / "bin/other"
    other.parent.mkdir(parents=True)
    other.write_text("")
    words = (f"DESTDIR={root}", *prefix)
    make(tmp_path / "out", "install", *words)
    files = installed(root)
    del files[f"{below}/bin/other"]
    assert files == {
        f"{below}/bin/p2pmem-test": 0o755,
        f"{below}/share/man/man1/p2pmem-test.1": 0o644,
        f"{below}/share/bash-completion/completions/p2pmem-test": 0o644,
    }
    version = subprocess.run(
        [root / below / "bin/p2pmem-test", "--version"], capture_output=True, check=True
    )
    assert version.stdout.startswith(b"p2pmem-test ")
    make(tmp_path / "out", "uninstall", *words)
    assert list(installed(root)) == [f"{below}/bin/other"]


# --- completion ------------------------------------------------------------------


def completed(tool: Tool, line: str) -> list[str]:
    """Return the words of a line after an interactive bash has completed its last one.

    The key runs "insert-completions", which puts all that is offered into the line; the line is
    then made the argument of an echo.
    """
    setup = [
        "bind 'set bell-style none' '\"\\C-t\": insert-completions'",
        f"PATH={shlex.quote(str(tool.program.parent))}:$PATH",
        f". {shlex.quote(str(SOURCE / 'p2pmem-test.bash'))}",
        f"cd {shlex.quote(str(tool.folder))}",
    ]
    shell = pexpect.spawn(
        "bash", ["--norc", "--noprofile", "-i"], encoding="utf-8", timeout=60,
        dimensions=(24, 2000), env={**os.environ, "TERM": "dumb", "INPUTRC": "/dev/null"},
    )  # fmt: skip
    for command in setup:
        shell.sendline(command)
    # Ctrl-A and Ctrl-E: to the line's begin and end.
    shell.sendline(f"{line}\x14\x01echo '<'[ \x05 ]'>'")
    shell.expect(r"<\[ (.*) \]>\r?\n")
    assert isinstance(shell.match, re.Match)
    words: list[str] = shell.match[1].split()
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.close()
    return words


def test_completion_of_options(tool: Tool) -> None:
    """Every long option of the help, none else; '=' where the value has to follow it."""
    text = tool.run("--help").stdout
    options = set(re.findall(r"(?<=[ ,])--[a-z][\w-]*", text))
    words = completed(tool, "p2pmem-test a.img --")
    assert words[:2] == ["p2pmem-test", "a.img"]
    assert {word.rstrip("=") for word in words[2:]} == options
    assert "--force=" in words
    assert completed(tool, "p2pmem-test --iod") == ["p2pmem-test", "--iodepth"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [("--iodepth ", ["1", "16", "4", "64"]), ("-s 6", ["64k"]), ("-c1 -D 1", ["10"]),
     ("--threads=", ["1", "2", "4", "8"]), ("--host_access -", ["-1", "-2", "-4", "-8"])],
)  # fmt: skip
def test_completion_of_values(tool: Tool, line: str, offered: list[str]) -> None:
    words = completed(tool, f"p2pmem-test {line}")
    assert words[-len(offered) :] in (offered, [f"--threads={offered[0]}", *offered[1:]])


@pytest.mark.parametrize(
    ("line", "offered"),
    [("--force=h", ["--force=held"]), ("--force mo", ["mounted"]),
     ("--force=root,sw", ["--force=root,swap"])],
)  # fmt: skip
def test_completion_of_reasons(tool: Tool, line: str, offered: list[str]) -> None:
    """Also of the last one in a list."""
    assert completed(tool, f"p2pmem-test {line}")[1:][-1:] == offered


def test_completion_of_files(tool: Tool) -> None:
    """Files, since a drive may be one; what follows a value is a file again."""
    assert completed(tool, "p2pmem-test a.")[1:] == ["a.img"]
    assert completed(tool, "p2pmem-test a.img --iodepth 4 b.")[-1] == "b.img"
