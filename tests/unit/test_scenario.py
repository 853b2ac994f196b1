"""Scenario files: what they expand to, and what is refused."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from boot.topology import Nvme, Topology, load_topology
from settings.paths import CONFIGS
from verify.scenario import ALIGNMENT, Copy, ScenarioError, load_scenario

DRIVES = (Nvme("d1", "r", 0, 16, 64), Nvme("d2", "r", 1, 16, 8))
TOPOLOGY = Topology("mine", "", "q35", "qemu64", 512, (), DRIVES)
GOOD = """
description = "a test"
[[copies]]
memory = "p2pmem"
providers = [0, 1]
directions = [[0, 1], [1, 0]]
shapes = ["1 x 4k", "2 x 1M"]
"""


def loaded(tmp_path: Path, text: str) -> tuple[Copy, ...]:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_scenario(path, TOPOLOGY).copies


def test_expansion(tmp_path: Path) -> None:
    host = '[[copies]]\nmemory = "host"\ndirections = [[0, 1]]\nshapes = ["3 x 512"]\n'
    text = GOOD.replace('"1 x 4k", "2 x 1M"', '"1 x 4k"') + host
    assert loaded(tmp_path, text) == (
        Copy("p2pmem", "d1", "d1", "d2", 1, 4096, 0 << 20, 1),
        Copy("p2pmem", "d2", "d1", "d2", 1, 4096, 1 << 20, 2),
        Copy("p2pmem", "d1", "d2", "d1", 1, 4096, 2 << 20, 3),
        Copy("p2pmem", "d2", "d2", "d1", 1, 4096, 3 << 20, 4),
        Copy("host", "", "d1", "d2", 3, 512, 4 << 20, 5),
    )


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("topologies/*.toml")), ids=lambda p: p.stem)
@pytest.mark.parametrize("scenario", sorted(CONFIGS.glob("scenarios/*.toml")), ids=lambda p: p.stem)
def test_shipped_scenarios_fit_the_shipped_topologies(path: Path, scenario: Path) -> None:
    topology = load_topology(path)
    copies = load_scenario(scenario, topology).copies
    assert copies
    for before, after in pairwise(copies):
        assert before.offset + before.length <= after.offset
    for copy in copies:
        assert copy.offset % ALIGNMENT == 0
        assert copy.offset + copy.length <= topology.drive(copy.source).drive_mib << 20
        assert copy.source != copy.destination
    assert len({copy.seed for copy in copies}) == len({copy.title for copy in copies})


def test_the_standard_scenario_has_every_combination() -> None:
    topology = load_topology(CONFIGS / "topologies/switch-q35.toml")
    copies = load_scenario(CONFIGS / "scenarios/copy.toml", topology).copies
    done = {(c.memory, c.provider[-1:], c.source[-1], c.chunks, c.chunk_size >> 10) for c in copies}
    assert done == {
        *(
            ("p2pmem", provider, source, chunks, size)
            for provider in "12"
            for source in "12"
            for chunks, size in ((1, 4), (64, 64))
        ),
        ("allocate", "1", "1", 16, 64),
        ("host", "", "1", 16, 64),
    }


def test_titles() -> None:
    copy = Copy("p2pmem", "d1", "d1", "d2", 64, 65536, 0, 1)
    assert copy.title == "copy d1 -> d2 through p2pmem of d1, 64 x 64k"
    assert replace(copy, chunk_size=1536).title.endswith("64 x 1536")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"a test"', "a test", "not TOML"),
        ('"a test"', '"a\\u001b[2K"', "`description` has characters that cannot be shown"),
        ("description", "describtion", "unknown keys: describtion"),
        ("shapes", "shape", "[[copies]] has unknown keys: shape"),
        ("[[copies]]", "[copies]", "there is no [[copies]] table, so nothing is verified"),
        ('"p2pmem"', '"pmem"', "memory 'pmem' is not one of p2pmem, allocate, host"),
        ('"p2pmem"', '"host"', "`providers` is for p2pmem and allocate"),
        ("providers = [0, 1]", "", "`providers` is for p2pmem and allocate"),
        ("providers = [0, 1]", "providers = []", "`providers` is for p2pmem and allocate"),
        ("providers = [0, 1]", "providers = [2]", "there is no provider 2; the topology has 2"),
        ("providers = [0, 1]", "providers = [-1]", "there is no provider -1"),
        ("providers = [0, 1]", 'providers = ["d1"]', "there is no provider 'd1'"),
        ("providers = [0, 1]", "providers = [true]", "there is no provider True"),
        ("providers = [0, 1]", "providers = 1", "'providers' must be a list, not 1"),
        ("[[0, 1], [1, 0]]", "[[0, 0]]", "[0, 0] is not a pair of two different drives"),
        ("[[0, 1], [1, 0]]", "[[0, 1, 0]]", "[0, 1, 0] is not a pair of two different drives"),
        ("[[0, 1], [1, 0]]", "[0, 1]", "0 is not a pair of two different drives"),
        ("[[0, 1], [1, 0]]", "[[0, 2]]", "there is no drive 2"),
        ("[[0, 1], [1, 0]]", "[]", "needs `directions` and `shapes`"),
        ('["1 x 4k", "2 x 1M"]', "[]", "needs `directions` and `shapes`"),
        ('"1 x 4k"', '"1x4k"', "shape '1x4k' is not of the form '64 x 4k'"),
        ('"1 x 4k"', '"1 x 513"', "shape '1 x 513': a chunk must be a multiple of 512 bytes"),
        ('"1 x 4k"', '"0 x 4k"', "shape '0 x 4k' is not of the form"),
        ('"1 x 4k"', '"4 x 0k"', "shape '4 x 0k' is not of the form"),
        ('"1 x 4k"', '"1 x 4G"', "shape '1 x 4G' is not of the form"),
        ('"1 x 4k"', "4096", "shape 4096 is not of the form"),
        ('"2 x 1M"', '"5 x 1M"', "the copies need more than the 8 MiB of the smallest drive"),
    ],
)
def test_complaint(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, GOOD.replace(old, new))
    assert caught.value.message.startswith("mine.toml: ")
    assert words in caught.value.message


@pytest.mark.parametrize("text", ["", 'description = "x"', "copies = []", "copies = 3"])
def test_nothing_to_verify(tmp_path: Path, text: str) -> None:
    with pytest.raises(ScenarioError, match="so nothing is verified"):
        loaded(tmp_path, text)


def test_copies_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"must be \[\[copies\]\] tables, not 3"):
        loaded(tmp_path, "copies = [3]")
