"""The console log: every line with the host's time, kept on disk as it comes."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self


class ConsoleLog:
    """A file-like sink for what the guest prints; remembers complete lines, writes them stamped."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._start = time.monotonic()
        self._open_line = ""
        self._open_since = 0.0
        self.path = path
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open_line:
            self._finish_line(self._open_line)
        self._file.close()

    def write(self, text: str) -> None:
        """Take the next characters from the console."""
        for piece in text.splitlines(keepends=True):
            if not self._open_line:
                self._open_since = time.monotonic() - self._start
            self._open_line += piece
            if piece.endswith("\n"):
                self._finish_line(self._open_line)
                self._open_line = ""

    def flush(self) -> None:
        """Hand everything complete to the operating system."""
        self._file.flush()

    def note(self, text: str) -> None:
        """Add a line of the host's own, so that the log tells what was going on."""
        stamp = time.monotonic() - self._start
        self._file.write(f"[{stamp:9.3f}] == {text}\n")

    def _finish_line(self, raw: str) -> None:
        line = raw.replace("\r", "").rstrip("\n")
        self.lines.append(line)
        self._file.write(f"[{self._open_since:9.3f}] {line}\n")
