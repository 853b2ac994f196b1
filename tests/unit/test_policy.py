"""The kernel's decision about a pair of functions, as measured on real kernels."""

import pytest

from boot.policy import MapType, Processor, predict
from boot.topology import load_topology
from settings.paths import CONFIGS

QEMU64 = Processor("AuthenticAMD", 15)  # also `max` under TCG
SKYLAKE = Processor("GenuineIntel", 6)
EPYC = Processor("AuthenticAMD", 23)
BELOW, HOST, REFUSED = MapType.BUS_ADDR, MapType.THRU_HOST_BRIDGE, MapType.NOT_SUPPORTED


@pytest.mark.parametrize(
    ("name", "processor", "expected"),
    [
        ("switch", QEMU64, BELOW),
        ("switch-q35", QEMU64, BELOW),
        ("switch-q35", SKYLAKE, BELOW),
        ("switch-q35", EPYC, BELOW),
        ("root-ports", QEMU64, REFUSED),
        ("root-ports", SKYLAKE, REFUSED),
        ("root-ports", EPYC, HOST),
        ("root-ports", Processor("AuthenticAMD", 0x16), REFUSED),
        ("root-ports", Processor("GenuineIntel", 0x17), REFUSED),
    ],
)
def test_pair(name: str, processor: Processor, expected: MapType) -> None:
    topology = load_topology(CONFIGS / f"topologies/{name}.toml")
    assert predict(topology, "d00d0001", "d00d0002", processor) is expected
    assert predict(topology, "d00d0002", "d00d0001", processor) is expected


@pytest.mark.parametrize("name", ["switch-q35", "root-ports"])
def test_own_memory_is_always_allowed(name: str) -> None:
    topology = load_topology(CONFIGS / f"topologies/{name}.toml")
    assert predict(topology, "d00d0001", "d00d0001", SKYLAKE) is BELOW
