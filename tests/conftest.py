"""What all tests share."""

import signal

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Their tests run doit in this checkout: two at a time would only wait for each other.
IN_CHECKOUT = ("bundle", "command_line", "interrupted", "workflows")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Hands out whole files to those that run tests side by side: their tests share fixtures."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        in_checkout = (f"tests/integration/test_{name}.py" for name in IN_CHECKOUT)
        return "checkout" if path in in_checkout else path


@pytest.hookimpl(optionalhook=True)  # for a run with -p no:xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Return what decides who runs which test."""
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let signals mean what they mean at a terminal, for the programs that tests start too.

    A shell that starts a job in the background, as CI systems do, has it ignore SIGINT, and nohup
    SIGHUP; what is ignored stays so in every program below.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
