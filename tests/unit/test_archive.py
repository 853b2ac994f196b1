"""Archives from elsewhere: what is within the limits is written, all else is one clear error."""

import io
import lzma
import os
import struct
import tarfile
from pathlib import Path

import pytest

from bundle.archive import pack, unpacked
from bundle.check import open_bundle
from bundle.errors import BundleError
from host import archive as archives
from host.archive import ArchiveError, extract
from host.errors import LabError
from host.files import DiskFullError
from host.members import DEEPEST, Limits, MemberError, TreeWriter
from tests.unit.bundle_fixtures import make_bundle
from tests.unit.kernel_fixtures import member, packed

TOP = "p2plab-x"
SMALL = Limits(links=False, members=5, content=1000)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder that is the temporary directory meanwhile."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def refused(archive: Path, scratch: Path, *words: str) -> None:
    """Unpacking a bundle fails in one line with these words; nothing is left, here or elsewhere."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(BundleError) as caught, unpacked(archive):
        pass
    assert caught.value.exit_code == 22
    assert caught.value.message.startswith(f"cannot use {archive}: ")
    assert "\n" not in caught.value.message
    for word in words:
        assert word in caught.value.message
    assert "get it anew" in caught.value.hint
    assert list(scratch.iterdir()) == []
    assert sorted(archive.parent.rglob("*")) == before


def raw(archive: Path, *blocks: bytes) -> Path:
    """Make a .tar.xz of just these bytes."""
    archive.write_bytes(lzma.compress(b"".join(blocks), preset=0))
    return archive


def head(name: str, kind: bytes, size: int, **fields: object) -> bytes:
    """Return the header block of a member, and not more."""
    info = member(name, kind)
    info.size = size
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.USTAR_FORMAT if size < 8 << 30 else tarfile.GNU_FORMAT)


def pax(text: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Return an extended header with this text."""
    return head("pax", kind, len(text)) + text + bytes(-len(text) % 512)


def record(key: str, value: bytes) -> bytes:
    """Return one record of an extended header: its own length stands at its start."""
    rest = b" " + key.encode() + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


# --- there and back ----------------------------------------------------------------------------


def test_bundle_comes_back_as_it_was(tmp_path: Path, scratch: Path) -> None:
    folder = make_bundle(tmp_path / "dist")
    before = open_bundle(folder).manifest
    pack(folder, tmp_path / "bundle.tar.xz")

    with unpacked(tmp_path / "bundle.tar.xz") as found:
        assert found.name == folder.name
        assert found.is_relative_to(scratch)
        assert open_bundle(found).manifest == before
        assert (found / "image/boot.sh").stat().st_mode & 0o7777 == 0o755
        assert (found / "image/README").stat().st_mode & 0o7777 == 0o644

    assert list(scratch.iterdir()) == []


def test_folder_is_taken_as_it_is(tmp_path: Path, scratch: Path) -> None:
    with unpacked(tmp_path) as found:
        assert found == tmp_path
        assert list(scratch.iterdir()) == []
    assert tmp_path.is_dir()


def test_scratch_is_gone_after_an_error_of_the_user_of_the_bundle(
    tmp_path: Path, scratch: Path
) -> None:
    pack(make_bundle(tmp_path), tmp_path / "bundle.tar.xz")

    def use() -> None:
        with unpacked(tmp_path / "bundle.tar.xz"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert list(scratch.iterdir()) == []


def test_same_bundle_gives_the_same_archive(tmp_path: Path) -> None:
    """Whatever the times, owners' other rights and order of the files."""
    one, two = make_bundle(tmp_path / "a"), make_bundle(tmp_path / "b/longer")
    for path in two.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(path.stat().st_mode & 0o700)
    moved = (two / "image/.config").rename(two / "moved")
    moved.rename(two / "image/.config")
    pack(one, tmp_path / "one.tar.xz")
    pack(two, tmp_path / "two.tar.xz")

    assert (tmp_path / "one.tar.xz").read_bytes() == (tmp_path / "two.tar.xz").read_bytes()


def test_archive_tells_nothing_of_this_machine(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    pack(folder, tmp_path / "bundle.tar.xz")

    with tarfile.open(tmp_path / "bundle.tar.xz") as tar:
        members = tar.getmembers()
    names = [item.name for item in members]
    assert names == sorted(names)
    assert names[:3] == [folder.name, f"{folder.name}/evidence", f"{names[1]}/SHA256SUMS"]
    assert {item.name.partition("/")[0] for item in members} == {folder.name}
    assert {(item.uid, item.gid, item.uname, item.gname) for item in members} == {(0, 0, "", "")}
    assert {item.mtime for item in members} == {1684152000}
    assert {item.mode for item in members} == {0o755, 0o644}


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_only_files_are_packed(tmp_path: Path, kind: str) -> None:
    folder = make_bundle(tmp_path)
    odd = folder / "image/odd"
    odd.symlink_to("README") if kind == "link" else os.mkfifo(odd)

    with pytest.raises(BundleError, match="image/odd: "):
        pack(folder, tmp_path / "bundle.tar.xz")
    assert not (tmp_path / "bundle.tar.xz").exists()


# --- not an archive, or not a whole one --------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html>", "it is a web page"),
        (b"PK\x03\x04", "it is not a .tar.xz"),
        (b"\xfd7zXZ\x00 and no more", "it is "),
        (lzma.compress(b""), "it is damaged (empty file)"),
        (lzma.compress(b"no tar at all" * 100), "it is damaged"),
        (lzma.compress(bytes(10240)), "there is nothing in it"),
    ],
)
def test_no_archive(tmp_path: Path, scratch: Path, content: bytes, words: str) -> None:
    archive = tmp_path / "bundle.tar.xz"
    archive.write_bytes(content)
    refused(archive, scratch, words)


