"""The summary of good, failed, broken-off and absent runs."""

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from boot.outcome import Outcome
from bundle import manifest as manifests
from bundle import summary
from bundle.archive import pack
from bundle.leftovers import LARGE
from bundle.summary import NothingRun
from host.files import emptied, sha256_file
from kernel.source import SourceRecord
from settings.paths import Workspace
from tests.unit.bundle_fixtures import make_bundle, seal, substituted, verdict_of, write_verdict
from tests.unit.test_verdict import PASS, VERDICT
from verify.reports import write_reports
from verify.runner import Result, Status
from verify.verdict import Verdict, as_data

AS_ASKED = SourceRecord("6.12", "6.12", "", "apt", "6.12.117", Path("/nowhere"))
SUM_A, SUM_B = "a" * 64, "b" * 64
GOOD = replace(PASS, subject=replace(PASS.subject, kernel=AS_ASKED))


class Project:
    """A project's folder as runs leave it."""

    def __init__(self, root: Path, label: str = "6.12") -> None:
        self.build = root / "build"
        self.dist = root / "dist"
        self.build.mkdir(exist_ok=True)
        self.at = Workspace(self.build / label)

    def built(self, *, without: str = "") -> None:
        at = self.at
        for path in (at.bzimage, at.module, at.tool, at.initramfs, at.logs / "kernel.log"):
            if path.name != without:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{path.name} made\n")
        self.source(AS_ASKED)

    def source(self, record: SourceRecord) -> None:
        self.at.root.mkdir(parents=True, exist_ok=True)
        self.at.source_record.write_text(json.dumps(record.as_data()))

    def verified(self, verdict: Verdict, name: str = "switch-q35") -> Path:
        folder = self.at.run_dir("verify", name)
        folder.mkdir(parents=True)
        write_reports(verdict, folder)
        (folder / "console.log").write_text("[ 0.1] Linux\n")
        (folder / "d00d0001.img").write_text("a drive")
        return folder

    def tested(self, step: str, exit_code: int | None, xml: str = "") -> None:
        folder = self.build / "tests"
        folder.mkdir(exist_ok=True)
        record = {"started": "2026-11-24T12:00:00+00:00", "seconds": 31.2, "exit_code": exit_code}
        (folder / f"{step}.json").write_text(json.dumps(record))
        if xml:
            (folder / f"{step}.xml").write_text(xml)

    def bundled(self, name: str = "p2plab-6.12-switch-q35", verdict: Verdict = GOOD) -> Path:
        """Put a bundle into dist/, as folder and archive; return the folder."""
        folder = make_bundle(self.dist, name)
        about = verdict_of(manifests.load(folder / "image/manifest.json"))
        write_verdict(folder / "evidence", {**as_data(verdict), **about})
        pack(folder, self.dist / f"{name}.tar.xz")
        return folder

    def reproduced(self, b: str = SUM_A, **changes: object) -> None:
        folder = self.build / "reproduce"
        (folder / "image-a").mkdir(parents=True)
        result = {
            "same": True,
            "differences": [],
            "variations": [
                {"name": "umask", "a": "022", "b": "077", "applied": True, "reason": ""},
                {"name": "clock", "a": "now", "b": "then", "applied": False, "reason": "a | b"},
            ],
            "builds": {
                "a": {"seconds": 200.4, "sums": {"bzImage": SUM_A, "fragments/0": SUM_A}},
                "b": {"seconds": 300.6, "sums": {"bzImage": b, "fragments/0": SUM_A}},
            },
            **changes,
        }
        (folder / "result.json").write_text(json.dumps(result))
        for name in ("a.log", "diffoscope.txt", "image-a/SHA256SUMS", "image-a/bzImage"):
            (folder / name).write_text(name)

    def summary(self) -> str:
        summary.run(self.build, self.dist)
        return (self.dist / "summary.md").read_text()

    def kept(self) -> list[str]:
        run = self.dist / "run"
        return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def _not_on_github(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def junit(*cases: str) -> str:
    return f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"


FINE = '<testcase classname="tests.a" name="fine" />'
BAD = (
    '<testcase classname="tests.a" name="bad[x]">'
    '<failure message="a | b&#10;c">trace</failure></testcase>'
)

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


def test_substituted_kernel_of_a_bundle_alone(project: Project) -> None:
    seal(project.bundled() / "image", substituted)

    assert project.summary().splitlines()[2].startswith("**Not the kernel that was asked for:**")


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


def test_verdict_of_a_bundle(project: Project) -> None:
    project.bundled()

    text = project.summary()
    assert "| dist/p2plab-6.12-switch-q35/evidence |" in text
    assert text.startswith("# p2plab\n\nKernel: asked 6.12")
    assert project.summary() == text, "the copies of an earlier summary are no verdicts"


def test_bundle_that_is_not_what_it_claims_to_be(project: Project) -> None:
    (project.bundled() / "image/bzImage").write_text("another kernel")

    text = project.summary()
    assert "\n**Not good:** p2plab-6.12-switch-q35 is not what it claims to be.\n" in text
    assert "image/bzImage: changed, or its line in SHA256SUMS" in text
    assert "| 0.0 MiB | **not what it claims to be** |" in text


def test_damaged_archive_beside_a_good_folder(project: Project) -> None:
    project.bundled()
    archive = project.dist / "p2plab-6.12-switch-q35.tar.xz"
    archive.write_bytes(archive.read_bytes()[:-100])

    assert "**Not good:** p2plab-6.12-switch-q35.tar.xz is not what it claims" in project.summary()


@pytest.mark.parametrize("part", ["image", "evidence"])
def test_archive_of_an_earlier_bundle(project: Project, part: str) -> None:
    folder = project.bundled()
    if part == "image":
        (folder / "image/bzImage").write_text("a newer kernel")
        seal(folder / "image")
    (folder / "evidence/console.log").write_text("a newer run")
    about = verdict_of(manifests.load(folder / "image/manifest.json"))
    write_verdict(folder / "evidence", {**as_data(GOOD), **about})

    text = project.summary()
    assert "**Not good:** p2plab-6.12-switch-q35.tar.xz is not of the folder beside it." in text
    assert "**of another bundle**" in text


def test_what_a_killed_run_left_is_no_bundle(project: Project) -> None:
    folder = project.bundled()
    folder.rename(project.dist / f".{folder.name}.4242.partial")
    (project.dist / f"{folder.name}.tar.xz").unlink()
    project.tested("lint", 0)

    text = project.summary()
    assert "partial" not in text
    assert "Not run: Builds, Verdicts, Bundles" in text


def test_verdict_without_a_check_is_no_pass(project: Project) -> None:
    project.built()
    project.verified(replace(GOOD, results=()))

    assert "**Not good:** switch-q35: passed." in project.summary()


def test_run_that_came_to_no_verdict_though_an_older_bundle_passed(project: Project) -> None:
    project.built()
    project.bundled()
    emptied(project.at.run_dir("verify", "switch-q35"))

    text = project.summary()
    assert "\n**Not good:** switch-q35: no verdict.\n" in text


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


@pytest.mark.parametrize("rest", [0, 1, 30])
def test_damaged_files_are_told_and_the_rest_is_there(project: Project, rest: int) -> None:
    project.built()
    broken = project.verified(GOOD, "switch") / "verdict.json"
    project.verified(GOOD)
    project.tested("unit", 0, junit(FINE))
    project.tested("kernel", 0, junit(FINE))
    project.reproduced()
    files = (
        broken,
        project.at.source_record,
        project.build / "tests/unit.json",
        project.build / "tests/kernel.xml",
        project.build / "reproduce/result.json",
    )
    for path in files:
        path.write_bytes(path.read_bytes()[:rest])

    text = project.summary()
    for path in files:
        name = path.relative_to(project.build.parent)
        assert f"\n**Damaged:** {name}: not " in text
    assert "| switch-q35 | passed |" in text
    assert "All that was run passed" not in text
    assert "6.12/verify/switch/verdict.json" in project.kept()


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


# --- what is kept -------------------------------------------------------------------------------


def test_large_files_are_packed_and_drive_images_left_out(project: Project) -> None:
    project.built()
    folder = project.verified(GOOD)
    trace = "a line of the trace\n" * (LARGE // 10)
    (folder / "trace.log").write_text(trace)
    (folder / "probe").mkdir()
    (folder / "probe/console.log").write_text("probe")
    (folder / "qemu.log").symlink_to("/etc/passwd")

    project.summary()
    assert project.kept() == [
        "6.12/logs/kernel.log",
        "6.12/source.json",
        "6.12/verify/switch-q35/console.log",
        "6.12/verify/switch-q35/junit.xml",
        "6.12/verify/switch-q35/probe/console.log",
        "6.12/verify/switch-q35/trace.log.gz",
        "6.12/verify/switch-q35/verdict.json",
    ]
    packed = project.dist / "run/6.12/verify/switch-q35/trace.log.gz"
    assert gzip.decompress(packed.read_bytes()).decode() == trace


def test_both_kinds_of_rebuilding_leave_their_logs(project: Project) -> None:
    project.built()
    for name in ("reproduce/a.log", "rebuild/again.log", "rebuild/result.json"):
        path = project.build / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("said")

    project.summary()
    assert {"reproduce/a.log", "rebuild/again.log", "rebuild/result.json"} <= {*project.kept()}


def test_what_an_earlier_call_kept_is_replaced(project: Project) -> None:
    project.built()
    project.summary()
    (project.at.logs / "kernel.log").rename(project.at.logs / "module.log")

    project.summary()
    assert project.kept() == ["6.12/logs/module.log", "6.12/source.json"]


# --- hostile text -------------------------------------------------------------------------------

HOSTILE = """\r\n\n# owned\n|---|\n| a | `b` | ``` | <script>x</script> &lt;
~~~ [x](y) ![i](j) *b* _i_ $m$ \\| \\` @me \x1b[2J\x00\udc80\u202e
- [ ] item\n> quote\n```\n"""


def test_hostile_text_stays_in_its_cell(project: Project) -> None:
    kernel = SourceRecord(HOSTILE, HOSTILE, HOSTILE, "apt", HOSTILE, Path("/"), detail=HOSTILE)
    subject = replace(VERDICT.subject, kernel=kernel, topology=HOSTILE, cpu=HOSTILE, accel=HOSTILE)
    results = [Result(HOSTILE, Status.FAILED, HOSTILE, 1.0)]
    project.built()
    project.source(kernel)
    project.verified(
        replace(VERDICT, subject=subject, cause=HOSTILE, results=tuple(results), started=HOSTILE)
    )
    escaped = HOSTILE.translate(dict.fromkeys((0, 27, 0xDC80), "?"))
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        escaped = escaped.replace(old, new)
    project.tested("unit", 1, junit(f'<testcase name="x"><error message="{escaped}" /></testcase>'))

    text = project.summary()
    shape = [line for line in text.splitlines() if line.startswith("#")]
    assert len(shape) == 7, "title, five sections with two details, and no other heading"
    for line in text.splitlines():
        assert not line.startswith(("```", "~~~", ">", "- ")), line
        assert "<" not in line
        assert line.replace("\\[", "").count("[") == 0, "no link"
    for block in text.split("\n\n"):
        if block.startswith("| "):
            widths = {line.count("|") for line in block.strip().splitlines()}
            assert len(widths) == 1, block


def test_damaged_manifest_of_a_bundle_is_told(project: Project) -> None:
    project.bundled()
    path = project.dist / "p2plab-6.12-switch-q35/image/manifest.json"
    path.write_text('{"kernel": ')

    text = project.summary()
    assert "\n**Damaged:** " in text
    assert "manifest.json" in text


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
