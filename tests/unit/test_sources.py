"""What of a folder counts as sources, whoever built there before."""

import subprocess
from pathlib import Path

from host.sources import mirror, sources_below
from tests.unit.elf_files import compiled

NAMES = (
    "Kbuild",
    "include/own.h",
    "scripts/version.sh",
    "src/deep/own.c",
    "blob.o_shipped",
    "table.bin",
)
MADE = (
    ".git/config",
    "own.mod",
    "own.mod.c",
    "src/deep/.own.o.cmd",
    "modules.order",
    "Module.symvers",
    "own.ko",
    ".tmp_versions/own.mod",
)


def folder_with(root: Path) -> Path:
    """Make a folder in which somebody has built."""
    for name in (*NAMES, *MADE):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    compiled(root / "src/deep/own.o", "int own;", "-c")
    compiled(root / "program", "int main(void) { return 0; }")
    compiled(root / "vendor.o_shipped", "int vendor;", "-c")
    (root / "link").symlink_to("src/deep/own.c")
    return root


def names(paths: list[Path], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in paths]


def test_products_of_a_build_are_no_sources(tmp_path: Path) -> None:
    root = folder_with(tmp_path / "own")

    found = names(sources_below(root), root)

    assert found == sorted(found)
    assert set(found) == {*NAMES, "vendor.o_shipped", "link"}


def test_mirror_is_whole_and_has_the_same_times(tmp_path: Path) -> None:
    root = folder_with(tmp_path / "own")
    sources = sources_below(root)

    mirror(sources, root, tmp_path / "copy")

    assert names(sources_below(tmp_path / "copy"), tmp_path / "copy") == names(sources, root)
    assert (tmp_path / "copy/link").is_symlink()
    for path in sources:
        copy = tmp_path / "copy" / path.relative_to(root)
        assert copy.lstat().st_mtime_ns == path.lstat().st_mtime_ns
        assert copy.read_bytes() == path.read_bytes()


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    subprocess.run(["mkfifo", tmp_path / "pipe"], check=True)

    assert sources_below(tmp_path) == []
