"""Archives that are kernels, and the many that are not."""

import gzip
import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from host.archive import ArchiveError
from host.errors import LabError
from kernel.unpack import unpack
from tests.unit.kernel_fixtures import kernel_tree, member, packed, source_deb, tarball

TOP = "linux-6.12.1"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return kernel_tree(tmp_path / "tree")


def refused(archive: Path, *words: str) -> None:
    """Unpacking fails with these words and leaves nothing."""
    target = archive.parent / "out" / "source"
    with pytest.raises(ArchiveError) as caught:
        unpack(archive, target)
    for word in [str(archive), *words]:
        assert word in caught.value.message
    assert caught.value.hint
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("suffix", ["xz", "gz", "bz2"])
def test_tarball(tmp_path: Path, tree: Path, suffix: str) -> None:
    target = tmp_path / "out" / "source"
    version = unpack(tarball(tmp_path / f"linux.tar.{suffix}", tree), target)
    assert str(version) == "6.12.1"
    assert (target / "Kconfig").read_text() == (tree / "Kconfig").read_text()
    assert (target / "Kconfig").stat().st_mtime == pytest.approx((tree / "Kconfig").stat().st_mtime)
    assert (target / "Kconfig").stat().st_mode & 0o7777 == 0o644
    assert (target / "scripts/check.sh").stat().st_mode & 0o7777 == 0o755
    assert (target / "scripts/again.sh").readlink() == Path("../scripts/check.sh")
    assert list(target.parent.iterdir()) == [target]


def test_deb_around_a_tarball(tmp_path: Path, tree: Path) -> None:
    deb = source_deb(tmp_path, tarball(tmp_path / "inner.tar.xz", tree))
    assert str(unpack(deb, tmp_path / "out")) == "6.12.1"
    assert (tmp_path / "out/scripts/kconfig/conf.c").is_file()


def test_deb_without_a_tarball(tmp_path: Path) -> None:
    refused(source_deb(tmp_path, None), "a package without usr/src/linux-source-X.Y.tar.xz")


