"""The decision, and the three forms in which it is told."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from boot.console import GuestEnded
from boot.outcome import Outcome
from kernel.source import SourceRecord
from verify.record import CopyRecord
from verify.reports import print_result, print_summary, write_reports
from verify.runner import Result, Status
from verify.scenario import Copy
from verify.verdict import Subject, Verdict, as_data, decide

GOOD = Result("boot", Status.PASSED, "Linux 6.3.2", 1.25)
BAD = Result("copy", Status.FAILED, "byte 77 differs\nand <more> & \x1b[31m\x00\udcff\uffff", 0.5)
MISSED = Result("unload", Status.NOT_RUN, "the guest was gone (panic)", 0.0)
PANIC = "Kernel panic - not syncing: x"
OOPS = "Oops: 0000 [#1]"
WARN = "WARNING: CPU: 0 PID: 1 at x"
STALL = "rcu: INFO: rcu_preempt self-detected stall on CPU"

# --- decision -------------------------------------------------------------------------------


def test_pass() -> None:
    assert decide([GOOD, GOOD], None, ["Linux version"]) == (Outcome.PASSED, "")


def test_nothing_checked_is_a_failure() -> None:
    assert decide([], None, ["Linux version"]) == (Outcome.FAILED, "no check was made")


@pytest.mark.parametrize("other", [BAD, MISSED])
@pytest.mark.parametrize("last", [True, False])
def test_one_check_that_did_not_pass(other: Result, last: bool) -> None:
    results = [GOOD, other] if last else [other, GOOD]
    assert decide(results, None, []) == (Outcome.FAILED, f"{other.title}: {other.detail}")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([WARN], Outcome.WARNING),
        ([WARN, OOPS], Outcome.OOPS),
        ([OOPS, WARN, STALL], Outcome.HANG),
        ([STALL, WARN, OOPS, PANIC], Outcome.PANIC),
    ],
)
def test_the_worst_word_of_the_kernel_decides(lines: list[str], expected: Outcome) -> None:
    for results in ([GOOD], [BAD], []):
        outcome, cause = decide(results, None, lines)
        assert outcome is expected
        assert cause in lines


@pytest.mark.parametrize("how", [o for o in Outcome if o is not Outcome.PASSED])
def test_a_guest_that_ended_decides(how: Outcome) -> None:
    ended = GuestEnded(how, "it was so")
    assert decide([GOOD], ended, [WARN]) == (how, "it was so")


def test_only_one_outcome_is_a_success() -> None:
    codes = [outcome.exit_code for outcome in Outcome]
    assert len(set(codes)) == len(codes)
    assert [outcome for outcome in Outcome if outcome.exit_code == 0] == [Outcome.PASSED]


# --- reports --------------------------------------------------------------------------------

SUBJECT = Subject(
    kernel=SourceRecord(
        "auto", "6.12", "6.3.2 cannot be fetched", "apt", "6.12.117", Path("/nowhere/source")
    ),
    topology="switch-q35",
    scenario="copy",
    accel="tcg",
    cpu="qemu64",
    qemu="QEMU emulator version 7.2.22",
    files={"bzImage": "ab"},
    command="qemu",
)
COPY = CopyRecord(
    Copy("p2pmem", "d1", "d1", "d2", 1, 4096, 0, 1), {"d2": "no"}, False, {"bytes": 0}, {}
)
VERDICT = Verdict(
    outcome=Outcome.PANIC,
    cause="it panicked\x07",
    subject=SUBJECT,
    results=(GOOD, BAD, MISSED),
    copies=(COPY,),
    started="2026-11-24T12:00:00+00:00",
    seconds=2.5,
)
PASS = replace(VERDICT, outcome=Outcome.PASSED, cause="", results=(GOOD, GOOD), copies=())


def test_json(tmp_path: Path) -> None:
    write_reports(VERDICT, tmp_path)
    text = (tmp_path / "verdict.json").read_text()
    data = json.loads(text)
    assert data == as_data(VERDICT)
    assert next(iter(data)) == "kernel", "a substituted kernel stands first"
    assert data["kernel"] == SUBJECT.kernel.as_data()
    assert (data["outcome"], data["exit_code"]) == ("panic", 13)
    assert [item["status"] for item in data["checks"]] == ["passed", "failed", "not run"]
    assert data["copies"][0]["provider"] == "d1"
    assert data["copies"][0]["allowed"] is False
    assert data["copies"][0]["expected"] == "refused"
    assert data["qemu"] == "QEMU emulator version 7.2.22"


def suite(verdict: Verdict, folder: Path) -> ElementTree.Element:
    write_reports(verdict, folder)
    return ElementTree.parse(folder / "junit.xml").getroot()


def counted(element: ElementTree.Element) -> dict[str, int]:
    return {key: int(element.get(key, "-1")) for key in ("tests", "failures", "errors", "skipped")}


@pytest.mark.parametrize(
    ("verdict", "failures", "skipped"),
    [
        (VERDICT, 2, 1),
        (PASS, 0, 0),
        (replace(PASS, outcome=Outcome.WARNING, cause=WARN), 1, 0),
        (replace(VERDICT, outcome=Outcome.LOST, results=(MISSED, MISSED)), 1, 2),
        (replace(VERDICT, outcome=Outcome.FAILED, results=()), 1, 0),
    ],
)
def test_junit_counts(tmp_path: Path, verdict: Verdict, failures: int, skipped: int) -> None:
    root = suite(verdict, tmp_path)
    assert counted(root) == {
        "tests": len(root.findall("testcase")),
        "failures": len(root.findall("testcase/failure")),
        "errors": 0,
        "skipped": len(root.findall("testcase/skipped")),
    }
    assert counted(root)["failures"] == failures
    assert counted(root)["skipped"] == skipped
    assert len(root.findall("testcase")) == len(verdict.results) + 1
    assert bool(failures) == (verdict.outcome is not Outcome.PASSED)


def children(element: ElementTree.Element) -> Iterator[str]:
    return (child.tag for child in element)


def test_junit_is_what_the_schema_allows(tmp_path: Path) -> None:
    root = suite(VERDICT, tmp_path)
    assert root.tag == "testsuite"
    assert list(children(root)) == ["properties", *["testcase"] * 4]
    assert root.get("name") == "p2plab.switch-q35.copy"
    assert root.get("timestamp") == "2026-11-24T12:00:00"
    assert float(root.attrib["time"]) == 2.5
    for case in root.findall("testcase"):
        assert set(case.attrib) == {"classname", "name", "time"}
        assert float(case.attrib["time"]) >= 0
        assert set(children(case)) <= {"failure", "skipped"}
        assert len(case) <= 1
    properties = {p.attrib["name"]: p.attrib["value"] for p in root.findall("properties/property")}
    assert properties["kernel"] == "6.12.117"
    assert properties["kernel_substituted"] == "6.3.2 cannot be fetched"


def test_junit_has_no_characters_that_xml_forbids(tmp_path: Path) -> None:
    root = suite(VERDICT, tmp_path)
    (copy, outcome) = root.findall("testcase/failure")
    message = copy.attrib["message"]
    assert "byte 77 differs" in message
    assert "<more> & ?[31m???" in message
    assert outcome.attrib["message"] == "panic: it panicked?"


def summary(verdict: Verdict) -> str:
    stream = io.StringIO()
    print_summary(verdict, Path("/the/folder"), stream)
    return stream.getvalue()


def test_summary() -> None:
    text = summary(VERDICT)
    assert "PANIC: 1 of 3 checks passed in 2.5 s (Linux 6.12.117, switch-q35, tcg, qemu64)" in text
    assert "not the kernel that was asked for (auto): 6.3.2 cannot be fetched" in text
    assert "the kernel panicked: it panicked" in text
    assert "/the/folder" in text


def test_summary_of_a_pass() -> None:
    text = summary(
        replace(
            PASS,
            subject=replace(SUBJECT, kernel=replace(SUBJECT.kernel, version="6.3.2", reason="")),
        )
    )
    assert "PASSED: 2 of 2 checks passed" in text
    assert "not the kernel" not in text


def test_summary_of_a_pass_tells_what_it_came_to() -> None:
    """On a topology where the kernel has to refuse everything, all checks pass too."""
    through_ram = replace(COPY, copy=replace(COPY.copy, memory="host", provider=""), allowed=True)
    copies = (COPY, COPY, replace(COPY, allowed=True), through_ram)

    assert (
        "copies: 1 through host RAM, 1 peer to peer, 2 refused by the kernel, as predicted"
        in summary(replace(PASS, copies=copies))
    )
    assert "peer to peer" not in summary(replace(VERDICT, copies=copies))
    lost = replace(COPY, allowed=True, remembers=False)
    assert (
        "0 refused by the kernel, as predicted, 1 peer to peer into memory that does not remember"
        in summary(replace(PASS, copies=(lost,)))
    )


def test_not_run_is_not_passed() -> None:
    assert "LOST: 0 of 2 checks passed" in summary(
        replace(VERDICT, outcome=Outcome.LOST, results=(MISSED, MISSED))
    )
    stream = io.StringIO()
    print_result(MISSED, stream)
    assert stream.getvalue() == (
        "  -      0.00 s  unload\n                 the guest was gone (panic)\n"
    )


def test_lines_of_results() -> None:
    stream = io.StringIO()
    print_result(GOOD, stream)
    print_result(replace(BAD, detail="one\ntwo"), stream)
    assert stream.getvalue().splitlines() == [
        "  ok     1.25 s  boot",
        "                 Linux 6.3.2",
        "  FAIL   0.50 s  copy",
        "                 one",
        "                 two",
    ]


def test_text_of_the_guest_does_not_steer_the_terminal() -> None:
    stream = io.StringIO()
    print_result(replace(BAD, title="copy \x1b[2J"), stream)
    print_summary(replace(VERDICT, outcome=Outcome.FAILED, cause=BAD.detail), Path(), stream)
    assert "<more> & ?[31m???" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
