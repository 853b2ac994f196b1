"""A fake kernel tree, archives of it, and a local HTTP server that misbehaves on request."""

import io
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAKEFILE = "# SPDX-License-Identifier: GPL-2.0\nVERSION = {}\nPATCHLEVEL = {}\nSUBLEVEL = {}\n"


def kernel_tree(root: Path, version: tuple[int, int, int] = (6, 12, 1)) -> Path:
    """Make the few files by which a directory is taken for a kernel tree."""
    (root / "scripts/kconfig").mkdir(parents=True)
    (root / "Makefile").write_text(MAKEFILE.format(*version) + "EXTRAVERSION =\nNAME = Fake\n")
    (root / "Kconfig").write_text('mainmenu "fake"\n')
    (root / "scripts/kconfig/conf.c").write_text("int main(void) { return 0; }\n")
    (root / "scripts/check.sh").write_text("#!/bin/sh\n")
    (root / "scripts/check.sh").chmod(0o775)
    (root / "scripts/again.sh").symlink_to("../scripts/check.sh")
    return root


def tarball(archive: Path, tree: Path, top: str = "linux-6.12.1") -> Path:
    """Pack a tree the way kernel.org does; the compression is that of the file's suffix."""
    kind = archive.suffix.removeprefix(".")
    with tarfile.open(archive, f"w:{kind}") as tar:  # type: ignore[call-overload]
        tar.add(tree, top)
    return archive


def packed(archive: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """Make a .tar.gz of just these members."""
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return the head of an archive's member."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def source_deb(folder: Path, inner: Path | None, version: str = "6.12.1-1") -> Path:
    """Make a package linux-source-6.12 around a tarball, as Debian's is; or one without it."""
    staging = folder / "staging"
    (staging / "DEBIAN").mkdir(parents=True)
    (staging / "usr/src").mkdir(parents=True)
    (staging / "DEBIAN/control").write_text(
        f"Package: linux-source-6.12\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: fake\n"
    )
    if inner:
        (staging / "usr/src" / f"linux-source-6.12.tar{inner.suffix}").write_bytes(
            inner.read_bytes()
        )
    deb = folder / f"linux-source-6.12_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "-Zgzip", "--root-owner-group", "--build", str(staging), str(deb)],
        check=True,
        capture_output=True,
    )
    return deb


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class FileServer:
    """A server on loopback.

    Attributes:
        answers: by path; each request takes the first, the last one stays.
        ranges: of all requests, the header Range or an empty text.
        closing: set when the server ends; answers that stall wait for it.
    """

    base: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    ranges: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, *answers: Answer) -> str:
        """Let these answers be given at ``path``; return its address."""
        self.answers[path] = list(answers)
        return f"{self.base}{path}"


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Run a server as long as the block."""
    server: FileServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.ranges.append(self.headers.get("Range", ""))
            waiting = server.answers[self.path]
            (waiting.pop(0) if len(waiting) > 1 else waiting[0])(self)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        server = FileServer(f"http://127.0.0.1:{listener.server_port}")
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            listener.shutdown()
            thread.join()


def whole(data: bytes, *, ranges: bool = True, cut_after: int | None = None) -> Answer:
    """Answer with the data, or the rest of it that is asked for; maybe hang up too early."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "") if ranges else ""
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and start >= len(data):
            handler.send_error(416)
            return
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(data[start:][:cut_after])

    return answer


def status(code: int) -> Answer:
    """Answer with an error."""
    return lambda handler: handler.send_error(code)


def web_page(handler: BaseHTTPRequestHandler) -> None:
    """Answer as a captive portal does."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html; charset=utf-8")
    handler.end_headers()
    handler.wfile.write(b"<html>please log in</html>")


def silent(server: FileServer, data: bytes, *, every: float = 60.0) -> Answer:
    """Answer with the head, then one byte each ``every`` seconds."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        for byte in data:
            if server.closing.wait(every):
                return
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:  # the client gave up, as it should
                return

    return answer