def test_fifo_is_not_opened(tmp_path: Path, scratch: Path) -> None:
    os.mkfifo(tmp_path / "bundle.tar.xz")
    refused(tmp_path / "bundle.tar.xz", scratch, "it is not a file")


def test_truncated_anywhere(tmp_path: Path, scratch: Path) -> None:
    archive = tmp_path / "bundle.tar.xz"
    pack(make_bundle(tmp_path), archive)
    size = archive.stat().st_size
    for length in (size - 1, size - 20, size // 2, size // 4, 20):
        os.truncate(archive, length)
        refused(archive, scratch, "it is truncated")


def test_damaged_anywhere(tmp_path: Path, scratch: Path) -> None:
    archive = tmp_path / "bundle.tar.xz"
    pack(make_bundle(tmp_path), archive)
    whole = archive.read_bytes()
    for place in range(6, len(whole), len(whole) // 30):
        data = bytearray(whole)
        data[place] ^= 0x10
        archive.write_bytes(data)
        refused(archive, scratch, "it is ")


def test_tar_that_was_cut_before_it_was_compressed(tmp_path: Path, scratch: Path) -> None:
    archive = raw(tmp_path / "x.tar.xz", head(f"{TOP}/file", tarfile.REGTYPE, 1000), b"short")
    refused(archive, scratch, "it is truncated")


def test_no_space(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(make_bundle(tmp_path), tmp_path / "bundle.tar.xz")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TreeWriter, "add", full)
    with pytest.raises(DiskFullError) as caught, unpacked(tmp_path / "bundle.tar.xz"):
        pass
    assert str(scratch) in caught.value.message
    assert list(scratch.iterdir()) == []


def test_folder_of_the_archive_cannot_be_written(tmp_path: Path, scratch: Path) -> None:
    archive = packed(tmp_path / "x.tar.gz", (member(f"{TOP}/{'x' * 300}"), b""))
    with pytest.raises(LabError, match="File name too long"), unpacked(archive):
        pass
    assert list(scratch.iterdir()) == []


# --- members that do not belong in a bundle ----------------------------------------------------


@pytest.mark.parametrize(
    ("evil", "words"),
    [
        (member("../evil"), "climbs with '..'"),
        (member(f"{TOP}/image/../../evil"), "climbs with '..'"),
        (member("/evil"), "absolute path"),
        (member("other/evil"), "outside of its top directory"),
        (member(TOP), "should be a directory"),
        (member(f"{TOP}/file"), "there twice"),
        (member(f"{TOP}/file/evil"), "used as a directory but is none"),
        (member(f"{TOP}/image"), "there twice"),
        (member(f"{TOP}/s", tarfile.SYMTYPE, "/etc/passwd"), "neither file nor directory"),
        (member(f"{TOP}/s", tarfile.SYMTYPE, "file"), "neither file nor directory"),
        (member(f"{TOP}/h", tarfile.LNKTYPE, "/etc/passwd"), "neither file nor directory"),
        (member(f"{TOP}/h", tarfile.LNKTYPE, f"{TOP}/file"), "neither file nor directory"),
        (member(f"{TOP}/c", tarfile.CHRTYPE), "neither file nor directory"),
        (member(f"{TOP}/b", tarfile.BLKTYPE), "neither file nor directory"),
        (member(f"{TOP}/f", tarfile.FIFOTYPE), "neither file nor directory"),
        (member(f"{TOP}/z", b"Z"), "neither file nor directory"),
        (member(f"{TOP}/{'d/' * DEEPEST}evil"), "directories deep"),
    ],
    ids=lambda value: value.name[:30] if isinstance(value, tarfile.TarInfo) else "",
)
def test_unsafe_member(tmp_path: Path, scratch: Path, evil: tarfile.TarInfo, words: str) -> None:
    archive = packed(
        tmp_path / "bundle.tar.gz",
        (member(f"{TOP}/image", tarfile.DIRTYPE), b""),
        (member(f"{TOP}/file"), b"text"),
        (evil, b""),
    )
    refused(archive, scratch, words)


def test_odd_modes_and_owners_are_not_taken_over(tmp_path: Path, scratch: Path) -> None:
    members = []
    for name, mode in (("dir", 0o7000), ("setuid", 0o6711), ("secret", 0o066)):
        info = member(f"{TOP}/{name}", tarfile.DIRTYPE if name == "dir" else tarfile.REGTYPE)
        info.mode, info.uid, info.gid, info.uname = mode, 12345, 12345, "somebody"
        members.append((info, b""))
    inside = (member(f"{TOP}/dir/file"), b"text")
    archive = packed(tmp_path / "bundle.tar.gz", *members, inside)

    with unpacked(archive) as found:
        modes = {path.name: path.stat().st_mode & 0o7777 for path in found.rglob("*")}
        owners = {path.stat().st_uid for path in found.rglob("*")}
        assert modes == {"dir": 0o755, "setuid": 0o755, "secret": 0o644, "file": 0o644}
        assert owners == {os.getuid()}
    assert list(scratch.iterdir()) == []


# --- too much of it ----------------------------------------------------------------------------


def unpack_small(tmp_path: Path, archive: Path) -> None:
    """Unpack within small limits."""
    (tmp_path / "root").mkdir()
    with archive.open("rb") as stream:
        extract(stream, 1, "small", tmp_path / "root", SMALL)


def files(*sizes: int) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [(member(f"{TOP}/{number}"), bytes(size)) for number, size in enumerate(sizes)]


def test_as_much_as_the_limits_allow(tmp_path: Path) -> None:
    unpack_small(tmp_path, packed(tmp_path / "x.tar.gz", *files(500, 0, 500, 0, 0)))


def test_one_byte_too_many(tmp_path: Path) -> None:
    with pytest.raises(MemberError, match="its files are larger than"):
        unpack_small(tmp_path, packed(tmp_path / "x.tar.gz", *files(500, 501)))


def test_one_member_too_many(tmp_path: Path) -> None:
    with pytest.raises(MemberError, match="more than 5 members"):
        unpack_small(tmp_path, packed(tmp_path / "x.tar.gz", *files(*[0] * 6)))


def test_same_folder_again_and_again(tmp_path: Path) -> None:
    folder = member(f"{TOP}/dir", tarfile.DIRTYPE)
    with pytest.raises(MemberError, match="more than 5 members"):
        unpack_small(tmp_path, packed(tmp_path / "x.tar.gz", *[(folder, b"")] * 6))


def test_huge_claim_is_refused_before_anything_is_written(tmp_path: Path, scratch: Path) -> None:
    archive = raw(tmp_path / "x.tar.xz", head(f"{TOP}/huge", tarfile.REGTYPE, 1 << 50))
    refused(archive, scratch, "its files are larger than 2048.0 MiB")


def test_what_is_written_counts_whatever_the_header_says(tmp_path: Path) -> None:
    info = member(f"{TOP}/file")
    info.size = 1
    with pytest.raises(MemberError, match="its files are larger"):
        TreeWriter(tmp_path, SMALL).add(info, io.BytesIO(bytes(1001)))


def test_holes_count_too(tmp_path: Path, scratch: Path) -> None:
    """A sparse file: a few bytes that stand for a terabyte of zeros."""
    block = bytearray(head(f"{TOP}/sparse", tarfile.GNUTYPE_SPARSE, 0))
    block[386:410] = b"%011o\0%011o\0" % (0, 0)
    block[483:495] = b"\x80" + struct.pack(">3xQ", 1 << 40)
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:]) + 8 * 32)
    refused(
        raw(tmp_path / "x.tar.xz", bytes(block), bytes(1024)), scratch, "larger than 2048.0 MiB"
    )


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_header_is_not_read_into_memory_however_long(
    tmp_path: Path, scratch: Path, kind: bytes
) -> None:
    archive = raw(tmp_path / "x.tar.xz", head("long", kind, 1 << 30), bytes(1 << 20))
    refused(archive, scratch, "a header is too long")


