"""The settings module= and tool= in the real task graph, with a fake kernel."""

import re
import shutil
from pathlib import Path

import pytest

from kernel.selection import own_label
from settings.paths import Workspace
from tests.unit.fake_checkout import FakeCheckout

TOOL = "copy: copy.c parts/size.h\n\t$(CC) -o $@ $<\n"


class Own:
    """A checkout, and a user's folders elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.checkout = FakeCheckout(folder)
        self.module, self.tool = folder / "mine", folder / "my-tool"
        for path, text in {
            self.module / "Kbuild": "obj-m := mine.o\n",
            self.module / "mine.c": '#include "fake_module.h"\n#include "deep/size.h"\n',
            self.module / "deep/size.h": "int size = 1;\n",
            self.tool / "Makefile": TOOL,
            self.tool / "copy.c": '#include "parts/size.h"\nint main(void) { return SIZE; }\n',
            self.tool / "parts/size.h": "#define SIZE 1\n",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        root = self.checkout.at.root
        self.at = Workspace(root, own_label("module", self.module), own_label("tool", self.tool))

    def build(self, *words: str) -> list[str]:
        """Build; return the tasks that were done."""
        done = self.checkout.doit(*words, "build")
        assert done.returncode == 0, done.stderr
        return [
            line[3:].partition(":")[0]
            for line in done.stdout.splitlines()
            if line.startswith("== ")
        ]

    def failing(self, *words: str) -> tuple[int, str]:
        done = self.checkout.doit(*words)
        return done.returncode, done.stderr


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path)


def test_only_what_depends_on_an_edit_is_made_again(own: Own) -> None:
    all_of_it = ["source", "config", "kernel", "module", "tool", "initramfs"]
    both = ("module=mine", "tool=my-tool")

    assert own.build() == all_of_it
    plain = own.checkout.outputs()
    assert own.build(*both) == ["module", "tool", "initramfs"]
    assert own.build(*both) == []
    assert own.build() == []
    assert own.checkout.outputs() == plain

    first = own.at.initramfs.read_bytes()
    (own.module / "deep/size.h").write_text("int size = 2;\n")
    assert own.build(*both) == ["module", "initramfs"]
    (own.tool / "parts/size.h").write_text("#define SIZE 2\n")
    assert own.build(*both) == ["tool", "initramfs"]
    assert own.at.initramfs.read_bytes() != first
    (own.module / "deep/more.h").write_text("int more;\n")
    assert own.build(*both)[0] == "module"


def test_clean_removes_what_was_made_and_nothing_of_the_users(own: Own) -> None:
    own.build("module=mine", "tool=my-tool")
    made = (own.at.module, own.at.module_dir, own.at.tool, own.at.tool_dir, own.at.rootfs)
    assert all(path.exists() for path in made)

    done = own.checkout.doit("module=mine", "tool=my-tool", "clean", "module", "tool", "initramfs")

    assert done.returncode == 0, done.stderr
    assert not any(path.exists() for path in made)
    assert not own.at.module.is_symlink()
    assert sorted(path.name for path in own.module.iterdir()) == ["Kbuild", "deep", "mine.c"]
    assert own.at.bzimage.exists()


def test_module_that_does_not_compile_leaves_no_image(own: Own) -> None:
    own.build("module=mine")
    (own.module / "mine.c").write_text("#error not today\n")

    code, errors = own.failing("module=mine", "build")

    assert code == 1
    assert "error: building mine: " in errors
    assert "#error not today" in errors
    assert "Traceback" not in errors
    assert not own.at.module.exists()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("module=nowhere", "module=nowhere: there is no "),
        ("module=mine/mine.c", "module=mine/mine.c: .*mine.c is no folder"),
        ("module=mine/deep", "module=mine/deep: .*deep has no Kbuild and no Makefile"),
        ("tool=mine", "tool=mine: .*mine has no Makefile"),
        ("rootfs=tool", r"rootfs=tool: unknown value 'tool'. Did you mean 'tools'\?"),
    ],
)
def test_folder_that_cannot_be_meant(own: Own, word: str, told: str) -> None:
    code, errors = own.failing(word, "build")

    assert code == 64
    assert re.search(told, errors), errors
    assert "Traceback" not in errors


def test_two_folders_of_one_name(own: Own) -> None:
    other = own.module.parent / "other"
    shutil.copytree(own.module, other / "mine")
    (other / "mine/deep/size.h").write_text("int size = 77;\n")
    own.build("module=mine")
    before = own.at.module.read_bytes()

    assert own.build("module=other/mine") == ["module", "initramfs"]

    assert own.at.module.read_bytes() == before
    assert own.build("module=mine") == []
