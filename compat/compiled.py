"""The module compiled for one kernel, with more warnings than usual, and what came of it."""

import re
from collections.abc import Mapping
from pathlib import Path

from compat.row import Answer, Row, Subject, must_refuse
from compat.unpacked import Unpacked
from host.files import emptied, remove
from host.process import ProgramFailed, ProgramKilled, run_logged
from kernel.environment import PASSED, REPRODUCIBLE
from kernel.external import mirror, module_sources
from kernel.fragments import read_config
from kernel.kbuild import Kbuild

# As kbuild understands it: warnings that are too many for the kernel, but not for one module.
WARNINGS = "W=1"
ERROR = re.compile(r"^.*\b(?:fatal )?error: (.*)$", re.M)
# One clear word of p2pmem_compat.h on each reason.
REFUSALS = {
    "older than 6.2": re.compile(r'#error "p2pmem_pci needs Linux 6\.2\b'),
    "CONFIG_PCI_P2PDMA is off": re.compile(r'#error "p2pmem_pci needs CONFIG_PCI_P2PDMA\b'),
}
MODPOST = re.compile(r"^(?:WARNING|ERROR): modpost: (.*)$", re.M)
NO_REASON = "make failed without a word of the compiler"


def against_headers(
    subject: Subject,
    series: tuple[int, int],
    unpacked: Unpacked,
    module: Path,
    output: Path,
    log: Path,
    jobs: int,
) -> Row:
    """Compile the module of a folder against unpacked headers, with the compiler they ask for."""
    headers = unpacked.headers(subject.name)
    p2pdma = read_config(headers / ".config").get("PCI_P2PDMA") == "y"
    _fresh(module, output)
    argv = ["make", "-C", str(headers), f"M={output}", WARNINGS, f"-j{jobs}", "modules"]
    env = {**REPRODUCIBLE, "PATH": unpacked.path}
    failed = _make_failed(argv, subject, log, env, output)
    row = judged(subject, must_refuse(series, p2pdma), failed, log, module)
    if row.good:
        remove(output)
    return row


def against_build(subject: Subject, kbuild: Kbuild, module: Path, output: Path, log: Path) -> Row:
    """Compile the module of a folder against a whole kernel that the lab has built."""
    _fresh(module, output)
    argv = kbuild.argv(f"M={output}", WARNINGS, "modules")
    failed = _make_failed(argv, subject, log, REPRODUCIBLE, output)
    row = judged(subject, "", failed, log, module)
    if row.good:
        remove(output)
    return row


def _fresh(module: Path, output: Path) -> None:
    """Have the sources there and nothing else: what is up to date already does not warn again."""
    emptied(output)
    mirror(module_sources(module), output)


def judged(subject: Subject, refusal: str, failed: bool, log: Path, module: Path) -> Row:
    """Return what a compilation came to.

    Args:
        subject: the kernel.
        refusal: why the module has to refuse it; empty if it has to compile.
        failed: make ended with an error.
        log: what it printed.
        module: the module's folder: a warning about a file of it counts.
    """
    text = log.read_text(encoding="utf-8", errors="replace").partition("\n")[2]
    answer, why = _judged(text, refusal, failed, module)
    return Row(subject, answer, why=why, log=str(log))


def _judged(text: str, refusal: str, failed: bool, module: Path) -> tuple[Answer, str]:
    errors = ERROR.findall(text)
    first = (errors or MODPOST.findall(text) or [NO_REASON])[0].strip()
    if refusal and not failed:
        return Answer.NO, f"compiles, but has to be refused: {refusal}"
    if refusal:
        if len(errors) == 1 and REFUSALS[refusal].search(first):
            return Answer.REFUSED, f"refused: {refusal}"
        return Answer.NO, f"has to be refused once, since it is {refusal}; says: {first}"
    if failed:
        return Answer.NO, first
    warnings = _warnings(text, module)
    return (Answer.NO, f"warns: {warnings[0]}") if warnings else (Answer.YES, "")


def _warnings(text: str, module: Path) -> list[str]:
    """Return the warnings about the module's own files, or about what was linked of them."""
    names = "|".join(re.escape(path.name) for path in module_sources(module))
    own = re.compile(rf"^(?:\S*/)?((?:{names}):\d+:.*warning: .*)$", re.M)
    return [*own.findall(text), *MODPOST.findall(text)]


def _make_failed(
    argv: list[str], subject: Subject, log: Path, env: Mapping[str, str], output: Path
) -> bool:
    title = f"compiling for {subject.name}"
    try:
        run_logged(argv, title=title, log=log, env=env, passing=PASSED, writes=output)
    except ProgramKilled:
        raise
    except ProgramFailed:
        return True
    return False
