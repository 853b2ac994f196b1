"""SHA256SUMS: what sha256sum reads, and nothing in it or beside it changes unnoticed."""

import os
import subprocess
from pathlib import Path

import pytest

from bundle.errors import BundleError
from bundle.sums import NAME, complaints, files_below, write_sums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "image"
    (folder / "sub").mkdir(parents=True)
    for name in ("b", ".a", "sub/c", "with blank"):
        (folder / name).write_text(name)
    write_sums(folder)
    return folder


def refusal(folder: Path) -> list[str]:
    """Return the complaints about a folder."""
    found = complaints(folder)
    assert found
    return found


def test_sha256sum_agrees(folder: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", NAME], cwd=folder, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ".a: OK\nb: OK\nsub/c: OK\nwith blank: OK\n"
    assert complaints(folder) == []


def test_list_is_sorted_and_lacks_only_itself(folder: Path) -> None:
    names = [line.split("  ", 1)[1] for line in (folder / NAME).read_text().splitlines()]
    assert names == [".a", "b", "sub/c", "with blank"]
    assert files_below(folder) == sorted([*names, NAME])


def test_everything_that_does_not_fit_is_named_at_once(folder: Path) -> None:
    (folder / "b").write_text("other")
    (folder / "sub/c").unlink()
    (folder / "sub/d").touch()
    assert refusal(folder) == [
        "b: changed, or its line in SHA256SUMS",
        "sub/c: missing",
        "sub/d: extra, not in SHA256SUMS",
    ]


def test_flipped_bit_in_each_byte_of_the_list_is_noticed(folder: Path) -> None:
    whole = (folder / NAME).read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        (folder / NAME).write_bytes(data)
        assert refusal(folder), f"byte {place}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text + "\n", "SHA256SUMS: itself is not as it was written"),
        (lambda text: text.replace("\n", "\r\n"), ".a: extra, not in SHA256SUMS"),
        (lambda text: text[:-1], "SHA256SUMS: itself is not as it was written"),
        (lambda text: text + text, "SHA256SUMS: itself is not as it was written"),
        (lambda text: "".join(reversed(text.splitlines(True))), "SHA256SUMS: itself is not"),
        (lambda text: "words\n" + text, "SHA256SUMS: line 1 is damaged"),
        (lambda text: "", ".a: extra, not in SHA256SUMS"),
    ],
)
def test_list_that_was_edited(folder: Path, change: object, told: str) -> None:
    assert callable(change)
    (folder / NAME).write_text(change((folder / NAME).read_text()), newline="")
    assert any(line.startswith(told) for line in refusal(folder))


def test_list_that_is_not_there(folder: Path) -> None:
    (folder / NAME).unlink()
    assert refusal(folder) == ["SHA256SUMS: missing"]


@pytest.mark.parametrize("name", ["new\nline", "back\\slash", "\x1b[31m", "\udce4"])
def test_odd_name(folder: Path, name: str) -> None:
    (folder / name).touch()
    told = f"{name if name.isprintable() else repr(name)}: a name with characters"
    assert refusal(folder)[0].startswith(told)
    with pytest.raises(BundleError):
        write_sums(folder)


def test_link_is_not_followed(folder: Path) -> None:
    (folder / "b").rename(folder.parent / "b")
    (folder / "b").symlink_to("../b")
    (folder / "sub").rename(folder.parent / "sub")
    (folder / "sub").symlink_to("../sub")
    assert refusal(folder) == ["b: a symbolic link", "sub: a symbolic link"]


def test_fifo_is_not_opened(folder: Path) -> None:
    (folder / "b").unlink()
    os.mkfifo(folder / "b")
    assert refusal(folder) == ["b: no regular file"]


def test_list_itself_a_link(folder: Path) -> None:
    (folder / NAME).rename(folder.parent / NAME)
    (folder / NAME).symlink_to(f"../{NAME}")
    assert refusal(folder) == ["SHA256SUMS: a symbolic link"]


def test_empty_folder(folder: Path) -> None:
    (folder / "sub/new").mkdir()
    assert refusal(folder) == ["sub/new: an empty folder, which no list can hold"]
