"""The tool's histogram of latencies against percentiles that are computed exactly."""

import random
import subprocess
from pathlib import Path

import pytest

from tests.unit.p2pmem_tool import SANITIZERS, SOURCE

DRIVER = Path(__file__).with_name("p2pmem_latency.c")
SEED = 20261124
LIMIT = 1 << 40  # nanoseconds; longer times share a bucket


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("latency") / "driver"
    argv: list[str | Path] = [
        "gcc",
        *SANITIZERS.split(),
        f"-I{SOURCE}",
        "-o",
        program,
        DRIVER,
        SOURCE / "latency.c",
    ]
    subprocess.run(argv, check=True)
    return program


def percentiles(driver: Path, times: list[int]) -> dict[str, int]:
    text = "\n".join(map(str, times))
    done = subprocess.run([driver], input=text, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return {name: int(value) for name, value in map(str.split, done.stdout.splitlines())}


def samples() -> dict[str, list[int]]:
    chosen = random.Random(SEED)
    return {
        "one": [123456],
        "two": [1, 10**9],
        "zero": [0, 0, 0],
        "small": [chosen.randrange(200) for _ in range(5000)],
        "spread": [int(2 ** chosen.uniform(0, 40)) for _ in range(20000)],
        "normal": [max(0, int(chosen.gauss(80000, 9000))) for _ in range(9999)],
        "powers": [(1 << bit) + more for bit in range(1, 40) for more in (-1, 0, 1)],
    }


@pytest.mark.parametrize("name", samples())
def test_percentiles(driver: Path, name: str) -> None:
    """Never too low, at most 1/64 too high, exact below 128 ns and for the maximum."""
    times = sorted(samples()[name])
    found = percentiles(driver, times)
    assert found.pop("max") == times[-1]
    for text, value in found.items():
        rank = -(-len(times) * int(text) // 1000)
        exact = times[rank - 1]
        assert exact <= value <= exact + (exact // 64 if exact >= 128 else 0), (text, exact)


def test_none_and_too_long(driver: Path) -> None:
    """No transfers have no latency; one of hours is told by the maximum."""
    assert set(percentiles(driver, []).values()) == {0}
    found = percentiles(driver, [1, 5 * LIMIT])
    assert (found["500"], found["501"], found["max"]) == (1, 5 * LIMIT, 5 * LIMIT)
