"""A short form of `doit compat`: real headers of the distribution, and the build that is tested."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compat import compiled
from compat.offer import Headers
from compat.row import Answer, Row, Subject
from kernel.kbuild import Kbuild
from settings.paths import PROJECT
from tests.integration.conftest import JOBS, AptHeaders

pytestmark = pytest.mark.kernel

MODULE = PROJECT / "p2pmem-pci"
Compile = Callable[[Headers, Path], Row]


@pytest.fixture
def against(apt_headers: AptHeaders, tmp_path: Path) -> Compile:
    def compile_for(headers: Headers, module: Path) -> Row:
        return compiled.against_headers(
            Subject(headers.release, "apt"),
            headers.series,
            apt_headers.unpacked,
            module,
            tmp_path / "output",
            tmp_path / "log",
            JOBS,
        )

    return compile_for


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(MODULE, tmp_path / "copy")


def test_headers_with_p2pdma(apt_headers: AptHeaders, against: Compile, tmp_path: Path) -> None:
    row = against(apt_headers.works, MODULE)

    assert (row.compiles, row.why) == (Answer.YES, "")
    assert not (tmp_path / "output").exists()
    log = (tmp_path / "log").read_text()
    assert "LD [M]" in log
    assert " W=1 " in log


def test_headers_without_p2pdma(apt_headers: AptHeaders, against: Compile) -> None:
    row = against(apt_headers.refused, MODULE)

    assert (row.compiles, row.why) == (Answer.REFUSED, "refused: CONFIG_PCI_P2PDMA is off")


def test_warning_counts(apt_headers: AptHeaders, against: Compile, copy: Path) -> None:
    with (copy / "p2pmem_main.c").open("a") as stream:
        stream.write("int p2pmem_unannounced(void) { return 0; }\n")

    row = against(apt_headers.works, copy)

    assert row.compiles is Answer.NO
    assert "no previous prototype for" in row.why


def test_module_that_refuses_without_a_word(
    apt_headers: AptHeaders, against: Compile, copy: Path
) -> None:
    header = copy / "p2pmem_compat.h"
    text = header.read_text()
    header.write_text(text.replace("#error", "#warning"))
    assert header.read_text() != text

    row = against(apt_headers.refused, copy)

    assert row.compiles is Answer.NO


def test_whole_kernel_with_more_warnings(kbuild: Kbuild, tmp_path: Path) -> None:
    row = compiled.against_build(
        Subject("tested", "built"), kbuild, MODULE, tmp_path / "output", tmp_path / "log"
    )

    assert (row.compiles, row.why) == (Answer.YES, "")
