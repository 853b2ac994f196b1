"""Packages by way of programs on PATH that play apt."""

import hashlib
import os
from pathlib import Path

import pytest

from host.errors import LabError
from host.files import DiskFullError
from kernel import apt, apt_lists
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
        self.own = folder / "cache/p2plab/apt"
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))

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

    def is_a_new_machine(self, *, machine: str = "linux-source-6.1", update: str = "") -> None:
        """Let only refreshed lists of the lab's own know the package, and apt-get deliver by them.

        ``machine`` is what the machine's lists know; ``update`` replaces what `update` does.
        """
        text = SHOW.format("6.12.9-1", hashlib.sha256(CONTENT).hexdigest())
        lists = self.own / "lists"
        self.script(
            "apt-cache",
            f"""case "$*" in
*Lists={lists}*pkgnames*) [ ! -e {lists}/x_Packages ] || echo {PACKAGE} ;;
*pkgnames*) echo {machine} ;;
*Lists={lists}*"show --no-all-versions {PACKAGE}")
    [ -e {lists}/x_Packages ] || exit 100
    printf '%s' '{text}'
    ;;
*) exit 100 ;;
esac""",
        )
        known = f"[ -d {lists}/partial ] && [ -d {self.own}/cache/archives/partial ] || exit 9"
        self.script(
            "apt-get",
            f"""case "$*" in
*Lists={lists}*update) {known}; {update or f": > {lists}/x_Packages"} ;;
*Lists={lists}*download*) printf '%s' '{CONTENT.decode()}' > {DEB} ;;
*) echo "E: Failed to fetch {DEB}  404  Not Found"; exit 100 ;;
esac""",
        )

    def gets(self, word: str) -> int:
        """Count the calls of apt-get with a word."""
        calls = [line.split() for line in self.calls.read_text().splitlines()]
        return sum(call[0] == "apt-get" and word in call for call in calls)

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
    fake.script("apt-get", "")
    fake.script("apt-cache", "echo linux-source-6.1")
    fresh = "also in lists that were refreshed just now"
    reason = f"apt has only linux-source-6.1, {fresh}"
    assert apt.newest_usable(fake.downloads) == ("", reason)
    fake.script("apt-cache", "")
    reason = f"apt has no linux-source package, {fresh}"
    assert apt.newest_usable(fake.downloads) == ("", reason)


@pytest.mark.parametrize("machine", ["linux-source-6.1", ""])
def test_lists_of_a_new_machine_are_refreshed_elsewhere(
    fake: Apt, capsys: pytest.CaptureFixture[str], machine: str
) -> None:
    fake.is_a_new_machine(machine=machine)
    assert apt.newest_usable(fake.downloads) == (PACKAGE, "")
    assert f"the lab keeps its own: {fake.own}" in capsys.readouterr().err
    assert fake.fetch().file.read_bytes() == CONTENT
    assert fake.gets("update") == 1


def test_package_by_name_on_a_new_machine(fake: Apt) -> None:
    fake.is_a_new_machine()
    package = fake.fetch()
    assert (package.version, package.vouched) == ("6.12.9-1", True)
    assert fake.fetch() == package
    assert (fake.gets("update"), fake.gets("download")) == (1, 1)
    options = fake.calls.read_text().splitlines()[-1].split()
    assert f"Dir::Cache={fake.own}/cache" in options
    assert str(apt_lists.CONFIGURATION) in options


def test_stale_lists_are_refreshed_when_the_mirror_has_moved_on(fake: Apt) -> None:
    fake.is_a_new_machine()
    text = SHOW.format("6.12.8-1", "0" * 64)
    stale = f'case "$*" in "show --no-all-versions {PACKAGE}") printf "%s" "{text}"; exit ;; esac\n'
    (fake.bin / "apt-cache").write_text(
        (fake.bin / "apt-cache").read_text().replace("case", f"{stale}case", 1)
    )
    assert fake.fetch().version == "6.12.9-1"
    assert (fake.gets("update"), fake.gets("download")) == (1, 2)


def test_offline_tells_what_was_tried(fake: Apt) -> None:
    trouble = "Failed to fetch http://mirror.invalid/InRelease  Could not resolve 'mirror.invalid'"
    fake.is_a_new_machine(update=f'printf "W: %s\\n" "{trouble}" "{trouble}"')
    package, reason = apt.newest_usable(fake.downloads)
    assert package == ""
    assert (
        reason
        == f"apt has only linux-source-6.1, and its lists could not all be refreshed: {trouble}"
    )
    with pytest.raises(AptError) as caught:
        fake.fetch()
    assert f"could not all be refreshed: {trouble}" in caught.value.message
    assert "mirror" in caught.value.hint


