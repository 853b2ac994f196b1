"""The whole source stage, and what a killed or failed run leaves to the next one."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.archive import ArchiveError
from host.errors import LabError
from host.files import DiskFullError
from kernel import apt, source
from kernel.choice import Choice
from kernel.registry import AptKernel, TreeKernel, UrlKernel
from kernel.source import SourceRecord, obtain, read_record
from kernel.version import TreeError
from settings.paths import PROJECT, Workspace
from tests.unit.kernel_fixtures import kernel_tree, source_deb, tarball

FILE = "linux-6.12.1.tar.xz"


class Lab:
    """A kernel whose tarball is in the download directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        self.workspace = Workspace(folder / "build/6.12.1")
        self.memory = folder / "build/auto-kernel.json"
        self.tree = kernel_tree(folder / "tree")

    def choice(self, asked: str = "6.12.1", reason: str = "") -> Choice:
        archive = tarball(self.downloads / FILE, self.tree)
        sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
        kernel = UrlKernel("6.12.1", (f"http://host.invalid/{FILE}",), sha256, FILE)
        return Choice(asked, kernel, reason)

    def obtain(self, choice: Choice) -> SourceRecord:
        return obtain(choice, self.workspace, self.downloads, self.memory)

    def left(self) -> set[str]:
        return {path.name for path in self.workspace.root.iterdir()}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_tarball_to_tree_and_record(lab: Lab) -> None:
    choice = lab.choice("auto", "because")
    record = lab.obtain(choice)
    assert read_record(lab.workspace.source_record) == record
    assert (record.asked, record.used, record.reason) == ("auto", "6.12.1", "because")
    assert (record.kind, record.version, record.file) == ("url", "6.12.1", FILE)
    assert record.tree == lab.workspace.source
    assert (record.tree / "Kconfig").is_file()
    assert str(lab.folder) not in lab.workspace.source_record.read_text()
    assert lab.left() == {"source", "source.json"}


def test_second_call_keeps_everything_even_without_the_tarball(lab: Lab) -> None:
    choice = lab.choice()
    lab.obtain(choice)
    (lab.downloads / FILE).unlink()
    before = lab.workspace.source_record.stat().st_mtime_ns
    (lab.workspace.source / "witness").touch()
    lab.obtain(choice)
    assert (lab.workspace.source / "witness").exists()
    assert lab.workspace.source_record.stat().st_mtime_ns == before


def test_other_reason_needs_no_unpacking_but_a_new_record(lab: Lab) -> None:
    choice = lab.choice()
    lab.obtain(choice)
    (lab.downloads / FILE).unlink()
    record = lab.obtain(Choice("auto", choice.kernel, "because"))
    assert (record.asked, record.reason) == ("auto", "because")
    assert read_record(lab.workspace.source_record) == record


def test_new_pin_or_lost_tree_is_unpacked_again(lab: Lab) -> None:
    lab.obtain(lab.choice())
    (lab.tree / "new").write_text("new")
    choice = lab.choice()
    lab.obtain(choice)
    assert (lab.workspace.source / "new").is_file()
    (lab.workspace.source / "Kconfig").unlink()
    lab.obtain(choice)
    assert (lab.workspace.source / "Kconfig").is_file()


def test_users_tree_is_used_in_place(lab: Lab) -> None:
    choice = Choice(str(lab.tree), TreeKernel("tree-x", lab.tree))
    before = sorted(lab.tree.rglob("*"))
    record = lab.obtain(choice)
    assert (record.kind, record.tree, record.version) == ("path", lab.tree, "6.12.1")
    assert read_record(lab.workspace.source_record) == record
    assert sorted(lab.tree.rglob("*")) == before
    assert lab.left() == {"source.json"}
    (lab.tree / ".config").touch()
    with pytest.raises(TreeError, match="built in place"):
        lab.obtain(choice)


def test_no_record(lab: Lab) -> None:
    with pytest.raises(LabError, match="no usable record"):
        read_record(lab.workspace.source_record)
    lab.workspace.root.mkdir(parents=True)
    for text in ("", "[]", "{}", '{"asked": 1, "more": 2}'):
        lab.workspace.source_record.write_text(text)
        with pytest.raises(LabError, match="no usable record"):
            read_record(lab.workspace.source_record)


