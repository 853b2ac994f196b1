"""What a verdict says of its checks, as tests ask for it."""

from verify.runner import Status
from verify.verdict import Verdict


def ran(verdict: Verdict, status: Status) -> dict[str, str]:
    """Return title and detail of the checks that ended so."""
    return {item.title: item.detail for item in verdict.results if item.status is status}


def failed(verdict: Verdict) -> dict[str, str]:
    """Return title and detail of what failed."""
    return ran(verdict, Status.FAILED)
