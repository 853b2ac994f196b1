"""The tasks of kernel and rootfs one after the other, on a fake tree of the user's own."""

import shutil
from pathlib import Path

import pytest

from host.errors import MissingToolError
from host.process import ProgramFailed
from kernel import selection as selections
from kernel import task as kernel_task
from kernel.choice import Choice
from kernel.config import ConfigError
from kernel.registry import tree_kernel
from kernel.selection import Selection
from rootfs import task as rootfs_task
from rootfs.elf import ImageError
from rootfs.linked import linked_files
from settings.command_line import read_settings
from settings.parse import Root
from settings.paths import CONFIGS, Workspace
from tests.unit.elf_files import compiled
from tests.unit.fake_kernel import fake_kernel

TOOL = """
$(O)/p2pmem-test: tool.c
	@echo "epoch $${SOURCE_DATE_EPOCH-unset}, timestamp $$KBUILD_BUILD_TIMESTAMP"
	$(CC) -c -o $(O)/tool.o $<
	$(CC) STATIC $(LDFLAGS) -o $@ $(O)/tool.o
"""


class Lab:
    """A user's tree, module and tool, and a workspace to build them in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = fake_kernel(folder / "linux")
        self.module = folder / "p2pmem-pci"
        self.module.mkdir()
        (self.module / "Kbuild").write_text("obj-m := p2pmem_pci.o\n")
        (self.module / "p2pmem_pci.c").write_text('#include "fake_module.h"\n')
        self.tool = folder / "p2pmem-test"
        self.tool.mkdir()
        (self.tool / "Makefile").write_text(TOOL.replace("STATIC", "-static"))
        (self.tool / "tool.c").write_text("int main(void) { return 0; }\n")
        (folder / "base.config").write_text("CONFIG_PCI=y\n")
        (folder / "my.config").write_text("CONFIG_64BIT=y\nCONFIG_P2PDMA=y\n")
        given = {"jobs": "2", "config": "my.config"}
        self.selection = Selection(
            read_settings(given, Root(CONFIGS, folder)),
            Choice(str(self.tree), tree_kernel(self.tree)),
            Workspace(folder / "build"),
            given,
        )
        self.at = self.selection.workspace

    def build(self) -> None:
        kernel_task.source(self.selection)
        kernel_task.configure(self.selection)
        kernel_task.kernel(self.selection)
        kernel_task.module(self.selection, self.module)
        rootfs_task.tool(self.selection, self.tool)
        rootfs_task.initramfs(self.selection)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(selections, "BASE_FRAGMENT", tmp_path / "base.config")
    busybox = compiled(tmp_path / "busybox", "int main(void) { return 0; }", "-static")
    monkeypatch.setattr(rootfs_task, "find_busybox", lambda: busybox)
    return Lab(tmp_path)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_built_and_the_sources_stay_as_they_are(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = (lab.tree, lab.module, lab.tool)
    before = [contents(folder) for folder in folders]

    lab.build()

    assert [contents(folder) for folder in folders] == before
    for target in (lab.at.bzimage, lab.at.vmlinux, lab.at.module, lab.at.tool, lab.at.initramfs):
        assert target.is_file()
    assert f"Linux 6.12.1, from {lab.tree}" in capsys.readouterr().out
    assert sorted(path.name for path in lab.at.logs.iterdir()) == [
        "config.log",
        "config.olddefconfig.log",
        "kernel.log",
        "module.log",
        "tool.log",
    ]


def test_same_sources_at_another_place_give_the_same_bytes(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lab.build()
    elsewhere = tmp_path_factory.mktemp("a-much-longer-name")
    other = Lab(elsewhere)
    other.build()

    for name in ("vmlinux", "module", "tool"):
        assert getattr(other.at, name).read_bytes() == getattr(lab.at, name).read_bytes()


def test_missing_tools_are_noticed_before_any_work(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel_task.source(lab.selection)
    some = tmp_path / "some"
    some.mkdir()
    for name in ("make", "gcc"):
        (some / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(some))

    with pytest.raises(MissingToolError, match="flex is not on this machine"):
        kernel_task.configure(lab.selection)

    assert not lab.at.logs.exists()


def test_refused_fragment_leaves_no_config(lab: Lab) -> None:
    (lab.folder / "base.config").write_text("# nothing\n")
    kernel_task.source(lab.selection)

    with pytest.raises(ConfigError, match=r"my\.config:2: CONFIG_P2PDMA=y did not stick"):
        kernel_task.configure(lab.selection)

    assert not lab.at.dot_config.exists()


def test_tool_that_does_not_compile(lab: Lab) -> None:
    (lab.tool / "tool.c").write_text("#error no\n")

    with pytest.raises(ProgramFailed, match=r"(?s)building p2pmem-test: .*tool\.c:1:.*#error no"):
        rootfs_task.tool(lab.selection, lab.tool)


def test_linker_tells_what_the_tool_is_made_of(lab: Lab) -> None:
    rootfs_task.tool(lab.selection, lab.tool)

    names = [path.name for path in linked_files(lab.at.tool_links)]

    assert {"crt1.o", "libc.a", "libgcc.a"} <= set(names)
    assert all(path.is_file() for path in linked_files(lab.at.tool_links))
    (lab.tool / "tool.c").write_text("#error no\n")
    with pytest.raises(ProgramFailed):
        rootfs_task.tool(lab.selection, lab.tool)
    assert not lab.at.tool_links.exists()


def test_compiler_of_the_tool_is_told_no_date(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    monkeypatch.setenv("CC", "clang")

    rootfs_task.tool(lab.selection, lab.tool)

    log = (lab.at.logs / "tool.log").read_text()
    assert "\nepoch unset, timestamp Mon May 15 12:00:00 UTC 2023\n" in log
    assert "\ngcc -static " in log


def test_contents_are_what_was_packed(lab: Lab) -> None:
    lab.build()

    packed = {
        f"/{path.relative_to(lab.at.rootfs / 'files')}": path.read_bytes()
        for path in (lab.at.rootfs / "files").rglob("*")
        if path.is_file()
    }

    assert {
        file.target: file.source.read_bytes() for file in rootfs_task.contents(lab.at)
    } == packed


def test_dynamic_tool_does_not_get_into_the_image(lab: Lab) -> None:
    makefile = lab.tool / "Makefile"
    makefile.write_text(makefile.read_text().replace("-static", ""))

    with pytest.raises(ImageError, match="is not a static program"):
        lab.build()

    assert not lab.at.initramfs.exists()


@pytest.mark.parametrize("changed", [0, 2])
def test_menuconfig_tells_how_to_build_with_the_changes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changed: int
) -> None:
    monkeypatch.setattr("kernel.task.require_terminal", lambda _what, _instead: None)
    monkeypatch.setattr("kernel.config.edit", lambda kbuild, fragment: changed)
    kernel_task.source(lab.selection)
    capsys.readouterr()

    kernel_task.menuconfig(lab.selection)

    out = capsys.readouterr().out
    if changed:
        own = lab.at.root / "menuconfig.config"
        assert f"./doit jobs=2 config={lab.folder}/my.config,{own} build\n" in out
    else:
        assert out == "nothing was changed\n"