def test_failure_drops_the_decision_for_auto_only(lab: Lab) -> None:
    lab.memory.parent.mkdir()
    for asked, stays in (("6.12.1", True), ("auto", False)):
        choice = lab.choice(asked)
        (lab.downloads / FILE).write_bytes(b"cut")
        lab.memory.touch()
        with pytest.raises(LabError, match="wrong SHA-256"):
            lab.obtain(choice)
        assert lab.memory.exists() == stays
        assert not lab.workspace.source_record.exists()


def test_failed_unpack_leaves_neither_tree_nor_record(lab: Lab) -> None:
    (lab.tree / "Kconfig").unlink()
    with pytest.raises(ArchiveError, match="holds no Linux source tree"):
        lab.obtain(lab.choice())
    assert lab.left() == set()


def package(file: Path, *, vouched: bool) -> apt.Package:
    return apt.Package(file, "6.12.1-1", "0" * 64, vouched)


@pytest.mark.parametrize("vouched", [True, False])
def test_package(lab: Lab, monkeypatch: pytest.MonkeyPatch, vouched: bool) -> None:
    deb = source_deb(lab.folder, tarball(lab.folder / "inner.tar.xz", lab.tree))
    monkeypatch.setattr(apt, "fetch", lambda *_: package(deb, vouched=vouched))
    choice = Choice("6.12", AptKernel("6.12", "linux-source-6.12"))
    record = lab.obtain(choice)
    assert (record.kind, record.package, record.package_version) == (
        "apt",
        "linux-source-6.12",
        "6.12.1-1",
    )
    monkeypatch.delattr(apt, "fetch")
    assert lab.obtain(choice) == record


@pytest.mark.parametrize("vouched", [True, False])
def test_unusable_package(lab: Lab, monkeypatch: pytest.MonkeyPatch, vouched: bool) -> None:
    deb = source_deb(lab.folder, None)
    monkeypatch.setattr(apt, "fetch", lambda *_: package(deb, vouched=vouched))
    with pytest.raises(ArchiveError, match="a package without"):
        lab.obtain(Choice("6.12", AptKernel("6.12", "linux-source-6.12")))
    assert deb.exists() == vouched
    assert deb.with_name(f"{deb.name}.unusable").exists() != vouched


OBTAIN = """
import sys
from pathlib import Path
from kernel.choice import Choice
from kernel.registry import UrlKernel
from kernel.source import obtain
from settings.paths import Workspace
folder, sha256, file = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
kernel = UrlKernel("6.12.1", ("http://host.invalid/x",), sha256, file)
obtain(Choice("6.12.1", kernel), Workspace(folder / "build/6.12.1"), folder / "downloads")
"""


def test_killed_while_unpacking(lab: Lab) -> None:
    for number in range(800):
        (lab.tree / f"file{number}").write_text("content")
    choice = lab.choice()
    assert isinstance(choice.kernel, UrlKernel)
    command = [sys.executable, "-c", OBTAIN, str(lab.folder), choice.kernel.sha256, FILE]
    with subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 20
        while not list(lab.folder.glob("build/6.12.1/.source.*.partial/file*")):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert any(name.endswith(".partial") for name in lab.left())
    lab.obtain(choice)
    assert lab.left() == {"source", "source.json"}
    assert len(list(lab.workspace.source.glob("file*"))) == 800


def test_killed_between_tree_and_record(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    choice = lab.choice()
    lab.obtain(choice)
    (lab.tree / "new").write_text("new")
    choice = lab.choice()
    with monkeypatch.context() as patch:
        patch.setattr(source, "_written", killed)
        with pytest.raises(KeyboardInterrupt):
            lab.obtain(choice)
    assert not lab.workspace.source_record.exists()
    assert lab.obtain(choice).version == "6.12.1"


@contextlib.contextmanager
def tiny_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of 64 KiB, where this process may."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_disk_full(lab: Lab) -> None:
    (lab.tree / "big").write_bytes(random.Random(1).randbytes(1 << 18))
    choice = lab.choice()
    with tiny_disk(lab.workspace.root):
        with pytest.raises(DiskFullError, match="no space left while writing") as caught:
            lab.obtain(choice)
        assert str(lab.workspace.root) in caught.value.hint
        assert lab.left() == set()
    assert lab.obtain(choice).version == "6.12.1"
