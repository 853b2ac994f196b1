"""What needs a terminal is refused where there is none."""

import os
import sys
from pathlib import Path

import pytest

from host.terminal import NoTerminalError, require_terminal


def test_pipe_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(NoTerminalError, match="doit boot needs a terminal") as caught:
            require_terminal("doit boot", "use verify")
    assert caught.value.hint == "use verify"


def test_terminal_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    with os.fdopen(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        require_terminal("doit boot", "use verify")
    os.close(master)
