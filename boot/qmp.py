"""The few words of QEMU's machine protocol (QMP) that the lab needs: docs/interop/qmp-spec."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from host.errors import LabError

ANSWER_TIMEOUT = 30.0  # seconds


class QmpError(LabError):
    """QEMU refused a command, or does not answer."""


@dataclass(frozen=True)
class Bar:
    """A mapped base address register, in guest physical addresses."""

    bdf: str
    number: int
    address: int
    size: int

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.address + self.size


class Qmp:
    """A connection to one QEMU."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(ANSWER_TIMEOUT)
        self._connection = connection
        # Only to read: a text stream for both directions forgets what it has read ahead on a write.
        self._answers = connection.makefile("r", encoding="utf-8")
        try:
            self._receive()  # the greeting
            self.execute("qmp_capabilities")
        except QmpError:
            self.close()
            raise

    def close(self) -> None:
        """End the connection; QEMU goes on."""
        self._answers.close()
        self._connection.close()

    def execute(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Run one command and return its result.

        Raises:
            QmpError: QEMU says no, has gone, or does not answer within 30 s.
        """
        try:
            request = json.dumps({"execute": command, "arguments": arguments})
            self._connection.sendall(f"{request}\n".encode())
            answer = self._receive()
        except OSError as error:
            raise QmpError(f"QEMU does not answer to {command}: {error}") from error
        if "error" in answer:
            raise QmpError(f"QEMU refuses {command}: {answer['error'].get('desc')}")
        return answer["return"]

    def bars(self) -> list[Bar]:
        """Return all mapped memory BARs, as QEMU itself (not the guest) knows them."""
        buses = self.execute("query-pci")
        return [bar for bus in buses for device in bus["devices"] for bar in _bars(device)]

    def moved(self) -> dict[str, tuple[int, int]]:
        """Return how many bytes each device with a drive has read and written, by its id."""
        return {
            item["qdev"].rpartition("/")[2]: (
                item["stats"]["rd_bytes"],
                item["stats"]["wr_bytes"],
            )
            for item in self.execute("query-blockstats")
            if "qdev" in item
        }

    def trace(self, event: str, *, enable: bool) -> None:
        """Switch a trace event on or off."""
        self.execute("trace-event-set-state", name=event, enable=enable)

    @contextmanager
    def tracing(self, events: Sequence[str]) -> Iterator[None]:
        """Have trace events switched on for a block."""
        for event in events:
            self.trace(event, enable=True)
        yield
        for event in events:
            self.trace(event, enable=False)

    def send_break(self, chardev: str) -> None:
        """Send a serial break, which starts a SysRq sequence in the guest."""
        self.execute("chardev-send-break", id=chardev)

    def _receive(self) -> dict[str, Any]:
        """Return the next answer; events in between are not for us."""
        try:
            while line := self._answers.readline():
                message: dict[str, Any] = json.loads(line)
                if "event" not in message:
                    return message
        except (OSError, ValueError) as error:
            raise QmpError(f"QEMU does not speak QMP: {error}") from error
        raise QmpError("QEMU has closed its QMP connection")


def _bars(device: dict[str, Any]) -> list[Bar]:
    bdf = f"0000:{device['bus']:02x}:{device['slot']:02x}.{device['function']}"
    own = [
        Bar(bdf, region["bar"], region["address"], region["size"])
        for region in device.get("regions", [])
        if region["type"] == "memory" and region["address"] != -1
    ]
    bridge = device.get("pci_bridge", {})
    return own + [bar for child in bridge.get("devices", []) for bar in _bars(child)]
