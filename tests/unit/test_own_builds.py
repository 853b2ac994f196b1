"""A user's own module and tool, whatever their folders look like, built by the real tasks."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from host.errors import LabError
from host.process import ProgramFailed
from kernel import task as kernel_task
from kernel.selection import own_label
from rootfs import task as rootfs_task
from rootfs.elf import ImageError
from rootfs.initramfs import ImageFile
from rootfs.packed import packed_files, stamps_of_packed
from tests.unit.elf_files import compiled
from tests.unit.test_build_tasks import Lab, lab

__all__ = ["lab"]  # the fixture

MAKEFILE = "copy: src/copy.c\n\t$(CC) -g -o $@ $<\n"


class Own(Lab):
    """The same with a module and a tool of the user's own."""

    @classmethod
    def of(cls, lab: Lab) -> "Own":
        own = cls.__new__(cls)
        own.__dict__.update(lab.__dict__)
        own.own_module = own.folder / "my module"
        own.own_tool = own.folder / "my-tool"
        for path, text in {
            own.own_module / "Kbuild": "obj-m := mine.o\n",
            own.own_module / "mine.c": '#include "fake_module.h"\n',
            own.own_module / "include/unused.h": "",
            own.own_tool / "Makefile": MAKEFILE,
            own.own_tool / "src/copy.c": "int main(void) { return 0; }\n",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        own.at = replace(
            own.at,
            own_module=own_label("module", own.own_module),
            own_tool=own_label("tool", own.own_tool),
        )
        own.selection = replace(own.selection, workspace=own.at)
        return own

    own_module: Path
    own_tool: Path

    def kernel(self) -> None:
        kernel_task.source(self.selection)
        kernel_task.configure(self.selection)
        kernel_task.kernel(self.selection)

    def make_module(self) -> None:
        kernel_task.module(self.selection, self.own_module)

    def make_tool(self) -> None:
        rootfs_task.tool(self.selection, self.own_tool)


@pytest.fixture
def own(lab: Lab) -> Own:
    return Own.of(lab)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_get_into_the_image_and_their_folders_stay_as_they_are(own: Own) -> None:
    before = contents(own.own_module), contents(own.own_tool)
    own.kernel()
    own.make_module()
    own.make_tool()
    rootfs_task.initramfs(own.selection)

    assert (contents(own.own_module), contents(own.own_tool)) == before
    files = {file.target: file.source for file in rootfs_task.contents(own.at)}
    assert files["/lib/modules/6.12.1/mine.ko"].read_bytes() == own.at.module.read_bytes()
    assert files["/bin/p2pmem-test"].name == "copy"
    libraries = packed_files(own.at.packed)
    assert any(target.endswith("libc.so.6") for target in libraries)
    assert libraries.items() <= files.items()
    assert "modprobe mine " in (own.at.rootfs / "motd").read_text()
    assert len(stamps_of_packed(own.at.packed)) == len(libraries)


def test_an_image_with_further_files_has_both_too(own: Own, tmp_path: Path) -> None:
    """What `doit bench` and `doit lifecycle` boot: the library of the tool goes with it."""
    own.kernel()
    own.make_module()
    own.make_tool()
    further = ImageFile("/bin/further", own.at.tool.resolve(), "755")
    image = rootfs_task.pack_with(own.at, [further], tmp_path / "elsewhere")

    spec = (image.parent / "initramfs.spec").read_text()
    for target in ("/bin/further", "/bin/p2pmem-test", "/lib/modules/6.12.1/mine.ko"):
        assert f"file {target} " in spec
    assert "libc.so.6 " in spec
    assert not own.at.initramfs.exists()


def test_places_of_the_labs_own_are_not_touched(own: Own) -> None:
    own.kernel()
    own.make_module()
    own.make_tool()

    names = {path.name for path in own.at.root.iterdir()}
    assert names.isdisjoint({"p2pmem-pci", "p2pmem-test", "rootfs"})
    assert own.at.own_module.startswith("module-my_module-")
    assert own.at.own_tool.startswith("tool-my-tool-")


def test_folders_of_one_name_have_outputs_of_their_own(tmp_path: Path) -> None:
    a, b = own_label("module", tmp_path / "a/mine"), own_label("module", tmp_path / "b/mine")

    assert a != b
    assert a.startswith("module-mine-")


def test_module_says_nothing_of_where_it_was_built(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It makes paths relative to where the compiler runs: here in the fake tree.
    monkeypatch.setenv("CCACHE_DISABLE", "1")
    own.kernel()
    (own.own_module / "mine.c").write_text(
        '#include "fake_module.h"\nconst char *where = __FILE__;\n'
    )
    own.make_module()

    assert b"/p2plab/build/module/mine.c" in own.at.module.read_bytes()
    assert own.at.own_module.encode() not in own.at.module.read_bytes()


def test_tool_says_nothing_of_where_it_was_built(own: Own) -> None:
    own.make_tool()

    assert str(own.at.root).encode() not in own.at.tool.read_bytes()
    assert b"/p2plab/tool" in own.at.tool.read_bytes()


def test_edit_and_renaming_leave_nothing_of_the_older_build(own: Own) -> None:
    own.kernel()
    own.make_module()
    (own.own_module / "mine.c").rename(own.own_module / "other.c")
    (own.own_module / "Kbuild").write_text("obj-m := other.o\n")
    own.make_module()

    assert own.at.module.resolve().name == "other.ko"
    assert [path.name for path in own.at.module_dir.rglob("*.ko")] == ["other.ko"]


def test_module_that_does_not_compile_shows_the_compilers_words(own: Own) -> None:
    own.kernel()
    own.make_module()
    (own.own_module / "mine.c").write_text("#error not today\n")

    with pytest.raises(ProgramFailed, match=r"(?s)building my module: .*mine\.c:1:.*not today"):
        own.make_module()

    assert not own.at.module.exists()


def test_folder_that_makes_no_module(own: Own) -> None:
    own.kernel()
    (own.own_module / "Kbuild").write_text("# nothing\n")

    with pytest.raises(LabError, match=r"my module made no kernel module \(\.ko\)") as caught:
        own.make_module()

    assert "obj-m" in caught.value.hint


def test_folder_that_makes_several_modules(own: Own) -> None:
    own.kernel()
    (own.own_module / "Kbuild").write_text("obj-m := mine.o more.o\n")
    (own.own_module / "more.c").write_text('#include "fake_module.h"\n')

    with pytest.raises(LabError, match=r"made 2 kernel modules: mine\.ko, more\.ko"):
        own.make_module()

    assert not own.at.module.exists()


def test_tool_that_does_not_compile_shows_the_compilers_words(own: Own) -> None:
    own.make_tool()
    (own.own_tool / "src/copy.c").write_text("#error not today\n")

    with pytest.raises(ProgramFailed, match=r"(?s)building my-tool: .*copy\.c:1:.*not today"):
        own.make_tool()

    assert not own.at.tool.exists()


def test_makefile_that_makes_no_program(own: Own) -> None:
    (own.own_tool / "Makefile").write_text("all:\n\ttrue\n")

    with pytest.raises(LabError, match=r"my-tool made no program"):
        own.make_tool()


def test_one_of_several_programs_has_the_name_that_is_wanted(own: Own) -> None:
    makefile = own.own_tool / "Makefile"
    makefile.write_text("all: copy other\nother: copy\n\tcp copy $@\n" + MAKEFILE)
    with pytest.raises(LabError, match=r"made 2 programs: copy, other"):
        own.make_tool()

    makefile.write_text("all: copy p2pmem-test\np2pmem-test: copy\n\tcp copy $@\n" + MAKEFILE)
    own.make_tool()

    assert own.at.tool.resolve().name == "p2pmem-test"


def test_libraries_and_objects_are_no_programs(own: Own) -> None:
    (own.own_tool / "Makefile").write_text(
        "all: copy libown.so own.o\n"
        "libown.so: src/copy.c\n\t$(CC) -shared -fPIC -o $@ $<\n"
        "own.o: src/copy.c\n\t$(CC) -c -o $@ $<\n\tchmod +x $@\n" + MAKEFILE
    )

    own.make_tool()

    assert own.at.tool.resolve().name == "copy"


def test_makefile_with_a_compiler_of_its_own_keeps_it(own: Own) -> None:
    (own.own_tool / "Makefile").write_text("CC = gcc -DOWN\n" + MAKEFILE)

    own.make_tool()

    assert "\ngcc -DOWN -g -o copy" in (own.at.logs / "tool.log").read_text()


def test_program_that_was_built_in_place_is_not_taken_for_this_ones(own: Own) -> None:
    left = compiled(own.own_tool / "copy", "int main(void) { return 1; }")
    own.make_tool()

    assert own.at.tool.read_bytes() != left.read_bytes()


def test_tool_for_another_processor(own: Own) -> None:
    """The machine number of its header is that of another one."""
    (own.own_tool / "Makefile").write_text(
        MAKEFILE + "\tprintf '\\267' | dd of=$@ bs=1 seek=18 conv=notrunc status=none\n"
    )

    with pytest.raises(ImageError, match="is for EM_AARCH64, not for EM_X86_64"):
        own.make_tool()


def test_library_of_the_tool_that_is_not_there(own: Own) -> None:
    own.kernel()
    own.make_module()
    (own.own_tool / "Makefile").write_text(
        "copy: src/copy.c\n\t$(CC) -shared -fPIC -o libown.so -x c /dev/null\n"
        "\t$(CC) -Wl,--no-as-needed -o $@ $< ./libown.so\n\trm libown.so\n"
    )
    own.make_tool()

    with pytest.raises(ImageError, match=r"copy needs \./libown\.so"):
        rootfs_task.initramfs(own.selection)

    assert not own.at.initramfs.exists()
    assert not own.at.packed.exists()


def test_nothing_in_the_users_folder_need_be_writable(own: Own) -> None:
    for path in (own.own_tool, *own.own_tool.rglob("*")):
        path.chmod(path.stat().st_mode & ~stat.S_IWUSR)

    own.make_tool()
    own.make_tool()

    assert own.at.tool.exists()
