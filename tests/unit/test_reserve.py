"""Space that is held back for the record of what was done."""

import errno
import os
from pathlib import Path

import pytest

from host import reserve
from host.errors import LabError
from host.files import DiskFullError
from host.task import report


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "reserve"
    reserve.keep(path)
    return path


def test_space_is_really_held(path: Path) -> None:
    assert path.stat().st_blocks * 512 >= reserve.SIZE
    before = path.stat().st_mtime_ns
    reserve.keep(path)
    assert path.stat().st_mtime_ns == before


def test_full_disk_gives_it_back_and_other_errors_do_not(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(LabError("does not compile"))
    report(OSError(errno.EACCES, "no", "a"))
    assert path.exists()

    told = report(OSError(errno.ENOSPC, "full", "read/from", None, "written/to"))

    assert isinstance(told, DiskFullError)
    assert "no space left while writing written/to\n  hint: " in capsys.readouterr().err
    assert not path.exists()


def test_no_space_to_hold_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(_descriptor: int, _offset: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    with pytest.raises(DiskFullError, match=f"no space left while writing {tmp_path}/reserve"):
        reserve.keep(tmp_path / "reserve")
    assert list(tmp_path.iterdir()) == []
