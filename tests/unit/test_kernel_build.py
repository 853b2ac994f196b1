"""Kernel and module, built for real with make and gcc from a fake tree."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from host.errors import LabError
from host.process import ProgramFailed
from kernel.build import build_kernel
from kernel.environment import REPRODUCIBLE
from kernel.external import build_module, module_sources
from kernel.kbuild import Kbuild
from rootfs.elf import ImageError, kernel_vermagic, require_module_for
from settings.paths import PROJECT
from tests.unit.fake_kernel import VERMAGIC, fake_kbuild, fake_kernel, fake_module


@pytest.fixture
def kbuild(tmp_path: Path) -> Kbuild:
    kbuild = fake_kbuild(tmp_path)
    kbuild.output.mkdir(parents=True)
    (kbuild.output / ".config").touch()
    return kbuild


def test_kernel_and_module_are_built_and_fit(tmp_path: Path, kbuild: Kbuild) -> None:
    folder = fake_module(tmp_path / "own")
    output = tmp_path / "build/own"

    build_kernel(kbuild, tmp_path / "kernel.log")
    build_module(kbuild, folder, output, tmp_path / "module.log")

    assert kernel_vermagic(kbuild.output / "vmlinux") == VERMAGIC
    require_module_for(output / "own.ko", kbuild.output / "vmlinux")
    assert sorted(path.name for path in folder.iterdir()) == ["Kbuild", "README.md", "own.c"]
    assert not (output / "README.md").exists()


def test_log_begins_with_a_command_that_repeats_the_build(tmp_path: Path, kbuild: Kbuild) -> None:
    log = tmp_path / "kernel.log"
    build_kernel(kbuild, log)
    command = log.read_text().splitlines()[0].removeprefix("+ ")
    image = kbuild.output / "arch/x86/boot/bzImage"
    first = image.read_bytes()
    (kbuild.output / "vmlinux").unlink()
    image.unlink()

    subprocess.run(["sh", "-c", command], check=True, capture_output=True)

    assert image.read_bytes() == first
    assert all(name in command for name in REPRODUCIBLE)


def test_failing_build_shows_the_end_of_its_log(tmp_path: Path, kbuild: Kbuild) -> None:
    (kbuild.source / "kernel.c").write_text("int main(void) { return missing; }\n")
    log = tmp_path / "logs/kernel.log"

    with pytest.raises(ProgramFailed) as caught:
        build_kernel(kbuild, log)

    assert f"`make` ended with 2; the end of {log}" in caught.value.message
    assert "kernel.c:1:" in caught.value.message
    assert "'missing' undeclared" in caught.value.message
    assert str(log) in caught.value.hint


def test_make_that_leaves_no_image(tmp_path: Path, kbuild: Kbuild) -> None:
    makefile = kbuild.source / "Makefile"
    makefile.write_text("bzImage modules:\n\ttrue\n")

    with pytest.raises(LabError, match=r"left no .*linux/arch/x86/boot/bzImage") as caught:
        build_kernel(kbuild, tmp_path / "kernel.log")

    assert "kernel.log" in caught.value.hint


def test_module_that_does_not_compile(tmp_path: Path, kbuild: Kbuild) -> None:
    folder = fake_module(tmp_path / "own")
    (folder / "own.c").write_text("#error needs Linux 6.2\n")
    build_kernel(kbuild, tmp_path / "kernel.log")

    with pytest.raises(ProgramFailed, match=r"(?s)building own: .*own\.c:1:.*needs Linux 6\.2"):
        build_module(kbuild, folder, tmp_path / "build/own", tmp_path / "module.log")


def test_module_of_another_kernel_is_refused(tmp_path: Path, kbuild: Kbuild) -> None:
    build_kernel(kbuild, tmp_path / "kernel.log")
    other = Kbuild(fake_kernel(tmp_path / "other", vermagic="6.3.2 SMP "), kbuild.output, 1)
    build_module(other, fake_module(tmp_path / "own"), tmp_path / "build/own", tmp_path / "log")

    with pytest.raises(ImageError) as caught:
        require_module_for(tmp_path / "build/own/own.ko", kbuild.output / "vmlinux")

    assert "its vermagic is '6.3.2 SMP '" in caught.value.message
    assert f"is {VERMAGIC!r}" in caught.value.message


class TestCopyOfTheSources:
    """What build_module() builds is a copy; make must see exactly what has changed."""

    @pytest.fixture
    def build(self, tmp_path: Path, kbuild: Kbuild) -> Path:
        kbuild.output.joinpath("Module.symvers").touch()
        fake_module(tmp_path / "own")
        self.kbuild, self.folder, self.output = kbuild, tmp_path / "own", tmp_path / "build/own"
        self.build_again()
        return self.output / "own.ko"

    def build_again(self) -> None:
        build_module(self.kbuild, self.folder, self.output, self.folder.with_name("module.log"))

    def test_nothing_is_built_twice(self, build: Path) -> None:
        os.utime(self.folder / "own.c")
        before = build.stat().st_mtime_ns

        self.build_again()

        assert build.stat().st_mtime_ns == before

    def test_source_that_is_older_than_the_module_is_built(self, build: Path) -> None:
        source = self.folder / "own.c"
        source.write_text(source.read_text() + "int more;\n")
        os.utime(source, (1, 1))

        self.build_again()

        assert b"more" in build.read_bytes()

    def test_source_that_is_gone_is_gone_from_the_copy(self, build: Path) -> None:
        (self.folder / "old.h").touch()
        self.build_again()
        assert (self.output / "old.h").exists()
        (self.folder / "old.h").unlink()

        self.build_again()

        assert not (self.output / "old.h").exists()
        assert build.exists()


def test_sources_of_the_real_module() -> None:
    names = [path.name for path in module_sources(PROJECT / "p2pmem-pci")]

    assert {"Kbuild", "Makefile", "p2pmem_main.c"} <= set(names)
    assert names == sorted(names)


def test_sources_do_not_include_what_kbuild_makes(tmp_path: Path) -> None:
    for name in ("Kbuild", "own.c", "own.h", "own.mod.c", "own.o", "README.md"):
        (tmp_path / name).touch()

    assert [path.name for path in module_sources(tmp_path)] == ["Kbuild", "own.c", "own.h"]


def prefix_maps(kbuild: Kbuild) -> list[str]:
    (flags,) = (word for word in kbuild.argv() if word.startswith("KCFLAGS="))
    return [word.removeprefix("-ffile-prefix-map=") for word in flags[len("KCFLAGS=") :].split()]


def test_prefix_maps_have_no_trailing_slash_and_end_with_the_deepest() -> None:
    unpacked = Kbuild(Path("/a/build/6.12/source"), Path("/a/build/6.12/linux"), 1)

    assert prefix_maps(unpacked) == [
        "/a/build/6.12=/p2plab/build",
        "/a/build/6.12/source=/p2plab/linux",
        "..=/p2plab/build",
        "../source=/p2plab/linux",
    ]


def test_prefix_maps_of_a_checkout_inside_a_kernel_tree() -> None:
    own = Kbuild(Path("/linux"), Path("/linux/lab/build/tree/linux"), 1)

    assert prefix_maps(own) == [
        "/linux=/p2plab/linux",
        "/linux/lab/build/tree=/p2plab/build",
        "..=/p2plab/build",
    ]


def test_programs_that_make_nothing_are_not_asked_for_their_versions(kbuild: Kbuild) -> None:
    given = dict(word.split("=", 1) for word in kbuild.argv() if "=" in word)
    for name in ("RUSTC", "BINDGEN"):
        assert shutil.which(given[name]) is None
