"""What goes into the image, and that the same inputs give the same bytes.

The kernel's gen_init_cpio is replaced by a script that prints its specification; the real one
packs the image of the tests with a kernel.
"""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from host.errors import LabError, MissingToolError
from kernel.environment import SOURCE_DATE_EPOCH
from rootfs.elf import ImageError
from rootfs.initramfs import ImageFile, Parts, find_busybox, pack
from rootfs.sources import FOLDER
from tests.unit.elf_files import compiled, module, program, vmlinux

BUSYBOX = '#include <stdio.h>\nint main(void) { puts("sh\\n[\\nbusybox\\npoweroff\\nmount"); }\n'
MAGIC = "6.3.2 SMP mod_unload "


class Image:
    """The parts, a stand-in for gen_init_cpio, and a place for the image."""

    def __init__(self, folder: Path, parts: Parts) -> None:
        self.parts = parts
        self.generator = folder / "gen_init_cpio"
        self.generator_is('echo "$1 $2"; cat "$3"')
        self.target = folder / "out/initramfs.cpio.lz4"

    def generator_is(self, script: str) -> None:
        self.generator.write_text(f"#!/bin/sh\n{script}\n")
        self.generator.chmod(0o755)

    def pack(self, **changed: object) -> list[str]:
        parts = replace(self.parts, **changed)  # type: ignore[arg-type]
        pack(parts, self.generator, self.target)
        unpacked = subprocess.run(["lz4", "-dc", self.target], capture_output=True, check=True)
        return unpacked.stdout.decode().splitlines()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder = tmp_path_factory.mktemp("parts")
    return Parts(
        busybox=compiled(folder / "busybox", BUSYBOX, "-static"),
        module=module(folder / "p2pmem_pci.ko", MAGIC),
        tool=program(folder / "p2pmem-test", "-static"),
        vmlinux=vmlinux(folder / "vmlinux", MAGIC),
    )


@pytest.fixture
def image(tmp_path: Path, parts: Parts) -> Image:
    return Image(tmp_path, parts)


def test_specification(image: Image) -> None:
    epoch, *lines = image.pack()

    assert epoch == "-t 1684152000"
    assert "nod /dev/console 600 0 0 c 5 1" in lines
    files = image.target.parent / "files"
    assert f"file /init {files}/init 755 0 0" in lines
    assert f"file /bin/p2pmem-test {files}/bin/p2pmem-test 755 0 0" in lines
    module = "lib/modules/6.3.2/p2pmem_pci.ko"
    assert f"file /{module} {files}/{module} 644 0 0" in lines
    assert (files / module).read_bytes() == image.parts.module.read_bytes()
    assert (files / "init").read_bytes() == (FOLDER / "init").read_bytes()
    links = [line for line in lines if line.startswith("slink")]
    assert links == [
        f"slink /bin/{name} busybox 777 0 0" for name in ("[", "mount", "poweroff", "sh")
    ]


def test_every_path_is_there_once_and_below_a_directory_named_before(image: Image) -> None:
    _, *lines = image.pack()

    seen = {""}
    for path in (line.split()[1] for line in lines):
        assert path not in seen
        assert path.rpartition("/")[0] in seen
        seen.add(path)


def test_every_file_of_the_specification_exists(image: Image) -> None:
    _, *lines = image.pack()

    files = [Path(line.split()[2]) for line in lines if line.startswith("file ")]
    assert [path for path in files if not path.is_file()] == []
    assert (image.target.parent / "modules.dep").read_text() == "p2pmem_pci.ko:\n"
    # gen_init_cpio of 6.3 packs a file with its own time.
    assert {path.stat().st_mtime for path in files} == {SOURCE_DATE_EPOCH}


def test_same_inputs_give_the_same_bytes(image: Image) -> None:
    image.pack()
    first = image.target.read_bytes()
    os.utime(image.parts.tool, (1, 1))

    image.pack()

    assert image.target.read_bytes() == first
    assert first[:4] == bytes.fromhex("02214c18")  # the legacy frame, all that the kernel reads


@pytest.mark.parametrize("part", ["busybox", "module", "tool"])
def test_missing_file_is_named_with_its_place(image: Image, tmp_path: Path, part: str) -> None:
    with pytest.raises(LabError) as caught:
        image.pack(**{part: tmp_path / "absent"})

    assert "absent" in str(caught.value)
    assert not image.target.exists()


def test_dynamic_tool_is_refused(image: Image, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is not a static program"):
        image.pack(tool=program(tmp_path / "dynamic"))


def test_dynamic_busybox_is_refused(image: Image, tmp_path: Path) -> None:
    dynamic = compiled(tmp_path / "dynamic", BUSYBOX)

    with pytest.raises(ImageError, match=r"dynamic needs what the image lacks: libc\.so\.6"):
        image.pack(busybox=dynamic)


def test_more_files_get_the_directories_above_them(image: Image, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")

    _, *lines = image.pack(more=(ImageFile("/opt/own/bin/script", script, "755"),))

    folders = [line.split()[1] for line in lines if line.startswith("dir ")]
    assert folders[-3:] == ["/opt", "/opt/own", "/opt/own/bin"]
    staged = image.target.parent / "files/opt/own/bin/script"
    assert f"file /opt/own/bin/script {staged} 755 0 0" in lines


def test_library_needs_its_libraries_too(image: Image, tmp_path: Path) -> None:
    source = "int puts(const char *);\nint (*own)(const char *) = puts;\n"
    library = compiled(tmp_path / "libown.so", source, "-shared", "-fPIC")

    with pytest.raises(ImageError, match=r"libown\.so needs what the image lacks: libc\.so\.6"):
        image.pack(more=(ImageFile("/lib/libown.so", library, "644"),))


def test_module_of_another_kernel_keeps_the_old_image(image: Image, tmp_path: Path) -> None:
    image.pack()
    before = image.target.read_bytes()

    with pytest.raises(ImageError, match="was built for another kernel"):
        image.pack(module=module(tmp_path / "other.ko", "6.12.1 SMP "))

    assert image.target.read_bytes() == before


def test_generator_that_fails_keeps_the_old_image(
    image: Image, capfd: pytest.CaptureFixture[str]
) -> None:
    image.pack()
    before = image.target.read_bytes()
    image.generator_is("echo half; exit 4")

    with pytest.raises(LabError, match=r"gen_init_cpio ended with 4, lz4 with 0"):
        image.pack()

    assert image.target.read_bytes() == before
    assert [path.name for path in image.target.parent.iterdir() if "partial" in path.name] == []


def test_kernel_without_a_generator(image: Image) -> None:
    image.generator.unlink()

    with pytest.raises(ImageError, match=r"left no .*gen_init_cpio") as caught:
        image.pack()

    assert "CONFIG_BLK_DEV_INITRD=y" in caught.value.hint


def test_missing_lz4_is_named(
    image: Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "no"))

    with pytest.raises(MissingToolError, match="lz4 is not on this machine"):
        image.pack()


def test_missing_busybox_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_busybox().is_absolute()
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingToolError, match="busybox is not on this machine"):
        find_busybox()
