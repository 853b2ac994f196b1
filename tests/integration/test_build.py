"""What is built from the real kernel source is what it should be, and says so if it is not."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from host.process import ProgramFailed
from kernel.config import ConfigError, configure
from kernel.external import build_module
from kernel.kbuild import Kbuild
from kernel.selection import BASE_FRAGMENT
from rootfs.initramfs import Parts, find_busybox, pack
from settings.paths import PROJECT, Workspace

pytestmark = pytest.mark.kernel

FIXTURES = PROJECT / "tests/fixtures"


def test_a_line_that_cannot_stick_stops_the_build(kbuild: Kbuild, tmp_path: Path) -> None:
    fragment = tmp_path / "mine.config"
    fragment.write_text("CONFIG_EXT4_FS_SECURITY=y\n")
    trial = Kbuild(kbuild.source, tmp_path / "linux", kbuild.jobs)
    with pytest.raises(ConfigError, match=r"mine\.config:1: CONFIG_EXT4_FS_SECURITY=y") as caught:
        configure(trial, (BASE_FRAGMENT, fragment), tmp_path / "log")
    assert "EXT4_FS=n" in caught.value.message
    assert not (trial.output / ".config").exists()


def test_a_dropped_line_is_noticed_by_what_needs_it(kbuild: Kbuild, tmp_path: Path) -> None:
    fragment = tmp_path / "p2pdma.config"
    fragment.write_text(BASE_FRAGMENT.read_text().replace("CONFIG_ZONE_DEVICE=y\n", ""))
    trial = Kbuild(kbuild.source, tmp_path / "linux", kbuild.jobs)
    with pytest.raises(ConfigError, match="CONFIG_PCI_P2PDMA=y did not stick") as caught:
        configure(trial, (fragment,), tmp_path / "log")
    assert "ZONE_DEVICE=n" in caught.value.message


def test_assigning_vm_flags_does_not_compile(kbuild: Kbuild, tmp_path: Path) -> None:
    # Since 6.3 vm_flags is const; the lesson of all older modules that map device memory.
    with pytest.raises(ProgramFailed, match=r"read-only member .*vm_flags"):
        build_module(kbuild, FIXTURES / "vm_flags_assign", tmp_path / "out", tmp_path / "log")


def module_with_kbuild(tmp_path: Path, old: str, new: str) -> Path:
    """Return a copy of the module whose Kbuild was changed in one place."""
    copy = shutil.copytree(PROJECT / "p2pmem-pci", tmp_path / "p2pmem-pci")
    text = (copy / "Kbuild").read_text()
    assert old in text
    (copy / "Kbuild").write_text(text.replace(old, new))
    return copy


def errors_in(log: Path) -> list[str]:
    """Return what the compiler calls an error in a log."""
    return re.findall(r"error: (.*)", log.read_text())


def test_an_old_kernel_is_refused_with_one_reason(kbuild: Kbuild, tmp_path: Path) -> None:
    # What the probe finds in a kernel from before 6.2: nothing.
    folder = module_with_kbuild(tmp_path, ",FOLL_PCI_P2PDMA,", ",NO_SUCH_FLAG,")
    with pytest.raises(ProgramFailed, match=r"needs Linux 6\.2"):
        build_module(kbuild, folder, tmp_path / "out", tmp_path / "log")
    assert len(errors_in(tmp_path / "log")) == 1


def test_a_kernel_without_p2pdma_is_refused_with_one_reason(kbuild: Kbuild, tmp_path: Path) -> None:
    fragment = tmp_path / "off.config"
    fragment.write_text("# CONFIG_PCI_P2PDMA is not set\n")
    trial = Kbuild(kbuild.source, tmp_path / "linux", kbuild.jobs)
    configure(trial, (BASE_FRAGMENT, fragment), tmp_path / "config.log")
    trial.run(["modules_prepare"], title="preparing", log=tmp_path / "prepare.log")
    with pytest.raises(ProgramFailed, match="needs CONFIG_PCI_P2PDMA=y"):
        build_module(trial, PROJECT / "p2pmem-pci", tmp_path / "out", tmp_path / "log")
    assert len(errors_in(tmp_path / "log")) == 1


def test_the_module_builds_alone(workspace: Workspace, tmp_path: Path) -> None:
    copy = shutil.copytree(PROJECT / "p2pmem-pci", tmp_path / "p2pmem-pci")
    done = subprocess.run(
        ["make", "-C", str(copy), f"KDIR={workspace.linux}"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (copy / "p2pmem_pci.ko").is_file()


def test_the_same_parts_give_the_same_image(workspace: Workspace, tmp_path: Path) -> None:
    parts = Parts(find_busybox(), workspace.module, workspace.tool, workspace.vmlinux)
    images = [tmp_path / name / "initramfs.cpio.lz4" for name in ("one", "another")]
    for image in images:
        image.parent.mkdir()
        pack(parts, workspace.gen_init_cpio, image)
    assert images[0].read_bytes() == images[1].read_bytes()
    assert images[0].read_bytes() == workspace.initramfs.read_bytes()


def test_nothing_of_this_machine_is_in_the_kernel(workspace: Workspace) -> None:
    for path in (workspace.bzimage, workspace.module, workspace.tool):
        assert str(PROJECT).encode() not in path.read_bytes(), path
