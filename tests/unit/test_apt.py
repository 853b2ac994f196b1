"""Packages by way of programs on PATH that play apt."""

import hashlib
import os
from pathlib import Path

import pytest

from host.files import DiskFullError
from kernel import apt
from kernel.apt import AptError

PACKAGE = "linux-source-6.12"
DEB = f"{PACKAGE}_6.12.9-1_all.deb"
CONTENT = b"the package"
SHOW = (
    "Package: linux-source-6.12\nVersion: {}\nDescription: fake\n of two lines\n"
    "Filename: pool/x.deb\nSHA256: {}\n\n"
)


class Apt:
    """Scripts ``apt-cache`` and ``apt-get`` on an otherwise empty PATH, and a log of calls."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        self.log = folder / "logs/apt.log"
        self.calls = folder / "calls"
        monkeypatch.setenv("PATH", str(self.bin))

    def script(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{body}\n')
        path.chmod(0o755)

    def offers(self, version: str = "6.12.9-1", sha256: str | None = None) -> None:
        text = SHOW.format(version, sha256 or hashlib.sha256(CONTENT).hexdigest())
        names = f"{PACKAGE}\\nlinux-source-6.1\\nlinux-source-rt\\n"
        self.script(
            "apt-cache",
            f"""case "$1 $3" in
pkgnames*) printf '{names}' ;;
"show {PACKAGE}") printf '%s' '{text}' ;;
*) echo "E: No packages found" >&2; exit 100 ;;
esac""",
        )

    def delivers(self, content: bytes = CONTENT, before: str = "") -> None:
        self.script("apt-get", f"{before}\nprintf '%s' '{content.decode()}' > {DEB}")

    def fetch(self) -> apt.Package:
        return apt.fetch(PACKAGE, self.downloads, self.log)

    def names(self) -> set[str]:
        return {path.name for path in self.downloads.iterdir()}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    return Apt(tmp_path, monkeypatch)


def test_download_once(fake: Apt) -> None:
    fake.offers()
    fake.delivers()
    package = fake.fetch()
    assert package == apt.Package(
        fake.downloads / DEB, "6.12.9-1", hashlib.sha256(CONTENT).hexdigest(), vouched=True
    )
    assert fake.fetch() == package
    gets = [line for line in fake.calls.read_text().splitlines() if line.startswith("apt-get")]
    sandbox = "-o APT::Sandbox::User=root " if os.geteuid() == 0 else ""
    assert gets == [f"apt-get {sandbox}download linux-source-6.12=6.12.9-1"]
    assert fake.names() == {DEB, f"{PACKAGE}.lock"}


def test_candidates(fake: Apt) -> None:
    fake.offers()
    assert apt.offered() == {PACKAGE: (6, 12), "linux-source-6.1": (6, 1)}
    assert apt.newest_usable(fake.downloads) == (PACKAGE, "")
    assert apt.candidate("linux-source-6.1") is None


def test_only_too_old_ones(fake: Apt) -> None:
    fake.script("apt-cache", "echo linux-source-6.1")
    assert apt.newest_usable(fake.downloads) == ("", "apt has only linux-source-6.1")
    fake.script("apt-cache", "")
    package, reason = apt.newest_usable(fake.downloads)
    assert package == ""
    assert "apt has no linux-source package" in reason
    assert "apt-get update" in reason


def test_no_apt(fake: Apt) -> None:
    assert apt.newest_usable(fake.downloads) == ("", "there is no apt here")
    with pytest.raises(AptError, match="apt-cache is not on this machine") as caught:
        fake.fetch()
    assert f"put a file {PACKAGE}_VERSION_all.deb into {fake.downloads}" in caught.value.hint


def test_no_apt_but_the_package_is_there(fake: Apt, capsys: pytest.CaptureFixture[str]) -> None:
    (fake.downloads / "linux-source-6.12_1%3a6.12.9-1_all.deb").write_bytes(CONTENT)
    assert apt.newest_usable(fake.downloads) == (PACKAGE, "")
    package = fake.fetch()
    assert (package.version, package.vouched) == ("1:6.12.9-1", False)
    assert package.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert "which is there already" in capsys.readouterr().err


def test_no_such_package_hints_at_update(fake: Apt) -> None:
    fake.script("apt-cache", "echo 'E: No packages found' >&2; exit 100")
    with pytest.raises(AptError, match=f"apt has no package {PACKAGE}") as caught:
        fake.fetch()
    assert "apt-get update" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "hint"),
    [("404  Not Found [IP: 192.0.2.1 80]", "apt-get update"), ("Could not resolve", "mirror")],
)
def test_failed_download(fake: Apt, said: str, hint: str) -> None:
    fake.offers()
    fake.script("apt-get", f"echo 'E: Failed to fetch x.deb  {said}'; exit 100")
    with pytest.raises(AptError) as caught:
        fake.fetch()
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_offline_uses_an_older_one_that_is_there(fake: Apt) -> None:
    fake.offers("6.12.10-1")
    fake.script("apt-get", "exit 100")
    (fake.downloads / DEB).write_bytes(CONTENT)
    assert fake.fetch().version == "6.12.9-1"


def test_interrupted_download_is_never_taken_for_the_file(fake: Apt) -> None:
    fake.offers()
    fake.script("apt-get", f"printf half > {DEB}; kill -9 $$")
    with pytest.raises(AptError, match="was killed by SIGKILL"):
        fake.fetch()
    assert not (fake.downloads / DEB).exists()
    fake.delivers(before=f"test -e {DEB} || exit 1  # apt finds its half to resume it")
    assert fake.fetch().file.read_bytes() == CONTENT


def test_wrong_file_from_apt(fake: Apt) -> None:
    fake.offers()
    fake.delivers(b"something else")
    with pytest.raises(AptError, match="wrong SHA-256"):
        fake.fetch()
    assert fake.names() == {f"{PACKAGE}.lock"}


def test_wrong_file_that_is_there_is_set_aside(fake: Apt) -> None:
    fake.offers()
    fake.delivers()
    (fake.downloads / DEB).write_bytes(b"cut")
    assert fake.fetch().file.read_bytes() == CONTENT
    assert (fake.downloads / f"{DEB}.sha256-mismatch").read_bytes() == b"cut"


def test_disk_full(fake: Apt) -> None:
    fake.offers()
    fake.script("apt-get", "echo 'E: Failed to fetch: write (28: No space left on device)'; exit 1")
    with pytest.raises(DiskFullError, match="no space left while writing"):
        fake.fetch()
