"""What stages wrote down is read back, and a file that is not whole is one clear error."""

import json
from pathlib import Path

import pytest

from bundle.records import Check, Damaged, Report, read_junit, read_step, read_verdict
from tests.unit.test_verdict import PASS, VERDICT
from verify.reports import write_reports


def test_verdict_as_verify_writes_it(tmp_path: Path) -> None:
    write_reports(VERDICT, tmp_path)
    verdict = read_verdict(tmp_path / "verdict.json")

    assert verdict.outcome == "panic"
    assert verdict.cause == VERDICT.cause
    assert verdict.kernel.asked == "auto"
    assert verdict.kernel.used == "6.12"
    assert verdict.kernel.reason == "6.3.2 cannot be fetched"
    assert [check.title for check in verdict.missed] == ["copy", "unload"]
    assert not verdict.passed


def test_a_check_that_did_not_pass_outweighs_the_outcome(tmp_path: Path) -> None:
    write_reports(PASS, tmp_path)
    file = tmp_path / "verdict.json"
    assert read_verdict(file).passed
    data = json.loads(file.read_text())
    data["checks"][1]["status"] = "failed"
    file.write_text(json.dumps(data))

    assert not read_verdict(file).passed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON: Expecting value"),
        ('{"kernel": {', "not JSON: "),
        ("\x00\xff", "not JSON: "),
        ("[" * 100_000, "not JSON: "),
        ("[]", "all of it is missing or no object"),
        ("{}", "checks is missing or no list"),
        ('{"checks": [7]}', "checks[0] is missing or no object"),
        ('{"checks": [{"title": "a", "status": 1}]}', "status is missing or no text"),
        ('{"checks": []}', "kernel is missing or no object"),
    ],
)
def test_damaged_verdict(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "verdict.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(Damaged) as caught:
        read_verdict(file)
    assert caught.value.message.startswith(why)
    assert caught.value.path == file


@pytest.mark.parametrize("seconds", ['"7"', "true", "null", "NaN", "-Infinity", "9" * 400])
def test_a_number_is_a_number(tmp_path: Path, seconds: str) -> None:
    file = tmp_path / "unit.json"
    file.write_text(f'{{"started": "now", "exit_code": 0, "seconds": {seconds}}}')
    with pytest.raises(Damaged, match=r"seconds is (missing or )?no number"):
        read_step(file)


def test_absent_file(tmp_path: Path) -> None:
    for read in (read_verdict, read_step, read_junit):
        with pytest.raises(Damaged, match="cannot be read: No such file"):
            read(tmp_path / "absent")


@pytest.mark.parametrize(("code", "result"), [("0", "passed"), ("3", "failed"), ("-9", "failed")])
def test_step_that_ended(tmp_path: Path, code: str, result: str) -> None:
    file = tmp_path / "unit.json"
    file.write_text(f'{{"started": "now", "seconds": 1.5, "exit_code": {code}}}')
    assert read_step(file).result == result


def test_step_that_was_never_seen_to_end(tmp_path: Path) -> None:
    file = tmp_path / "unit.json"
    file.write_text('{"started": "now", "seconds": 0, "exit_code": null}')
    assert read_step(file).result == "not finished"


JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest">
<testcase classname="tests.a" name="good" time="0.1" />
<testcase classname="tests.a" name="bad"><failure message="1 != 2">trace</failure></testcase>
<testcase classname="tests.a" name="broken"><error message="no setup">trace</error></testcase>
<testcase classname="" name="left"><skipped message="no" /></testcase>
</testsuite></testsuites>
"""


def test_junit(tmp_path: Path) -> None:
    file = tmp_path / "unit.xml"
    file.write_text(JUNIT)
    failed = (
        Check("tests.a.bad", "failure", "1 != 2"),
        Check("tests.a.broken", "error", "no setup"),
    )
    assert read_junit(file) == Report(4, 1, failed)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not XML: no element found"),
        (JUNIT[:200], "not XML: "),
        ("<html />", "<html> is no JUnit report"),
    ],
)
def test_damaged_junit(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "unit.xml"
    file.write_text(text)
    with pytest.raises(Damaged) as caught:
        read_junit(file)
    assert caught.value.message.startswith(why)
