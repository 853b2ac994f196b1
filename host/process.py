"""Run programs: quietly with a log and progress, or for their output."""

import os
import selectors
import shlex
import shutil
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from host.errors import LabError
from host.files import no_space_named, refuse_full_disk
from host.lock import held
from host.progress import Progress
from host.tools import missing_tool

TAIL_LINES = 25  # of a log, shown when its program fails
HEARTBEAT = 1.0  # seconds without output after which the progress line is refreshed


class ProgramFailed(LabError):
    """A program that a stage ran did not end with 0."""


class ProgramKilled(ProgramFailed):
    """A program was ended by a signal: it may have left half-written files."""


def environment(changes: Mapping[str, str], passing: Collection[str]) -> dict[str, str]:
    """Return this process's variables whose names match a pattern of ``passing``, with changes."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if any(fnmatchcase(name, pattern) for pattern in passing)
    }
    return {**passed, **changes}


def tied(argv: Sequence[str]) -> list[str]:
    """Return the command that runs ``argv`` and asks it to end (SIGTERM) when this process ends.

    However it ends: even SIGKILL leaves nothing behind. Without setpriv it is ``argv`` itself.
    """
    prefix = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    return [*prefix, *argv]


def output_of(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> str:
    """Return what a short-running program prints on stdout.

    ``env`` is its whole environment; without it, it has that of this process.

    Raises:
        ProgramFailed: it ended with another code than 0; its stderr is in the message.
        MissingToolError: there is no such program.
    """
    try:
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise missing_tool(argv[0]) from error
    if done.returncode != 0:
        raise ProgramFailed(
            f"`{shlex.join(argv)}` {_ending(done.returncode)}: {done.stderr.strip()}"
        )
    return done.stdout


def run_logged(
    argv: Sequence[str],
    *,
    title: str,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    passing: Collection[str] = ("*",),
    writes: Path | None = None,
) -> None:
    """Run a long program; all its output goes to ``log``, the last line of it to the progress line.

    The log starts with the command itself, so that it can be repeated by hand.

    Args:
        argv: the program and its arguments.
        title: what the progress line begins with.
        log: is replaced.
        cwd: where the program runs.
        env: variables that are set for it.
        passing: patterns (``fnmatch``) of the variables that it gets from this process.
        writes: where it writes, if that is not ``cwd``; named if there is no space.

    Raises:
        DiskFullError: it failed because no space was left.
        ProgramFailed: it ended with another code than 0; the message has the end of the log.
        ProgramKilled: a signal ended it.
        MissingToolError: there is no such program.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with no_space_named(log), log.open("wb") as sink, Progress(title) as progress:
        sink.write(f"+ {_shown_command(argv, cwd, env or {}, passing)}\n".encode())
        sink.flush()
        child = _started(argv, cwd, environment(env or {}, passing))
        code = _follow(child, sink, progress)
    if code != 0:
        # Without the first line, which is the command.
        printed = log.read_text(encoding="utf-8", errors="replace").partition("\n")[2]
        refuse_full_disk(printed, writes or cwd or log.parent)
        raise _failure(f"{title}: `{argv[0]}`", code, log)


def _started(
    argv: Sequence[str], cwd: Path | None, env: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a program whose output comes through one pipe."""
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=held(),
        )
    except FileNotFoundError as error:
        raise _not_found(argv, cwd) from error


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a text file, indented."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def _failure(what: str, code: int, log: Path) -> ProgramFailed:
    kind = ProgramKilled if code < 0 else ProgramFailed
    return kind(
        f"{what} {_ending(code)}; the end of {log}:\n{tail(log)}", hint=f"the whole log is {log}"
    )


def _not_found(argv: Sequence[str], cwd: Path | None) -> LabError:
    # The system reports a missing directory in the same way as a missing program.
    if cwd and not cwd.is_dir():
        return LabError(f"cannot run {argv[0]} in {cwd}: there is no such directory")
    return missing_tool(argv[0])


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _shown_command(
    argv: Sequence[str], cwd: Path | None, env: Mapping[str, str], passing: Collection[str]
) -> str:
    words = [f"{name}={shlex.quote(value)}" for name, value in env.items()]
    if "*" not in passing:
        # By name: their values are this machine's, and may be secrets.
        passed = sorted(environment({}, passing).keys() - env.keys())
        words = ["env", "-i", *(f'{name}="${name}"' for name in passed), *words]
    command = " ".join([*words, shlex.join(argv)])
    return f"cd {shlex.quote(str(cwd))} && {command}" if cwd else command


def _follow(child: "subprocess.Popen[bytes]", log: BinaryIO, progress: Progress) -> int:
    assert child.stdout is not None
    last, begun = "", b""
    try:
        with selectors.DefaultSelector() as selector, child.stdout as pipe:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                if selector.select(HEARTBEAT):
                    chunk = os.read(pipe.fileno(), 1 << 16)
                    if not chunk:
                        break
                    log.write(chunk)
                    log.flush()  # for whoever follows the log with `tail -f`
                    *whole, begun = (begun + chunk).split(b"\n")
                    last = _last_text(whole) or last
                progress.update(last)
        return child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise


def _last_text(lines: list[bytes]) -> str:
    texts = (line.decode(errors="replace").strip() for line in reversed(lines))
    return next(filter(None, texts), "")
