"""What can be wrong with a bundle or between two of them; each has its exit code."""

from host.errors import LabError


class OutputsDiffer(LabError):
    """An output differs, and no differing input explains it."""

    exit_code = 20


class InputsDiffer(LabError):
    """Outputs differ, each because of inputs that differ."""

    exit_code = 21


class BundleError(LabError):
    """A bundle is not what it claims to be."""

    exit_code = 22
