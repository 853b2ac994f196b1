"""Starting and ending QEMU, played by a small program of that name."""

import shlex
from pathlib import Path

import pytest

from boot import machine
from boot.console import GuestEnded
from boot.machine import QemuFailed, running
from boot.outcome import Outcome
from host.errors import MissingToolError
from tests.unit.fake_qemu import (
    BOOTS,
    ENDS_AFTER_ITS_GREETING,
    FAILS_AT_ITS_DEVICES,
    FAILS_AT_ONCE,
    install,
    vm,
)


def test_guest_is_up_and_gone_at_the_end_of_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "bin", monkeypatch, BOOTS)
    with running(vm(), tmp_path / "run") as guest:
        guest.console.wait_ready(10)
        assert guest.process.poll() is None
        assert (tmp_path / "run/qemu.pid").read_text() == f"{guest.process.pid}\n"
    assert guest.process.returncode == -9
    assert not (tmp_path / "run/qemu.pid").exists()
    assert "<p2plab=ready>" in (tmp_path / "run/console.log").read_text()
    script = (tmp_path / "run/qemu.sh").read_text().replace("\\\n", "")
    words = shlex.split(script)
    assert words[0] == "qemu-system-x86_64"
    assert "chardev=qmp,mode=control" in words
    sockets = [Path(word.partition("path=")[2]) for word in words if ",path=" in word]
    assert len(sockets) == 2
    assert not any(path.parent.exists() for path in sockets)


def test_guest_is_gone_after_an_error_in_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "bin", monkeypatch, BOOTS)
    with pytest.raises(ZeroDivisionError), running(vm(), tmp_path / "run") as guest:
        guest.console.wait_ready(10 // 0)
    assert guest.process.returncode == -9
    assert not (tmp_path / "run/qemu.pid").exists()


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [(FAILS_AT_ONCE, "qemu: unknown machine"), (FAILS_AT_ITS_DEVICES, "qemu: no such drive")],
)
def test_end_before_the_guest_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, words: str
) -> None:
    install(tmp_path / "bin", monkeypatch, behaviour)
    expected = f"QEMU ended with 1 before the guest started: {words}"
    with pytest.raises(QemuFailed, match=expected) as caught, running(vm(), tmp_path / "run"):
        pytest.fail("there is no guest")
    assert "qemu.sh" in caught.value.hint
    assert not (tmp_path / "run/qemu.pid").exists()
    assert words in (tmp_path / "run/qemu.log").read_text()


def test_end_while_the_guest_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch, ENDS_AFTER_ITS_GREETING)
    with running(vm(), tmp_path / "run") as guest:
        with pytest.raises(GuestEnded) as caught:
            guest.console.wait_ready(10)
        assert guest.wait_exit() == 0
        with pytest.raises(GuestEnded, match="QEMU ended during `true`"):
            guest.console.run("true", 10)
    assert caught.value.outcome is Outcome.LOST
    assert guest.log.lines == ["[ 1.0] Linux version 6.3.2"]


def test_qemu_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch, BOOTS)
    monkeypatch.setattr(machine, "EXIT_TIMEOUT", 0.05)
    with (
        running(vm(), tmp_path / "run") as guest,
        pytest.raises(QemuFailed, match="QEMU still runs 0 s after power-off"),
    ):
        guest.wait_exit()


def test_qemu_that_never_connects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch, "time.sleep(60)")
    monkeypatch.setattr(machine, "CONNECT_TIMEOUT", 0.3)
    with (
        pytest.raises(QemuFailed, match="QEMU did not open its sockets within"),
        running(vm(), tmp_path / "run"),
    ):
        pytest.fail("there is no guest")


def test_no_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with (
        pytest.raises(MissingToolError, match="qemu-system-x86_64 is not on this") as caught,
        running(vm(), tmp_path / "run"),
    ):
        pytest.fail("there is no guest")
    assert "qemu-system-x86 (Debian)" in caught.value.hint
