"""QMP, against a QEMU that has already said everything that it is going to say."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from boot import qmp
from boot.qmp import Bar, Qmp, QmpError
from tests.unit.fake_qemu import GREETING, READY, said

EVENT = {"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 2}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait half a second for what should be there already."""
    monkeypatch.setattr(qmp, "ANSWER_TIMEOUT", 0.5)


@contextmanager
def connected(*answers: dict[str, Any], ends: bool = False) -> Iterator[tuple[Qmp, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(said(GREETING, READY, *answers))
        connection = Qmp(near)
        if ends:
            far.close()
        try:
            yield connection, far
        finally:
            connection.close()


def test_commands_as_qemu_gets_them() -> None:
    with connected(READY, READY) as (connection, far):
        connection.trace("pci_nvme_read", enable=False)
        connection.send_break("console")
        assert [json.loads(line) for line in far.recv(4096).decode().splitlines()] == [
            {"execute": "qmp_capabilities", "arguments": {}},
            {
                "execute": "trace-event-set-state",
                "arguments": {"name": "pci_nvme_read", "enable": False},
            },
            {"execute": "chardev-send-break", "arguments": {"id": "console"}},
        ]


def test_events_in_between_are_passed_over() -> None:
    with connected(EVENT, EVENT, {"return": {"status": "running"}}) as (connection, _far):
        assert connection.execute("query-status") == {"status": "running"}


def test_what_drives_have_moved() -> None:
    stats = {"rd_bytes": 5, "wr_bytes": 7}
    answer = {
        "return": [
            {"device": "", "stats": stats, "qdev": "nvme-a"},
            {"device": "x", "stats": stats, "qdev": "/machine/peripheral/nvme-b"},
            {"device": "floppy0", "stats": stats},
        ]
    }
    with connected(answer) as (connection, _far):
        assert connection.moved() == {"nvme-a": (5, 7), "nvme-b": (5, 7)}


def test_refusal() -> None:
    answer = {"error": {"class": "GenericError", "desc": "there is no such event"}}
    with (
        connected(answer) as (connection, _far),
        pytest.raises(QmpError, match="QEMU refuses trace-event-set-state: there is no such event"),
    ):
        connection.trace("nonsense", enable=True)


def test_end() -> None:
    with (
        connected(ends=True) as (connection, _far),
        pytest.raises(QmpError, match=r"QEMU does not answer to query-pci|QEMU has closed"),
    ):
        connection.bars()


def test_silence() -> None:
    with connected() as (connection, far):
        with pytest.raises(QmpError, match="timed out"):
            connection.execute("query-status")
        # The late answer must not be taken for that of the next command.
        far.sendall(said({"return": "late"}))
        with pytest.raises(QmpError):
            connection.bars()


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 200 OK\r\n", said(GREETING)])
def test_something_that_is_no_qmp(words: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(words)
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(QmpError):
            Qmp(near)


def region(bar: int, address: int, size: int, kind: str = "memory") -> dict[str, Any]:
    return {"bar": bar, "type": kind, "address": address, "size": size}


def device(bus: int, slot: int, *below: dict[str, Any], regions: Any = ()) -> dict[str, Any]:  # noqa: ANN401 - JSON
    plain = {"bus": bus, "slot": slot, "function": 0, "regions": list(regions)}
    return plain | ({"pci_bridge": {"bus": {}, "devices": list(below)}} if below else {})


def test_bars_below_nested_bridges() -> None:
    nvme = device(3, 0, regions=[region(0, 0xFE800000, 0x4000), region(2, 0xFD000000, 1 << 24)])
    unmapped = device(4, 0, regions=[region(2, -1, 1 << 24)])
    tree = device(0, 4, device(1, 0, device(2, 0, nvme), device(2, 1, unmapped)))
    vga = device(0, 31, regions=[region(4, 0xC040, 0x20, "io"), region(5, 0xFEB00000, 0x1000)])
    with connected({"return": [{"bus": 0, "devices": [tree, vga]}]}) as (connection, _far):
        assert connection.bars() == [
            Bar("0000:03:00.0", 0, 0xFE800000, 0x4000),
            Bar("0000:03:00.0", 2, 0xFD000000, 1 << 24),
            Bar("0000:00:1f.0", 5, 0xFEB00000, 0x1000),
        ]


def test_an_empty_bridge() -> None:
    bridge = {"bus": 0, "slot": 4, "function": 1, "pci_bridge": {"bus": {}}}
    with connected({"return": [{"bus": 0, "devices": [bridge]}]}) as (connection, _far):
        assert connection.bars() == []
