"""The kernel's decision about a pair of functions, as measured on real kernels."""

from dataclasses import replace

import pytest

from boot.policy import MapType, Processor, predict
from boot.topology import Port, load_topology
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


@pytest.mark.parametrize("client", ["d00d0001", "d00d0002"])
def test_memory_of_a_card(client: str) -> None:
    behind_switch = load_topology(CONFIGS / "topologies/ivshmem.toml")
    assert predict(behind_switch, "shared", client, QEMU64) is BELOW
    card = replace(behind_switch.cards[0], parent="elsewhere")
    port = Port("elsewhere", "pcie-root-port", "", 5)
    apart = replace(behind_switch, ports=(*behind_switch.ports, port), cards=(card,))
    assert predict(apart, "shared", client, QEMU64) is REFUSED
    assert predict(apart, "shared", client, EPYC) is HOST


@pytest.mark.parametrize("name", ["switch-q35", "root-ports"])
def test_own_memory_is_always_allowed(name: str) -> None:
    topology = load_topology(CONFIGS / f"topologies/{name}.toml")
    assert predict(topology, "d00d0001", "d00d0001", SKYLAKE) is BELOW
