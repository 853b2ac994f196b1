"""``configs/kernels.toml`` and names of kernels."""

from pathlib import Path

import pytest

from host.errors import LabError, SettingError
from kernel.registry import AptKernel, RegistryError, TreeKernel, UrlKernel, find, load
from settings.paths import CONFIGS

SUM = "0" * 64


def written(folder: Path, text: str) -> Path:
    path = folder / "kernels.toml"
    path.write_text(text)
    return path


def test_shipped_file_pins_6_3_2_and_has_6_12_from_apt() -> None:
    kernels = load(CONFIGS / "kernels.toml")
    pinned = kernels["6.3.2"]
    assert isinstance(pinned, UrlKernel)
    assert pinned.sha256 == "b612ecf282ca3f7989ff6d9f39082833b7dc2d522cb969a05334d3614e9c5328"
    assert pinned.file == "linux-6.3.2.tar.xz"
    assert len(pinned.urls) >= 2
    assert kernels["6.12"] == AptKernel("6.12", "linux-source-6.12")


def test_three_kinds(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f'["6.9"]\nurl = "https://h/linux-6.9.tar.xz?x=1"\nsha256 = "{"AB" * 32}"\n'
        '["6.8"]\napt = "linux-source-6.8.0"\n'
        '["mine"]\npath = "/src/linux"\n',
    )
    assert load(path) == {
        "6.9": UrlKernel("6.9", ("https://h/linux-6.9.tar.xz?x=1",), "ab" * 32, "linux-6.9.tar.xz"),
        "6.8": AptKernel("6.8", "linux-source-6.8.0"),
        "mine": TreeKernel("mine", Path("/src/linux")),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", ["not valid TOML"]),
        ("x = 1", ['["x"]', "not a table"]),
        ('["a/b"]\napt = "linux-source-6.12"', ['["a/b"]', "name cannot be used"]),
        ('["auto"]\napt = "linux-source-6.12"', ["name cannot be used"]),
        ('["6.9"]\n', ['["6.9"]', "neither url nor apt nor path"]),
        ('["6.9"]\napt = "linux-source-6.9"\npath = "/x"', ["apt and path", "exactly one"]),
        ('["6.9"]\napt = "linux-source-6.9"\nsha = 1', ["unknown key 'sha'"]),
        ('["6.9"]\nurl = "https://h/f.tar.xz"\nsha25 = "0"', ["Did you mean 'sha256'"]),
        ('["6.9"]\nurl = "https://h/f.tar.xz"', ["sha256 is missing", "64 hexadecimal"]),
        ('["6.9"]\nurl = "https://h/f.tar.xz"\nsha256 = "12"', ["sha256 is '12'"]),
        (f'["6.9"]\nurl = "ftp://h/f"\nsha256 = "{SUM}"', ["'ftp://h/f'"]),
        (f'["6.9"]\nurl = []\nsha256 = "{SUM}"', ["empty list"]),
        (f'["6.9"]\nurl = ["https://h/f", 3]\nsha256 = "{SUM}"', ["url has 3"]),
        (f'["6.9"]\nurl = "https://h/d/"\nsha256 = "{SUM}"', ["file is ''"]),
        (f'["6.9"]\nurl = "https://h/f"\nsha256 = "{SUM}"\nfile = "../f"', ["'../f'"]),
        ('["6.9"]\napt = "bash"', ["apt is 'bash'", "linux-source-X.Y"]),
        ('["6.1"]\napt = "linux-source-6.1"', ["linux-source-6.1, too old", "6.2"]),
        ('["6.9"]\npath = "linux"', ["path is 'linux'", "absolute"]),
        ('["6.9"]\npath = "~nobody.here/linux"', ['["6.9"]', "path '~nobody.here/linux': "]),
    ],
)
def test_mistake_names_file_table_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(LabError) as caught:
        load(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"cannot read .*none\.toml"):
        load(tmp_path / "none.toml")


def test_unknown_name_suggests_and_lists() -> None:
    kernels = load(CONFIGS / "kernels.toml")
    with pytest.raises(SettingError, match=r"unknown kernel '6\.3\.3'.*'6\.3\.2'") as caught:
        find("6.3.3", kernels)
    assert "6.12, 6.18, 6.2, 6.3.2, 6.6, auto" in caught.value.hint


def test_any_other_series_is_a_source_package() -> None:
    kernels = load(CONFIGS / "kernels.toml")

    assert find("7.2", kernels) == AptKernel("7.2", "linux-source-7.2")
    assert isinstance(find("6.6", kernels), UrlKernel)
    with pytest.raises(LabError, match=r"kernel=6\.1 is Linux|kernel=6\.1, too old"):
        find("6.1", kernels)


def test_trees_of_the_same_name_have_different_labels() -> None:
    one, two = find("/a/linux", {}), find("/b/linux", {})
    assert one.name != two.name
    assert one.name.startswith("tree-linux-")
    assert len(one.name) == len("tree-linux-") + 6
    assert find("/a/my linux", {}).name.startswith("tree-my_linux-")