def test_chain_of_headers(tmp_path: Path, scratch: Path) -> None:
    archive = raw(tmp_path / "x.tar.xz", head("g", tarfile.XGLTYPE, 0) * 5000)
    refused(archive, scratch, "a header is too long")


def test_endless_list_of_holes(tmp_path: Path, scratch: Path) -> None:
    records = record("GNU.sparse.major", b"1") + record("GNU.sparse.minor", b"0")
    holes = b"999999999\n" + b"0\n" * (1 << 19)
    sparse = head(f"{TOP}/sparse", tarfile.REGTYPE, len(holes))
    refused(raw(tmp_path / "x.tar.xz", pax(records), sparse, holes), scratch, "header is too long")


def test_endless_zeros_behind_the_end(tmp_path: Path) -> None:
    one = head(f"{TOP}/file", tarfile.REGTYPE, 0)
    with pytest.raises(ArchiveError, match="more follows its end"):
        unpack_small(tmp_path, raw(tmp_path / "x.tar.xz", one, bytes(1 << 20)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", b"p2plab-x/a\0b"),
        ("mtime", b"nan"),
        ("mtime", b"1e300"),
        ("size", b"-512"),
        ("GNU.sparse.map", b"1,two"),
        ("GNU.sparse.size", b"9" * 5000),
    ],
)
def test_nonsense_in_a_header(tmp_path: Path, scratch: Path, key: str, value: bytes) -> None:
    one = head(f"{TOP}/file", tarfile.REGTYPE, 0)
    archive = raw(tmp_path / "x.tar.xz", pax(record(key, value)), one, bytes(1024))
    refused(archive, scratch, "cannot be shown" if key == "path" else "it is damaged")


