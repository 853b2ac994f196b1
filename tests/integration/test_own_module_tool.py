"""A user's own module and tool take the place of ours, and the verdict is still one."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from boot.artifacts import built_in
from boot.outcome import Outcome
from bundle import check
from bundle.check import open_image
from bundle.image import write_image
from settings.paths import PROJECT, Workspace
from tests.integration.conftest import Lab
from tests.integration.own_build import built
from tests.integration.results import failed
from verify.verdict import Verdict, as_data

pytestmark = pytest.mark.kernel

MODULE = PROJECT / "tests/fixtures/own_module"
TOOL = PROJECT / "tests/fixtures/own_tool"


def verdict_with(
    lab: Lab, folder: Path, topology: str = "switch-q35", copies: int = 10, **given: str
) -> Verdict:
    """Build with these settings, and verify what came out with the first of the copies."""
    selection = built(lab.workspace, folder, **given)
    inputs = lab.inputs(topology)
    few = replace(inputs.scenario, steps=inputs.scenario.copies[:copies])
    return lab.verify(replace(inputs, artifacts=built_in(selection.workspace), scenario=few))


def details(verdict: Verdict) -> dict[str, str]:
    """Return what was seen of each copy."""
    return {
        result.title: result.detail for result in verdict.results if result.title.startswith("copy")
    }


def contents(folder: Path) -> dict[Path, bytes]:
    """Return all files below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_are_somebody_elses(lab: Lab, tmp_path: Path) -> None:
    before = contents(MODULE), contents(TOOL)

    verdict = verdict_with(lab, tmp_path / "own", module=str(MODULE), tool=str(TOOL))

    assert failed(verdict) == {}
    assert verdict.outcome is Outcome.PASSED
    assert (contents(MODULE), contents(TOOL)) == before
    assert as_data(verdict)["own"] == {"module": "own_module", "tool": "own_tool"}
    seen = details(verdict)
    assert len(seen) == 10
    for title, detail in seen.items():
        assert "own word was not used: no JSON with a result on stdout; exit status 1" in detail
        assert "host: the ranges are the same" in detail
        assert "host RAM" in title or "peer CMB" in detail


def test_bundle_of_them_is_booted_as_what_it_is(lab: Lab, tmp_path: Path) -> None:
    """What was told on the command line is in the manifest, for whoever gets the files alone."""
    selection = built(lab.workspace, tmp_path / "own", module=str(MODULE), tool=str(TOOL))
    opened = open_image(write_image(selection))
    inputs = lab.inputs()
    few = replace(inputs.scenario, steps=inputs.scenario.copies[:2])

    verdict = lab.verify(replace(inputs, artifacts=check.artifacts(opened), scenario=few))

    assert verdict.outcome is Outcome.PASSED
    assert verdict.subject.own == {"module": "own_module", "tool": "own_tool"}
    names = {source.name for source in opened.manifest.sources}
    assert names == {"module/own_module", "tool/own_tool", "rootfs"}
    assert (opened.image / "own_p2pmem.ko").is_file()
    packed = [tool for tool in opened.manifest.tools if tool.name.startswith("packed/")]
    assert any(tool.name.endswith("/libm.so.6") for tool in packed)


def test_own_module_is_the_same_wherever_it_lies(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder's name is kept; the place before it is not in the bytes, nor in debug info."""
    # It makes paths relative to the kernel's build, which is elsewhere here: see own_build.
    monkeypatch.setenv("CCACHE_DISABLE", "1")
    made = []
    for place in ("a", "b/deeper"):
        folder = Path(shutil.copytree(MODULE, tmp_path / place / "mine"))
        tool = Path(shutil.copytree(TOOL, tmp_path / place / "tool"))
        given = {"module": str(folder), "tool": str(tool)}
        at = built(lab.workspace, tmp_path / place / "build", **given).workspace
        made.append([path.read_bytes() for path in (at.module, at.tool, at.initramfs)])

    assert made[0] == made[1]


def test_own_tool_is_refused_where_the_kernel_refuses(lab: Lab, tmp_path: Path) -> None:
    verdict = verdict_with(lab, tmp_path / "own", "root-ports", 4, tool=str(TOOL))

    assert verdict.outcome is Outcome.PASSED
    refused = [text for text in details(verdict).values() if text.startswith("refused")]
    assert len(refused) == 4
    assert all("do not share an upstream bridge" in text for text in refused)


def test_own_tool_that_does_nothing_is_not_refused(lab: Lab, tmp_path: Path) -> None:
    """It does its work once: then the kernel has said its words, which it says once for a pair."""
    once = """
#include <fcntl.h>
#include <unistd.h>
static int again(void)
{
	static int known = -1;
	if (known < 0)
		known = open("/run/was_here", O_CREAT | O_EXCL | O_WRONLY, 0600) < 0;
	return known;
}
#define pread(fd, data, size, at) (again() ? (ssize_t)(size) : pread(fd, data, size, at))
#define pwrite(fd, data, size, at) (again() ? (ssize_t)(size) : pwrite(fd, data, size, at))
"""
    idle = changed_tool(tmp_path / "idle", once)

    verdict = verdict_with(lab, tmp_path / "own", "root-ports", 4, tool=str(idle))

    assert verdict.outcome is Outcome.FAILED
    copies = {title: detail for title, detail in failed(verdict).items() if "copy" in title}
    assert len(copies) == 3
    lacking = [detail for detail in copies.values() if "the kernel log lacks" in detail]
    assert len(lacking) == 2  # of the other pair
    assert any(
        "nothing was tried: each read of d00d0002 that" in detail for detail in copies.values()
    )


def changed_tool(folder: Path, code: str) -> Path:
    """Return a copy of the own tool with something before its own code."""
    shutil.copytree(TOOL, folder)
    main = folder / "src/main.c"
    include = '#include "pattern.h"\n'
    main.write_text(main.read_text().replace(include, f"{include}{code}\n"))
    return folder


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ("#define THROUGH_RAM", "QEMU traced {}, expected"),
        ("#define pwrite(to, data, size, at) ((ssize_t)(size))", "QEMU traced"),
        ("#define fill(data, size) memset(data, 7, size)", "is the same as another one"),
    ],
)
def test_own_tool_that_does_not_copy_fails(lab: Lab, tmp_path: Path, lie: str, words: str) -> None:
    bad = changed_tool(tmp_path / "bad", lie)

    verdict = verdict_with(lab, tmp_path / "own", copies=1, tool=str(bad))

    assert verdict.outcome is Outcome.FAILED
    assert any(words in detail for detail in failed(verdict).values())


def test_own_tool_with_our_report_is_heard(lab: Lab, workspace: Workspace, tmp_path: Path) -> None:
    assert workspace.tool.is_file()
    verdict = verdict_with(lab, tmp_path / "own", copies=5, tool=str(PROJECT / "p2pmem-test"))

    assert verdict.outcome is Outcome.PASSED
    assert all("the tool says so too: match" in text for text in details(verdict).values())
