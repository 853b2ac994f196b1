"""The console log: stamps, lines that arrive in pieces, carriage returns."""

import re
from pathlib import Path

from boot.console_log import ConsoleLog

STAMPED = re.compile(r"\[ *\d+\.\d{3}\] (.*)")


def bodies(path: Path) -> list[str]:
    """Return the lines of the file without their stamps."""
    found = [STAMPED.fullmatch(line) for line in path.read_text().split("\n")[:-1]]
    assert all(found)
    return [match[1] for match in found if match]


def test_lines_and_pieces(tmp_path: Path) -> None:
    path = tmp_path / "deep/console.log"
    with ConsoleLog(path) as log:
        log.write("one\r\ntw")
        assert log.lines == ["one"]
        log.write("o\r")
        log.write("\n\n")
        assert log.lines == ["one", "two", ""]
        log.write("a last line without its end")
    assert log.lines == ["one", "two", "", "a last line without its end"]
    assert bodies(path) == log.lines


def test_carriage_returns_make_no_lines(tmp_path: Path) -> None:
    with ConsoleLog(tmp_path / "log") as log:
        log.write("10%\r20%\rdone\r\r\n")
    assert log.lines == ["10%20%done"]


def test_other_separators_stay_inside_a_line(tmp_path: Path) -> None:
    with ConsoleLog(tmp_path / "log") as log:
        log.write("a\x0cb\u2028c\n")
    assert log.lines == ["a\x0cb\u2028c"]


def test_stamps_tell_when_a_line_began(tmp_path: Path) -> None:
    with ConsoleLog(tmp_path / "log") as log:
        log.write("begun")
        log.note("run: true")
        log.write(" and ended\n")
    stamps = [float(line[1:10]) for line in log.path.read_text().splitlines()]
    assert bodies(log.path) == ["== run: true", "begun and ended"]
    assert stamps[1] <= stamps[0]


def test_notes_of_the_host_are_no_lines_of_the_guest(tmp_path: Path) -> None:
    with ConsoleLog(tmp_path / "log") as log:
        log.note("run: echo Kernel panic - not syncing")
    assert log.lines == []


def test_what_was_written_is_on_disk_at_once(tmp_path: Path) -> None:
    with ConsoleLog(tmp_path / "log") as log:
        log.write("one\n")
        log.flush()
        assert bodies(log.path) == ["one"]