def test_archive_that_takes_more_memory_than_there_is(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(_stream: object) -> io.BytesIO:
        raise MemoryError

    magic = b"\xfd7zXZ\x00"
    monkeypatch.setitem(archives.DECOMPRESSORS, magic, greedy)
    (tmp_path / "x.tar.xz").write_bytes(magic)
    refused(tmp_path / "x.tar.xz", scratch, "it takes more memory than there is")


# --- what other programs would see and this one not --------------------------------------------


@pytest.fixture
def tar(tmp_path: Path) -> bytes:
    """Return a whole bundle as a plain tar."""
    pack(make_bundle(tmp_path / "made"), tmp_path / "good.tar.xz")
    return lzma.decompress((tmp_path / "good.tar.xz").read_bytes())


@pytest.mark.parametrize("hidden", ["another bundle", "anything"])
def test_nothing_is_hidden_behind_the_end(
    tmp_path: Path, scratch: Path, tar: bytes, hidden: str
) -> None:
    behind = tar if hidden == "another bundle" else b"x" * 5000

    refused(raw(tmp_path / "x.tar.xz", tar, behind), scratch, "more follows its end")


def test_second_archive_in_the_same_file(tmp_path: Path, scratch: Path, tar: bytes) -> None:
    """Compressed apart, one behind the other: decompressors take these for one."""
    archive = tmp_path / "x.tar.xz"
    archive.write_bytes(lzma.compress(tar) * 2)

    refused(archive, scratch, "more follows its end")


def test_damaged_header_is_not_the_end(tmp_path: Path, scratch: Path, tar: bytes) -> None:
    starts = [at for at in range(0, len(tar), 512) if tar[at:].startswith(b"p2plab-6.12-switch")]
    assert len(starts) > 3

    for start in starts[1:]:
        damaged = tar[:start] + b"P" + tar[start + 1 :]
        refused(raw(tmp_path / "x.tar.xz", damaged), scratch, "damaged")


@pytest.mark.parametrize("name", ["\x1b[2Ka", "a\nb", "\u202ea", "\udcff"])
@pytest.mark.parametrize("place", ["{}/image", "a/{}", "a/image/{}/b"])
def test_names_can_be_read(tmp_path: Path, scratch: Path, name: str, place: str) -> None:
    archive = packed(tmp_path / "x.tar.gz", (member(place.format(name)), b""))

    refused(archive, scratch, "characters that cannot be shown")


def test_name_that_no_folder_can_have(tmp_path: Path, scratch: Path) -> None:
    archive = packed(tmp_path / "x.tar.gz", (member(f"{'a' * 300}/b"), b""))

    with pytest.raises(LabError, match="File name too long"), unpacked(archive):
        pass
    assert list(scratch.iterdir()) == []
