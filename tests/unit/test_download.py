"""Downloads from a local server that cuts, stalls, lies and forgets."""

import errno
import hashlib
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host.errors import LabError
from host.files import DiskFullError
from host.lock import locked
from kernel import download
from kernel.checksum import ChecksumError
from kernel.download import DownloadError, Limits, fetch, unreachable
from kernel.registry import UrlKernel
from settings.paths import PROJECT
from tests.unit.kernel_fixtures import (
    FileServer,
    file_server,
    silent,
    status,
    web_page,
    whole,
)

DATA = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
QUICK = Limits(connect=2.0, stall=0.3, tries=2, pause=0.01)
NO_HOST = "http://host.invalid/linux.tar.xz"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: int) -> list[tuple[Any, ...]]:
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return list(real(host, port, *rest))

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("no_proxy", "*")


def kernel(*urls: str) -> UrlKernel:
    return UrlKernel("6.3.2", urls, SHA256, "linux.tar.xz")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_whole_file_and_no_second_request(server: FileServer, tmp_path: Path) -> None:
    wanted = kernel(server.url("/f", whole(DATA)))
    file = fetch(wanted, tmp_path / "new", QUICK)
    assert file.read_bytes() == DATA
    assert fetch(wanted, tmp_path / "new", QUICK) == file
    assert server.ranges == [""]
    assert names(tmp_path / "new") == {"linux.tar.xz", "linux.tar.xz.lock"}


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_is_resumed_or_restarted(server: FileServer, tmp_path: Path, ranges: bool) -> None:
    url = server.url("/f", whole(DATA, cut_after=100_000), whole(DATA, ranges=ranges))
    assert fetch(kernel(url), tmp_path, QUICK).read_bytes() == DATA
    assert server.ranges == ["", "bytes=100000-"]


def test_cut_for_good_then_next_run_carries_on(server: FileServer, tmp_path: Path) -> None:
    url = server.url("/f", whole(DATA, cut_after=50_000))
    with pytest.raises(DownloadError, match=r"the connection was cut \(2 tries\)"):
        fetch(kernel(url), tmp_path, QUICK)
    assert (tmp_path / "linux.tar.xz.part").stat().st_size == 100_000
    assert not (tmp_path / "linux.tar.xz").exists()
    fetch(kernel(server.url("/f", whole(DATA))), tmp_path, QUICK)
    assert server.ranges[-1] == "bytes=100000-"


def test_complete_part_of_a_killed_run_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "linux.tar.xz.part").write_bytes(DATA)
    assert fetch(kernel(NO_HOST), tmp_path, QUICK).read_bytes() == DATA


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * len(DATA), b"x" * (len(DATA) + 9)])
def test_foreign_part_is_not_believed(server: FileServer, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "linux.tar.xz.part").write_bytes(part)
    assert fetch(kernel(server.url("/f", whole(DATA))), tmp_path, QUICK).read_bytes() == DATA


def test_mirrors_in_order(server: FileServer, tmp_path: Path) -> None:
    first = server.url("/first", status(404))
    second = server.url("/second", whole(DATA, cut_after=1000))
    third = server.url("/third", whole(DATA))
    fetch(kernel(first, second, third), tmp_path, QUICK)
    # one try where the file is not, two where it broke, and the third completes the second's part
    assert server.ranges == ["", "", "bytes=1000-", "bytes=2000-"]


@pytest.mark.parametrize("every", [60.0, 0.02], ids=["silent", "trickle"])
def test_stall_gives_up(server: FileServer, tmp_path: Path, every: float) -> None:
    slow = server.url("/slow", silent(server, DATA, every=every))
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"(timed out|stalled: under \d+ bytes in 0\.3 s)"):
        fetch(kernel(slow), tmp_path, replace(QUICK, tries=1))
    assert time.monotonic() - start < 2
    assert fetch(kernel(slow, server.url("/f", whole(DATA))), tmp_path, QUICK).is_file()


