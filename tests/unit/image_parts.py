"""An image to write an SBOM for: small files of a test, and the packages that they came with."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from bundle.manifest import KernelInput, LabInput, Output, ToolInput
from bundle.parts import Parts
from rootfs.initramfs import ImageFile
from rootfs.sources import FOLDER
from tests.unit.fake_dpkg import Database

SUM = "ab" * 32
APT = KernelInput(
    asked="auto",
    used="6.12",
    substituted=True,
    reason="linux-6.3.2.tar.xz is neither downloaded nor reachable",
    kind="apt",
    version="6.12.117",
    release="6.12.117",
    url="",
    package="linux-source-6.12",
    package_version="6.12.117-1~deb12u1",
    file="linux-source-6.12_6.12.117-1~deb12u1_all.deb",
    sha256=SUM,
)
URL = replace(
    APT,
    asked="6.3.2",
    used="6.3.2",
    substituted=False,
    reason="",
    kind="url",
    version="6.3.2",
    url="https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.3.2.tar.xz",
    package="",
    package_version="",
    file="linux-6.3.2.tar.xz",
)
TREE = replace(URL, asked="path", used="path", kind="path", url="", file="")
OUTPUTS = (
    ".config", "README", "System.map", "boot.sh", "bzImage", "fragments/0-p2pdma.config",
    "initramfs.cpio.lz4", "p2pmem-test", "p2pmem_pci.ko", "scenario.toml", "topology.toml",
    "vmlinux",
)  # fmt: skip


@dataclass
class Machine:
    """Files of a machine in a folder of the test, and the packages that own some of them."""

    folder: Path
    dpkg: Database

    def file(self, name: str, text: str = "") -> Path:
        """Make a file whose bytes are its name, or a text."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or name)
        return path

    def tool(self, name: str, version: str, package: str, *, text: str = "") -> ToolInput:
        """Return a program's description as a manifest has it; its file's bytes are a text."""
        digest = hashlib.sha256((text or name).encode()).hexdigest()
        return ToolInput(name, version, package, "1" if package else "", digest)

    def install(self) -> None:
        """Fill the database."""
        self.dpkg.add(
            "busybox-static",
            "1:1.35.0-4+deb12u1+b1",
            self.file("bin/busybox"),
            Source="busybox (1:1.35.0-4+deb12u1)",
            Built_Using="glibc (= 2.36-9+deb12u4)",
        )
        libc = [self.file(f"lib/{name}") for name in ("crt1.o", "libc.a", "libpthread.a")]
        gcc = [self.file(f"lib/gcc/{name}") for name in ("crtbeginT.o", "libgcc.a")]
        self.dpkg.add("libc6-dev", "2.36-9", *libc, Source="glibc", Multi_Arch="same")
        self.dpkg.add("libgcc-12-dev", "12.2.0-14", *gcc, Source="gcc-12", Multi_Arch="same")
        self.dpkg.add("gcc-12", "12.2.0-14")
        self.dpkg.add("binutils-x86-64-linux-gnu", "2.40-2", Source="binutils")
        self.dpkg.add("flex", "2.6.4-8.2")

    def parts(self, kernel: KernelInput = APT) -> Parts:
        """Return the parts of an image that this machine made."""
        built = {name: self.file(f"image/{name}") for name in OUTPUTS}
        linked = ("crt1.o", "gcc/crtbeginT.o", "gcc/libgcc.a", "libc.a", "libpthread.a", "own.a")
        return Parts(
            kernel=kernel,
            lab=LabInput("c" * 40, False, "cd" * 32),
            tools=(
                self.tool("gcc", "gcc (Debian 12.2.0-14) 12.2.0", "gcc-12"),
                self.tool("as", "GNU assembler 2.40", "binutils-x86-64-linux-gnu"),
                self.tool("ld", "GNU ld 2.40", "binutils-x86-64-linux-gnu"),
                self.tool("flex", "flex 2.6.4", "flex"),
                self.tool("python3", "Python 3.11.7", ""),
                self.tool("busybox", "BusyBox v1.35.0", "busybox-static", text="bin/busybox"),
                self.tool("libc.a", "", "libc6-dev", text="lib/libc.a"),
            ),
            outputs=tuple(
                Output(name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
                for name, path in built.items()
            ),
            contents=(
                ImageFile("/init", FOLDER / "init", "755"),
                ImageFile("/etc/profile", FOLDER / "profile", "644"),
                ImageFile("/bin/busybox", self.folder / "bin/busybox", "755"),
                ImageFile("/bin/p2pmem-test", built["p2pmem-test"], "755"),
                ImageFile("/lib/modules/6.12.117/p2pmem_pci.ko", built["p2pmem_pci.ko"], "644"),
            ),
            linked=tuple(self.file(f"lib/{name}") for name in linked),
        )
