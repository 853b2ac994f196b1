"""What a Kconfig fragment asks for."""

from pathlib import Path

import pytest

from kernel.fragments import (
    FragmentError,
    Request,
    Unstuck,
    merged,
    read_config,
    read_fragment,
    unstuck,
)
from settings.paths import CONFIGS


def fragment(folder: Path, text: str) -> Path:
    path = folder / "my.config"
    path.write_text(text)
    return path


def test_requests_with_their_origin(tmp_path: Path) -> None:
    path = fragment(
        tmp_path,
        "# a comment\n\nCONFIG_PCI=y\n# CONFIG_KASLR is not set\nCONFIG_64BIT=n \n"
        'CONFIG_NAME="a = b"\n  # indented comment\n',
    )

    assert read_fragment(path) == [
        Request("PCI", "y", "my.config:3"),
        Request("KASLR", "n", "my.config:4"),
        Request("64BIT", "n", "my.config:5"),
        Request("NAME", '"a = b"', "my.config:6"),
    ]


def test_lines_below_where_it_exists_are_optional_up_to_an_empty_line(tmp_path: Path) -> None:
    path = fragment(
        tmp_path,
        "CONFIG_A=y\n# where it exists: since 5.17\nCONFIG_B=y\n# why\n# CONFIG_C is not set\n"
        "\nCONFIG_D=y\n# wherever it exists\nCONFIG_E=y\n",
    )

    optional = {request.symbol: request.optional for request in read_fragment(path)}

    assert optional == {"A": False, "B": True, "C": True, "D": False, "E": False}


@pytest.mark.parametrize(
    "line", ["PCI=y", "CONFIG_PCI", "CONFIG_PCI=", "CONFIG_PCI = y", " CONFIG_PCI=y", "\udcff"]
)
def test_line_that_is_no_kconfig(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.config"
    path.write_bytes(b"# fine\n" + line.encode(errors="surrogateescape") + b"\n")

    with pytest.raises(FragmentError, match=r"bad\.config:2: .* is not a line of") as caught:
        read_fragment(path)

    assert "CONFIG_NAME=y" in caught.value.hint


def test_what_is_off_in_a_config_is_left_out(tmp_path: Path) -> None:
    path = fragment(tmp_path, "#\n# Linux\n#\nCONFIG_A=y\nCONFIG_B=n\n# CONFIG_C is not set\n")

    assert read_config(path) == {"A": "y"}


def test_unstuck_names_what_came_out_instead() -> None:
    wish = Request("A", "y", "f:1")
    off = Request("B", "n", "f:2")
    fine = Request("C", "m", "f:3")
    absent = Request("D", "n", "f:4")

    lost = unstuck([wish, off, fine, absent], {"A": "m", "B": "y", "C": "m"})

    assert lost == [Unstuck(wish, "m"), Unstuck(off, "y")]


def test_only_the_last_request_for_a_symbol_counts() -> None:
    first, last = Request("A", "y", "base:1"), Request("A", "n", "mine:1")

    assert unstuck([first, last], {}) == []
    assert unstuck([last, first], {}) == [Unstuck(first, "n")]


def test_merged_replaces_the_lines_of_the_base() -> None:
    base = "# Linux\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_AB=y\n"
    requests = [Request("B", "y", ""), Request("A", "y", ""), Request("A", "n", "")]

    assert merged(base, requests) == ("# Linux\nCONFIG_AB=y\nCONFIG_B=y\n# CONFIG_A is not set\n")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.config")), ids=lambda path: path.name)
def test_our_own_fragments_are_sound(path: Path) -> None:
    symbols = [request.symbol for request in read_fragment(path)]

    assert sorted(symbols) == sorted(set(symbols))
