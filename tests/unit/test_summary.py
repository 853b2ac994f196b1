"""The summary of good, failed, broken-off and absent runs."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from boot.outcome import Outcome
from bundle.summary import NothingRun
from host.files import sha256_file
from tests.unit.summary_project import BAD, FINE, GOOD, Project, junit
from tests.unit.test_verdict import PASS, VERDICT

pytest_plugins = ["tests.unit.summary_fixtures"]

GOOD_PAGE = """\
# p2plab

Kernel: asked 6.12, used 6.12 (Linux 6.12.117).

All that was run passed.
Not run: Rebuild, Life cycle, Kernels.

## Builds

| kernel | build |
| --- | --- |
| 6.12 | done |

## Verdicts

| topology | outcome | checks passed | seconds | on | started | in |
| --- | --- | --- | --- | --- | --- | --- |
| switch-q35 | passed | 2 of 2 | 2.5 | tcg, qemu64 | 2026-11-24T12:00:00+00:00 | build/6.12/verify/switch-q35 |
| switch-q35 | passed | 2 of 2 | 2.5 | tcg, qemu64 | 2026-11-24T12:00:00+00:00 | dist/p2plab-6.12-switch-q35/evidence |

## Tests

| step | result | tests | seconds | started |
| --- | --- | --- | --- | --- |
| lint | passed | - | 31 | 2026-11-24T12:00:00+00:00 |
| format | not run | - | - | - |
| types | not run | - | - | - |
| unit | passed | 1, 0 failed, 0 skipped | 31 | 2026-11-24T12:00:00+00:00 |
| kernel | not run | - | - | - |
| debug | not run | - | - | - |

## Bundles

| bundle | archive | sha256 of image/SHA256SUMS |
| --- | --- | --- |
| p2plab-6.12-switch-q35 | 0.0 MiB | SUM OF SUMS |

## Reproduction

Both builds gave the same 2 files (A in 200 s, B in 301 s).

| file | sha256 in build A | in build B |
| --- | --- | --- |
| bzImage | aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | the same |
| fragments/0 | aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | the same |

| variation | build A | build B | applied |
| --- | --- | --- | --- |
| umask | 022 | 077 | yes |
| clock | now | then | **no**: a &#124; b |

## Files

