"""See, before it is timed, that a program copies through the memory that it was given.

The counters of the drives tell how much was moved and not which way, and a copy through host RAM is
no copy to compare with. QEMU's trace tells the way, but costs time: it is on for such a run alone.
"""

from boot.trace import EVENTS, copy_window, total
from verify.check import CheckFailed
from verify.copy_check import readable, through_memory
from verify.scenario import Copy
from verify.session import Session


def require_path(session: Session, command: str, copy: Copy) -> None:
    """Run a command that is to do a copy, and see what goes through peer memory meanwhile.

    Raises:
        CheckFailed: the command failed, or other bytes went there or from there than those of the
            copy, or some went through host RAM in between.
    """
    session.trace.take()
    with session.guest.qmp.tracing(EVENTS):
        answer = session.guest.console.run(command, session.timeouts.copy)
    if answer.status != 0:
        raise CheckFailed(f"`{command}` ended with {answer.status}: {answer.output.strip()}")
    moved = session.transfers(session.trace.take())
    expected = through_memory(session, copy)
    if total(copy_window(moved)) != expected:
        raise CheckFailed(
            f"`{command}` does not copy the way that is measured: QEMU traced "
            f"{readable(session, total(moved))}, expected {readable(session, expected)}"
        )
