"""The source stage: from a chosen kernel to a tree on disk, and a record of what it is."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from host.archive import ArchiveError
from host.errors import LabError
from host.files import write_text
from kernel import apt
from kernel.checksum import set_aside
from kernel.choice import AUTO, Choice, forget
from kernel.registry import AptKernel, TreeKernel, UrlKernel
from kernel.unpack import unpack
from kernel.version import check_user_tree, missing_mark
from settings.paths import AUTO_KERNEL, Workspace


@dataclass(frozen=True)
class SourceRecord:
    """Where a kernel's source came from; ``source.json``.

    Attributes:
        asked: the setting ``kernel=``.
        used: the kernel's name, or the path of a tree.
        reason: why another one than asked for is used; empty if it is the one.
        detail: what this machine met on the way to that reason.
        kind: ``url``, ``apt`` or ``path``.
        version: as in the tree's Makefile.
        url: the first address of a ``url`` kernel.
        package: of an ``apt`` kernel.
        package_version: of an ``apt`` kernel.
        file: name of the archive in the download directory.
        sha256: of the archive.
        tree: the unpacked source, or the user's tree; ``Path()`` where there is none any more.
    """

    asked: str
    used: str
    reason: str
    kind: str
    version: str
    tree: Path
    url: str = ""
    package: str = ""
    package_version: str = ""
    file: str = ""
    sha256: str = ""
    detail: str = ""

    def as_data(self) -> dict[str, str]:
        """Return it as it stands in ``source.json`` and in every report.

        Only a user's tree is named: the same source gives the same record in every checkout.
        """
        named = self.kind == "path" and self.tree != Path()
        return {**asdict(self), "tree": str(self.tree) if named else ""}


def obtain(
    choice: Choice, workspace: Workspace, downloads: Path, memory: Path = AUTO_KERNEL
) -> SourceRecord:
    """Make the source of ``choice`` available, and write ``workspace.source_record``.

    What is there already is kept: a second call does nothing but read. The record is removed
    before the tree is touched and written after it is whole, so a killed run is never believed.
    If what ``auto`` was decided to be cannot be had, that decision (``memory``) is dropped.

    Raises:
        LabError: download, check or unpacking failed, or a user's tree cannot be built.
    """
    kernel = choice.kernel
    if isinstance(kernel, TreeKernel):
        version = str(check_user_tree(kernel.tree))
        found = replace(_begun(choice, kernel.tree), kind="path", version=version)
        return _written(found, workspace)
    kept = _kept(choice, workspace)
    if kept is not None:
        return _written(kept, workspace)
    workspace.source_record.unlink(missing_ok=True)
    try:
        return _written(_fetched(choice, kernel, workspace, downloads), workspace)
    except LabError:
        if choice.asked == AUTO:
            forget(memory)
        raise


def read_record(path: Path) -> SourceRecord:
    """Return the record at ``path`` (``Workspace.source_record``).

    Raises:
        LabError: there is none, or it is damaged.
    """
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        tree = fields.pop("tree", "")
        return SourceRecord(**fields, tree=Path(tree) if tree else Workspace(path.parent).source)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise LabError(
            f"no usable record of the kernel's source at {path}",
            hint="the task that fetches the source writes it; run `doit build`",
        ) from error


def _begun(choice: Choice, tree: Path) -> SourceRecord:
    """Return the record of a choice, before anything is known of its source."""
    return SourceRecord(
        asked=choice.asked,
        used=choice.used,
        reason=choice.reason,
        detail=choice.detail,
        kind="",
        version="",
        tree=tree,
    )


def _fetched(
    choice: Choice, kernel: UrlKernel | AptKernel, workspace: Workspace, downloads: Path
) -> SourceRecord:
    record = _begun(choice, workspace.source)
    if isinstance(kernel, AptKernel):
        package = apt.fetch(kernel.package, downloads, workspace.logs / "apt-download.log")
        record = replace(
            record,
            kind="apt",
            package=kernel.package,
            package_version=package.version,
            file=package.file.name,
            sha256=package.sha256,
        )
        version = _unpacked_package(package, workspace.source)
    else:
        # Imported here: nothing else needs requests, which is slow to load.
        from kernel import download

        file = download.fetch(kernel, downloads)
        record = replace(
            record, kind="url", url=kernel.urls[0], file=kernel.file, sha256=kernel.sha256
        )
        version = str(unpack(file, workspace.source))
    return replace(record, version=version)


def _unpacked_package(package: apt.Package, target: Path) -> str:
    try:
        return str(unpack(package.file, target))
    except ArchiveError as error:
        if package.vouched:
            raise
        # Nobody checked its sum, so it may just be cut: it must not stop the next run too.
        aside = set_aside(package.file, package.file, "unusable")
        raise ArchiveError(
            error.message, hint=f"the file is now {aside}; run the same again to download it anew"
        ) from error


def _kept(choice: Choice, workspace: Workspace) -> SourceRecord | None:
    """Return the record of the source that is there, if it is what ``choice`` wants."""
    try:
        record = read_record(workspace.source_record)
    except LabError:
        return None
    kernel = choice.kernel
    if isinstance(kernel, UrlKernel):
        same = record.kind == "url" and record.sha256 == kernel.sha256
    else:
        same = isinstance(kernel, AptKernel) and record.package == kernel.package
    if not same or missing_mark(workspace.source):
        return None
    begun = _begun(choice, workspace.source)
    return replace(
        record, asked=begun.asked, used=begun.used, reason=begun.reason, detail=begun.detail
    )


def _written(record: SourceRecord, workspace: Workspace) -> SourceRecord:
    text = json.dumps(record.as_data(), indent=2, sort_keys=True) + "\n"
    path = workspace.source_record
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        write_text(path, text)
    return record
