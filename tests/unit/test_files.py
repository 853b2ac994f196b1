"""Files are whole or absent, also when the disk is full or the process dies."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from host import files
from host.files import (
    DiskFullError,
    discard,
    free_space,
    no_space_named,
    refuse_full_disk,
    remove,
    replacing,
    require_space,
    sha256_file,
    write_text,
)
from settings.paths import PROJECT


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "out/target"
    path.parent.mkdir()
    path.write_text("old")
    return path


def dead_process() -> int:
    with subprocess.Popen(["true"]) as child:
        return child.pid


def test_the_new_file_takes_the_place_of_the_old(target: Path) -> None:
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"

    assert target.read_text() == "new"
    assert names(target.parent) == ["target"]


def test_folder_of_the_target_is_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b/c", "ä")

    assert (tmp_path / "a/b/c").read_bytes() == "ä".encode()


def test_directory_is_replaced_by_a_directory(tmp_path: Path) -> None:
    (tmp_path / "tree/old").mkdir(parents=True)

    with replacing(tmp_path / "tree") as temporary:
        (temporary / "new").mkdir(parents=True)

    assert names(tmp_path / "tree") == ["new"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_interruption_keeps_the_old_target(target: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with replacing(target) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(error):
        write()

    assert target.read_text() == "old"
    assert names(target.parent) == ["target"]


def test_killed_process_keeps_the_old_target_and_the_next_one_clears_up(target: Path) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom host.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('ne')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(target)], cwd=PROJECT, check=False)
    assert target.read_text() == "old"
    assert len(names(target.parent)) == 2

    write_text(target, "new")

    assert names(target.parent) == ["target"]


def test_only_what_dead_processes_left_of_this_target_is_cleared(target: Path) -> None:
    dead = dead_process()
    kept = [
        f".target.{os.getppid()}.partial",  # its process lives
        f".target.more.{dead}.partial",  # of another target
        f".target.more.{os.getpid()}.partial",  # of another target, being written just now
        ".target.partial",
    ]
    for name in [*kept, f".target.{dead}.partial", f".target.{dead}.old.partial"]:
        (target.parent / name).touch()

    write_text(target, "new")

    assert names(target.parent) == sorted([*kept, "target"])


def test_full_disk_keeps_the_old_target_and_says_where(target: Path) -> None:
    def write() -> None:
        with replacing(target) as temporary:
            temporary.write_text("ne")
            Path("/dev/full").write_text("w")

    with pytest.raises(DiskFullError, match=f"no space left while writing {target}") as caught:
        write()

    assert str(target.parent) in caught.value.hint
    assert target.read_text() == "old"
    assert names(target.parent) == ["target"]


def test_other_errors_of_the_system_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), no_space_named(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_quota_is_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError), no_space_named(tmp_path):
        raise OSError(errno.EDQUOT, "quota")


@pytest.mark.parametrize(
    "line",
    [
        "/usr/bin/ld: final link failed: No space left on device",
        "cp: error writing 'x': Disk quota exceeded",
        "E: You don't have enough free space in /var/cache/apt/archives/.",
    ],
)
def test_program_that_tells_of_a_full_disk(tmp_path: Path, line: str) -> None:
    refuse_full_disk("CC a.o\nld: error: no such symbol\n", tmp_path)
    with pytest.raises(DiskFullError) as caught:
        refuse_full_disk(f"CC a.o\n  {line}\nmake: *** Error 1\n", tmp_path / "linux")
    assert caught.value.message == f"no space left while writing {tmp_path}/linux: {line}"


def test_program_that_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "free_space", lambda _path: 0)
    with pytest.raises(DiskFullError, match=r"x: sh: 1: printf: I/O error\n"):
        refuse_full_disk("+ make\nsh: 1: printf: I/O error\nmake: leaving\n", tmp_path / "x")
    with pytest.raises(DiskFullError, match=r"while writing .*/x\n"):
        refuse_full_disk("", tmp_path / "x")


def test_space_is_measured_where_a_folder_will_be(tmp_path: Path) -> None:
    free = free_space(tmp_path / "not/yet")
    assert free > 0
    require_space(tmp_path / "not/yet", 1)
    with pytest.raises(DiskFullError, match=r"yet: \d+ MiB are free, \d+ are needed"):
        require_space(tmp_path / "not/yet", 1 << 60)


def test_remove_takes_files_links_and_trees_but_not_what_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")

    for name in ("tree", "link", "absent"):
        remove(tmp_path / name)

    assert names(tmp_path) == ["kept"]


def test_digest(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_text("1")

    assert sha256_file(one) == hashlib.sha256(b"1").hexdigest()


def test_discard_says_what_it_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    discard(folder)
    discard(folder)
    assert not folder.exists()
    assert capsys.readouterr().out == f"removing {folder}\n"


def test_a_folder_is_whole_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is killed while the old folder is removed leaves the new one, not half of the old."""
    target = tmp_path / "target"
    (target / "old").mkdir(parents=True)
    seen = []

    def watched(path: Path) -> None:
        seen.append([item.name for item in target.iterdir()])
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", watched)
    with pytest.raises(KeyboardInterrupt), replacing(target) as folder:
        (folder / "new").mkdir(parents=True)

    assert seen == [["new"]]


def test_a_folder_that_cannot_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    (target / "old").mkdir(parents=True)
    rename = Path.replace

    def interrupted(path: Path, other: Path) -> Path:
        if path.name.endswith(f"{os.getpid()}.partial"):
            raise KeyboardInterrupt
        return rename(path, other)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), replacing(target) as folder:
        folder.mkdir()

    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (target / "old").exists()
