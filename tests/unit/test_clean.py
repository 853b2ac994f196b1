"""`doit clean` and `doit forget` with the real doit, on a fake kernel that is built in a second."""

from pathlib import Path

import pytest

from tests.unit.fake_checkout import ARCHIVE, FakeCheckout

STAGES = ("source", "config", "kernel", "module", "tool", "initramfs")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> FakeCheckout:
    return FakeCheckout(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def built(checkout: FakeCheckout) -> dict[str, bytes]:
    return checkout.build()


def files(checkout: FakeCheckout) -> dict[Path, int]:
    """Return all files of the build with their times, except for doit's and the locks."""
    paths = (path for path in checkout.at.root.rglob("*") if path.is_file())
    passing = (checkout.at.state, checkout.at.lock, checkout.at.reserve)
    return {path: path.stat().st_mtime_ns for path in paths if path not in passing}


def stages_of(printed: str) -> list[str]:
    lines = (line.removeprefix("== ") for line in printed.splitlines() if line.startswith("== "))
    return [line for line in lines if line in STAGES]


@pytest.mark.parametrize("stage", STAGES)
def test_clean_of_one_stage_leaves_the_others_alone(
    checkout: FakeCheckout, built: dict[str, bytes], stage: str
) -> None:
    at = checkout.at
    own = {
        "source": [at.source, at.source_record],
        "config": [at.dot_config],
        "kernel": [at.linux, at.linux.with_name(".linux.made-by")],
        "module": [at.module_dir, at.module_dir.with_name(".p2pmem-pci.made-by")],
        "tool": [at.tool_dir],
        "initramfs": [at.rootfs],
    }[stage]
    others = {"kernel": [at.dot_config]}.get(stage, [])
    before = files(checkout)

    done = checkout.doit("clean", stage)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"removing {own[0]}" in done.stdout
    stay = {
        path: time
        for path, time in before.items()
        if path in others or not any(path.is_relative_to(folder) for folder in own)
    }
    assert files(checkout) == stay
    assert len(stay) < len(before)

    again = checkout.doit("build")

    assert again.returncode == 0, again.stderr
    assert stages_of(again.stdout) == [stage]
    assert checkout.outputs() == built


def test_forgotten_build_is_done_again_to_the_same_bytes(
    checkout: FakeCheckout, built: dict[str, bytes]
) -> None:
    assert checkout.doit("forget", "module").returncode == 0
    assert stages_of(checkout.doit("build").stdout) == ["module"]

    done = checkout.doit("forget", "-s", "build")

    assert (done.returncode, done.stderr) == (0, "")
    assert stages_of(checkout.doit("build").stdout) == list(STAGES)
    assert checkout.outputs() == built


def test_clean_without_a_name_keeps_what_was_downloaded(
    checkout: FakeCheckout, built: dict[str, bytes]
) -> None:
    (checkout.at.root / "verify/switch-q35").mkdir(parents=True)

    done = checkout.doit("clean")

    assert (done.returncode, done.stderr) == (0, "")
    assert files(checkout) == {}
    assert not (checkout.at.root / "verify/switch-q35").exists()
    assert stages_of(checkout.doit("build").stdout) == list(STAGES)
    assert checkout.outputs() == built


@pytest.mark.parametrize("words", [["clean", "-a"], ["clean", "down*"], ["clean", "-c", "verify"]])
def test_downloads_stay_unless_they_are_named(checkout: FakeCheckout, words: list[str]) -> None:
    done = checkout.doit(*words)

    assert (done.returncode, done.stderr) == (0, "")
    assert (checkout.downloads / ARCHIVE).exists()
    if "verify" not in words:
        assert f"in {checkout.downloads}; `./doit clean downloads` removes them" in done.stdout


def test_downloads_are_listed_and_removed_by_name(tmp_path: Path) -> None:
    checkout = FakeCheckout(tmp_path)
    (checkout.downloads / "holiday.tar.gz").touch()

    listed = checkout.doit("downloads")
    dry = checkout.doit("clean", "-n", "downloads")
    there = (checkout.downloads / ARCHIVE).exists()
    done = checkout.doit("clean", "downloads")

    assert [listed.returncode, dry.returncode, done.returncode] == [0, 0, 0]
    assert f"{ARCHIVE}  pinned: sha256 of kernel=6.12.1" in listed.stdout
    assert there
    assert f"removing {checkout.downloads / ARCHIVE}" in done.stdout
    assert [path.name for path in checkout.downloads.iterdir()] == ["holiday.tar.gz"]
    assert checkout.doit("build").returncode == 1  # and there is no server to get it from


def test_disk_use_of_every_stage(checkout: FakeCheckout, built: dict[str, bytes]) -> None:
    drive = checkout.at.root / "verify/switch-q35/drive.img"
    drive.parent.mkdir(parents=True)
    with drive.open("wb") as image:
        image.truncate(1 << 30)
        image.write(b"x" * (1 << 20))

    done = checkout.doit("disk")

    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(None, 3) for line in done.stdout.splitlines() if " MiB  " in line]
    found = {place: (float(size), remark) for size, _, place, remark in lines if "/" in place}
    assert found["build/6.12.1/rootfs"][1] == "./doit kernel=6.12.1 clean initramfs"
    size, remark = found["build/6.12.1/verify"]
    assert 1.0 <= size < 2.0
    assert remark == "./doit kernel=6.12.1 clean verify"
    assert done.stdout.splitlines()[-2].split()[2:] == ["in", "all"]
