"""Fetch a tarball over HTTP: mirrors in order, retries, resume, and its sum before its name."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.exceptions import ProxyError, RequestException, Timeout
from urllib3.exceptions import HTTPError, IncompleteRead, NameResolutionError, ReadTimeoutError

from host.errors import LabError
from host.files import no_space_named, sha256_file
from host.lock import locked
from host.progress import Progress, mebibytes
from kernel.checksum import verify_or_set_aside
from kernel.registry import UrlKernel
from settings.paths import OTHER_DOWNLOADS

READ_BYTES = 1 << 16
PROBE_SECONDS = 5.0
OK = 200
PARTIAL = 206
RANGE_NOT_SATISFIABLE = 416
WORTH_ANOTHER_TRY = frozenset({408, 429, 500, 502, 503, 504})
# "identity": with a compressed transfer neither sizes nor ranges would be those of the file.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "p2plab"}


@dataclass(frozen=True)
class Limits:
    """How patient a download is.

    Attributes:
        connect: seconds until a connection must be there.
        stall: seconds in which at least ``floor`` bytes must arrive.
        floor: bytes.
        tries: for each address.
        pause: seconds before the second try; doubled for each further one.
    """

    connect: float = 10.0
    stall: float = 30.0
    floor: int = 16 << 10
    tries: int = 3
    pause: float = 1.0


class DownloadError(LabError):
    """No address delivered the file."""


class _RefusedError(Exception):
    """This address does not have the file; another try would not help."""


class _BrokenError(Exception):
    """This try failed; another one may succeed."""


def fetch(kernel: UrlKernel, downloads: Path, limits: Limits | None = None) -> Path:
    """Return the checked tarball in the download directory, downloading what is missing.

    Raises:
        DownloadError: every address failed; the message has each one's reason.
        ChecksumError: the file is another one than the pinned; it is kept aside.
        DiskFullError: no space left.
        LabError: the download directory cannot be written.
    """
    target = downloads / kernel.file
    if target.is_file() and sha256_file(target) == kernel.sha256:
        return target  # without the lock: a shared directory may be read-only
    with locked(
        target.with_name(f"{target.name}.lock"), f"downloading {kernel.file}", OTHER_DOWNLOADS
    ):
        if target.exists():
            verify_or_set_aside(target, kernel.sha256, target)
        else:
            _Download(kernel, target, limits or Limits()).run()
    return target


class _Download:
    def __init__(self, kernel: UrlKernel, target: Path, limits: Limits) -> None:
        self._kernel = kernel
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._limits = limits

    def run(self) -> None:
        resumed = self._part.exists() and self._part.stat().st_size > 0
        if not (resumed and sha256_file(self._part) == self._kernel.sha256):
            self._from_any_address()
            if resumed and sha256_file(self._part) != self._kernel.sha256:
                # What was there before may have been another file's beginning.
                self._part.unlink()
                self._from_any_address()
        verify_or_set_aside(self._part, self._kernel.sha256, self._target)
        self._part.replace(self._target)

    def _from_any_address(self) -> None:
        reasons = []
        with Progress(f"downloading {self._target.name}") as progress:
            for url in self._kernel.urls:
                progress.say(f"from {url}")
                reason = self._with_retries(url, progress)
                if not reason:
                    return
                progress.say(f"{url}: {reason}")
                reasons.append(f"{url}: {reason}")
        raise DownloadError(
            f"cannot download {self._target.name}:\n"
            + "\n".join(f"  {reason}" for reason in reasons),
            hint=f"run the same again to carry on, or put the file {self._target.name} into "
            f"{self._target.parent} yourself",
        )

    def _with_retries(self, url: str, progress: Progress) -> str:
        """Return why this address did not deliver; empty if it did."""
        reason = ""
        for number in range(self._limits.tries):
            if number:
                time.sleep(self._limits.pause * 2 ** (number - 1))
            try:
                self._once(url, progress)
            except _RefusedError as refused:
                return str(refused)
            except _BrokenError as broken:
                reason = str(broken)
            else:
                return ""
        return f"{reason} ({self._limits.tries} tries)"

    def _once(self, url: str, progress: Progress) -> None:
        try:
            have = self._part.stat().st_size if self._part.exists() else 0
            # No If-Range: the pinned sum, not an ETag, says whether the parts belong together,
            # and so a part from one mirror can be completed by another.
            headers = {**HEADERS, **({"Range": f"bytes={have}-"} if have else {})}
            timeout = (self._limits.connect, self._limits.stall)
            with requests.get(url, headers=headers, timeout=timeout, stream=True) as response:
                self._save(response, have, progress)
        except (RequestException, HTTPError) as error:
            raise _BrokenError(reason_of(error)) from error

    def _save(self, response: requests.Response, have: int, progress: Progress) -> None:
        if response.status_code == RANGE_NOT_SATISFIABLE:
            self._part.unlink(missing_ok=True)  # longer than the file, so not its beginning
            raise _BrokenError("the server refused to resume")
        _refuse_bad_answer(response)
        resumes = response.status_code == PARTIAL
        if resumes and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            self._part.unlink(missing_ok=True)
            raise _BrokenError("the server sent another range than asked for")
        start = have if resumes else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else 0
        with no_space_named(self._target), self._part.open("ab" if resumes else "wb") as sink:
            count = start
            pace = _Pace(self._limits)
            while chunk := response.raw.read1(READ_BYTES, decode_content=False):
                sink.write(chunk)
                count += len(chunk)
                pace.check(len(chunk))
                progress.update(_shown(count, total))


class _Pace:
    """Notices a server that trickles: each byte in time, the file never."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._since = time.monotonic()
        self._count = 0

    def check(self, count: int) -> None:
        self._count += count
        if self._count >= self._limits.floor:
            self._since = time.monotonic()
            self._count = 0
        elif time.monotonic() - self._since > self._limits.stall:
            raise _BrokenError(
                f"stalled: under {self._limits.floor} bytes in {self._limits.stall:g} s"
            )


