"""What all tests share."""

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let signals mean what they mean at a terminal, for the programs that tests start too.

    A shell that starts a job in the background, as CI systems do, has it ignore SIGINT, and nohup
    SIGHUP; what is ignored stays so in every program below.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
