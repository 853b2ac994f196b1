"""The module's DKMS package with the real dkms and the distribution's headers, in private trees."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from compat.offer import Headers
from host.tools import ADMIN
from settings.paths import PROJECT
from tests.integration.conftest import AptHeaders

pytestmark = pytest.mark.kernel

SOURCES = PROJECT / "p2pmem-pci"
DKMS_CONF = SOURCES / "dkms.conf"
# dkms installs for root alone, whoever owns its trees.
AS_ROOT = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
NOT_FOR_THIS_KERNEL = 77  # dkms's exit code for what BUILD_EXCLUSIVE_* leaves out


@dataclass(frozen=True)
class Dkms:
    """dkms with trees of its own: neither /var/lib/dkms nor /lib/modules is looked at."""

    folder: Path
    headers: AptHeaders
    name: str
    version: str

    @property
    def conf(self) -> Path:
        """What dkms reads, among the sources as a package would lay them out."""
        return self.folder / "source" / f"{self.name}-{self.version}" / "dkms.conf"

    def run(self, action: str, kernel: Headers | None = None) -> "subprocess.CompletedProcess[str]":
        argv = [*AS_ROOT, "dkms", action, "-m", self.name, "-v", self.version, "--no-depmod"]
        for tree in ("dkmstree", "sourcetree", "installtree"):
            argv += [f"--{tree}", str(self.folder / tree.removesuffix("tree"))]
        if kernel:
            directory = self.headers.unpacked.headers(kernel.release)
            argv += ["-k", kernel.release, "-a", "x86_64", "--kernelsourcedir", str(directory)]
        path = os.pathsep.join((self.headers.unpacked.path, *ADMIN))
        environment = {**os.environ, "PATH": path, "LC_ALL": "C"}
        environment["TMPDIR"] = str(self.folder)
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        print(done.args, done.stdout, done.stderr, sep="\n")
        return done

    def status(self) -> list[str]:
        return self.run("status").stdout.splitlines()

    def build_log(self) -> str:
        return (self.folder / "dkms" / self.name / self.version / "build/make.log").read_text()

    def installed(self) -> list[Path]:
        return sorted((self.folder / "install").rglob("*.ko*"))


@pytest.fixture
def dkms(tmp_path: Path, apt_headers: AptHeaders) -> Dkms:
    text = DKMS_CONF.read_text()
    named = dict(re.findall(r'^(PACKAGE_NAME|PACKAGE_VERSION)="(.*)"$', text, re.M))
    it = Dkms(tmp_path, apt_headers, named["PACKAGE_NAME"], named["PACKAGE_VERSION"])
    for name in ("dkms", "source"):
        (tmp_path / name).mkdir()
    for kernel in (apt_headers.works, apt_headers.refused):
        (tmp_path / "install" / kernel.release).mkdir(parents=True)
    shutil.copytree(SOURCES, it.conf.parent)
    assert it.run("add").returncode == 0
    return it


def test_add_build_install_remove(dkms: Dkms) -> None:
    kernel = dkms.headers.works
    prefix = f"{dkms.name}/{dkms.version}, {kernel.release}, x86_64"
    assert dkms.status() == [f"{dkms.name}/{dkms.version}: added"]

    assert dkms.run("build", kernel).returncode == 0
    assert dkms.status() == [f"{prefix}: built"]

    assert dkms.run("install", kernel).returncode == 0
    assert dkms.status() == [f"{prefix}: installed"]
    (module,) = dkms.installed()
    assert module.name == "p2pmem_pci.ko"
    assert module.parent.is_relative_to(dkms.folder / "install" / kernel.release)
    assert f"vermagic={kernel.release} ".encode() in module.read_bytes()

    assert dkms.run("remove", kernel).returncode == 0
    assert dkms.installed() == []
    assert dkms.status() == []


def test_kernel_without_p2pdma_is_passed_over(dkms: Dkms) -> None:
    """As a kernel's installation expects it: an exit code of its own, and no compilation."""
    done = dkms.run("build", dkms.headers.refused)

    assert done.returncode == NOT_FOR_THIS_KERNEL
    assert "BUILD_EXCLUSIVE directive which does not match" in done.stderr
    assert dkms.status() == [f"{dkms.name}/{dkms.version}: added"]
    assert dkms.run("install", dkms.headers.refused).returncode != 0
    assert dkms.installed() == []


def test_reason_is_told_where_nothing_is_passed_over(dkms: Dkms) -> None:
    """Without these lines of dkms.conf the compiler would have to refuse: that both agree."""
    text = dkms.conf.read_text()
    dkms.conf.write_text(re.sub(r"^BUILD_EXCLUSIVE_.*\n", "", text, flags=re.M))
    assert dkms.conf.read_text() != text

    done = dkms.run("build", dkms.headers.refused)

    assert done.returncode not in (0, NOT_FOR_THIS_KERNEL)
    errors = re.findall(r"error: (.*)", dkms.build_log())
    assert errors == ['#error "p2pmem_pci needs CONFIG_PCI_P2PDMA=y, which is off in this kernel"']
    assert dkms.installed() == []
