"""What the linker's own list says a program was made of."""

from pathlib import Path

import pytest

from host.errors import LabError
from rootfs.linked import linked_files


def record(folder: Path, *files: Path | str) -> Path:
    """Write a list as ld does: a rule, then an empty rule for each file."""
    path = folder / "tool.link.d"
    rule = "".join(f" \\\n  {file}" for file in files)
    empty = "".join(f"\n{file}:\n" for file in files)
    path.write_text(f"{folder}/tool:{rule}\n{empty}")
    return path


def test_own_objects_are_left_out_and_paths_made_plain(tmp_path: Path) -> None:
    build, lib, gcc = tmp_path / "build", tmp_path / "lib", tmp_path / "lib/gcc"
    for folder in (build, gcc):
        folder.mkdir(parents=True)
    (lib / "libc-2.36.a").touch()
    (lib / "libc.a").symlink_to(lib / "libc-2.36.a")
    listed = record(build, f"{gcc}/../crt1.o", build / "main.o", lib / "libc.a", lib / "crt1.o")

    found = linked_files(listed)

    assert found == [lib / "crt1.o", lib / "libc-2.36.a"]


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot read what the linker wrote") as caught:
        linked_files(tmp_path / "tool.link.d")
    assert "doit tool" in caught.value.hint


@pytest.mark.parametrize("files", [(), ("main.o",)])
def test_record_without_a_library(tmp_path: Path, files: tuple[str, ...]) -> None:
    with pytest.raises(LabError, match="names no library"):
        linked_files(record(tmp_path, *(tmp_path / name for name in files)))


def test_empty_record(tmp_path: Path) -> None:
    (tmp_path / "tool.link.d").touch()

    with pytest.raises(LabError, match="names no library"):
        linked_files(tmp_path / "tool.link.d")
