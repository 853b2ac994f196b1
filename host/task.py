"""Between doit and the stages: errors as one message, exit codes kept, imports only when needed."""

import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from doit.exceptions import BaseFail, TaskFailed
from doit.reporter import ExecutedOnlyReporter
from doit.task import Task

from host.errors import Interrupted, LabError, Terminated
from host.files import DiskFullError, is_full
from host.lock import locked
from host.reserve import release
from host.terminal import harmless

# What a person can act on. Anything else is a mistake of the lab itself and keeps its traceback.
EXPECTED = (LabError, OSError, KeyboardInterrupt)


class _Ended(KeyboardInterrupt):
    """A signal ends doit: like Ctrl-C, it is no error that a stage would catch and go on."""


def report(error: BaseException) -> LabError:
    """Print one of the EXPECTED errors on stderr; return it with message and exit code."""
    if isinstance(error, _Ended):
        error = Terminated("terminated; the same command carries on")
    elif isinstance(error, KeyboardInterrupt):
        error = Interrupted("interrupted; the same command carries on")
    elif isinstance(error, OSError) and is_full(error):
        # When a file is copied, the second name is the one that is written.
        error = DiskFullError(Path(error.filename2 or error.filename or "a file"))
    elif not isinstance(error, LabError):
        error = LabError(str(error))
    if isinstance(error, DiskFullError):
        release()
    print(f"error: {harmless(str(error))}", file=sys.stderr)
    return error


class StageFailed(TaskFailed):  # type: ignore[misc]
    """A task that failed with a message of its own, which has been printed already."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, report=False)
        self.exit_code = exit_code


def stage(
    module: str, function: str, *, lock: Path | None = None, reads: Path | None = None
) -> Callable[..., StageFailed | None]:
    """Return a doit action that calls ``module.function``, importing it at that moment.

    A start with nothing to do then costs no import of the stages. A LabError becomes one message
    on stderr and its exit code; so do Ctrl-C, SIGTERM and errors of the operating system. With
    ``lock`` a second doit that comes to the same place waits, and says so. ``reads`` is the lock of
    a place that the stage reads: others may read there too, but whoever writes there waits.
    """

    def action(*args: object, **options: object) -> StageFailed | None:
        name = f"{module}.{function}"
        try:
            with _terminable(), ExitStack() as held:
                if lock:
                    held.enter_context(locked(lock, name))
                if reads:
                    held.enter_context(locked(reads, name, shared=True))
                getattr(importlib.import_module(module), function)(*args, **options)
        except EXPECTED as error:
            told = report(error)
            return StageFailed(told.message, told.exit_code)
        return None

    # What `doit clean` and doit's own messages show.
    action.__name__ = action.__qualname__ = f"{module}.{function}"
    return action


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end a stage in order, with the programs it started."""

    def ended(_number: int, _frame: FrameType | None) -> None:
        raise _Ended

    if threading.current_thread() is not threading.main_thread():
        yield  # `doit -n`: only the main thread may have signal handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, ended)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def as_made(task: Task, values: dict[str, Any]) -> bool:
    """Tell doit whether the targets of a task are still the files that the task made.

    doit only looks whether they exist, and notes down what was done when its run ends. A run that
    is killed leaves targets that it never noted: made from sources that may have been changed back
    since, so that the older notes fit again. Targets that somebody else replaced are alike.
    """
    return as_then("made", lambda: _stamps(task))(task, values)


def as_then(name: str, look: Callable[[], object]) -> Callable[[Task, dict[str, Any]], bool]:
    """Return a check whether what ``look`` returns is what it returned when the task had run.

    For what a task itself brings about: doit's config_changed notes what was there before it.
    ``look`` returns what JSON can hold, and gives back as it was.
    """

    def check(task: Task, values: dict[str, Any]) -> bool:
        task.value_savers.append(lambda: {name: look()})
        return bool(name in values and values[name] == look())

    return check


def _stamps(task: Task) -> dict[str, list[int]]:
    """Return size and time of each target that is there (as lists: doit keeps them as JSON)."""
    found = {name: Path(name).stat() for name in task.targets if Path(name).exists()}
    return {name: [status.st_size, status.st_mtime_ns] for name, status in found.items()}


class Reporter(ExecutedOnlyReporter):  # type: ignore[misc]
    """Names the tasks that run; ends doit with the exit code of the stage that failed."""

    desc = "task titles, and the exit code of a failed stage"

    def __init__(self, outstream: object, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        self._exit_code = 0

    def execute_task(self, task: Task) -> None:
        """Print a task's title before it runs."""
        if task.actions and not task.name.startswith("_"):
            self.write(f"== {task.title()}\n")
            self.outstream.flush()

    def add_failure(self, task: Task, fail: BaseFail) -> None:
        """Keep the exit code of the first stage that failed; Ctrl-C ends the whole run."""
        super().add_failure(task, fail)
        if isinstance(fail, StageFailed):
            self._exit_code = self._exit_code or fail.exit_code
            if fail.exit_code in (Interrupted.exit_code, Terminated.exit_code):
                # doit's --continue would go on with the next task.
                sys.exit(fail.exit_code)

    def skip_ignore(self, task: Task) -> None:
        """Count a task that was skipped on demand as a failure: no verdict is no pass."""
        told = report(
            LabError(
                f"{task.name} was not done: `doit ignore` told so",
                hint=f"./doit forget {task.name}",
            )
        )
        self._exit_code = self._exit_code or told.exit_code

    def complete_run(self) -> None:
        """End the process if a stage has an exit code of its own (doit itself knows only 1)."""
        super().complete_run()
        if self._exit_code:
            self.outstream.flush()
            sys.exit(self._exit_code)
