"""A verdict for people (console lines), for programs (JSON) and for CI (JUnit XML)."""

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO
from xml.etree import ElementTree

from boot.outcome import Outcome
from host.files import replacing, write_text
from host.terminal import harmless, printable, printable_lines
from settings.paths import VERDICT_FILE
from verify.record import CopyRecord, Expected
from verify.runner import Result, Status
from verify.verdict import Verdict, as_data

MARKS = {Status.PASSED: "ok  ", Status.FAILED: "FAIL", Status.NOT_RUN: "-   "}
COLOURS = {Status.PASSED: "32", Status.FAILED: "31", Status.NOT_RUN: "33"}
KINDS = ("through host RAM", "peer to peer", "refused by the kernel, as predicted")
LOST = "peer to peer into memory that does not remember, which the checks saw"
# Characters that XML 1.0 does not allow (section 2.2): some control characters, lone surrogates.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def print_result(result: Result, stream: TextIO) -> None:
    """Print the line of one check, and below it what was seen or what is wrong."""
    mark = _coloured(MARKS[result.status], COLOURS[result.status], stream)
    print(f"  {mark} {result.seconds:6.2f} s  {printable(result.title)}", file=stream)
    for line in printable_lines(result.detail):
        print(f"                 {line}", file=stream)
    stream.flush()


def print_summary(verdict: Verdict, folder: Path, stream: TextIO) -> None:
    """Print the end of a verification: the outcome and where everything lies."""
    passed = sum(result.status is Status.PASSED for result in verdict.results)
    good = verdict.outcome is Outcome.PASSED
    word = _coloured(verdict.outcome.word.upper(), "32" if good else "31", stream)
    print(
        f"\n{word}: {passed} of {len(verdict.results)} checks passed in {verdict.seconds:.1f} s "
        f"(Linux {verdict.subject.kernel.version}, {verdict.subject.topology}, "
        f"{verdict.subject.accel}, {verdict.subject.cpu})",
        file=stream,
    )
    if good:
        print(f"  {_shown(verdict.copies)}", file=stream)
    for kind, name in verdict.subject.own.items():
        print(f"  with a {kind} of your own: {printable(name)}", file=stream)
    kernel = verdict.subject.kernel
    if kernel.reason:
        why = " ".join(filter(None, (kernel.reason, kernel.detail and f"({kernel.detail})")))
        print(f"  not the kernel that was asked for ({kernel.asked}): {why}", file=stream)
    if not good:
        print(f"  {verdict.outcome.meaning}: {harmless(verdict.cause)}", file=stream)
    print(f"  verdict.json, junit.xml, console.log, qemu.sh and more: {folder}", file=stream)
    stream.flush()


def _shown(copies: Sequence[CopyRecord]) -> str:
    """Return what a pass came to: a topology on which all is refused passes too."""
    counts = Counter(_kind(record) for record in copies)
    kinds = (*KINDS, LOST) if counts[LOST] else KINDS
    return "copies: " + ", ".join(f"{counts[kind]} {kind}" for kind in kinds)


def _kind(record: CopyRecord) -> str:
    through_ram, peer_to_peer, refused = KINDS
    if record.copy.memory == "host":
        return through_ram
    outcomes = {
        Expected.MATCH: peer_to_peer,
        Expected.MISMATCH: LOST,
        Expected.REFUSED: refused,
    }
    return outcomes[record.expected]


def write_reports(verdict: Verdict, folder: Path) -> None:
    """Write ``verdict.json`` and ``junit.xml``."""
    write_text(folder / VERDICT_FILE, json.dumps(as_data(verdict), indent=2) + "\n")
    tree = ElementTree.ElementTree(_suite(verdict))
    ElementTree.indent(tree)
    with replacing(folder / "junit.xml") as temporary:
        tree.write(temporary, encoding="utf-8", xml_declaration=True)


def _suite(verdict: Verdict) -> ElementTree.Element:
    counts = [result.status for result in verdict.results]
    suite = ElementTree.Element(
        "testsuite",
        name=f"p2plab.{verdict.subject.topology}.{verdict.subject.scenario}",
        tests=str(len(counts)),
        failures=str(counts.count(Status.FAILED)),
        skipped=str(counts.count(Status.NOT_RUN)),
        errors="0",
        time=f"{verdict.seconds:.3f}",
        timestamp=verdict.started.removesuffix("+00:00"),  # JUnit's schema knows no time zone
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(verdict):
        ElementTree.SubElement(properties, "property", name=name, value=_xml(value))
    for result in verdict.results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=suite.get("name", ""),
            name=_xml(result.title),
            time=f"{result.seconds:.3f}",
        )
        if result.status is Status.FAILED:
            ElementTree.SubElement(case, "failure", message=_xml(result.detail))
        if result.status is Status.NOT_RUN:
            ElementTree.SubElement(case, "skipped", message=_xml(result.detail))
    _add_outcome(suite, verdict)
    return suite


def _add_outcome(suite: ElementTree.Element, verdict: Verdict) -> None:
    """Add the outcome as a case: a panic after the last check must not look like a pass."""
    case = ElementTree.SubElement(
        suite, "testcase", classname=suite.get("name", ""), name="outcome", time="0.000"
    )
    suite.set("tests", str(len(verdict.results) + 1))
    if verdict.outcome is not Outcome.PASSED:
        message = _xml(f"{verdict.outcome.word}: {verdict.cause}")
        ElementTree.SubElement(case, "failure", message=message)
        suite.set("failures", str(int(suite.get("failures", "0")) + 1))


def _properties(verdict: Verdict) -> list[tuple[str, str]]:
    kernel = verdict.subject.kernel
    return [
        ("kernel", kernel.version),
        ("kernel_asked", kernel.asked),
        ("kernel_substituted", kernel.reason),
        *((f"own_{kind}", name) for kind, name in verdict.subject.own.items()),
        ("accel", verdict.subject.accel),
        ("cpu", verdict.subject.cpu),
        ("qemu", verdict.subject.qemu),
    ]


def _xml(text: str) -> str:
    return NOT_XML.sub("?", text)


def _coloured(text: str, colour: str, stream: TextIO) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if stream.isatty() else text


def live(result: Result) -> None:
    """Print the result of a check on stdout as soon as it is known."""
    print_result(result, sys.stdout)
