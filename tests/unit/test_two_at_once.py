"""Two doit at the same time: in one checkout, and in two that share their downloads."""

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from host.files import sha256_file
from tests.unit.fake_checkout import ARCHIVE, KERNEL, FakeCheckout
from tests.unit.fake_kernel import fake_kernel
from tests.unit.kernel_fixtures import FileServer, file_server, source_deb, tarball, whole

WAITING = "waiting: another process is at it"

# In place of gcc and apt-get: says that it came, and goes on when it may.
HELD_BACK = """\
#!/bin/sh
: >{folder}/came
while [ ! -e {folder}/open ]; do sleep 0.05; done
"""


class Gate:
    """A door in a program that is put on a checkout's PATH."""

    def __init__(self, folder: Path, checkout: FakeCheckout) -> None:
        self.folder = folder / "gate-of-programs"
        self.folder.mkdir()
        path = checkout.environment["PATH"]
        checkout.environment["PATH"] = f"{self.folder}:{path}"

    def program(self, name: str, then: str) -> None:
        program = self.folder / name
        program.write_text(f"{HELD_BACK.format(folder=self.folder)}{then}\n")
        program.chmod(0o755)

    def open(self) -> None:
        """Let the one that waits go on; nobody is held back any more."""
        (self.folder / "open").touch()


def read_until(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"{words!r} was never said")


def ended(process: "subprocess.Popen[str]") -> str:
    """Return what a doit that ends well has printed on stdout."""
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return out


def test_second_build_in_a_checkout_waits_and_makes_the_same(tmp_path: Path) -> None:
    checkout = FakeCheckout(tmp_path)
    gate = Gate(tmp_path, checkout)
    gate.program("gcc", f'exec {shutil.which("gcc")} "$@"')
    first = checkout.start("build")
    wait_for(gate.folder / "came", first)

    second = checkout.start("build")
    read_until(second, WAITING)
    gate.open()

    ended(first)
    ended(second)
    both = checkout.outputs()
    shutil.rmtree(checkout.root / "build")
    assert checkout.build() == both


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


def test_checkouts_that_share_downloads_get_a_tarball_once(
    tmp_path: Path, server: FileServer
) -> None:
    shared = tmp_path / "shared"
    archive = tarball(tmp_path / ARCHIVE, fake_kernel(tmp_path / "linux"))
    came, gate = threading.Event(), threading.Event()

    def when_it_may(handler: BaseHTTPRequestHandler) -> None:
        came.set()
        gate.wait()
        whole(archive.read_bytes())(handler)

    url = server.url(f"/{ARCHIVE}", when_it_may)
    checkouts = [_sharing(tmp_path / name, shared) for name in ("one", "a-longer-name")]
    for checkout in checkouts:
        checkout.register(url, sha256_file(archive))
    first = checkouts[0].start("build")
    came.wait()
    second = checkouts[1].start("build")
    read_until(second, WAITING)
    gate.set()

    assert "Linux 6.12.1" in ended(first)
    assert "Linux 6.12.1" in ended(second)
    assert len(server.ranges) == 1
    assert checkouts[0].outputs() == checkouts[1].outputs()


def test_checkouts_that_share_downloads_get_a_package_once(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    inner = tarball(tmp_path / "linux-source-6.12.tar.gz", fake_kernel(tmp_path / "linux"))
    deb = source_deb(tmp_path, inner)
    checkouts = [_sharing(tmp_path / name, shared) for name in ("one", "two")]
    gate = Gate(tmp_path, checkouts[0])
    checkouts[1].environment["PATH"] = checkouts[0].environment["PATH"]
    gets = tmp_path / "gets"
    gate.program("apt-get", f"echo get >>{gets}; cp {deb} .")
    show = f"Package: linux-source-6.12\nVersion: 6.12.1-1\nSHA256: {sha256_file(deb)}"
    cache = gate.folder / "apt-cache"
    cache.write_text(f"#!/bin/sh\necho '{show}'\n")
    cache.chmod(0o755)
    for checkout in checkouts:
        toml = f'["{KERNEL}"]\napt = "linux-source-6.12"\n'
        (checkout.root / "configs/kernels.toml").write_text(toml)
    first = checkouts[0].start("source")
    wait_for(gate.folder / "came", first)
    second = checkouts[1].start("source")
    read_until(second, WAITING)
    gate.open()

    assert "Linux 6.12.1, from linux-source-6.12" in ended(first)
    assert "Linux 6.12.1, from linux-source-6.12" in ended(second)
    assert gets.read_text() == "get\n"
    assert (shared / deb.name).read_bytes() == deb.read_bytes()


def _sharing(folder: Path, shared: Path) -> FakeCheckout:
    folder.mkdir()
    checkout = FakeCheckout(folder, shared)
    (shared / ARCHIVE).unlink()
    return checkout


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.02)
