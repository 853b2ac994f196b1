"""Which package a file came with, asked of a database that holds every awkward case."""

import platform
import shutil
from pathlib import Path

import pytest

from host import packages
from host.packages import Source, installed, owners, source_package
from host.process import ProgramFailed
from tests.unit.fake_dpkg import KINDS, Database, database


@pytest.fixture(params=KINDS)
def dpkg(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Database:
    return database(tmp_path, monkeypatch, request.param)


def owner_of(path: Path) -> packages.Package | None:
    return owners([path]).get(path)


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def names(paths: dict[Path, packages.Package]) -> dict[str, str]:
    return {path.name: package.name for path, package in paths.items()}


def test_package_of_a_file(dpkg: Database, tmp_path: Path) -> None:
    program = file(tmp_path / "make")
    dpkg.add("make", "4.3-4.1", program, Source="make-dfsg")

    found = owner_of(program)

    assert found is not None
    assert (found.name, found.version, found.arch) == ("make", "4.3-4.1", "amd64")
    assert found.source == Source("make-dfsg", "4.3-4.1")
    assert str(found.purl) == "pkg:deb/debian/make@4.3-4.1?arch=amd64&distro=debian-12"


def test_epoch_source_version_and_what_was_linked_in(dpkg: Database, tmp_path: Path) -> None:
    program = file(tmp_path / "busybox")
    dpkg.add(
        "busybox-static",
        "1:1.35.0-4+b1",
        program,
        Source="busybox (1:1.35.0-4)",
        Built_Using="glibc (= 2.36-9+deb12u4), gcc-12 (= 12.2.0-14)",
    )

    found = owner_of(program)

    assert found is not None
    assert found.source == Source("busybox", "1:1.35.0-4")
    assert found.built_using == (Source("gcc-12", "12.2.0-14"), Source("glibc", "2.36-9+deb12u4"))
    assert str(found.purl).startswith("pkg:deb/debian/busybox-static@1:1.35.0-4%2Bb1?")


def test_link_is_owned_by_whoever_owns_what_it_points_at(dpkg: Database, tmp_path: Path) -> None:
    real = file(tmp_path / "x86_64-linux-gnu-gcc-12")
    link = tmp_path / "gcc"
    link.symlink_to(real)
    dpkg.add("gcc-12", "12", real)
    dpkg.add("gcc", "4:12", link)

    assert names(owners([link, real])) == {"gcc": "gcc-12", real.name: "gcc-12"}


@pytest.mark.parametrize("shipped", ["/bin/sh", "/usr/bin/sh"])
def test_file_of_a_merged_usr_is_known_by_either_name(dpkg: Database, shipped: str) -> None:
    # Whichever of the two is a link on this machine, or none: what is asked for is the real one.
    real = Path("/bin/sh").resolve()
    place = shipped.removesuffix("sh") + real.name
    same = Path(place).resolve() == real
    dpkg.add("shell", "1", place)

    assert names(owners([real])) == ({real.name: "shell"} if same else {})


def test_diverted_file_belongs_to_the_one_that_diverted_it(dpkg: Database, tmp_path: Path) -> None:
    path, moved = file(tmp_path / "sh"), file(tmp_path / "sh.distrib")
    dpkg.divert(str(path), str(moved), "dash")
    dpkg.add("bash", "1", path)
    dpkg.add("dash", "2", path)

    assert names(owners([path, moved])) == {"sh": "dash", "sh.distrib": "bash"}
    assert names(owners([moved])) == {"sh.distrib": "bash"}


def test_file_that_a_person_put_over_a_package_is_nobodys(dpkg: Database, tmp_path: Path) -> None:
    path, moved = file(tmp_path / "ld"), file(tmp_path / "ld.real")
    dpkg.divert(str(path), str(moved), ":")
    dpkg.add("binutils", "1", path)

    assert names(owners([path, moved])) == {"ld.real": "binutils"}


def test_file_of_two_architectures(dpkg: Database, tmp_path: Path) -> None:
    path = file(tmp_path / "copyright")
    for arch in ("i386", "amd64"):
        dpkg.add("libc6-dev", "2.36", path, Architecture=arch, Multi_Arch="same", Source="glibc")

    found = owner_of(path)

    assert found is not None
    assert (found.name, found.arch, found.source.name) == ("libc6-dev", "amd64", "glibc")
    assert installed(["libc6-dev"]) == {"libc6-dev": found}
    assert installed(["libc6-dev:i386"])["libc6-dev:i386"].arch == "i386"


def test_names_that_are_patterns(dpkg: Database, tmp_path: Path) -> None:
    awkward = [file(tmp_path / name) for name in ("a[bc]", "a*", "a?", "x: y", "back\\slash")]
    others = [file(tmp_path / name) for name in ("ab", "aa")]
    dpkg.add("awkward", "1", *awkward)
    dpkg.add("other", "1", *others)

    assert set(names(owners(awkward)).values()) == {"awkward"}
    assert len(owners(awkward)) == len(awkward)


def test_many_files_are_looked_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dpkg = database(tmp_path, monkeypatch)
    files = [file(tmp_path / f"file{number}") for number in range(40)]
    for number, path in enumerate(files):
        dpkg.add(f"package{number}", "1", path)

    assert len(owners([*files, tmp_path / "of-nobody"])) == 40
    assert (dpkg.folder / "calls").read_text().split() == ["-S", "-W"]


def test_package_that_was_removed_owns_nothing(dpkg: Database, tmp_path: Path) -> None:
    path = file(tmp_path / "kept.conf")
    dpkg.add("gone", "1", path, Status="deinstall ok config-files")

    assert owners([path]) == {}
    assert installed(["gone", "never-heard-of"]) == {}
    assert installed([]) == {}


def test_machine_without_dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert owner_of(Path("/bin/sh")) is None
    assert owners([Path("/bin/sh")]) == {}


def test_dpkg_that_does_not_work_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dpkg-query"
    program.write_text("#!/bin/sh\necho database is locked >&2\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(ProgramFailed, match=r"dpkg-query -S` ended with 2: database is locked"):
        owner_of(Path("/bin/sh"))


def test_distribution_that_does_not_tell_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_file() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr(platform, "freedesktop_os_release", no_file)

    assert str(source_package(Source("glibc", "2.36-9")).purl) == (
        "pkg:deb/glibc@2.36-9?arch=source"
    )


def test_this_machine() -> None:
    """A machine with dpkg knows where its own dpkg-query is from."""
    program = shutil.which("dpkg-query")
    found = owner_of(Path(program)) if program else None

    assert (found.name if found else None) == ("dpkg" if program else None)
