"""What files take of the disk, the table of it, and the download directory."""

import io
import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from host.disk import Use, allocated, discard_runs, print_table
from host.lock import locked
from kernel import disk, downloads
from kernel.choice import Choice
from kernel.registry import AptKernel, Kernel, UrlKernel, load, tree_kernel
from kernel.selection import select
from kernel.source import obtain
from reproduce import double, rebuild
from settings.paths import COMPAT, CONFIGS, PROJECT, Workspace
from tests.unit.kernel_fixtures import kernel_tree

FILE = "linux-6.3.2.tar.xz"
KERNELS: dict[str, Kernel] = {
    "6.3.2": UrlKernel("6.3.2", (f"http://x.invalid/{FILE}",), "a" * 64, FILE),
    "6.12": AptKernel("6.12", "linux-source-6.12"),
}
DEB = "linux-source-6.12_6.12.9-1_all.deb"


def test_allocated_is_what_du_says(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/file").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "deep/er/file", tmp_path / "again")
    (tmp_path / "link").symlink_to("/usr")
    with (tmp_path / "drive.img").open("wb") as image:
        image.truncate(1 << 30)
    du = subprocess.run(
        ["du", "-s", "--block-size=1", str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert allocated(tmp_path) == int(du.stdout.split()[0])
    assert 100_000 < allocated(tmp_path) < 200_000
    (tmp_path / "to-it").symlink_to(tmp_path / "deep")
    assert allocated(tmp_path / "to-it") == allocated(tmp_path / "deep")
    assert allocated(tmp_path / "none") == 0


def test_table_has_a_total() -> None:
    out = io.StringIO()

    print_table([Use(3 << 20, "build/x/linux", "free it"), Use(1 << 19, "dist", "so")], out)

    assert out.getvalue().splitlines() == [
        "       3.0 MiB  build/x/linux  free it",
        "       0.5 MiB  dist           so",
        "       3.5 MiB  in all",
    ]


def test_runs_are_removed_when_nobody_works_in_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "verify"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    with locked(folder / "two.lock", "verifying"):
        thread = threading.Thread(target=discard_runs, args=(folder,))
        thread.start()
        while "waiting" not in capsys.readouterr().err:
            assert thread.is_alive()
        assert (folder / "two").is_dir()
        assert not (folder / "one").exists()
    thread.join()

    assert list(folder.iterdir()) == []
    discard_runs(tmp_path / "none")


class TestDownloads:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "downloads"
        folder.mkdir()
        monkeypatch.setenv("P2PLAB_DOWNLOADS", str(folder))
        return folder

    OWN = (
        FILE,
        f"{FILE}.part",
        f"{FILE}.lock",
        f"{FILE}.sha256-mismatch",
        DEB,
        f"{DEB}.sha256-mismatch",
        f"{DEB}.unusable",
        "linux-source-6.12.lock",
    )
    FOREIGN = (
        f"my-{FILE}",
        f"{FILE}.asc",
        f"{DEB}.txt",
        "linux-source_6.12_all.deb",
        "linux-6.9.tar.xz",
        "other.lock",
        "thesis.pdf",
    )

    def fill(self, folder: Path) -> None:
        for name in (*self.OWN, *self.FOREIGN):
            (folder / name).touch()
        (folder / ".apt-linux-source-6.12/partial").mkdir(parents=True)
        (folder / ".apt-get").mkdir()

    def test_what_is_what(self, folder: Path) -> None:
        self.fill(folder)

        remarks = {it.path.name: it.remark for it in downloads.entries(folder, KERNELS)}

        assert remarks[FILE] == "pinned: sha256 of kernel=6.3.2"
        assert remarks[DEB].startswith("not pinned: apt checks")
        assert remarks[f"{FILE}.part"] == remarks[".apt-linux-source-6.12"]
        assert remarks[f"{DEB}.unusable"].startswith("set aside")
        for name in (*self.FOREIGN, ".apt-get"):
            assert remarks[name] == "not the lab's: it stays"

    def test_only_the_labs_own_files_go(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(downloads, "load", lambda _registry: KERNELS)
        self.fill(folder)
        (folder / FILE).write_bytes(b"x" * 5000)

        downloads.clean(named=False)
        assert "kept: 0.0 MiB in" in capsys.readouterr().out
        assert (folder / FILE).exists()

        downloads.clean(named=True)
        assert {path.name for path in folder.iterdir()} == {*self.FOREIGN, ".apt-get"}
        told = capsys.readouterr().out.splitlines()
        assert len(told) == len(self.OWN) - 2 + 1  # not the locks, but the folder
        downloads.show()
        assert "not the lab's" in capsys.readouterr().out

    def test_packages_of_other_suites_go_too(self, folder: Path) -> None:
        other = folder / "other-suites"
        (other / ".apt-linux-source-7.2/partial").mkdir(parents=True)
        for name in ("linux-source-7.2_7.2.13-1_all.deb", "mine"):
            (other / name).touch()

        assert not any(it.path == other for it in downloads.entries(folder, KERNELS))
        downloads.clean(named=True)

        assert [path.name for path in other.iterdir()] == ["mine"]
        assert list(folder.iterdir()) == [other]

    def test_running_download_is_waited_for(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / f"{FILE}.part").touch()
        assert FILE in {
            it.file for it in load(CONFIGS / "kernels.toml").values() if isinstance(it, UrlKernel)
        }
        with locked(folder / f"{FILE}.lock", "downloading"):
            thread = threading.Thread(target=downloads.clean, kwargs={"named": True})
            thread.start()
            while "waiting" not in capsys.readouterr().err:
                assert thread.is_alive()
            (folder / f"{FILE}.part").rename(folder / FILE)
        thread.join()

        assert list(folder.iterdir()) == [folder / FILE]  # it has just come: not what was asked for

    def test_no_directory(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder.rmdir()
        downloads.show()
        downloads.clean(named=True)
        assert capsys.readouterr().out == f"nothing in {folder}\n"
        assert not folder.exists()


class TestTableOfStages:
    @pytest.fixture(autouse=True)
    def lab(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project = tmp_path / "lab"
        monkeypatch.setenv("P2PLAB_DOWNLOADS", str(tmp_path / "downloads"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(disk, "PROJECT", self.project)
        monkeypatch.setattr(disk, "BUILD", self.project / "build")
        monkeypatch.setattr(disk, "DIST", self.project / "dist")
        for place in ("build/x", "dist"):
            (self.project / place).mkdir(parents=True)

    def workspace(self, label: str) -> Workspace:
        workspace = Workspace(self.project / "build" / label)
        workspace.logs.mkdir(parents=True)
        workspace.state.touch()
        (workspace.logs / "kernel.log").write_bytes(b"x" * (1 << 20))
        return workspace

    def remarks(
        self, capsys: pytest.CaptureFixture[str], selected: str, *words: str
    ) -> dict[str, str]:
        selection = replace(select(["disk", *words]), workspace=Workspace(self.project / selected))
        disk.show(selection)
        rows = (line.split(None, 3) for line in capsys.readouterr().out.splitlines())
        return {row[2]: row[3] for row in rows if "/" in row[2] or row[2] == "dist"}

    def test_command_that_frees_a_stage(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tree = tree_kernel(kernel_tree(tmp_path / "linux"))
        own = self.workspace(tree.name)
        obtain(Choice(str(tree.tree), tree), own, tmp_path)
        self.workspace("6.12+debug")
        for name in ("reproduce", "other"):
            (self.project / "build" / name).mkdir()
        made = ("reproduce/log", "other/file", "6.12+debug/other")
        for name in ("dist/bundle", *(f"build/{name}" for name in made)):
            (self.project / name).write_bytes(b"x" * (1 << 20))

        unselected = self.remarks(capsys, "build/none")
        selected = self.remarks(capsys, "build/6.12+debug", "kernel=6.12", "jobs=1")

        assert unselected == {
            f"build/{tree.name}/logs": f"./doit kernel={tree.tree} clean build",
            "build/6.12+debug/logs": "rm -r build/6.12+debug/logs",
            "build/6.12+debug/other": "rm -r build/6.12+debug/other",
            "build/reproduce": "./doit clean reproduce",
            "build/other": "rm -r build/other",
            "dist": "rm -r dist",
        }
        assert selected["build/6.12+debug/logs"] == "./doit kernel=6.12 clean build"
        assert selected["build/6.12+debug/other"] == "rm -r build/6.12+debug/other"

    def test_every_task_that_is_named_is_a_task(self) -> None:
        text = (PROJECT / "dodo.py").read_text()
        known = {name for name in disk.TASKS.values() if f"def task_{name}()" in text}
        assert known == set(disk.TASKS.values())
        named = {path.name for path in (double.SCRATCH, rebuild.SCRATCH, COMPAT)}
        assert set(disk.SCRATCH) == named
        assert all(f"def task_{name}()" in text for name in disk.SCRATCH.values())