| in | there are |
| --- | --- |
| dist/run/6.12 | source.json |
| dist/run/6.12/logs | kernel.log |
| dist/run/6.12/verify/switch-q35 | console.log, junit.xml, verdict.json |
| dist/run/reproduce | a.log, diffoscope.txt, result.json |
| dist/run/reproduce/image-a | SHA256SUMS |
| dist/run/tests | lint.json, unit.json, unit.xml |
"""  # noqa: E501 - as it stands in the file


def test_good_run(project: Project) -> None:
    project.built()
    project.verified(GOOD)
    project.tested("lint", 0)
    project.tested("unit", 0, junit(FINE))
    sums = project.bundled() / "image/SHA256SUMS"
    project.reproduced()

    assert project.summary() == GOOD_PAGE.replace("SUM OF SUMS", sha256_file(sums))


def test_substituted_kernel_stands_first(project: Project) -> None:
    project.built()
    project.verified(PASS)

    lines = project.summary().splitlines()
    told = "asked auto, used 6.12 (Linux 6.12.117), because 6.3.2 cannot be fetched"
    assert lines[2] == f"**Not the kernel that was asked for:** {told}"
    assert lines[4] == "Kernel: asked 6.12, used 6.12 (Linux 6.12.117)."


def test_failed_checks_are_listed_with_their_details(project: Project) -> None:
    project.built()
    project.verified(replace(VERDICT, outcome=Outcome.FAILED, cause="copy: byte 77 differs"))

    text = project.summary()
    assert "\n**Not good:** switch-q35: failed.\n" in text
    assert "| switch-q35 | **failed** | 1 of 3 |" in text
    assert "at least one check failed: copy: byte 77 differs\n" in text
    assert "\n| copy | failed | byte 77 differs and &lt;more&gt; &amp; �\\[31m��� |\n" in text
    assert "\n| unload | not run | the guest was gone (panic) |\n" in text


def test_panic_after_the_last_check(project: Project) -> None:
    project.built()
    project.verified(replace(GOOD, outcome=Outcome.PANIC, cause="Kernel panic - not syncing: x"))

    text = project.summary()
    assert "| switch-q35 | **panic** | 2 of 2 |" in text
    assert "the kernel panicked: Kernel panic - not syncing: x\n" in text
    assert "All that was run passed" not in text


def test_every_label_and_topology(project: Project) -> None:
    project.built()
    project.verified(GOOD)
    project.verified(
        replace(GOOD, subject=replace(GOOD.subject, topology="root-ports")), "root-ports+EPYC"
    )
    Project(project.build.parent, "6.3.2+debug").built()

    text = project.summary()
    assert "| 6.3.2+debug | done |" in text
    assert "build/6.12/verify/root-ports+EPYC |" in text


def test_verdict_without_a_check_is_no_pass(project: Project) -> None:
    project.built()
    project.verified(replace(GOOD, results=()))

    assert "**Not good:** switch-q35: passed." in project.summary()


def test_failed_test_in_a_step_that_ended_well(project: Project) -> None:
    project.tested("unit", 0, junit(FINE, BAD))

    assert "**Not good:** test:unit: passed, but not its report." in project.summary()


def test_build_that_failed_shows_the_end_of_its_log(project: Project) -> None:
    project.built(without="p2pmem_pci.ko")
    kernel_log = project.at.logs / "kernel.log"
    os.utime(kernel_log, (1, 1))
    lines = [f"line {number}" for number in range(100)]
    (project.at.logs / "module.log").write_text("\n".join([*lines, "error: ``` | <b>"]))

    text = project.summary()
    assert "\n**Not good:** the build of 6.12 is not finished.\n" in text
    assert "| 6.12 | **not finished**: no module |" in text
    assert "The end of the last log, build/6.12/logs/module.log:\n\n````text\nline 76\n" in text
    assert "line 75" not in text
    assert "\nerror: ``` | <b>\n````\n" in text
    assert "Not run: Verdicts, Tests, Bundles, Reproduction, Rebuild, Life cycle, Kernels." in text


def test_run_that_was_killed(project: Project) -> None:
    project.built()
    (project.verified(GOOD) / "verdict.json").unlink()
    project.tested("kernel", None)

    text = project.summary()
    assert "| switch-q35 | **no verdict** |" in text
    assert "| kernel | **not finished** | - |" in text
    assert "**Not good:** switch-q35: no verdict; test:kernel: not finished." in text
    assert "6.12/verify/switch-q35/console.log" in project.kept()


def test_failed_tests_by_name(project: Project) -> None:
    project.tested("lint", 0)
    project.tested("unit", 1, junit(FINE, BAD))

    text = project.summary()
    assert "| unit | **failed** | 2, 1 failed, 0 skipped |" in text
    assert "\n| tests.a.bad\\[x\\] | failure | a &#124; b c |\n" in text
    assert "**Not good:** test:unit: failed." in text


def test_a_long_list_of_failed_tests_is_cut(project: Project) -> None:
    project.tested("unit", 1, junit(*[BAD] * 1000))

    text = project.summary()
    assert "\n\nAnd 970 more.\n" in text
    assert text.count("tests.a.bad") == 30


@pytest.mark.parametrize("worked_in_before", [False, True])
def test_nothing_run(project: Project, worked_in_before: bool) -> None:
    (project.build / "6.3.2").mkdir()
    (project.build / "6.3.2/doit.db").touch()
    if worked_in_before:
        (project.dist / "run/tests").mkdir(parents=True)
        (project.dist / "run/tests/unit.xml").touch()

    with pytest.raises(NothingRun):
        project.summary()
    assert (project.dist / "summary.md").read_text() == (
        "# p2plab\n\nNot run: Builds, Verdicts, Tests, Bundles, Reproduction, Rebuild, "
        "Life cycle, Kernels.\n"
    )
    assert project.kept() == []


def test_github_gets_the_same_text_appended(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "step-summary"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    project.tested("lint", 0)

    text = project.summary()
    assert page.read_text() == f"before\n{text}"
    assert text.endswith("|\n")


SUITE = {"outcome": "passed", "cause": "", "seconds": 61.5, "cases": [{"name": "dup"}]}


@pytest.mark.parametrize("kind", ["lifecycle", "soak"])
@pytest.mark.parametrize(
    ("report", "told"),
    [
        (SUITE, "All that was run passed."),
        (SUITE | {"outcome": "oops", "cause": "dup: BUG"}, "**Not good:** build/6.12/{}: oops."),
        (None, "**Not good:** build/6.12/{} was not finished."),
        ({"outcome": "passed"}, "is damaged"),
    ],
)
def test_life_cycle_that_was_run(
    project: Project, kind: str, report: dict[str, object] | None, told: str
) -> None:
    project.built()
    folder = project.at.root / kind
    folder.mkdir()
    if report is not None:
        (folder / f"{kind}.json").write_text(json.dumps(report))
    assert told.format(kind) in project.summary()
    assert (f"6.12/{kind}/{kind}.json" in project.kept()) == (report is not None)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (False, "All that was run passed."),
        (True, "**Not good:** build/compat/compat.json: 7.2."),
        (None, "build/compat/compat.json is damaged"),
    ],
)
def test_table_of_kernels_that_was_made(project: Project, bad: bool | None, told: str) -> None:
    project.built()
    row = {"name": "7.2", "compiles": "NO", "verifies": "-", "why": "it warns", "bad": bad}
    (project.build / "compat").mkdir()
    (project.build / "compat/compat.json").write_text(json.dumps({"rows": [row]}))
    assert told in project.summary()