def test_truncated_deb(tmp_path: Path, tree: Path) -> None:
    (tree / "big").write_bytes(random.Random(1).randbytes(1 << 20))
    deb = source_deb(tmp_path, tarball(tmp_path / "inner.tar.xz", tree))
    os.truncate(deb, deb.stat().st_size // 2)
    refused(deb, "truncated or damaged", "dpkg-deb")


def test_deb_around_a_truncated_tarball(tmp_path: Path, tree: Path) -> None:
    inner = tarball(tmp_path / "inner.tar.xz", tree)
    os.truncate(inner, inner.stat().st_size // 2)
    refused(source_deb(tmp_path, inner), "truncated")


def test_new_source_replaces_the_old(tmp_path: Path, tree: Path) -> None:
    target = tmp_path / "source"
    target.mkdir()
    (target / "old").touch()
    unpack(tarball(tmp_path / "linux.tar.xz", tree), target)
    assert not (target / "old").exists()


@pytest.mark.parametrize("suffix", ["xz", "gz", "bz2"])
def test_truncated(tmp_path: Path, tree: Path, suffix: str) -> None:
    (tree / "big").write_bytes(random.Random(1).randbytes(1 << 16))
    archive = tarball(tmp_path / f"linux.tar.{suffix}", tree)
    size = archive.stat().st_size
    for length in (size - 3, size // 2, 40):
        os.truncate(archive, length)
        refused(archive, "it is truncated")


def test_cut_behind_the_last_member(tmp_path: Path, tree: Path) -> None:
    plain = gzip.decompress(tarball(tmp_path / "linux.tar.gz", tree).read_bytes())
    archive = tmp_path / "padded.tar.gz"
    archive.write_bytes(gzip.compress(plain + bytes(4 << 20))[:-3])
    refused(archive, "it is truncated")


def test_deb_damaged_behind_its_tarball(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = source_deb(tmp_path, tarball(tmp_path / "inner.tar.xz", tree))
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    (tmp_path / "data.tar").write_bytes(subprocess.run(command, capture_output=True).stdout)
    fake = tmp_path / "bin/dpkg-deb"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ncat {tmp_path}/data.tar\necho 'bad checksum' >&2\nexit 2\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    refused(deb, "truncated or damaged: bad checksum")


@pytest.mark.parametrize("suffix", ["xz", "gz", "bz2"])
def test_damaged(tmp_path: Path, tree: Path, suffix: str) -> None:
    (tree / "big").write_bytes(random.Random(1).randbytes(1 << 16))
    archive = tarball(tmp_path / f"linux.tar.{suffix}", tree)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    refused(archive, "it is damaged")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n<!DOCTYPE html><html>502</html>", "it is a web page"),
        (b"PK\x03\x04 something", "it is not a .tar.xz"),
        (b"\x28\xb5\x2f\xfd zstd", "it is not a .tar.xz"),
        (b"!<arch>\nnothing of a package", "truncated or damaged"),
    ],
)
def test_no_archive(tmp_path: Path, content: bytes, words: str) -> None:
    archive = tmp_path / "linux.tar.xz"
    archive.write_bytes(content)
    refused(archive, words)


def test_other_tarball(tmp_path: Path) -> None:
    archive = packed(tmp_path / "zlib.tar.gz", (member("zlib-1.3/Makefile"), b"all:\n"))
    refused(archive, "no Linux source tree: it has no Kconfig")


def test_older_kernel(tmp_path: Path) -> None:
    archive = tarball(tmp_path / "linux.tar.gz", kernel_tree(tmp_path / "old", (6, 1, 0)))
    with pytest.raises(LabError, match=r"^linux\.tar\.gz is Linux 6\.1\.0, too old"):
        unpack(archive, tmp_path / "source")


@pytest.mark.parametrize(
    ("evil", "words"),
    [
        (member("../evil"), "climbs with '..'"),
        (member(f"{TOP}/a/../../evil"), "climbs with '..'"),
        (member("/tmp/evil"), "absolute path"),
        (member("other/evil"), "outside of its top directory"),
        (member(TOP), "should be a directory"),
        (member(f"{TOP}/s", tarfile.SYMTYPE, "/etc/passwd"), "out of the tree"),
        (member(f"{TOP}/s", tarfile.SYMTYPE, "../evil"), "out of the tree"),
        (member(f"{TOP}/a/s", tarfile.SYMTYPE, "../../evil"), "out of the tree"),
        (member(f"{TOP}/s", tarfile.SYMTYPE, "a/../../evil"), "out of the tree"),
        (member(f"{TOP}/h", tarfile.LNKTYPE, "/etc/passwd"), "absolute path"),
        (member(f"{TOP}/h", tarfile.LNKTYPE, f"{TOP}/../../etc/passwd"), "climbs with '..'"),
        (member(f"{TOP}/h", tarfile.LNKTYPE, f"{TOP}/link"), "not a file here"),
        (member(f"{TOP}/link/evil"), "used as a directory but is none"),
        (member(f"{TOP}/file/evil"), "used as a directory but is none"),
        (member(f"{TOP}/link"), "there twice"),
        (member(f"{TOP}/c", tarfile.CHRTYPE), "neither file, directory nor link"),
        (member(f"{TOP}/b", tarfile.BLKTYPE), "neither file, directory nor link"),
        (member(f"{TOP}/f", tarfile.FIFOTYPE), "neither file, directory nor link"),
    ],
    ids=lambda value: value.name if isinstance(value, tarfile.TarInfo) else "",
)
def test_unsafe_member(tmp_path: Path, evil: tarfile.TarInfo, words: str) -> None:
    archive = packed(
        tmp_path / "linux.tar.gz",
        (member(TOP, tarfile.DIRTYPE), b""),
        (member(f"{TOP}/file"), b"text"),
        (member(f"{TOP}/link", tarfile.SYMTYPE, "."), b""),
        (evil, b""),
    )
    refused(archive, words)
    assert not list(tmp_path.rglob("evil"))


def test_hard_link_and_modes(tmp_path: Path, tree: Path) -> None:
    odd = member("./linux/odd")
    odd.mode = 0o6777
    files = [
        (member(f"./linux/{path.relative_to(tree)}"), path.read_bytes())
        for path in tree.rglob("*")
        if path.is_file()
    ]
    hard = (member("linux/hard", tarfile.LNKTYPE, "./linux/odd"), b"")
    archive = packed(tmp_path / "linux.tar.gz", *files, (odd, b"odd"), hard)
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/odd").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "out/hard").samefile(tmp_path / "out/odd")


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    archive = packed(tmp_path / "linux.tar.gz", (member(f"{TOP}/{'x' * 300}"), b""))
    with pytest.raises(LabError, match=r"cannot unpack .*linux\.tar\.gz to .*File name too long"):
        unpack(archive, tmp_path / "source")
