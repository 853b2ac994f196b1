"""A tool that reports a match is not believed: each lie moves as many bytes as an honest copy."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from boot.outcome import Outcome
from rootfs.initramfs import Parts, find_busybox, pack
from settings.paths import PROJECT, Workspace
from tests.integration.conftest import Lab
from verify.runner import Status

pytestmark = pytest.mark.kernel

SOURCE = PROJECT / "tests/fixtures/lying_tool/lying_tool.c"


def image_with_lie(workspace: Workspace, lie: str, folder: Path) -> Path:
    """Return a root file system whose tool tells a lie."""
    folder.mkdir()
    tool = folder / "lying_tool"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-static", f"-DLIE={lie}"]
    subprocess.run(["gcc", *flags, "-o", str(tool), str(SOURCE)], check=True)
    image = folder / "rootfs/initramfs.cpio.lz4"
    parts = Parts(find_busybox(), workspace.module, tool, workspace.vmlinux)
    pack(parts, workspace.gen_init_cpio, image)
    return image


def verdict_on(lie: str, lab: Lab, folder: Path, *where: str) -> tuple[Outcome, dict[str, str]]:
    """Return the outcome with such a tool, and title and detail of what failed."""
    inputs = lab.inputs(*where)
    artifacts = replace(
        inputs.artifacts, initramfs=image_with_lie(lab.workspace, lie, folder / "image")
    )
    verdict = lab.verify(replace(inputs, artifacts=artifacts))
    failed = [result for result in verdict.results if result.status is Status.FAILED]
    return verdict.outcome, {result.title: result.detail for result in failed}


def test_another_tool_that_is_honest_passes(lab: Lab, tmp_path: Path) -> None:
    assert verdict_on("HONEST", lab, tmp_path) == (Outcome.PASSED, {})


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ("BY_PROCESSOR", "processors accessed 4096 bytes of the memory"),
        ("AFTERWARDS", "which held nothing that was read before"),
        ("ELSEWHERE", "reading: at byte"),
        ("CONSTANT", "is the same as another one"),
    ],
)
def test_lie_with_the_right_sums(lab: Lab, tmp_path: Path, lie: str, words: str) -> None:
    outcome, failed = verdict_on(lie, lab, tmp_path)
    assert outcome is Outcome.FAILED
    assert any(words in detail for detail in failed.values())
    # The control through host RAM is followed, too: there the wrong place is one as well.
    assert any("host RAM" in title for title in failed) == (lie == "ELSEWHERE")


def test_copy_from_the_destination_to_the_source(lab: Lab, tmp_path: Path) -> None:
    """Through memory that is a peer's to both drives; the ranges are the same in the end."""
    outcome, failed = verdict_on("REVERSED", lab, tmp_path, "ivshmem", "ivshmem")
    assert outcome is Outcome.FAILED
    through_card = {title: detail for title, detail in failed.items() if "of shared" in title}
    assert through_card
    for title, detail in through_card.items():
        source, destination = re.findall(r"d00d000\d", title)
        traced, _, expected = detail.partition(", expected ")
        assert f"{destination} read peer memory 0000:05:00.0" in traced
        assert f"{source} read peer memory 0000:05:00.0" in expected
