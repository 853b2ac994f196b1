"""A copy of the checkout whose real doit builds a fake kernel, module and tool in a second."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from host.files import sha256_file
from settings.paths import PROJECT, Workspace
from tests.unit.fake_kernel import fake_kernel
from tests.unit.kernel_fixtures import tarball

KERNEL = "6.12.1"
ARCHIVE = "linux-6.12.1.tar.gz"
MODULE = '#include "fake_module.h"\n'
TOOL = """\
$(O)/p2pmem-test: main.c
	$(CC) -static $(LDFLAGS) -o $@ $<
"""


class FakeCheckout:
    """The project's Python with kernel, module and tool replaced by small ones.

    Attributes:
        root: the checkout.
        downloads: its download directory, with the kernel's archive.
        at: the workspace of its kernel.
        environment: of its doit.
        prefix: of its command.
    """

    def __init__(self, folder: Path, downloads: Path | None = None) -> None:
        self.root = folder / "lab"
        self.prefix: tuple[str, ...] = ()
        shutil.copytree(
            PROJECT,
            self.root,
            ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "tests", "*.md"),
        )
        self.downloads = downloads or folder / "downloads"
        self.at = Workspace(self.root / "build" / KERNEL)
        self._fill_downloads(folder)
        self._replace_sources()
        self.environment = {
            **os.environ,
            "P2PLAB_DOWNLOADS": str(self.downloads),
            "P2PLAB_INVOKED_FROM": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "CCACHE_DISABLE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _fill_downloads(self, folder: Path) -> None:
        archive = self.downloads / ARCHIVE
        if not archive.exists():
            archive.parent.mkdir(exist_ok=True)
            tarball(archive, fake_kernel(folder / "linux"))
        self.register(f"http://127.0.0.1:9/{ARCHIVE}", sha256_file(archive))

    def _replace_sources(self) -> None:
        (self.root / "configs/p2pdma.config").write_text("CONFIG_PCI=y\n")
        for name, files in {
            "p2pmem-pci": {"Kbuild": "obj-m := p2pmem_pci.o\n", "p2pmem_pci.c": MODULE},
            "p2pmem-test": {"Makefile": TOOL, "main.c": "int main(void) { return 0; }\n"},
        }.items():
            shutil.rmtree(self.root / name)
            (self.root / name).mkdir()
            for file, text in files.items():
                (self.root / name / file).write_text(text)

    def register(self, url: str, sha256: str) -> None:
        """Let the registry have just one kernel."""
        text = f'["{KERNEL}"]\nurl = "{url}"\nsha256 = "{sha256}"\n'
        (self.root / "configs/kernels.toml").write_text(text)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start doit on the fake kernel, in a process group of its own."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "doit", f"kernel={KERNEL}", *words],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def doit(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run doit on the fake kernel to its end."""
        process = self.start(*words)
        out, errors = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, errors)

    def build(self) -> dict[str, bytes]:
        """Build all; return what came out."""
        done = self.doit("build")
        assert done.returncode == 0, done.stderr
        return self.outputs()

    def outputs(self) -> dict[str, bytes]:
        """Return the contents of what a build makes, by name."""
        at = self.at
        made = (at.source_record, at.dot_config, at.bzimage, at.vmlinux, at.symbols)
        return {path.name: path.read_bytes() for path in (*made, at.module, at.tool, at.initramfs)}
