"""Debug information names no place of this machine, and a debugger still finds the sources."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.dwarf.compileunit import CompileUnit
from elftools.elf.elffile import ELFFile

from kernel.source import read_record
from settings.paths import PROJECT, Workspace

pytestmark = pytest.mark.kernel


def units(path: Path) -> Iterator[CompileUnit]:
    """Yield the compilation units of an ELF file."""
    with path.open("rb") as stream:
        yield from ELFFile(stream).get_dwarf_info().iter_CUs()


def source_of(unit: CompileUnit) -> str:
    """Return the absolute name of a unit's source, as its debug information gives it."""
    attributes = unit.get_top_DIE().attributes
    folder, name = (attributes[key].value.decode() for key in ("DW_AT_comp_dir", "DW_AT_name"))
    return name if name.startswith("/") else f"{folder}/{name}"


@pytest.fixture
def substituted(workspace: Workspace) -> dict[str, Path]:
    """Return what `doit gdb=1 boot` tells gdb to substitute."""
    return {
        "/p2plab/linux/": read_record(workspace.source_record).tree,
        "/p2plab/build/": workspace.root,
    }


@pytest.mark.parametrize("name", ["vmlinux", "module"])
def test_gdb_finds_every_source(
    workspace: Workspace, substituted: dict[str, Path], name: str
) -> None:
    sources = [source_of(unit) for unit in units(getattr(workspace, name))]
    assert sources
    assert any(source.startswith("/p2plab/linux/") for source in sources)
    for source in sources:
        prefix = next(prefix for prefix in substituted if source.startswith(prefix))
        # Generated and removed again by the kernel's build.
        if not Path(source).name.startswith(".vmlinux."):
            assert (substituted[prefix] / source.removeprefix(prefix)).is_file(), source


def test_no_file_of_the_image_names_a_place_of_this_machine(workspace: Workspace) -> None:
    tree = read_record(workspace.source_record).tree
    places = {str(place).encode() for place in (PROJECT, workspace.root, tree)}
    built = (workspace.bzimage, workspace.vmlinux, workspace.module, workspace.tool)
    for path in (*built, workspace.dot_config, workspace.system_map, workspace.initramfs):
        content = path.read_bytes()
        assert not [place for place in places if place in content], path
