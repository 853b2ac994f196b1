"""The life-cycle suite on the built kernel, and the module's faults that it has to find."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from boot.artifacts import built_in
from boot.topology import load_topology
from kernel.external import build_module
from kernel.kbuild import Kbuild
from settings.paths import CONFIGS, PROJECT, Workspace, accel_cache
from tests.lifecycle.cases import all_cases
from tests.lifecycle.limits import is_instrumented
from tests.lifecycle.mutations import MUTATIONS, Mutation, mutate
from tests.lifecycle.program import pack_image
from tests.lifecycle.report import print_result
from tests.lifecycle.suite import DOWN, LEAKS, Inputs, Result, Suite, Work
from tests.lifecycle.task import TOPOLOGY, orders

pytestmark = pytest.mark.kernel

SEED = 20230515


def run(workspace: Workspace, image: Path, folder: Path, work: list[Work]) -> list[Result]:
    """Run cases with a root file system; pytest shows each result if the test fails."""
    topology = load_topology(CONFIGS / "topologies" / f"{TOPOLOGY}.toml")
    inputs = Inputs(
        artifacts=replace(built_in(workspace), initramfs=image),
        topology=topology,
        cpu=topology.cpu,
        accel="auto",
        accel_cache=accel_cache(),
        instrumented=is_instrumented(workspace.dot_config),
        folder=folder,
    )
    results = []
    with closing(Suite(inputs, print).run(work)) as found:
        for result in found:
            print_result(result)
            results.append(result)
    return results


def test_every_case_passes(workspace: Workspace, tmp_path: Path) -> None:
    image = pack_image(workspace, tmp_path / "image")

    results = run(workspace, image, tmp_path / "run", next(orders(SEED)))

    assert [result.name for result in results if not result.passed] == []
    names = {result.name for result in results}
    assert names == {case.name for case in all_cases()} | {LEAKS, DOWN}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda item: item.name)
def test_a_fault_of_the_module_is_found_by_its_case(
    workspace: Workspace, kbuild: Kbuild, tmp_path: Path, mutation: Mutation
) -> None:
    sources = mutate(PROJECT / "p2pmem-pci", mutation, tmp_path / "sources")
    build_module(kbuild, sources, tmp_path / "module", tmp_path / "module.log")
    image = pack_image(workspace, tmp_path / "image", tmp_path / "module/p2pmem_pci.ko")
    work = [Work(case, SEED) for case in all_cases() if case.name == mutation.case]

    results = run(workspace, image, tmp_path / "run", work)

    assert [result.name for result in results if not result.passed] == [mutation.case]
    assert mutation.says in results[0].detail
