"""What a guest is booted from is read off a workspace, or missed with a word about it."""

from pathlib import Path

import pytest

from boot.artifacts import built_in
from host.errors import LabError
from kernel.choice import Choice
from kernel.registry import TreeKernel
from kernel.source import obtain
from settings.paths import Workspace
from tests.unit.kernel_fixtures import kernel_tree


def test_finished_build(tmp_path: Path) -> None:
    at = Workspace(tmp_path / "build")
    tree = kernel_tree(tmp_path / "linux")
    source = obtain(Choice(str(tree), TreeKernel("tree-x", tree)), at, tmp_path / "downloads")
    at.release.parent.mkdir(parents=True)
    at.release.write_text("6.12.1+\n")

    artifacts = built_in(at)

    assert (artifacts.source, artifacts.release) == (source, "6.12.1+")
    assert (artifacts.bzimage, artifacts.initramfs) == (at.bzimage, at.initramfs)


def test_nothing_built(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no usable record of the kernel's source") as caught:
        built_in(Workspace(tmp_path))
    assert "doit build" in caught.value.hint
