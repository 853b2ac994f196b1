"""What doit runs in the compat stage: the module on every kernel that can be had."""

import platform
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from boot.qemu import QEMU
from compat import compiled, offer, table, whole
from compat.row import Answer, Row, Subject
from compat.unpacked import nothing_installed, unpack
from host.errors import LabError
from host.files import remove
from host.origin import origin_of
from host.tools import require_programs
from kernel import suites
from kernel.choice import REGISTRY
from kernel.registry import load
from kernel.selection import Selection
from kernel.task import BUILD_TOOLS
from settings.paths import COMPAT, PROJECT

NO_APT = "headers and sources of distributions are left out: there is no apt here"
HEADERS_OF = "linux-headers of"


class NotCompatible(LabError):
    """A kernel that should work does not, or one that should be refused is not."""

    exit_code = 10


def run(selection: Selection, module: Path) -> None:
    """Try every kernel, print the table as it grows, and write it.

    Args:
        selection: all settings but the kernel's are used.
        module: the module's folder.

    Raises:
        NotCompatible: a kernel is not what it has to be, or none could be tried.
    """
    for name in ("compat.md", "compat.json"):
        remove(COMPAT / name)  # what is there must not be taken for what comes, or does not come
    require_programs(*BUILD_TOOLS, QEMU)
    print(table.HEAD, flush=True)
    rows, about = [], _about()
    for row in _rows(selection, module):
        print(table.line(row), flush=True)
        rows.append(row)
        # Each of them may have taken long: who stops here keeps what is known.
        table.write(rows, {**about, "not complete": "the run has not come to its end"}, COMPAT)
    table.write(rows, about, COMPAT)
    print(f"\n{table.summary(rows)}\n  compat.md, compat.json, logs: {COMPAT}", flush=True)
    require_good(rows)


def require_good(rows: Sequence[Row]) -> None:
    """Raise unless every row is what it has to be.

    Raises:
        NotCompatible: one is not, or the module was compiled for not a single one: that it
            refuses what it has to refuse does not tell that it works anywhere.
    """
    bad = [row for row in rows if row.bad]
    if bad:
        names = ", ".join(row.subject.name for row in bad)
        raise NotCompatible(
            f"{len(bad)} of {len(rows)} kernels are not what they have to be: {names}",
            hint=f"the first one's log is {bad[0].log}" if bad[0].log else "",
        )
    if not any(row.compiles is Answer.YES for row in rows):
        raise NotCompatible(
            "the module was compiled for no kernel at all",
            hint="the table says why, for each of them",
        )


def _rows(selection: Selection, module: Path) -> Iterator[Row]:
    """Yield the headers first: they take seconds, a whole kernel minutes."""
    series: list[str] = []
    if shutil.which("apt-cache"):
        lists, complaint = suites.refreshed()
        if complaint:
            print(f"  apt: {complaint}", flush=True)
        series = offer.sources(lists)
        for release, members in suites.load().releases.items():
            yield from headers_rows(release, members, module, selection.settings.jobs)
    else:
        print(f"  {NO_APT}", flush=True)
    given = {name: text for name, text in selection.given.items() if name != "trees"}
    for kernel in whole.kernels(load(REGISTRY), series, selection.settings.trees):
        yield whole.attempt(kernel, given, module, COMPAT)


def headers_rows(release: str, members: Sequence[str], module: Path, jobs: int) -> Iterator[Row]:
    """Yield a row for each headers package of a release's suites."""
    folder, logs = COMPAT / release, COMPAT / "logs"
    try:
        wanted = offer.headers(nothing_installed(release, folder), members)
        if not wanted:
            return
        unpacked = unpack(release, wanted, folder, logs / f"apt-{release}.log")
    except LabError as error:
        subject = Subject(release, f"{HEADERS_OF} {', '.join(members)}")
        yield Row(subject, Answer.UNTRIED, why=error.message.splitlines()[0])
        return
    for it in wanted:
        subject = Subject(it.release, f"{HEADERS_OF} {it.suite}, {it.version}")
        yield compiled.against_headers(
            subject,
            it.series,
            unpacked,
            module,
            COMPAT / "modules" / it.release,
            logs / f"{it.release}.log",
            jobs,
        )


def _about() -> dict[str, str]:
    origin = origin_of(PROJECT)
    return {
        "made": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": f"{origin.commit or 'none'}{', with changes' if origin.dirty else ''}",
        "on": platform.platform(),
    }
