"""The rules of the module's sources that no compiler knows."""

import re
import subprocess
from pathlib import Path

import pytest

from settings.paths import PROJECT

MODULE = PROJECT / "p2pmem-pci"
COMPAT = "p2pmem_compat.h"
SOURCES = sorted(MODULE.glob("*.[ch]"))


def conditions(text: str) -> list[str]:
    """Return all conditions of the preprocessor, except that which keeps a header from itself."""
    found: list[str] = re.findall(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*", text, re.MULTILINE)
    versions = re.findall(r".*\b(?:LINUX_VERSION_CODE|KERNEL_VERSION|P2PMEM_HAVE_\w+).*", text)
    guards = re.findall(r"^(#ifndef (\w+_H))\n#define \2$", text, re.MULTILINE)
    return [line for line in (*found, *versions) if line not in {guard for guard, _ in guards}]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_one_header_knows_the_kernels_apart(path: Path) -> None:
    assert bool(conditions(path.read_text())) == (path.name == COMPAT)


@pytest.mark.parametrize(
    "planted",
    [
        "#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)",
        "#ifdef P2PMEM_HAVE_VM_FLAGS_MOD",
        "# ifndef CONFIG_PCI_P2PDMA",
        "\treturn LINUX_VERSION_CODE >= 0x60300 ? 1 : 0;",
    ],
)
def test_a_condition_elsewhere_is_found(planted: str) -> None:
    text = (MODULE / "p2pmem.h").read_text()
    assert conditions(text) == []
    assert conditions(f"{text}{planted}\n")


def test_every_probe_is_asked_and_every_question_probed() -> None:
    probed = re.findall(r"\$\(call probe,(P2PMEM_\w+),", (MODULE / "Kbuild").read_text())
    asked = re.findall(r"\bP2PMEM_HAVE_\w*[A-Z]\w*", (MODULE / COMPAT).read_text())
    assert sorted(probed) == sorted(set(asked))


def test_the_header_that_refuses_comes_first() -> None:
    for path in MODULE.glob("*.c"):
        first = re.search(r"#include .*", path.read_text())
        assert first, path
        assert first[0] == f'#include "{COMPAT}"', path


def test_every_source_is_built() -> None:
    built = set(re.findall(r"\b(p2pmem_\w+)\.o\b", (MODULE / "Kbuild").read_text()))
    assert built - {"p2pmem_pci"} == {path.stem for path in MODULE.glob("*.c")}


def dkms_builds(release: str) -> bool:
    """Whether dkms, which is a script of bash, would build the module for a kernel."""
    script = '. "$1"; [[ $2 =~ $BUILD_EXCLUSIVE_KERNEL ]]'
    words = ["bash", "-c", script, "bash", str(MODULE / "dkms.conf"), release]
    return subprocess.run(words, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("release", "builds"),
    [
        ("6.2.0-39-generic", True),
        ("6.12.48+deb13-amd64", True),
        ("6.18-rc4-amd64", True),
        ("7.2.13+deb14-amd64", True),
        ("7.3-rc1", True),
        ("10.0.1", True),
        ("6.1.192", False),
        ("6.1-rc8-amd64", False),
        ("5.15.0-91-generic", False),
    ],
)
def test_the_kernels_that_dkms_builds_for(release: str, builds: bool) -> None:
    assert dkms_builds(release) is builds
