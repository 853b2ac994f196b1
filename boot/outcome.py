"""How a run can end; every end has an exit code of its own, and only one of them is 0."""

from enum import Enum


class Outcome(Enum):
    """The end of a verification, with the exit code of ``doit verify``."""

    PASSED = ("passed", 0, "every check passed")
    FAILED = ("failed", 10, "at least one check failed")
    WARNING = ("warning", 11, "the kernel warned about a fault of its own")
    OOPS = ("oops", 12, "the kernel met a bug (oops, BUG)")
    PANIC = ("panic", 13, "the kernel panicked")
    HANG = ("hang", 14, "the kernel does not answer any more, or reports a lockup or stall")
    LOST = ("lost", 15, "QEMU ended before the checks did")
    TIMEOUT = ("timeout", 16, "a command in the guest did not end; the kernel still answers")

    def __init__(self, word: str, exit_code: int, meaning: str) -> None:
        self.word = word
        self.exit_code = exit_code
        self.meaning = meaning
