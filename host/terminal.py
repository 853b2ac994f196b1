"""The terminal: what an interactive task needs of it, and text that leaves it alone."""

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


def printable(text: str) -> str:
    """Return somebody else's text for the terminal: nothing in it may steer that."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def harmless(text: str) -> str:
    """Return somebody else's text for the terminal, its lines as they are."""
    return "\n".join(printable_lines(text))


def printable_lines(text: str) -> list[str]:
    """Return somebody else's text as lines for the terminal, tabs as blanks."""
    return [printable(line) for line in text.expandtabs().splitlines()]
