"""The summary of builds made again, with results as those stages write them."""

import pytest

from bundle.compare import Comparison, InputChange, OutputChange
from bundle.manifest import Output
from reproduce import double, rebuild
from reproduce.build import Built
from reproduce.difference import Difference
from reproduce.variations import Variation
from tests.unit.bundle_fixtures import KERNEL
from tests.unit.summary_project import SUM_A, SUM_B, Project

pytest_plugins = ["tests.unit.summary_fixtures"]


@pytest.mark.parametrize("same", [True, False])
def test_builds_that_differ(project: Project, same: bool) -> None:
    where = [{"file": "bzImage", "where": "section .rodata"}]
    project.reproduced(SUM_B, same=same, differences=where)

    text = project.summary()
    assert "\n**Not good:** reproduce: the builds differ.\n" in text
    assert "\n**The builds differ** (A in 200 s, B in 301 s).\n" in text
    assert f"\n| bzImage | {SUM_A} | **{SUM_B}** |\n" in text
    assert "\n| bzImage | section .rodata |\n" in text


def test_reproduction_that_was_broken_off(project: Project) -> None:
    project.reproduced()
    (project.build / "reproduce/result.json").unlink()

    text = project.summary()
    assert "\n**Not finished**: there is no build/reproduce/result.json.\n" in text
    assert "reproduce/a.log" in project.kept()


@pytest.mark.parametrize("same", [True, False])
def test_double_build_as_reproduce_writes_it(project: Project, same: bool) -> None:
    folder = project.build / "reproduce"
    built = []
    for name in ("a", "b"):
        image = folder / f"image-{name}"
        image.mkdir(parents=True)
        (image / "bzImage").write_text("x" if same else name)
        built.append(Built(image, 200.0, folder / f"{name}.log"))
    never = Variation("clock", ("now", "then"), (lambda it: it, lambda it: it), ("date",))
    found = [] if same else [Difference("bzImage", "section .rodata")]
    result = folder / double.RESULT
    double._write_result(result, [double.Tried(never, "no faketime")], (built[0], built[1]), found)

    text = project.summary()
    assert ("All that was run passed." in text) == same
    assert ("\nBoth builds gave the same 1 files" in text) == same
    assert ("\n| bzImage | section .rodata |\n" in text) == (not same)
    assert "\n| clock | now | then | **no**: no faketime |\n" in text


def rebuilt(project: Project, comparison: Comparison) -> str:
    """Return the page about a rebuild from a manifest."""
    folder = project.build / "rebuild"
    folder.mkdir()
    (folder / "again.log").write_text("log")
    rebuild._write_result(folder / rebuild.RESULT, comparison, 120.0)
    return project.summary()


KERNELS = KERNEL, KERNEL
OUTPUT = Output("bzImage", 1, SUM_A)


def test_rebuild_with_the_same_sums(project: Project) -> None:
    text = rebuilt(project, Comparison(KERNELS, (InputChange("tools.bc", "1", None),), ()))

    assert "All that was run passed." in text
    assert "\nEvery output has the sum that the manifest names (built in 120 s).\n" in text
    assert "\n| tools.bc | 1 | none |\n" in text
    assert project.kept() == ["rebuild/again.log", "rebuild/result.json"]


def test_rebuild_that_differs(project: Project) -> None:
    outputs = (
        OutputChange("bzImage", OUTPUT, None, ("tools.gcc", "kernel.version")),
        OutputChange("vmlinux", OUTPUT, OUTPUT, ()),
    )
    text = rebuilt(project, Comparison(KERNELS, (), outputs))

    assert "\n**Not good:** rebuild: outputs differ.\n" in text
    assert "\n**Outputs differ** (built in 120 s).\n" in text
    assert "\n| bzImage | tools.gcc, kernel.version |\n" in text
    assert "\n| vmlinux | **no reason known** |\n" in text


@pytest.mark.parametrize("rest", [0, 1, 30])
def test_damaged_result_of_a_rebuild(project: Project, rest: int) -> None:
    rebuilt(project, Comparison(KERNELS, (), ()))
    result = project.build / "rebuild/result.json"
    result.write_bytes(result.read_bytes()[:rest])

    text = project.summary()
    assert "\n**Damaged:** build/rebuild/result.json: not JSON: " in text
    assert "\n**Not good:** build/rebuild/result.json is damaged.\n" in text


def test_rebuild_that_was_broken_off(project: Project) -> None:
    (project.build / "rebuild").mkdir()

    assert "\n**Not good:** rebuild: not finished.\n" in project.summary()
