"""The summary of files that are damaged, and of text that nobody has vetted."""

from dataclasses import replace
from pathlib import Path

import pytest

from kernel.source import SourceRecord
from tests.unit.summary_project import FINE, GOOD, Project, junit
from tests.unit.test_verdict import VERDICT
from verify.runner import Result, Status

pytest_plugins = ["tests.unit.summary_fixtures"]

HOSTILE = """\r\n\n# owned\n|---|\n| a | `b` | ``` | <script>x</script> &lt;
~~~ [x](y) ![i](j) *b* _i_ $m$ \\| \\` @me \x1b[2J\x00\udc80\u202e
- [ ] item\n> quote\n```\n"""


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
