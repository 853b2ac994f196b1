"""Topology files: what is refused, with which words, and that all shipped ones load."""

from pathlib import Path

import pytest

from boot.topology import Provider, TopologyError, load_topology
from settings.paths import CONFIGS

GOOD = """
description = "one drive"
machine = "q35"
cpu = "qemu64"
memory_mib = 512

[port.root]
model = "pcie-root-port"
addr = 4

[nvme.d0]
parent = "root"
cmb_mib = 16
drive_mib = 64
"""
CARD = """
[ivshmem.fast]
parent = "root"
addr = 1
size_mib = 16
"""


def refusal(tmp_path: Path, text: str | bytes) -> str:
    """Return what the reader says to a file."""
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(TopologyError) as caught:
        load_topology(path)
    assert caught.value.message.startswith("mine.toml: ")
    return caught.value.message


def test_good_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    topology = load_topology(path)
    assert (topology.name, topology.root_bus) == ("mine", "pcie.0")
    assert topology.drive("d0").cmb_mib == 16
    assert topology.ancestors("d0") == ["root"]
    assert topology.providers == (Provider("d0", 16 << 20, "nvme", "CMB", traced=True),)


def test_drive_without_memory(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for line in ("cmb_mib = 0", ""):
        path.write_text(GOOD.replace("cmb_mib = 16", line))
        topology = load_topology(path)
        assert topology.drive("d0").provider is None
        assert topology.providers == ()


@pytest.mark.parametrize(
    ("kind", "driver", "remembers"), [("ivshmem", "p2pmem_pci", True), ("testdev", "", False)]
)
def test_card(tmp_path: Path, kind: str, driver: str, remembers: bool) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + CARD.replace("ivshmem", kind))
    topology = load_topology(path)
    assert [item.name for item in topology.children("root")] == ["d0", "fast"]
    assert [provider.name for provider in topology.providers] == ["d0", "fast"]
    assert topology.provider("fast") == Provider(
        "fast", 16 << 20, driver, "memory", traced=False, remembers=remembers
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("size_mib = 16", "size_mib = 1", "[ivshmem.fast]: size_mib is 1, but must be a power of"),
        ("size_mib = 16", "size_mib = 24", "size_mib is 24, but must be a power of two"),
        ("size_mib = 16", "size_mib = 0", "size_mib is 0, but must be a power of two"),
        ("size_mib = 16", "", "[ivshmem.fast]: 'size_mib' is missing; it must be a whole number"),
        ("size_mib = 16", "size_mib = 16\ncmb_mib = 2", "[ivshmem.fast]: unknown keys: cmb_mib"),
        ('parent = "root"', 'parent = ""', "[ivshmem.fast]: `parent` must name a port"),
        ('parent = "root"', 'parent = "d0"', "fast: there is no port 'd0'"),
        ("addr = 1", "", "another function has the same `parent` and `addr`"),
        ("fast", "d0", "d0 is the name of two functions"),
        ("fast", '"a,b"', "'a,b' is no name"),
        ("[ivshmem.fast]", "[ivshmem]", "'ivshmem' must be tables, [ivshmem.NAME]"),
        ("[ivshmem.fast]", "[ivshmen.fast]", "above all tables: unknown keys: ivshmen"),
    ],
)
def test_complaint_about_a_card(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert CARD.count(old) == 1
    assert words in refusal(tmp_path, GOOD + CARD.replace(old, new))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("topologies/*.toml")), ids=lambda p: p.stem)
def test_shipped_files_load(path: Path) -> None:
    topology = load_topology(path)
    assert topology.description
    assert [drive.serial for drive in topology.drives[:2]] == ["d00d0001", "d00d0002"]


def test_the_shipped_topologies_are_there() -> None:
    names = {path.stem for path in CONFIGS.glob("topologies/*.toml")}
    assert names >= {"switch", "switch-q35", "root-ports", "ivshmem", "testdev", "takeover"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'description = "',
            'description = "\\u001b[2K',
            "`description` has characters that cannot be shown",
        ),
        ('"q35"', '"virt"', "machine 'virt' is not one of pc, q35"),
        ('"pcie-root-port"', '"ioh3420"', "[port.root]: model 'ioh3420' is not one of"),
        (
            "memory_mib = 512",
            "memory_mb = 512",
            "above all tables: 'memory_mib' is missing; it must be a whole number",
        ),
        (
            "memory_mib = 512",
            'memory_mib = "512"',
            "'memory_mib' is '512'; it must be a whole number",
        ),
        (
            "memory_mib = 512",
            "memory_mib = true",
            "'memory_mib' is True; it must be a whole number",
        ),
        ("memory_mib = 512", "memory_mib = 512\nsmp = 4", "above all tables: unknown keys: smp"),
        ("addr = 4", "addr = 4\nslot = 1", "[port.root]: unknown keys: slot"),
        ("drive_mib = 64", "drive_mib = 64\npmr = 1", "[nvme.d0]: unknown keys: pmr"),
        ("addr = 4", "", "[port.root]: on the root bus `addr` must be given"),
        ("addr = 4", "addr = 40", "root: `addr` is 40, but must be from 0 to 31"),
        ('parent = "root"', "", "[nvme.d0]: 'parent' is missing; it must be a text in quotes"),
        ('parent = "root"', 'parent = ""', "[nvme.d0]: `parent` must name a port"),
        ('parent = "root"', 'parent = "rot"', "d0: there is no port 'rot'"),
        ('parent = "root"', 'parent = "d0"', "d0: there is no port 'd0'"),
        ("cmb_mib = 16", "cmb_mib = 3", "cmb_mib is 3, but must be a power of two"),
        ("cmb_mib = 16", "cmb_mib = 1", "cmb_mib is 1, but must be a power of two"),
        ("cmb_mib = 16", "cmb_mib = -2", "cmb_mib is -2, but must be a power of two"),
        (
            "cmb_mib = 16",
            "cmb_mib = 16.0",
            "[nvme.d0]: 'cmb_mib' is 16.0; it must be a whole number",
        ),
        ("drive_mib = 64", "drive_mib = 0", "drive_mib is 0, but must be at least 1"),
        ("[nvme.d0]", "[nvme.root]", "root is the name of two functions"),
        ("[nvme.d0]", '[nvme."a,b"]', "'a,b' is no name"),
        ("[nvme.d0]", '[nvme."a b"]', "'a b' is no name"),
        ("[nvme.d0]", f"[nvme.{'d' * 21}]", "a serial number has at most 20 characters"),
        ("[nvme.d0]", "[nvme]", "'nvme' must be tables, [nvme.NAME]"),
        ('"one drive"', "one drive", "not TOML"),
    ],
)
def test_complaint(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert GOOD.count(old) == 1
    assert words in refusal(tmp_path, GOOD.replace(old, new))


def test_no_utf8(tmp_path: Path) -> None:
    assert "not TOML" in refusal(tmp_path, b'description = "\xff"')


def test_kind_that_is_no_table(tmp_path: Path) -> None:
    assert "'port' must be tables" in refusal(tmp_path, 'port = "root"\n' + GOOD.split("[port")[0])


def test_ring(tmp_path: Path) -> None:
    ring = """
[port.a]
model = "x3130-upstream"
parent = "b"
[port.b]
model = "xio3130-downstream"
parent = "a"
"""
    assert "a: its parents form a ring" in refusal(tmp_path, GOOD + ring)


def test_same_place_twice(tmp_path: Path) -> None:
    twin = '[port.twin]\nmodel = "pcie-root-port"\naddr = 4\n'
    words = refusal(tmp_path, GOOD + twin)
    assert "root: another function has the same `parent` and `addr`" in words
