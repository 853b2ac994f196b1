"""The first file that differs, and where in it, are named."""

import shutil
import subprocess
from pathlib import Path

import pytest

from reproduce import cpio, diffoscope
from reproduce.difference import Difference, differences, where_in
from reproduce.diffoscope import write_report
from tests.unit.elf_files import compiled


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two image folders that are the same."""
    a, b = tmp_path / "image-a", tmp_path / "image-b"
    for folder in (a, b):
        (folder / "fragments").mkdir(parents=True)
        (folder / ".config").write_text("CONFIG_A=y\nCONFIG_B=y\n")
        (folder / "bzImage").write_bytes(bytes(1000))
        (folder / "p2pmem-test").write_text("tool\n")
        (folder / "README").write_text("text\n")
        (folder / "SHA256SUMS").write_text("sums\n")
        (folder / "fragments/0-p2pdma.config").write_text("CONFIG_A=y\n")
        for path in folder.iterdir():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return a, b


def test_same_folders(pair: tuple[Path, Path]) -> None:
    assert differences(*pair) == []


def test_cause_stands_before_what_it_causes(pair: tuple[Path, Path]) -> None:
    for name in ("SHA256SUMS", "README", "bzImage", "p2pmem-test", ".config"):
        (pair[1] / name).write_text("other\n")

    names = [item.name for item in differences(*pair)]

    assert names == ["p2pmem-test", ".config", "bzImage", "README", "SHA256SUMS"]


def test_missing_and_extra_files(pair: tuple[Path, Path]) -> None:
    (pair[1] / "README").unlink()
    (pair[1] / "fragments/1-my.config").touch()

    assert [*map(str, differences(*pair))] == [
        "README: is not there in B",
        "fragments/1-my.config: is not there in A",
    ]


def test_mode(pair: tuple[Path, Path]) -> None:
    (pair[1] / "bzImage").chmod(0o600)

    assert [*map(str, differences(*pair))] == ["bzImage: mode 644 in A, 600 in B"]


@pytest.mark.parametrize(
    ("a", "b", "where"),
    [
        (b"1\n2\n3\n", b"1\ntwo\n3\n", "line 2: '2' in A, 'two' in B"),
        (b"1\n", b"1\n2\n", "line 2: '' in A, '2' in B"),
        (b"1", b"1\n2", "one of them has more lines"),
        (bytes(5000), bytes(4321) + b"x" + bytes(678), "byte 4321"),
        (bytes(10), bytes(20), "byte 10"),
        (b"\x7fELF\0a", b"\x7fELF\0b", "byte 5"),
    ],
)
def test_place_in_text_and_bytes(a: bytes, b: bytes, where: str) -> None:
    assert where_in(a, b, "file") == where


def elf(folder: Path, name: str, text: str, *flags: str) -> bytes:
    source = f'const char text[] = "{text}";\nint main(void) {{ return 0; }}\n'
    return compiled(folder / name, source, *flags).read_bytes()


def test_section_of_a_program_and_not_the_sum_over_it(tmp_path: Path) -> None:
    build_id = "-Wl,--build-id"
    a, b = (elf(tmp_path, name, text, build_id) for name, text in (("a", "abc"), ("b", "xyz")))

    assert where_in(a, b, "p2pmem-test") == "section .rodata; also .note.gnu.build-id"


def test_section_that_only_one_has(tmp_path: Path) -> None:
    a = elf(tmp_path, "a", "abc", "-Wl,--build-id=none")
    b = elf(tmp_path, "b", "abc", "-Wl,--build-id=sha1")

    assert where_in(a, b, "p2pmem-test").startswith("section ")


class Archive:
    """An initramfs in the making."""

    def __init__(self) -> None:
        self.data = b""

    def add(self, name: str, content: bytes = b"", *, mode: int = 0o100644, mtime: int = 5) -> None:
        fields = (1, mode, 0, 0, 1, mtime, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + name.encode() + b"\0", content):
            self.data += part + bytes(-len(part) % 4)

    def packed(self) -> bytes:
        self.add(cpio.TRAILER)
        return subprocess.run(
            ["lz4", "-l", "-c", "-q"], input=self.data, capture_output=True, check=True
        ).stdout


def archive(**changed: object) -> bytes:
    made = Archive()
    made.add("bin", mode=0o40755)
    made.add("bin/tool", b"tool", **changed)  # type: ignore[arg-type]
    made.add("init", b"init!")
    return made.packed()


def test_member_of_the_initramfs() -> None:
    other = Archive()
    other.add("bin", mode=0o40755)
    for b, where in (
        (archive(mtime=6), "member bin/tool: mtime is 5 in A, 6 in B"),
        (archive(mode=0o100755), "member bin/tool: mode is 33188 in A, 33261 in B"),
        (other.packed(), "member bin/tool is only in A"),
    ):
        assert where_in(archive(), b, "initramfs.cpio.lz4") == where


def test_content_of_a_member() -> None:
    made = Archive()
    made.add("bin", mode=0o40755)
    made.add("bin/tool", b"TOOL")

    assert where_in(archive(), made.packed(), "initramfs.cpio.lz4") == (
        "member bin/tool: its content"
    )


def test_compression_alone() -> None:
    made = archive()

    assert where_in(made, made + bytes(4), "initramfs.cpio.lz4") == f"byte {len(made)}"


@pytest.mark.parametrize("cut", [1, 5, 100, 113, 119])
def test_damaged_archive_ends_where_it_is_cut(cut: int) -> None:
    made = Archive()
    made.add("bin/tool", b"tool")

    assert len([*cpio.members(made.data[:cut])]) <= 1
    assert [*cpio.members(b"070701" + b"z" * 200)] == []


def test_real_archive_is_understood(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    packed = subprocess.run(
        ["busybox", "cpio", "-o", "-H", "newc"],
        input=b"a\n", cwd=tmp_path, capture_output=True, check=True,
    ).stdout  # fmt: skip

    (member,) = cpio.members(packed)

    assert (member.name, member.content) == ("a", b"content")


def test_report_shows_what_differs(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (pair[1] / ".config").write_text("CONFIG_A=y\nCONFIG_B=n\n")
    (pair[1] / "bzImage").write_bytes(b"x" * (diffoscope.BIG + 1))
    (pair[0] / "bzImage").write_bytes(b"y" * (diffoscope.BIG + 1))

    said = write_report(differences(*pair), *pair, tmp_path)

    if shutil.which("diffoscope"):
        assert said == f"report: {tmp_path}/diffoscope.txt and diffoscope.html"
        text = (tmp_path / "diffoscope.txt").read_text()
        assert "-CONFIG_B=y" in text
        assert "bzImage" not in text, "big, and a smaller one differs too"
        assert (tmp_path / "diffoscope.html").stat().st_size > 0
    else:
        assert said == "no report: diffoscope is not on this machine"
    assert not (tmp_path / "differing").exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo broken >&2; exit 2", "no report: diffoscope ended with 2: broken"),
        ("sleep 5", "no report: diffoscope was not done after 0.1 s"),
        ("", "no report: diffoscope is not on this machine"),
    ],
)
def test_report_that_cannot_be_had(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    if script:
        program = tmp_path / "bin/diffoscope"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    # Only what the stand-in needs, so that no real one is found.
    for name in ("sh", "sleep"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(diffoscope, "PATIENCE", 0.1)
    found = [Difference(".config", "line 1")]

    assert write_report(found, *pair, tmp_path) == said
