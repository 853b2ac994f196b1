"""Headers packages of one release and the compiler they ask for, unpacked beside the machine.

Nothing is installed and no root is needed: apt resolves and downloads as if nothing were
installed at all, dpkg-deb unpacks, and the programs run with the libraries of their own release.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compat.offer import Headers
from compat.runnable import make_runnable
from host.errors import LabError
from host.files import emptied, remove, replacing, write_text
from host.process import ProgramFailed, output_of, run_logged
from host.progress import Progress
from kernel import suites
from kernel.apt_lists import ENGLISH, Lists

# How a makefile of headers names the one of another package.
TO_ANOTHER = re.compile(r"(^include |^KBUILD_OUTPUT=)/usr/src/", re.M)
# What `apt-get --print-uris` prints: 'address' file size sum
WANTED = re.compile(r"^'\S+' (\S+\.deb) \d+ ", re.M)


@dataclass(frozen=True)
class Unpacked:
    """Packages of one release below a directory."""

    root: Path

    def headers(self, release: str) -> Path:
        """Return the build directory for modules of a kernel (``KDIR``)."""
        return self.root / f"usr/src/linux-headers-{release}"

    @property
    def path(self) -> str:
        """The variable PATH with which its compiler is found first."""
        return f"{self.root / 'usr/bin'}:{os.environ.get('PATH', os.defpath)}"


def unpack(release: str, wanted: Sequence[Headers], folder: Path, log: Path) -> Unpacked:
    """Have these headers and all that compiling against them takes below ``folder``.

    What is there already is kept as long as apt would bring the same files.

    Args:
        release: of ``suites.toml``.
        wanted: headers of its suites.
        folder: for this release alone.
        log: of apt.

    Raises:
        LabError: apt cannot resolve or deliver them, or there is no space.
    """
    stamp, root = folder / "packages", folder / "root"
    lists = nothing_installed(release, folder)
    install = ["install", "--yes", "--no-install-recommends"]
    needs = sorted({need for it in wanted for need in it.needs})
    packages = sorted(f"{it.package}={it.version}" for it in wanted)
    printed = output_of(lists.get(*install, "--print-uris", *needs), env={**os.environ, **ENGLISH})
    names = [*packages, *sorted(WANTED.findall(printed))]
    if root.is_dir() and stamp.is_file():
        present = stamp.read_text(encoding="utf-8").splitlines()
        if present[:1] == [str(root)] and set(names) <= set(present):
            return Unpacked(root)
    remove(stamp)
    debs = _downloaded(release, lists, [*install, "--download-only", *needs], packages, folder, log)
    _unpack_all(debs, root, f"unpacking headers of {release}")
    shutil.rmtree(debs)
    remove(root / "usr/share")  # only for people
    _relocate(root)
    make_runnable(root)
    write_text(stamp, "\n".join([str(root), *names]) + "\n")  # scripts in it name its place
    return Unpacked(root)


def nothing_installed(release: str, folder: Path) -> Lists:
    """Return the lists of a release with which apt takes nothing for installed."""
    folder.mkdir(parents=True, exist_ok=True)
    status = folder / "status"
    status.touch()
    return suites.of_release(release, status=status)


def _downloaded(
    release: str, lists: Lists, install: list[str], packages: list[str], folder: Path, log: Path
) -> Path:
    """Return the directory with all packages; apt has checked them."""
    debs = folder / "debs"
    (debs / "partial").mkdir(parents=True, exist_ok=True)
    # The headers' own packages apart: to install them would mean to install the kernel, too.
    install = lists.get("-o", f"Dir::Cache::Archives={debs}", *install)
    for argv, what in ((install, "compiler"), (lists.get("download", *packages), "headers")):
        run_logged(
            argv,
            title=f"downloading the {what} of {release}",
            log=log.with_suffix(f".{what}.log"),
            cwd=debs,
            env=ENGLISH,
            writes=debs,
        )
    return debs


def _unpack_all(debs: Path, root: Path, title: str) -> None:
    files = sorted(debs.glob("*.deb"))
    with Progress(title) as progress, replacing(root) as temporary:
        emptied(temporary)
        for number, deb in enumerate(files, 1):
            progress.update(f"{number} of {len(files)}: {deb.name}")
            try:
                output_of(["dpkg-deb", "-x", str(deb), str(temporary)])
            except ProgramFailed as error:
                raise LabError(f"{deb.name} cannot be unpacked: {error.message}") from error


def _relocate(root: Path) -> None:
    """Let the makefiles of headers find each other here, and not in /usr/src."""
    for makefile in root.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text(encoding="utf-8")
        moved = TO_ANOTHER.sub(rf"\1{root}/usr/src/", text)
        if moved != text:
            makefile.write_text(moved, encoding="utf-8")
