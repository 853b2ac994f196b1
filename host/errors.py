"""The one error class a user meets: what is wrong, and what to do about it."""


class LabError(Exception):
    """A failure that a person can act on; printed without a traceback.

    Attributes:
        message: what is wrong, and where.
        hint: what to do next; empty if there is nothing sensible to say.
        exit_code: what the process ends with (never 0).
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class SettingError(LabError):
    """A setting has an unknown name or a value that cannot be used."""

    exit_code = 64


class MissingToolError(LabError):
    """A program that a stage needs is not on this machine."""

    exit_code = 69


class Interrupted(LabError):
    """The user pressed Ctrl-C; the same command again carries on."""

    exit_code = 130


class Terminated(LabError):
    """Somebody sent SIGTERM; the same command again carries on."""

    exit_code = 143
