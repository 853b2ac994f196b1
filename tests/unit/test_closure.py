"""The libraries of a program are found as the loader finds them, and go where it will look."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rootfs.closure import CACHE, Machine, closure, read_cache
from rootfs.elf import ImageError
from rootfs.initramfs import ImageFile
from tests.unit.elf_files import compiled, program

LDCONFIG = shutil.which("ldconfig", path=f"{os.environ['PATH']}:/sbin:/usr/sbin") or "ldconfig"
USE = "int {0}(void); int main(void) {{ return {0}(); }}\n"


def library(folder: Path, name: str, source: str, *flags: str) -> Path:
    """Make ``lib<name>.so`` with that soname."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"lib{name}.so"
    return compiled(file, source, "-shared", "-fPIC", f"-Wl,-soname,lib{name}.so", *flags)


def using(target: Path, name: str, folder: Path, *flags: str) -> Path:
    """Make a program that calls a function of a library, both called ``name``."""
    return compiled(target, USE.format(name), f"-L{folder}", f"-l{name}", *flags)


def targets(*programs: Path, machine: Machine | None = None) -> dict[str, Path]:
    """Return what the programs need, as if all of them lay in /bin of the guest."""
    files = [ImageFile(f"/bin/{path.name}", path, "755") for path in programs]
    return {file.target: file.source for file in closure(files, machine)}


def without_libc(found: dict[str, Path]) -> dict[str, Path]:
    """Leave out what every program needs."""
    return {
        target: source
        for target, source in found.items()
        if not target.endswith(("libc.so.6", "ld-linux-x86-64.so.2"))
    }


def test_ordinary_program_needs_loader_and_c_library(tmp_path: Path) -> None:
    found = targets(program(tmp_path / "plain"))

    assert len(found) == 2
    assert found["/lib64/ld-linux-x86-64.so.2"].is_file()
    assert any(target.endswith("/libc.so.6") for target in found)


def test_static_program_needs_nothing(tmp_path: Path) -> None:
    assert targets(program(tmp_path / "static", "-static")) == {}


def test_the_loader_itself_agrees(tmp_path: Path) -> None:
    """For a program of this machine: the same files that ldd names."""
    busy = Path(shutil.which("git") or "/bin/ls").resolve()
    listed = subprocess.run(["ldd", str(busy)], capture_output=True, text=True, check=True).stdout
    named = {line.split("=>")[1].split()[0] for line in listed.splitlines() if "=>" in line}

    found = {str(source) for source in targets(busy).values()}

    assert {os.path.realpath(path) for path in named} <= {os.path.realpath(path) for path in found}


def test_library_in_a_folder_that_the_program_names(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    file = library(folder, "one", "int one(void) { return 1; }")
    main = using(tmp_path / "main", "one", folder, f"-Wl,--enable-new-dtags,-rpath,{folder}")

    assert without_libc(targets(main)) == {f"{folder}/libone.so": file}


def test_folder_beside_the_program_is_another_one_in_the_guest(tmp_path: Path) -> None:
    file = library(tmp_path / "lib", "one", "int one(void) { return 1; }")
    (tmp_path / "bin").mkdir()
    main = using(tmp_path / "bin/main", "one", tmp_path / "lib", "-Wl,-rpath,$ORIGIN/../lib")

    found = without_libc(targets(main))
    assert list(found) == ["/lib/libone.so"]
    assert found["/lib/libone.so"].resolve() == file


def test_libraries_of_libraries(tmp_path: Path) -> None:
    """An RPATH is for all below, a RUNPATH for its own file alone."""
    folder = tmp_path / "own"
    two = library(folder, "two", "int two(void) { return 2; }")
    source = "int two(void); int one(void) { return two(); }"
    one = library(folder, "one", source, f"-L{folder}", "-ltwo")
    search = f"-rpath,{folder},-rpath-link,{folder}"

    inherited = using(tmp_path / "a", "one", folder, f"-Wl,--disable-new-dtags,{search}")
    assert set(without_libc(targets(inherited)).values()) == {one, two}
    own_alone = using(tmp_path / "b", "one", folder, f"-Wl,--enable-new-dtags,{search}")
    with pytest.raises(ImageError, match=r"libone\.so needs libtwo\.so, which is not on this"):
        targets(own_alone)


def test_missing_library_is_named_with_who_needs_it(tmp_path: Path) -> None:
    file = library(tmp_path / "own", "gone", "int gone(void) { return 1; }")
    main = using(tmp_path / "main", "gone", tmp_path / "own")
    file.unlink()

    with pytest.raises(ImageError) as caught:
        targets(main)

    assert f"{main} needs libgone.so, which is not on this machine" in caught.value.message
    assert "ldd" in caught.value.hint


def test_library_that_only_the_cache_knows_goes_to_the_c_library(tmp_path: Path) -> None:
    """The guest has no cache."""
    file = library(tmp_path / "local", "one", "int one(void) { return 1; }")
    main = using(tmp_path / "main", "one", tmp_path / "local")
    standard = Machine.here().standard
    beside = next(str(folder) for folder in standard if (folder / "libc.so.6").exists())

    found = targets(main, machine=Machine({"libone.so": file}))

    assert without_libc(found) == {f"{beside}/libone.so": file}


def test_library_for_another_processor_is_passed_over(tmp_path: Path) -> None:
    good = library(tmp_path / "good", "one", "int one(void) { return 1; }")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/libone.so").write_bytes(b"\x7fELF" + bytes(60))
    search = f"-Wl,-rpath,{tmp_path}/bad:{tmp_path}/good"
    main = using(tmp_path / "main", "one", good.parent, search)

    assert without_libc(targets(main)) == {str(good): good}


def test_two_libraries_for_one_place_are_an_error(tmp_path: Path) -> None:
    mains: list[Path] = []
    for name in ("a", "b"):
        folder = tmp_path / name
        library(folder / "lib", "one", f"int one(void) {{ return {len(mains)}; }}")
        mains.append(using(folder / "main", "one", folder / "lib", "-Wl,-rpath,$ORIGIN/lib"))

    with pytest.raises(ImageError, match=r"/bin/lib/libone\.so would be both .* and "):
        targets(*mains)


def test_cache_is_read_as_ldconfig_prints_it() -> None:
    printed = subprocess.run([LDCONFIG, "-p"], capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in printed.splitlines() if "(libc6,x86-64)" in line]
    expected: dict[str, Path] = {}
    for line in lines:
        expected.setdefault(line.split()[0], Path(line.rpartition(" => ")[2]))

    assert read_cache(CACHE) == expected
    assert "libc.so.6" in expected


def test_no_cache_and_no_cache_of_this_form(tmp_path: Path) -> None:
    assert read_cache(tmp_path / "none") == {}
    (tmp_path / "old").write_bytes(b"ld.so-1.7.0 and nothing else")
    assert read_cache(tmp_path / "old") == {}
