"""Progress of long work on stderr: one moving line on a terminal, a line now and then elsewhere."""

import os
import sys
import time
from types import TracebackType
from typing import Self, TextIO

from host.terminal import printable

TERMINAL_INTERVAL = 0.1  # seconds between updates of the moving line
NO_WIDTH = 80  # columns, of a terminal that does not know its own
PIPE_INTERVAL = 5.0  # seconds between lines where there is no terminal


class Progress:
    """Shows what a long step is doing; use as a context manager, call :meth:`update` often."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        """Show lines that begin with ``title``, on stderr unless another stream is given."""
        self._title = title
        self._stream = stream if stream is not None else sys.stderr
        self._terminal = self._stream.isatty()
        self._start = time.monotonic()
        self._shown = self._start
        self._line = ""

    def __enter__(self) -> Self:
        """Start; nothing is shown yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Clear the moving line."""
        if self._terminal and self._line:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def update(self, state: str) -> None:
        """Show ``state`` (a few words) unless something was shown just now."""
        interval = TERMINAL_INTERVAL if self._terminal else PIPE_INTERVAL
        if time.monotonic() - self._shown >= interval:
            self.say(state)

    def say(self, state: str) -> None:
        """Show ``state`` at once."""
        self._shown = time.monotonic()
        # The state may be a line of a compiler, or of a user's own Makefile.
        line = f"{self._title} [{self._shown - self._start:.0f} s] {state}"
        self._show(printable(line.expandtabs()))

    def _show(self, line: str) -> None:
        self._line = line
        if self._terminal:
            # The stream's own width: stdout may be no terminal, or another one.
            width = os.get_terminal_size(self._stream.fileno()).columns or NO_WIDTH
            self._stream.write(f"\r\x1b[K{line[: width - 1]}")
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()


def mebibytes(count: int) -> str:
    """Return a byte count as text in MiB, one decimal."""
    return f"{count / (1 << 20):.1f} MiB"
