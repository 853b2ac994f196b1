"""A report on what differs, by diffoscope where it is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from host.files import remove
from host.progress import Progress
from reproduce.difference import Difference

PROGRAM = "diffoscope"
PATIENCE = 300  # seconds for the report; then there is what diffoscope has by then, or none
BIG = 8 << 20  # bytes: files above are left out if a smaller one differs too
REPORT_BYTES = 4 << 20  # of each report
LINES = 200_000  # that are compared, of each command's output
# Commands that are left out: of a program they take most of the time, of a kernel minutes, and
# what they show follows from sections that are shown anyway.
TOO_MUCH = (r"^readelf.*--debug-dump", r"^objdump.*--disassemble")
TOO_MUCH_OF_BIG = (*TOO_MUCH, r"^nm", r"^strings")
FAILED = 2  # exit codes of diffoscope: 0 the same, 1 different


def write_report(found: Sequence[Difference], a: Path, b: Path, scratch: Path) -> str:
    """Write ``diffoscope.txt`` and ``diffoscope.html`` about files that differ.

    Returns one line: where the reports are, or why there are none.
    """
    if not shutil.which(PROGRAM):
        return f"no report: {PROGRAM} is not on this machine"
    names = [item.name for item in found if (a / item.name).is_file() and (b / item.name).is_file()]
    small = [name for name in names if (a / name).stat().st_size <= BIG]
    chosen = small or names[:1]
    if not chosen:
        return "no report: no file is there in both"
    differing = scratch / "differing"
    sides = [_gathered(chosen, folder, differing / folder.name) for folder in (a, b)]
    text, html = scratch / "diffoscope.txt", scratch / "diffoscope.html"
    left_out = TOO_MUCH if small else TOO_MUCH_OF_BIG
    command = [
        PROGRAM,
        "--no-progress",
        "--text", str(text),
        "--html", str(html),
        "--timeout", str(PATIENCE),
        "--max-text-report-size", str(REPORT_BYTES),
        "--max-report-size", str(REPORT_BYTES),
        "--max-diff-input-lines", str(LINES),
        "--exclude-directory-metadata", "yes",
        *(word for pattern in left_out for word in ("--exclude-command", pattern)),
        *map(str, sides),
    ]  # fmt: skip
    code, said = _run(command)
    remove(differing)
    if code is None:
        return f"no report: {PROGRAM} was not done after {PATIENCE} s"
    if code >= FAILED or code < 0 or not text.is_file():
        return f"no report: {PROGRAM} ended with {code}: {said or 'without a word'}"
    return f"report: {text} and {html.name}"


def _gathered(names: Sequence[str], folder: Path, target: Path) -> Path:
    """Link the files to report on into a folder of their own."""
    remove(target)
    for name in names:
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.hardlink_to(folder / name)
    return target


def _run(command: list[str]) -> tuple[int | None, str]:
    """Return exit code (None: not done in time) and the last line that was said."""
    with Progress(PROGRAM) as progress:
        progress.say("writing the report")
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, ""
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]
