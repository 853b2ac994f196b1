"""What may go into the image, decided on files that gcc has made."""

import subprocess
from pathlib import Path

import pytest

from rootfs.elf import (
    ImageError,
    Program,
    is_elf,
    kernel_vermagic,
    read_program,
    require_closure,
    require_module_for,
    require_static,
)
from tests.unit.elf_files import compiled, module, program, vmlinux

LOADER = "/lib64/ld-linux-x86-64.so.2"


def test_static_program(tmp_path: Path) -> None:
    path = program(tmp_path / "tool", "-static")

    require_static(path)
    assert read_program(path) == Program(path, "", ())


def test_static_program_that_relocates_itself(tmp_path: Path) -> None:
    require_static(program(tmp_path / "tool", "-static-pie", "-fPIE"))


def test_dynamic_program_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    path = program(tmp_path / "tool")

    with pytest.raises(ImageError, match=f"it needs {LOADER}, libc.so.6") as caught:
        require_static(path)

    assert caught.value.hint == "link it with -static"


def test_closure(tmp_path: Path) -> None:
    path = program(tmp_path / "tool")
    complete = {"/bin/tool", LOADER, "/lib/libc.so.6"}

    require_closure([read_program(path)], complete)

    for lacking in (LOADER, "/lib/libc.so.6"):
        with pytest.raises(ImageError) as caught:
            require_closure([read_program(path)], complete - {lacking})
        name = lacking if lacking == LOADER else "libc.so.6"
        assert caught.value.message == f"{path} needs what the image lacks: {name}"
        assert "static" in caught.value.hint


def test_loader_elsewhere_in_the_image_does_not_count(tmp_path: Path) -> None:
    path = program(tmp_path / "tool")

    with pytest.raises(ImageError, match=LOADER):
        require_closure([read_program(path)], {"/lib/ld-linux-x86-64.so.2", "/lib/libc.so.6"})


def test_other_architecture_is_refused(tmp_path: Path) -> None:
    path = compiled(tmp_path / "tool.o", "int x;", "-c", "-m32")

    with pytest.raises(ImageError, match=r"tool\.o is for EM_386, not for EM_X86_64"):
        require_static(path)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01\x01" * 30])
def test_what_is_no_elf_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tool"
    path.write_bytes(content)

    with pytest.raises(ImageError, match=f"{path} is "):
        read_program(path)
    assert is_elf(path) == content.startswith(b"\x7fELF")


@pytest.mark.parametrize("size", [40, 70, 200, 3000])
def test_program_that_was_cut_off(tmp_path: Path, size: int) -> None:
    path = program(tmp_path / "tool")
    path.write_bytes(path.read_bytes()[:size])

    with pytest.raises(ImageError, match="is not a whole ELF file"):
        read_program(path)


def test_module_of_this_kernel(tmp_path: Path) -> None:
    kernel = vmlinux(tmp_path / "vmlinux", "6.3.2 SMP mod_unload ")

    assert kernel_vermagic(kernel) == "6.3.2 SMP mod_unload "
    require_module_for(module(tmp_path / "a.ko", "6.3.2 SMP mod_unload "), kernel)


@pytest.mark.parametrize("magic", ["6.3.2 SMP preempt mod_unload ", "6.3.21 SMP mod_unload ", ""])
def test_module_of_another_kernel(tmp_path: Path, magic: str) -> None:
    kernel = vmlinux(tmp_path / "vmlinux", "6.3.2 SMP mod_unload ")

    with pytest.raises(ImageError) as caught:
        require_module_for(module(tmp_path / "a.ko", magic), kernel)

    assert f"its vermagic is {magic!r}" in caught.value.message
    assert "'6.3.2 SMP mod_unload '" in caught.value.message


def test_module_of_another_architecture(tmp_path: Path) -> None:
    kernel = vmlinux(tmp_path / "vmlinux", "6.3.2 SMP ")

    with pytest.raises(ImageError, match=r"a\.ko is for EM_386"):
        require_module_for(module(tmp_path / "a.ko", "6.3.2 SMP ", "-m32"), kernel)


def test_object_that_is_no_module(tmp_path: Path) -> None:
    kernel = vmlinux(tmp_path / "vmlinux", "6.3.2 SMP ")

    with pytest.raises(ImageError, match="is not a kernel module"):
        require_module_for(compiled(tmp_path / "a.ko", "int x;", "-c"), kernel)


def test_kernel_without_modules(tmp_path: Path) -> None:
    kernel = compiled(tmp_path / "vmlinux", "int start;", "-nostdlib", "-static", "-Wl,-e,start")

    with pytest.raises(ImageError, match="has no version magic") as caught:
        kernel_vermagic(kernel)

    assert "CONFIG_MODULES=y" in caught.value.hint


def test_kernel_without_symbols(tmp_path: Path) -> None:
    kernel = vmlinux(tmp_path / "vmlinux", "6.3.2 SMP ")
    subprocess.run(["strip", kernel], check=True)

    with pytest.raises(ImageError, match="has no symbol table"):
        kernel_vermagic(kernel)
