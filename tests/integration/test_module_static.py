"""What can be said about the module without running it: compilers, sparse, checkpatch are quiet.

Each of these is also shown to speak, about a fault that is planted into a copy.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from host.tools import require_programs
from kernel.source import read_record
from settings.paths import PROJECT, Workspace

pytestmark = pytest.mark.kernel

MODULE = PROJECT / "p2pmem-pci"


@dataclass(frozen=True)
class Check:
    """One way to look at C code.

    Attributes:
        options: make's.
        fault: what no other of these checks has to find.
        finding: what this one calls it.
    """

    options: tuple[str, ...]
    fault: str
    finding: str


CHECKS = {
    "W=1": Check(
        ("W=1",),
        "static const int p2pmem_planted = 1;",
        r"defined but not used \[-Wunused-const-variable=\]",
    ),
    "sparse": Check(
        ("C=2",),
        "static __maybe_unused void *p2pmem_planted(void __iomem *regs) { return regs; }",
        r"incorrect type in return expression \(different address spaces\)",
    ),
    "analyzer": Check(
        ("KCFLAGS=-fanalyzer",),
        # Not static: of a function that nobody calls the analyzer looks at nothing.
        "int p2pmem_planted(int a); "
        "int p2pmem_planted(int a) { int *p = NULL; if (a) p = &a; return *p; }",
        r"dereference of NULL .* \[-Wanalyzer-null-dereference\]",
    ),
}
every_check = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the module's folder."""
    return shutil.copytree(MODULE, tmp_path / "p2pmem-pci")


def findings(workspace: Workspace, folder: Path, options: tuple[str, ...]) -> list[str]:
    """Build the module of a folder and return every warning."""
    require_programs("sparse")
    done = subprocess.run(
        ["make", "-C", str(folder), f"KDIR={workspace.linux}", *options],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if re.search(r"warning|error", line)]


def test_no_compiler_and_no_checker_complains(workspace: Workspace, copy: Path) -> None:
    every_option = [option for check in CHECKS.values() for option in check.options]
    assert findings(workspace, copy, tuple(every_option)) == []


@every_check
def test_each_checker_finds_its_fault(workspace: Workspace, copy: Path, check: Check) -> None:
    with (copy / "p2pmem_bar.c").open("a") as source:
        source.write(f"{check.fault}\n")
    found = findings(workspace, copy, check.options)
    assert any(re.search(rf"p2pmem_bar\.c.*{check.finding}", line) for line in found), found


def checkpatch(workspace: Workspace, folder: Path) -> list[str]:
    """Return what checkpatch says about the files of a folder."""
    script = read_record(workspace.source_record).tree / "scripts/checkpatch.pl"
    files = sorted(str(path) for path in folder.iterdir() if path.is_file())
    done = subprocess.run(
        ["perl", str(script), "--strict", "--no-tree", "--terse", "-f", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("total:")]


def test_checkpatch_has_nothing_to_say(workspace: Workspace, copy: Path) -> None:
    assert checkpatch(workspace, copy) == []


@pytest.mark.parametrize(
    ("name", "line", "finding"),
    [
        ("p2pmem_bar.c", "static int *p2pmem_planted = NULL;", "do not initialise statics"),
        ("p2pmem.h", "struct p2pmem_planted {int bar;};", "spaces? required"),
        ("Makefile", "planted:   ", "trailing whitespace"),
        ("p2pmem.rst", "planted   ", "trailing whitespace"),
    ],
)
def test_checkpatch_finds_a_fault(
    workspace: Workspace, copy: Path, name: str, line: str, finding: str
) -> None:
    with (copy / name).open("a") as source:
        source.write(f"{line}\n")
    found = checkpatch(workspace, copy)
    assert any(re.search(rf"{name}.*{finding}", text) for text in found), found


def malformed(document: Path) -> str:
    """Return what docutils says about a document; empty if it is well-formed."""
    require_programs("rst2html")
    argv = ["rst2html", "--strict", str(document), str(document.with_suffix(".html"))]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stderr


def test_the_documentation_is_well_formed(copy: Path) -> None:
    assert malformed(copy / "p2pmem.rst") == ""


def test_a_document_that_is_not_is_noticed(copy: Path) -> None:
    document = copy / "p2pmem.rst"
    text, title = document.read_text(), "Attributes\n==========\n"
    assert title in text
    document.write_text(text.replace(title, "Attributes\n====\n"))
    assert "Title underline too short" in malformed(document)