def test_all_fail_each_reason_and_remedy_is_named(server: FileServer, tmp_path: Path) -> None:
    urls = (
        server.url("/none", status(404)),
        server.url("/busy", status(503)),
        server.url("/page", web_page),
        "http://127.0.0.1:1/refused",
        NO_HOST,
    )
    with pytest.raises(DownloadError) as caught:
        fetch(kernel(*urls), tmp_path, QUICK)
    lines = caught.value.message.splitlines()[1:]
    reasons = ["status 404", "status 503", "a web page", "Connection refused", "cannot be resolved"]
    for line, url, reason in zip(lines, urls, reasons, strict=True):
        assert url in line
        assert reason in line
    assert len(server.ranges) == 1 + QUICK.tries + 1
    assert f"put the file linux.tar.xz into {tmp_path}" in caught.value.hint


def test_wrong_hash_is_kept_aside_and_next_run_downloads_anew(
    server: FileServer, tmp_path: Path
) -> None:
    wrong = DATA[:-1] + b"?"
    url = server.url("/f", whole(wrong), whole(DATA))
    with pytest.raises(ChecksumError) as caught:
        fetch(kernel(url), tmp_path, QUICK)
    aside = tmp_path / "linux.tar.xz.sha256-mismatch"
    for word in (SHA256, hashlib.sha256(wrong).hexdigest(), str(aside)):
        assert word in caught.value.message
    assert caught.value.exit_code != 0
    assert names(tmp_path) == {aside.name, "linux.tar.xz.lock"}
    assert aside.read_bytes() == wrong
    assert fetch(kernel(url), tmp_path, QUICK).read_bytes() == DATA
    assert server.ranges == ["", ""]


def test_file_put_there_by_the_user_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "linux.tar.xz"
    file.write_bytes(b"truncated")
    with pytest.raises(ChecksumError, match="wrong SHA-256"):
        fetch(kernel(NO_HOST), tmp_path, QUICK)
    assert not file.exists()
    file.write_bytes(DATA)
    assert fetch(kernel(NO_HOST), tmp_path, QUICK) == file


FETCH = """
import sys
from pathlib import Path
from typing import Any
from kernel.download import fetch
from kernel.registry import UrlKernel
fetch(UrlKernel("x", (sys.argv[1],), sys.argv[2], "linux.tar.xz"), Path(sys.argv[3]))
"""


def test_processes_at_once_download_once(server: FileServer, tmp_path: Path) -> None:
    url = server.url("/f", whole(DATA))
    command = [sys.executable, "-c", FETCH, url, SHA256, str(tmp_path)]
    with locked(tmp_path / "linux.tar.xz.lock", "test"):
        children = [
            subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        said = [child.stderr.readline() for child in children if child.stderr]
        assert server.ranges == []
    for child in children:
        child.communicate(timeout=20)
        assert child.returncode == 0
    assert all("waiting: another process is at it" in line for line in said)
    assert server.ranges == [""]
    assert (tmp_path / "linux.tar.xz").read_bytes() == DATA


def test_threads_at_once_download_once(server: FileServer, tmp_path: Path) -> None:
    wanted = kernel(server.url("/f", whole(DATA)))
    threads = [threading.Thread(target=fetch, args=(wanted, tmp_path, QUICK)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.ranges == [""]


def test_disk_full_keeps_what_came(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    wanted = kernel(server.url("/f", whole(DATA)))
    with monkeypatch.context() as patch:
        patch.setattr(download._Pace, "check", full)
        with pytest.raises(DiskFullError, match=r"no space left while writing .*linux\.tar\.xz"):
            fetch(wanted, tmp_path, QUICK)
    assert fetch(wanted, tmp_path, QUICK).read_bytes() == DATA


def test_download_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="cannot write in") as caught:
        fetch(kernel(NO_HOST), tmp_path / "file" / "downloads", QUICK)
    assert "P2PLAB_DOWNLOADS" in caught.value.hint


def test_probe(server: FileServer) -> None:
    def silent_head(_handler: object) -> None:
        server.closing.wait()

    there = server.url("/f", whole(DATA))
    gone = server.url("/none", status(404))
    page = server.url("/page", web_page)
    hangs = server.url("/slow", silent_head)
    assert unreachable([gone, hangs, there], 5.0) == ""
    start = time.monotonic()
    reasons = unreachable([gone, page, NO_HOST, hangs], 0.5)
    assert time.monotonic() - start < 2
    for reason in ("status 404", "a web page", "host.invalid: the host name cannot be resolved"):
        assert reason in reasons
    assert "no answer within 0.5 s" in reasons or "timed out" in reasons
