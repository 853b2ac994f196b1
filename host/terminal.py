"""The terminal that an interactive task needs."""

import sys

from host.errors import LabError


class NoTerminalError(LabError):
    """Standard input is no terminal, and nobody could ever end what is to start there."""


def require_terminal(what: str, instead: str) -> None:
    """Refuse to start something interactive where nobody can type.

    Raises:
        NoTerminalError: names ``what`` was to start; ``instead`` is the hint.
    """
    if not sys.stdin.isatty():
        raise NoTerminalError(f"{what} needs a terminal on standard input", hint=instead)
