"""Scenario files: what they expand to, and what is refused."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from boot.topology import Card, Nvme, Topology, load_topology
from settings.paths import CONFIGS
from verify.drivers import DriverStep
from verify.scenario import ALIGNMENT, Copy, Scenario, ScenarioError, load_scenario

DRIVES = (Nvme("d1", "r", 0, 16, 64), Nvme("d2", "r", 1, 16, 8))
CARDS = (Card("ivshmem", "fast", "r", 2, 16), Card("testdev", "sink", "r", 3, 16))
TOPOLOGY = Topology("mine", "", "q35", "qemu64", 512, (), DRIVES, CARDS)
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


def shipped(topology: str, scenario: str) -> Scenario:
    tree = load_topology(CONFIGS / f"topologies/{topology}.toml")
    return load_scenario(CONFIGS / f"scenarios/{scenario}.toml", tree)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("topologies/*.toml")), ids=lambda p: p.stem)
def test_shipped_topologies_have_a_scenario_that_fits(path: Path) -> None:
    topology = load_topology(path)
    own = CONFIGS / "scenarios" / path.name
    scenario = own if own.exists() else CONFIGS / "scenarios/copy.toml"
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
    copies = shipped("switch-q35", "copy").copies
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
        ("[[copies]]", "[copies]", "`copies` must be [[copies]] tables, not {"),
        ("[[copies]]", "[[steps]]", "do 'None' is not one of copy, bind, unbind, new_id"),
        ('"p2pmem"', '"pmem"', "memory 'pmem' is not one of p2pmem, allocate, host"),
        ('"p2pmem"', '"host"', "`providers` is for p2pmem and allocate"),
        ("providers = [0, 1]", "", "`providers` is for p2pmem and allocate"),
        ("providers = [0, 1]", "providers = []", "`providers` is for p2pmem and allocate"),
        (
            "providers = [0, 1]",
            "providers = [4]",
            "there is no provider 4; the topology has 4, from 0 on: d1, d2, fast, sink",
        ),
        ("providers = [0, 1]", "providers = [3]", "the memory of sink, which no driver has"),
        ("providers = [0, 1]", "providers = [-1]", "there is no provider -1"),
        ("providers = [0, 1]", 'providers = ["d3"]', "there is no provider 'd3'"),
        ("providers = [0, 1]", "providers = [true]", "there is no provider True"),
        ("providers = [0, 1]", "providers = 1", "'providers' must be a list, not 1"),
        ("[[0, 1], [1, 0]]", "[[0, 0]]", "[0, 0] is not a pair of two different drives"),
        ("[[0, 1], [1, 0]]", "[[0, 1, 0]]", "[0, 1, 0] is not a pair of two different drives"),
        ("[[0, 1], [1, 0]]", "[0, 1]", "0 is not a pair of two different drives"),
        ("[[0, 1], [1, 0]]", "[[0, 2]]", "there is no drive 2"),
        ("[[0, 1], [1, 0]]", '[[0, "fast"]]', "there is no drive 'fast'"),
        ("[[0, 1], [1, 0]]", '[[0, "d1"]]', "[0, 'd1'] is not a pair of two different drives"),
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


@pytest.mark.parametrize("text", ["", 'description = "x"', "copies = []", "steps = []"])
def test_nothing_to_verify(tmp_path: Path, text: str) -> None:
    with pytest.raises(ScenarioError, match="so nothing is verified"):
        loaded(tmp_path, text)


@pytest.mark.parametrize("text", ["copies = 3", "copies = [3]", "steps = 3", "steps = [3]"])
def test_what_is_no_tables(tmp_path: Path, text: str) -> None:
    key = text.partition(" ")[0]
    with pytest.raises(ScenarioError, match=rf"`{key}` must be \[\[{key}\]\] tables, not .*3"):
        loaded(tmp_path, text)


# --- steps ----------------------------------------------------------------------------------

STEPS = """
[[steps]]
do = "bind"
function = "sink"
driver = "p2pmem_pci"
errno = "ENODEV"
dmesg = 'BAR 0 is \\d+ KiB'
[[steps]]
do = "bar"
value = "2"
[[steps]]
do = "new_id"
function = "sink"
driver = "p2pmem_pci"
[[steps]]
do = "driver_override"
function = "d1"
driver = ""
[[steps]]
do = "copy"
memory = "p2pmem"
providers = ["sink"]
directions = [["d1", "d2"]]
shapes = ["1 x 4k"]
"""


def test_steps_in_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(STEPS)
    scenario = load_scenario(path, TOPOLOGY)
    assert scenario.steps == (
        DriverStep("bind", "sink", "p2pmem_pci", "ENODEV", r"BAR 0 is \d+ KiB"),
        DriverStep("bar", "", "2"),
        DriverStep("new_id", "sink", "p2pmem_pci"),
        DriverStep("driver_override", "d1", ""),
        Copy("p2pmem", "sink", "d1", "d2", 1, 4096, 0, 1),
    )
    assert scenario.copies == scenario.steps[-1:]
    assert [step.title for step in scenario.steps] == [
        "bind sink to p2pmem_pci: must fail with ENODEV",
        "bar=2",
        "p2pmem_pci takes the id of sink",
        "driver_override of d1 is removed",
        "copy d1 -> d2 through p2pmem of sink, 1 x 4k",
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"new_id"', '"newid"', "do 'newid' is not one of copy, bind, unbind, new_id"),
        ('errno = "ENODEV"', 'error = "ENODEV"', "do = 'bind' has unknown keys: error"),
        ('value = "2"', 'driver = "nvme"', "do = 'bar' has unknown keys: driver"),
        ('value = "2"', "", "[[steps]] with do = 'bar': 'value' must be a text in quotes"),
        ('value = "2"', "value = 2", "do = 'bar': 'value' must be a text in quotes"),
        ('value = "2"', 'value = "6"', "'6' is not one of auto, 0, 1, 2, 3, 4, 5"),
        ('"ENODEV"', "19", "do = 'bind': 'errno' must be a text in quotes"),
        ('"ENODEV"', '"No such device"', "errno 'No such device' is no name of an error"),
        ("'BAR 0 is \\d+ KiB'", "'BAR (0'", "do = 'bind': dmesg is no regular expression: "),
        ('driver = ""', 'driver = "vfio-pci"', "'vfio-pci' is not one of nvme, p2pmem_pci"),
        ('driver = ""', "", "do = 'driver_override': 'driver' must be a text in quotes"),
        ('function = "d1"', 'function = "d3"', "there is no function 'd3'; the topology has 4"),
        ('function = "d1"', "", "do = 'driver_override': 'function' must be a text in quotes"),
        ('do = "new_id"', 'do = "unbind"', "the memory of sink, which no driver has at that point"),
        (
            'do = "driver_override"\nfunction = "d1"\ndriver = ""',
            'do = "unbind"\nfunction = "d1"\ndriver = "nvme"',
            "a copy needs d1, which no driver has at that point, not nvme",
        ),
        (
            'do = "driver_override"\nfunction = "d1"\ndriver = ""',
            'do = "bind"\nfunction = "d1"\ndriver = "p2pmem_pci"',
            "a copy needs d1, which p2pmem_pci has at that point, not nvme",
        ),
        ('memory = "p2pmem"', 'memory = "p2pmem"\nerrno = "EIO"', "has unknown keys: errno"),
        (
            'memory = "p2pmem"\nproviders = ["sink"]',
            'memory = "host"',
            "no copy goes through memory of a device, so nothing is verified",
        ),
        ('do = "bar"', 'do = "bind"', "do = 'bind' has unknown keys: value"),
    ],
)
def test_complaint_about_a_step(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert STEPS.count(old) == 1
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, STEPS.replace(old, new))
    assert caught.value.message.startswith("mine.toml: ")
    assert words in caught.value.message


def test_copies_beside_steps(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="whose order nobody knows"):
        loaded(tmp_path, STEPS + GOOD.partition("\n[[")[1] + GOOD.partition("\n[[")[2])


@pytest.mark.parametrize(
    ("topology", "scenario", "words"),
    [
        ("switch-q35", "ivshmem", "there is no provider 'shared'; the topology has 2"),
        ("switch-q35", "testdev", "there is no function 'forgetful'"),
        ("ivshmem", "takeover", "there is no function 'd00d0003'"),
        ("testdev", "copy", "there is no provider 1; the topology has 1, from 0 on: forgetful"),
    ],
)
def test_scenario_that_does_not_fit_the_topology(topology: str, scenario: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        shipped(topology, scenario)
    assert caught.value.message.startswith(f"{scenario}.toml: ")
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("topology", ["switch", "root-ports", "ivshmem", "takeover"])
def test_the_standard_scenario_fits(topology: str) -> None:
    assert shipped(topology, "copy").copies


def test_new_id_reaches_all_functions_that_are_free() -> None:
    step = DriverStep("new_id", "d1", "p2pmem_pci")
    assert step.after({"d1": "nvme"}, TOPOLOGY) == {"d1": "nvme", "d2": "p2pmem_pci"}
    assert replace(step, errno="EEXIST").after({"d1": "nvme"}, TOPOLOGY) == {"d1": "nvme"}
