"""Where every stage keeps what it makes; nothing else in the lab builds such a path."""

import os
from dataclasses import dataclass
from pathlib import Path

from host.errors import SettingError

PROJECT = Path(__file__).resolve().parent.parent
CONFIGS = PROJECT / "configs"
BUILD = PROJECT / "build"
DIST = PROJECT / "dist"  # all that is meant to be kept: bundles, logs and reports of a run
TESTS = BUILD / "tests"  # how each step of `doit test` ended, and JUnit files
COMPAT = BUILD / "compat"  # the table of all kernels, their headers and compilers
AUTO_KERNEL = BUILD / "auto-kernel.json"  # what kernel=auto was decided to be
# What the kernel's build, the lab's own and packing make; an image has these files by these names.
BZIMAGE, VMLINUX, SYSTEM_MAP, DOT_CONFIG = "bzImage", "vmlinux", "System.map", ".config"
MODULE_FILE, TOOL_FILE, INITRAMFS = "p2pmem_pci.ko", "p2pmem-test", "initramfs.cpio.lz4"
VERDICT_FILE = "verdict.json"  # of a verification, in its folder and as evidence
DOWNLOADS_VARIABLE = "P2PLAB_DOWNLOADS"
OTHER_DOWNLOADS = f"choose another download directory with the variable {DOWNLOADS_VARIABLE}"


def expanded(text: str) -> Path:
    """Return a path that a person wrote, with ``~`` and ``~name`` replaced.

    Raises:
        SettingError: this machine does not know the home directory that is meant.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # no such user, or HOME unset for a user without an entry
        raise SettingError(
            f"{text!r}: {error}", hint="write the path out, or set the variable HOME"
        ) from error


def cache_dir() -> Path:
    """Return the per-user cache of the lab, shared between checkouts."""
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "p2plab"


def accel_cache() -> Path:
    """Return the file that remembers which machines can run KVM guests."""
    return cache_dir() / "accel.json"


def apt_dir() -> Path:
    """Return where the lab keeps apt lists of its own, if it needs them."""
    return cache_dir() / "apt"


def downloads_dir() -> Path:
    """Return where downloads are kept: ``P2PLAB_DOWNLOADS`` or a folder of the user's cache.

    Raises:
        SettingError: the variable names a home directory that is not known here.
    """
    chosen = os.environ.get(DOWNLOADS_VARIABLE)
    return invoked_from() / expanded(chosen) if chosen else cache_dir() / "downloads"


def invoked_from() -> Path:
    """Return the directory in which the user typed the command.

    doit itself changes to the project's root, so the wrapper hands the original on.
    """
    return Path(os.environ.get("P2PLAB_INVOKED_FROM") or Path.cwd())


@dataclass(frozen=True)
class Workspace:
    """All outputs of one kernel with one set of fragments: ``build/<label>/``.

    Attributes:
        root: the folder.
        own_module: name of the folder in it where a user's own module is built; empty for ours.
        own_tool: the same for a user's own tool.
        rootfs_parts: what else the root file system has in it that it has not by default.
    """

    root: Path
    own_module: str = ""
    own_tool: str = ""
    rootfs_parts: tuple[str, ...] = ()

    @property
    def state(self) -> Path:
        """doit's own record of what is up to date."""
        return self.root / "doit.db"

    @property
    def reserve(self) -> Path:
        """Space that is held back, for doit's record on a full disk."""
        return self.root / "reserve"

    @property
    def lock(self) -> Path:
        """Held by the stage that writes here."""
        return self.root / "lock"

    @property
    def source(self) -> Path:
        """The unpacked kernel source, where the lab unpacks it itself."""
        return self.root / "source"

    @property
    def source_record(self) -> Path:
        """JSON about the source: where from, version, sha256, why this one."""
        return self.root / "source.json"

    @property
    def linux(self) -> Path:
        """The kernel's build directory (``O=``)."""
        return self.root / "linux"

    @property
    def dot_config(self) -> Path:
        """The kernel's final configuration."""
        return self.linux / DOT_CONFIG

    @property
    def bzimage(self) -> Path:
        """The bootable kernel image."""
        return self.linux / "arch/x86/boot" / BZIMAGE

    @property
    def vmlinux(self) -> Path:
        """The kernel with symbols, for gdb."""
        return self.linux / VMLINUX

    @property
    def system_map(self) -> Path:
        """The kernel's symbols and their addresses."""
        return self.linux / SYSTEM_MAP

    @property
    def auto_conf(self) -> Path:
        """The configuration as make read it when it last built anything."""
        return self.linux / "include/config/auto.conf"

    @property
    def release(self) -> Path:
        """A text file with what the kernel calls itself (``uname -r``)."""
        return self.linux / "include/config/kernel.release"

    @property
    def symbols(self) -> Path:
        """``Module.symvers``, without which no external module can be linked."""
        return self.linux / "Module.symvers"

    @property
    def gen_init_cpio(self) -> Path:
        """The kernel's own program that packs an initramfs."""
        return self.linux / "usr/gen_init_cpio"

    @property
    def module_dir(self) -> Path:
        """Where the module is built, from a copy of its sources."""
        return self.root / (self.own_module or "p2pmem-pci")

    @property
    def module(self) -> Path:
        """The built kernel module; of a user's own a link to it, whatever its name is."""
        if self.own_module:
            return self.root / f"{self.own_module}.ko"
        return self.module_dir / MODULE_FILE

    @property
    def tool_dir(self) -> Path:
        """Where the user-space tool is built."""
        return self.root / (self.own_tool or "p2pmem-test")

    @property
    def tool(self) -> Path:
        """The built user-space tool; of a user's own a link to it, whatever its name is."""
        if self.own_tool:
            return self.root / f"{self.own_tool}.program"
        return self.tool_dir / TOOL_FILE

    @property
    def tool_links(self) -> Path:
        """The linker's own list of the files that the tool was linked from."""
        return self.tool_dir / "p2pmem-test.link.d"

    @property
    def rootfs(self) -> Path:
        """Where the root file system is packed, with what it is packed from."""
        parts = ("rootfs", self.own_module, self.own_tool, *self.rootfs_parts)
        return self.root / "+".join(filter(None, parts))

    @property
    def packed(self) -> Path:
        """A list of the machine's files that the root file system was packed with."""
        return self.rootfs / "packed"

    @property
    def initramfs(self) -> Path:
        """The root file system that the kernel boots into."""
        return self.rootfs / INITRAMFS

    @property
    def menuconfig(self) -> Path:
        """The fragment with what was changed by hand in ``menuconfig``."""
        return self.root / "menuconfig.config"

    @property
    def logs(self) -> Path:
        """Full logs of builds."""
        return self.root / "logs"

    def image_dir(self, name: str) -> Path:
        """The image part of a bundle: a function of the inputs and of nothing else."""
        return self.root / "image" / name

    def run_dir(self, kind: str, name: str) -> Path:
        """Where a boot or a verification keeps its drives, logs and verdict."""
        return self.root / kind / name
