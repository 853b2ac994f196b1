"""What a check is allowed to say: that something is not as it has to be."""

from host.errors import LabError


class CheckFailed(LabError):
    """Something is not as it has to be."""


def require(condition: object, message: str) -> None:
    """Fail the check at hand unless the condition holds.

    Raises:
        CheckFailed: with the message.
    """
    if not condition:
        raise CheckFailed(message)