def unreachable(urls: Sequence[str], seconds: float = PROBE_SECONDS) -> str:
    """Return why none of the addresses can be fetched now; empty if one can.

    All are asked at once, each in its own thread: a name server that does not answer is bound by
    no timeout of ours, so the wait for it must be.
    """
    answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for url in urls:
        threading.Thread(target=_ask, args=(url, seconds, answers), daemon=True).start()
    reasons = dict.fromkeys(urls, f"no answer within {seconds:g} s")
    deadline = time.monotonic() + seconds
    with suppress(queue.Empty):
        for _ in urls:
            url, reason = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            if not reason:
                return ""
            reasons[url] = reason
    return "; ".join(f"{urlsplit(url).netloc}: {reason}" for url, reason in reasons.items())


def _ask(url: str, seconds: float, answers: "queue.SimpleQueue[tuple[str, str]]") -> None:
    try:
        with requests.head(url, headers=HEADERS, timeout=seconds, allow_redirects=True) as response:
            _refuse_bad_answer(response)
    except (RequestException, HTTPError) as error:
        answers.put((url, reason_of(error)))
    except (_RefusedError, _BrokenError) as refused:
        answers.put((url, str(refused)))
    else:
        answers.put((url, ""))


def _refuse_bad_answer(response: requests.Response) -> None:
    status = response.status_code
    if status not in (OK, PARTIAL):
        text = f"HTTP status {status} {response.reason}".strip()
        raise _BrokenError(text) if status in WORTH_ANOTHER_TRY else _RefusedError(text)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise _RefusedError("a web page came instead of the file (a proxy or a login page?)")


def reason_of(error: Exception) -> str:
    """Return in a few words why a request failed."""
    chain = list(_causes(error))
    if isinstance(error, ProxyError):
        return "the proxy (https_proxy, http_proxy) cannot be reached"
    if any(isinstance(link, NameResolutionError) for link in chain):
        return "the host name cannot be resolved"
    if any(isinstance(link, Timeout | ReadTimeoutError) for link in chain):
        return "timed out"
    if any(isinstance(link, IncompleteRead) for link in chain):
        return "the connection was cut"
    last = chain[-1]
    return str(getattr(last, "strerror", None) or last) or type(last).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and, inwards, the errors that it wraps in the ways of requests and urllib3."""
    link: object = error
    while isinstance(link, BaseException):
        yield link
        wrapped = [getattr(link, "reason", None), *link.args, link.__cause__]
        link = next((inner for inner in wrapped if isinstance(inner, BaseException)), None)


def _shown(count: int, total: int) -> str:
    if not total:
        return mebibytes(count)
    return f"{count * 100 // total} % of {mebibytes(total)}"
