"""A whole kernel: fetched, built and verified by doit, just as `doit kernel=NAME verify` does."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from boot.outcome import Outcome
from compat import compiled
from compat.row import Answer, Row, Subject
from host.errors import LabError
from host.lock import locked
from host.process import ProgramFailed, ProgramKilled, run_logged
from kernel import download
from kernel.registry import AptKernel, Kernel, UrlKernel
from kernel.selection import Selection, select
from kernel.source import SourceRecord, read_record
from kernel.task import kbuild
from settings.paths import PROJECT, VERDICT_FILE, downloads_dir, invoked_from

STAGE = re.compile(r"^== (\S+)", re.M)
ERROR = re.compile(r"^error: (.*)$", re.M)


def kernels(known: Mapping[str, Kernel], series: Iterable[str], trees: Sequence[Path]) -> list[str]:
    """Return every value of ``kernel=`` that a table of all kernels takes.

    Args:
        known: the registry.
        series: ``X.Y`` of the packages linux-source-X.Y that apt offers somewhere.
        trees: kernel trees that the user named.
    """
    packages = {kernel.package for kernel in known.values() if isinstance(kernel, AptKernel)}
    offered = [it for it in series if it not in known and f"linux-source-{it}" not in packages]
    return [*known, *offered, *map(str, trees)]


def attempt(kernel: str, given: Mapping[str, str], module: Path, folder: Path) -> Row:
    """Build and verify one kernel in its own workspace, which any other command shares.

    Args:
        kernel: a value of ``kernel=``.
        given: the other settings, as they were typed.
        module: the module's folder, for a compilation with more warnings.
        folder: where logs and scratch directories go.
    """
    words = [f"{name}={text}" for name, text in {**given, "kernel": kernel}.items()]
    try:
        selection = select([*words, "verify"])
    except LabError as error:  # a tree of the registry that is not there, or was built in place
        return Row(Subject(kernel, ""), Answer.UNTRIED, why=error.message)
    subject = Subject(selection.choice.used, "")
    log = folder / "logs" / f"{selection.workspace.root.name}.log"
    if why := _out_of_reach(selection.choice.kernel):
        return Row(subject, Answer.UNTRIED, why=why)
    if why := _doit([*words, "source"], kernel, log):
        # What is pinned and within reach has to be what was pinned; apt may just have no network.
        had = Answer.UNTRIED if isinstance(selection.choice.kernel, AptKernel) else Answer.NO
        return Row(subject, Answer.UNTRIED, had, f"cannot be had: {why}", str(log))
    record = read_record(selection.workspace.source_record)
    subject = Subject(record.version, _origin(record))
    begun = datetime.now(UTC)
    failure = _doit([*words, "verify"], kernel, log)
    stage = (STAGE.findall(log.read_text(encoding="utf-8", errors="replace")) or ["start"])[-1]
    if failure and stage not in ("verify", "initramfs", "module"):
        # The kernel itself cannot be built, so nothing is known of the module.
        return Row(subject, Answer.UNTRIED, Answer.NO, f"{stage}: {failure}", str(log))
    row = _compiled(selection, subject, module, folder)
    if not failure:
        checks = passed_checks(selection.run_dir("verify") / VERDICT_FILE, record.version, begun)
        return Row(subject, row.compiles, Answer.YES, row.why or checks, row.log)
    if row.bad and stage == "module":
        return row
    return Row(subject, row.compiles, Answer.NO, row.why or f"{stage}: {failure}", str(log))


def _compiled(selection: Selection, subject: Subject, module: Path, folder: Path) -> Row:
    label = selection.workspace.root.name
    with locked(selection.workspace.lock, "compiling the module", shared=True):
        return compiled.against_build(
            subject,
            kbuild(selection),
            module,
            folder / "modules" / label,
            folder / "logs" / f"{label}.module.log",
        )


def _doit(words: Sequence[str], kernel: str, log: Path) -> str:
    """Run doit; return the last error that it told, or nothing if there was none."""
    argv = [sys.executable, "-m", "doit", *words]
    env = {"P2PLAB_INVOKED_FROM": str(invoked_from()), "PYTHONUNBUFFERED": "1"}
    title = f"kernel={kernel} {words[-1]}"
    try:
        run_logged(argv, title=title, log=log, cwd=PROJECT, env=env)
    except ProgramKilled:
        raise
    except ProgramFailed as error:
        told = ERROR.findall(log.read_text(encoding="utf-8", errors="replace"))
        return told[-1] if told else error.message.splitlines()[0]
    return ""


def _out_of_reach(kernel: Kernel) -> str:
    """Return why a pinned tarball cannot be had; empty if it can, or is no tarball."""
    if not isinstance(kernel, UrlKernel) or (downloads_dir() / kernel.file).is_file():
        return ""
    reason = download.unreachable(kernel.urls)
    return f"not downloaded, and out of reach: {reason}" if reason else ""


def _origin(record: SourceRecord) -> str:
    if record.package:
        return f"{record.package} {record.package_version}"
    return record.file or f"tree {record.tree}"


def passed_checks(path: Path, version: str, begun: datetime) -> str:
    """Return how many checks a verdict is made of that doit has just called a pass.

    Raises:
        LabError: there is none, or it is none of this kernel, of this run, or no pass.
    """
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
        statuses = [result["status"] for result in verdict["checks"]]
        about = (verdict["outcome"], verdict["kernel"]["version"])
        started = datetime.fromisoformat(verdict["started"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"the verdict {path} cannot be read: {error}") from error
    if started < begun.replace(microsecond=0):  # it is told in whole seconds
        raise LabError(f"the verdict {path} is of an earlier run, {verdict['started']}")
    if about != (Outcome.PASSED.word, version):
        raise LabError(
            f"doit ended with 0, but the verdict {path} is: {about[0]}, Linux {about[1]}"
        )
    return f"{statuses.count('passed')} of {len(statuses)} checks passed"
