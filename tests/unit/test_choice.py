"""What ``kernel=`` comes to, and that ``auto`` is decided once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from host.errors import LabError, SettingError
from kernel import apt, choice, download
from kernel.choice import Choice, NoKernelError, announce, choose, forget
from kernel.registry import AptKernel, TreeKernel
from settings.paths import AUTO_KERNEL, PROJECT

TOML = f"""
["6.3.2"]
url = ["http://one.invalid/linux-6.3.2.tar.xz", "http://two.invalid/linux-6.3.2.tar.xz"]
sha256 = "{"a" * 64}"
["6.12"]
apt = "linux-source-6.12"
"""


class Lab:
    """A registry, a memory, a download directory, and answers of network and apt."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.registry = folder / "kernels.toml"
        self.registry.write_text(TOML)
        self.memory = folder / "build/auto-kernel.json"
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        self.unreachable = ""
        self.newest = ("", "there is no apt here")
        self.asked: list[str] = []
        monkeypatch.setenv("P2PLAB_DOWNLOADS", str(self.downloads))
        monkeypatch.setattr(download, "unreachable", self._probe)
        monkeypatch.setattr(apt, "newest_usable", self._apt)

    def _probe(self, urls: tuple[str, ...]) -> str:
        self.asked.append("network")
        return self.unreachable

    def _apt(self, downloads: Path) -> tuple[str, str]:
        self.asked.append("apt")
        return self.newest

    def choose(self, asked: str = "auto", *, decide: bool = True) -> Choice:
        return choose(asked, decide=decide, registry=self.registry, memory=self.memory)

    def offline_with_apt(self) -> None:
        self.unreachable = "one.invalid: the host name cannot be resolved"
        self.newest = ("linux-source-6.12", "")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


def test_reachable_tarball_wins_and_is_remembered(lab: Lab) -> None:
    lab.newest = ("linux-source-6.12", "")
    first = lab.choose()
    assert (first.label, first.reason, announce(first)) == ("6.3.2", "", "")
    lab.unreachable = "gone meanwhile"
    assert lab.choose() == first
    assert lab.asked == ["network"]


def test_substitution_is_announced_and_does_not_flip(lab: Lab) -> None:
    lab.offline_with_apt()
    first = lab.choose()
    assert first.kernel == AptKernel("6.12", "linux-source-6.12")
    assert first.reason == "linux-6.3.2.tar.xz is neither downloaded nor reachable"
    assert first.detail == "one.invalid: the host name cannot be resolved"
    text = announce(first)
    assert "kernel: 6.12 (linux-source-6.12) instead of 6.3.2, because" in text
    assert "kernel=6.3.2 insists" in text
    lab.unreachable = ""
    assert lab.choose() == first
    assert lab.asked == ["network", "apt"]
    forget(lab.memory)
    assert lab.choose().label == "6.3.2"


def test_tarball_that_appears_wins_at_once(lab: Lab) -> None:
    lab.offline_with_apt()
    lab.choose()
    (lab.downloads / "linux-6.3.2.tar.xz").touch()
    assert lab.choose().label == "6.3.2"
    (lab.downloads / "linux-6.3.2.tar.xz").unlink()
    assert lab.choose().label == "6.3.2"
    assert lab.asked == ["network", "apt"]


def test_showing_asks_nobody_and_remembers_nothing(lab: Lab) -> None:
    lab.offline_with_apt()
    assert lab.choose(decide=False).label == "6.3.2"
    assert (lab.asked, lab.memory.exists()) == ([], False)
    lab.choose()
    assert lab.choose(decide=False).label == "6.12"


def test_package_that_the_registry_does_not_know(lab: Lab) -> None:
    lab.offline_with_apt()
    lab.newest = ("linux-source-6.17", "")
    assert lab.choose().kernel == AptKernel("6.17", "linux-source-6.17")
    assert lab.choose().kernel == AptKernel("6.17", "linux-source-6.17")


def test_nothing_at_all_tells_what_was_tried(lab: Lab) -> None:
    lab.unreachable = "one.invalid: timed out; two.invalid: HTTP status 404"
    with pytest.raises(NoKernelError) as caught:
        lab.choose()
    for word in (str(lab.downloads), "one.invalid", "two.invalid", "there is no apt here"):
        assert word in caught.value.message
    assert f"put linux-6.3.2.tar.xz into {lab.downloads}" in caught.value.hint
    assert not lab.memory.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "\x00", '{"pinned": "b", "package": "x", "reason": ""}']
)
def test_useless_memory_is_dropped(lab: Lab, text: str) -> None:
    lab.memory.parent.mkdir()
    lab.memory.write_text(text)
    assert lab.choose().label == "6.3.2"
    assert lab.asked == ["network"]
    assert json.loads(lab.memory.read_text())["pinned"] == "a" * 64


def test_new_pin_drops_the_decision(lab: Lab) -> None:
    lab.offline_with_apt()
    lab.choose()
    lab.unreachable = ""
    lab.registry.write_text(TOML.replace("a" * 64, "b" * 64))
    assert lab.choose().label == "6.3.2"


def test_names_and_paths_are_strict(lab: Lab, tmp_path: Path) -> None:
    lab.offline_with_apt()
    assert lab.choose("6.3.2").label == "6.3.2"
    tree = lab.choose(str(tmp_path / "linux"))
    assert isinstance(tree.kernel, TreeKernel)
    assert tree.used == str(tmp_path / "linux")
    assert tree.label.startswith("tree-linux-")
    with pytest.raises(SettingError, match=r"Did you mean '6\.12'"):
        lab.choose("6.12x")
    assert lab.asked == []


def test_registry_without_the_pin(lab: Lab) -> None:
    lab.registry.write_text('["6.12"]\napt = "linux-source-6.12"\n')
    with pytest.raises(LabError, match=r'kernel=auto wants a table \["6\.3\.2"\]'):
        lab.choose()


def test_remembered_decision_loads_neither_requests_nor_apt(lab: Lab) -> None:
    lab.offline_with_apt()
    lab.choose()
    code = (
        "import sys; from pathlib import Path; from kernel.choice import choose; "
        "choose('auto', registry=Path(sys.argv[1]), memory=Path(sys.argv[2])); "
        "sys.exit(bool({'requests', 'subprocess', 'kernel.apt'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(lab.registry), str(lab.memory)]
    assert subprocess.run(command, cwd=PROJECT, check=False).returncode == 0


def test_defaults_are_the_projects() -> None:
    assert (PROJECT / "configs/kernels.toml") == choice.REGISTRY
    assert (PROJECT / "build/auto-kernel.json") == AUTO_KERNEL
