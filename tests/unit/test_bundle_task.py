"""Making and verifying a bundle, without a guest: what is left behind whatever happens."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bundle import task
from bundle.check import open_bundle
from bundle.errors import BundleError
from host.files import DiskFullError
from tests.unit.bundle_fixtures import BUNDLE_NAME, make_bundle
from verify.run import Inputs


@pytest.fixture
def selection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a stand-in
    """Return what was built: the image of a bundle that is valid, and its evidence."""
    made = make_bundle(tmp_path / "made")
    (tmp_path / "dist").mkdir()
    monkeypatch.setattr(task, "DIST", tmp_path / "dist")
    monkeypatch.setattr(task, "require_programs", lambda *_: None)
    monkeypatch.setattr(task, "judge", lambda *_, **__: None)
    monkeypatch.setattr(
        task, "write_evidence", lambda _run, target, _given: (made / "evidence").rename(target)
    )
    return SimpleNamespace(
        workspace=SimpleNamespace(image_dir=lambda _: made / "image"),
        run_name="switch-q35",
        bundle_name=BUNDLE_NAME,
        run_dir=lambda _: tmp_path / "run",
        settings=SimpleNamespace(accel="tcg", bundle=made),
        given={},
    )


def test_no_older_archive_beside_a_new_folder(
    selection: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = tmp_path / "dist" / f"{BUNDLE_NAME}.tar.xz"
    archive.write_text("of an earlier run")

    def full(_folder: Path, target: Path) -> None:
        raise DiskFullError(target)

    monkeypatch.setattr(task, "pack", full)
    with pytest.raises(DiskFullError):
        task.bundle(selection)

    assert [path.name for path in (tmp_path / "dist").iterdir()] == [BUNDLE_NAME]


def test_files_changed_after_the_check_are_not_booted(
    selection: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever can write to the folder changes the kernel at the last moment."""
    given, booted = selection.settings.bundle, []

    def judge(inputs: Inputs, **_: object) -> None:
        (given / "image/bzImage").write_text("another kernel")
        booted.append(inputs.artifacts.bzimage.read_text())

    monkeypatch.setattr(task, "judge", judge)
    task.verify(selection)

    assert booted == ["the bzImage of a bundle\n" * 3]


@pytest.mark.parametrize("when", ["before", "during"])
def test_changed_file_is_refused(
    selection: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    given = selection.settings.bundle
    checked = open_bundle

    def slow(folder: Path) -> Any:  # noqa: ANN401
        found = checked(folder)
        (given / "image/bzImage").write_text("another kernel")
        return found

    if when == "before":
        (given / "image/bzImage").write_text("another kernel")
    else:
        monkeypatch.setattr(task, "open_bundle", slow)
    monkeypatch.setattr(task, "judge", lambda *_, **__: pytest.fail("booted"))

    with pytest.raises(BundleError, match="image/bzImage: changed"):
        task.verify(selection)


def test_root_of_the_file_system_is_no_bundle(selection: Any) -> None:  # noqa: ANN401
    selection.settings.bundle = Path("/")

    with pytest.raises(BundleError, match="has no folder image/"):
        task.verify(selection)
