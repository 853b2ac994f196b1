"""Drive images."""

from pathlib import Path

import pytest

from boot.drives import create_blank, create_filled, image_paths, initial_content
from boot.topology import MIB, Nvme, Topology
from host.errors import LabError

DRIVES = (Nvme("d1", "root", 0, 16, 2), Nvme("d2", "root", 1, 16, 1))
TOPOLOGY = Topology("t", "", "q35", "qemu64", 512, (), DRIVES)


def test_filled_images_are_known_to_the_host(tmp_path: Path) -> None:
    paths = create_filled(TOPOLOGY, tmp_path)
    assert paths == image_paths(TOPOLOGY, tmp_path)
    first = paths["d1"].read_bytes()
    assert len(first) == 2 * MIB
    assert first == b"".join(initial_content(DRIVES[0]))
    assert create_filled(TOPOLOGY, tmp_path)["d1"].read_bytes() == first


def test_every_block_differs_between_drives_and_from_zeros(tmp_path: Path) -> None:
    contents = [path.read_bytes() for path in create_filled(TOPOLOGY, tmp_path).values()]
    blocks = [data[at : at + 512] for data in contents for at in range(0, len(data), 512)]
    assert len(set(blocks)) == len(blocks)
    assert bytes(512) not in blocks


def test_blank_images_are_sparse_zeros(tmp_path: Path) -> None:
    path = create_blank(TOPOLOGY, tmp_path)["d1"]
    assert path.read_bytes() == bytes(2 * MIB)
    assert path.stat().st_blocks == 0


def test_an_image_of_an_earlier_boot_stays(tmp_path: Path) -> None:
    path = create_blank(TOPOLOGY, tmp_path)["d1"]
    path.write_bytes(b"x" * 2 * MIB)
    create_blank(TOPOLOGY, tmp_path)
    assert path.read_bytes()[:1] == b"x"


def test_an_image_of_another_size_is_neither_used_nor_lost(tmp_path: Path) -> None:
    path = create_blank(TOPOLOGY, tmp_path)["d1"]
    path.write_bytes(b"x" * 512)
    with pytest.raises(LabError, match="has 512 bytes, but"):
        create_blank(TOPOLOGY, tmp_path)
    assert path.read_bytes() == b"x" * 512
