"""The life-cycle suite on the built kernel, and the module's faults that it has to find."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from boot.artifacts import built_in
from boot.outcome import Outcome
from boot.topology import load_topology
from kernel.external import build_module
from kernel.kbuild import Kbuild
from settings.paths import CONFIGS, PROJECT, Workspace, accel_cache
from tests.integration.own_build import built
from tests.lifecycle.cases import Case, all_cases, chosen_cases
from tests.lifecycle.limits import is_instrumented
from tests.lifecycle.mutations import MUTATIONS, Mutation, mutate
from tests.lifecycle.program import build_program, pack_image
from tests.lifecycle.report import print_result
from tests.lifecycle.suite import BOOT, DOWN, LEAKS, Inputs, Result, Suite, Work
from tests.lifecycle.task import TOPOLOGY, inputs_of, orders

pytestmark = pytest.mark.kernel

SEED = 20230515


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the guest's program, compiled once for all tests."""
    return build_program(tmp_path_factory.mktemp("program"))


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


def test_every_case_passes(workspace: Workspace, program: Path, tmp_path: Path) -> None:
    image = pack_image(workspace, tmp_path / "image", program)

    results = run(workspace, image, tmp_path / "run", next(orders(SEED, all_cases())))

    assert [result.name for result in results if not result.passed] == []
    names = {result.name for result in results}
    assert names == {case.name for case in all_cases()} | {LEAKS, DOWN}


def test_a_module_of_the_users_own_goes_through_the_suite(
    workspace: Workspace, tmp_path: Path
) -> None:
    own = shutil.copytree(PROJECT / "p2pmem-pci", tmp_path / "mine")
    selection = built(workspace, tmp_path / "own", module=str(own))
    (case,) = chosen_cases(("mapping x driver unbind",))

    with closing(Suite(inputs_of(selection, tmp_path / "run"), print).run([Work(case, 1)])) as ran:
        results = list(ran)

    assert [result.name for result in results] == [case.name, LEAKS, DOWN]
    assert [result.detail for result in results if not result.passed] == []


def acting(name: str, command: str) -> Work:
    """Return a case that runs one command in the guest."""
    return Work(Case(name, lambda rig, _seed: rig.run(command)), SEED)


def test_what_a_case_leaves_behind_is_found_and_the_next_one_gets_a_new_guest(
    workspace: Workspace, program: Path, tmp_path: Path
) -> None:
    image = pack_image(workspace, tmp_path / "image", program)
    hold = "p2pmem-lifecycle hold mapping /run/left /dev/p2pmem0 /dev/nvme1n1"
    work = [
        acting("panics", "echo c >/proc/sysrq-trigger"),
        acting("complains", "echo 'WARNING: made up' >/dev/kmsg"),
        acting("leaks", hold),
        acting("unbinds", "echo 0000:04:00.0 >/sys/bus/pci/drivers/nvme/unbind"),
        acting("does nothing", "true"),
    ]

    results = run(workspace, image, tmp_path / "run", work)

    outcomes = {result.name: (result.outcome, result.detail) for result in results}
    assert outcomes["panics"][0] is Outcome.PANIC
    assert outcomes["complains"][0] is Outcome.WARNING
    assert "WARNING: made up" in outcomes["complains"][1]
    assert "available of 0000:03:00.0 is" in outcomes["leaks"][1]
    assert "there is no /dev/p2pmemN of 0000:04:00.0 any more" in outcomes["unbinds"][1]
    assert outcomes["does nothing"][0] is Outcome.PASSED
    assert len({result.log for result in results}) == len(work)


def test_a_module_that_does_not_load_is_one_failure_and_not_one_for_each_case(
    workspace: Workspace, kbuild: Kbuild, program: Path, tmp_path: Path
) -> None:
    faulty = PROJECT / "tests/fixtures/faulty_module"
    build_module(kbuild, faulty, tmp_path / "module", tmp_path / "module.log")
    image = pack_image(workspace, tmp_path / "image", program, tmp_path / "module/p2pmem_pci.ko")

    (result,) = run(workspace, image, tmp_path / "run", next(orders(SEED, all_cases())))

    assert (result.name, result.outcome) == (BOOT, Outcome.FAILED)
    assert "No such device" in result.detail


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda item: item.name)
def test_a_fault_of_the_module_is_found_by_its_case(
    workspace: Workspace, kbuild: Kbuild, program: Path, tmp_path: Path, mutation: Mutation
) -> None:
    sources = mutate(PROJECT / "p2pmem-pci", mutation, tmp_path / "sources")
    build_module(kbuild, sources, tmp_path / "module", tmp_path / "module.log")
    image = pack_image(workspace, tmp_path / "image", program, tmp_path / "module/p2pmem_pci.ko")
    work = [Work(case, SEED) for case in all_cases() if case.name == mutation.case]

    results = run(workspace, image, tmp_path / "run", work)

    assert [result.name for result in results if not result.passed] == [mutation.case]
    assert mutation.says in results[0].detail
