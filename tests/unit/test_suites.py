"""Package lists of further suites: the machine's mirrors, and what apt is told of them."""

from pathlib import Path

import pytest

from host.errors import LabError
from kernel import suites
from kernel.suites import Mirrors, Suites, SuitesError, load

DEBIAN = """'http://one.invalid/debian/dists/stable/InRelease' one_InRelease 0
'http://two.invalid/debian/dists/bookworm/InRelease' two_InRelease 0
'http://safe.invalid/sec/dists/stable-security/InRelease' safe_InRelease 0
'http://other.invalid/dists/nodistro/InRelease' other_InRelease 0
'http://one.invalid/debian/dists/stable/main/binary-amd64/Packages.xz' one_Packages 0
"""
SHIPPED = load()


def says(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(suites, "output_of", lambda _argv: text)


def test_mirrors_are_those_of_the_machines_release(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, DEBIAN)
    found = suites.mirrors(SHIPPED)

    assert found == Mirrors("http://one.invalid/debian", "http://safe.invalid/sec")
    assert found.of("trixie-security") == "http://safe.invalid/sec"
    assert found.of("trixie-backports") == "http://one.invalid/debian"


def test_sources_of_others_tell_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    says(monkeypatch, "'http://other.invalid/dists/nodistro/InRelease' x 0\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert suites.mirrors(SHIPPED) == Mirrors("", "")
    with pytest.raises(LabError, match="no source that carries a release"):
        suites.refreshed()
    assert list(tmp_path.iterdir()) == []


def test_lists_and_sources_are_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    says(monkeypatch, "'http://one.invalid/debian/dists/sid/InRelease' x 0\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(suites, "update", lambda *_: "a complaint")
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    some = Suites(keyring, {"sid": ("sid", "sid-security"), "old": ("old",)}, frozenset())
    monkeypatch.setattr(suites, "load", lambda: some)

    lists, complaint = suites.refreshed()

    folder = tmp_path / "p2plab/apt/suites"
    assert complaint == "a complaint"
    assert f"Dir::Etc::SourceList={folder}/all.sources" in lists.options
    assert f"Dir::Etc::SourceParts={folder}/none" in lists.options
    assert f"Dir::State::Lists={folder}/lists" in lists.options
    assert "APT::Default-Release=" in lists.options
    # No mirror of security updates is known, so that suite is not asked for.
    assert (folder / "sid.sources").read_text() == (
        "Types: deb\nURIs: http://one.invalid/debian\nSuites: sid\nComponents: main\n"
        f"Signed-By: {keyring}\n"
    )
    assert (folder / "all.sources").read_text().count("Types:") == 2
    one = suites.of_release("sid", status=tmp_path / "status")
    assert f"Dir::State::Status={tmp_path}/status" in one.options
    assert f"Dir::Etc::SourceList={folder}/sid.sources" in one.options


def test_shipped_suites() -> None:
    assert SHIPPED.releases["trixie"][0] == "trixie"
    assert "experimental" in SHIPPED.releases["sid"]
    # Hosts are the machine's: the file must name none.
    assert "://" not in suites.FILE.read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x", "not valid TOML"),
        ("keyring = 'x'\naliases = []", "'releases'"),
        ("keyring = 'x'\naliases = []\nreleases = 3", "int"),
        ("keyring = 3\naliases = []\n[releases]\n", "3 is no name"),
        ("keyring = 'x'\naliases = []\n[releases]\nsid = ['si d']", "'si d' is no name"),
    ],
)
def test_mistakes_name_the_file(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "suites.toml"
    path.write_text(text)
    with pytest.raises(SuitesError, match=told) as caught:
        load(path)
    assert str(path) in caught.value.message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SuitesError, match="cannot read"):
        load(tmp_path / "none.toml")