def has_other_suites(fake: Apt, *, known: str = PACKAGE) -> None:
    """Let only the lists of all suites know a package, and apt-get deliver by them."""
    lists = fake.own / "suites/lists"
    text = SHOW.format("6.12.9-1", hashlib.sha256(CONTENT).hexdigest())
    fake.script(
        "apt-cache",
        f"""case "$*" in
*Lists={lists}*pkgnames*) [ ! -e {lists}/x_Packages ] || echo {known} ;;
*Lists={lists}*"show --no-all-versions {known}")
    [ -e {lists}/x_Packages ] || exit 100
    printf '%s' '{text}'
    ;;
*) exit 100 ;;
esac""",
    )
    fake.script(
        "apt-get",
        f"""case "$*" in
*--print-uris*) echo "'http://mirror.invalid/debian/dists/bookworm/InRelease' x 0 " ;;
*Lists={lists}*update) : > {lists}/x_Packages ;;
*Lists={lists}*download*) printf '%s' '{CONTENT.decode()}' > {DEB} ;;
*update) ;;
*) exit 100 ;;
esac""",
    )


def test_package_of_another_suite_is_kept_apart(fake: Apt) -> None:
    """`auto` must not take it for what this machine's own suites offer."""
    has_other_suites(fake)

    package = fake.fetch()

    assert (package.file, package.vouched) == (fake.downloads / "other-suites" / DEB, True)
    assert fake.fetch() == package
    assert fake.gets("download") == 1
    assert apt.newest_usable(fake.downloads)[0] == ""
    sources = (fake.own / "suites/all.sources").read_text()
    assert "URIs: http://mirror.invalid/debian\nSuites: sid\n" in sources
    # Offline, and without any lists, it is still found.
    fake.script("apt-cache", "exit 100")
    fake.script("apt-get", "exit 100")
    assert fake.fetch().file == package.file


def test_package_that_no_suite_has(fake: Apt) -> None:
    has_other_suites(fake, known="linux-source-7.2")

    with pytest.raises(AptError, match=r"no package linux-source-6\.12 in any suite") as caught:
        fake.fetch()

    assert caught.value.message.endswith("there are: linux-source-7.2")


def test_own_lists_of_an_earlier_day_serve_offline(fake: Apt) -> None:
    fake.is_a_new_machine()
    fake.fetch()
    (fake.downloads / DEB).unlink()
    fake.script("apt-get", f"case $* in *update) exit 100 ;; esac; printf 'the package' > {DEB}")
    assert apt.newest_usable(fake.downloads) == (PACKAGE, "")
    assert fake.fetch().vouched


def test_one_source_of_many_may_be_gone(fake: Apt) -> None:
    lists = fake.own / "lists"
    fake.is_a_new_machine(update=f"echo 'E: no Release file'; : > {lists}/x_Packages; exit 100")
    assert apt.newest_usable(fake.downloads) == (PACKAGE, "")


def test_many_complaints_are_cut(fake: Apt) -> None:
    fake.is_a_new_machine(update="for n in 1 2 3 4 5; do echo W: source $n; done")
    reason = apt.newest_usable(fake.downloads)[1]
    assert reason.endswith(f"source 2; source 3; and 2 more in {fake.own}/update.log")


def test_no_space_for_own_lists(fake: Apt) -> None:
    fake.is_a_new_machine(update="echo 'E: write (28: No space left on device)'; exit 100")
    with pytest.raises(DiskFullError, match=f"no space left while writing {fake.own}"):
        apt.newest_usable(fake.downloads)


def test_own_lists_that_cannot_be_kept(fake: Apt) -> None:
    fake.is_a_new_machine()
    fake.own.parent.parent.touch()
    with pytest.raises(LabError) as caught:
        apt.newest_usable(fake.downloads)
    assert str(fake.own) in caught.value.message
    assert "XDG_CACHE_HOME" in caught.value.hint


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


def test_no_such_package_anywhere(fake: Apt) -> None:
    fake.script("apt-cache", "echo 'E: No packages found' >&2; exit 100")
    fake.script("apt-get", "")
    with pytest.raises(AptError, match=f"apt has no package {PACKAGE}.* refreshed just now"):
        fake.fetch()


@pytest.mark.parametrize(
    ("said", "refreshed"),
    [("404  Not Found [IP: 192.0.2.1 80]", True), ("Could not resolve", False)],
)
def test_failed_download(fake: Apt, said: str, *, refreshed: bool) -> None:
    fake.offers()
    fake.script("apt-get", f"echo 'E: Failed to fetch x.deb  {said}'; exit 100")
    with pytest.raises(AptError) as caught:
        fake.fetch()
    assert said in caught.value.message
    assert "check that this machine reaches a mirror" in caught.value.hint
    assert bool(fake.gets("update")) is refreshed


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
