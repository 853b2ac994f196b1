"""``image/manifest.json``: every input of an image, and every output with size and sum.

Its form is fixed by ``manifest.schema.json``. It holds no path of a machine, no name of a user or
host and no time of day: the same inputs give the same bytes.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from host.errors import LabError

FORMAT = 1  # raised when a field changes its meaning
REMEDY = "no lab wrote this; get it from its bundle"
NAME = "manifest.json"
SCHEMA = Path(__file__).with_name("manifest.schema.json")


class ManifestError(LabError):
    """A file is no manifest that this lab can read."""


@dataclass(frozen=True)
class KernelInput:
    """The kernel's source.

    Attributes:
        asked: the setting ``kernel=``; ``path`` for a user's own tree.
        used: the kernel's name in ``configs/kernels.toml``; ``path`` for a user's own tree.
        substituted: whether another kernel than asked for was used.
        reason: why; empty if it was not.
        kind: ``url``, ``apt`` or ``path``.
        version: as the tree's Makefile gives it.
        release: what the built kernel calls itself (``uname -r``).
        url: of a ``url`` kernel.
        package: name of an ``apt`` kernel's package.
        package_version: of that package.
        file: name of the archive.
        sha256: of the archive; of a user's tree, of all its files (``host.digest``).
    """

    asked: str
    used: str
    substituted: bool
    reason: str
    kind: str
    version: str
    release: str
    url: str
    package: str
    package_version: str
    file: str
    sha256: str


@dataclass(frozen=True)
class LabInput:
    """The lab itself.

    Attributes:
        commit: of the checkout; empty outside of git.
        dirty: whether the checkout differed from that commit.
        recipe: sum over the code and the lock file that decide how an image is made.
    """

    commit: str
    dirty: bool
    recipe: str


@dataclass(frozen=True)
class FileInput:
    """A file that was read: its name in the bundle (or a plain name) and its SHA-256."""

    name: str
    sha256: str


@dataclass(frozen=True)
class ToolInput:
    """A program of the machine that made the image.

    Attributes:
        name: of the command, such as ``gcc``.
        version: the first line that it prints about itself.
        package: of the distribution, such as ``gcc-12``; empty if no package owns it.
        package_version: of that package.
        sha256: of the program's file.
    """

    name: str
    version: str
    package: str
    package_version: str
    sha256: str


@dataclass(frozen=True)
class Output:
    """A file of the image part."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What went into an image and what came out.

    Attributes:
        kernel: stands first, so that a substituted kernel is the first thing a reader meets.
        lab: the project.
        topology: the PCI tree.
        scenario: what is verified on it.
        cpu: QEMU CPU model.
        fragments: Kconfig fragments, later ones winning.
        sources: sums of the folders module, tool and root file system are made of.
        tools: of the machine, by name.
        source_date_epoch: the moment that stands for all times, in seconds since 1970 UTC.
        outputs: all files of the image part but the manifest and ``SHA256SUMS``, by name.
    """

    kernel: KernelInput
    lab: LabInput
    topology: FileInput
    scenario: FileInput
    cpu: str
    fragments: tuple[FileInput, ...]
    sources: tuple[FileInput, ...]
    tools: tuple[ToolInput, ...]
    source_date_epoch: int
    outputs: tuple[Output, ...]


def as_text(manifest: Manifest) -> str:
    """Return the manifest as it stands in its file."""
    fields = asdict(manifest)
    data = {"kernel": fields.pop("kernel"), "format": FORMAT, **fields}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def load(path: Path) -> Manifest:
    """Read and check a manifest.

    Only the very text that the lab writes is one. JSON leaves room to tell a person one thing and a
    program another (a member twice, an order in which the kernel comes last), and here is none.

    Raises:
        ManifestError: it cannot be read, is not JSON, not of the schema, contradicts itself, or is
            written otherwise; names the place.
    """
    try:
        text = path.read_bytes().decode()
        data = json.loads(text)
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not JSON: {error}", hint=REMEDY) from error
    _require_schema(path, data)
    manifest = _of(data)
    for fault in (*_faults(manifest), *_other_text(manifest, text)):
        raise ManifestError(f"{path}: {fault}", hint=REMEDY)
    return manifest


def _of(data: dict[str, Any]) -> Manifest:
    return Manifest(
        kernel=KernelInput(**data["kernel"]),
        lab=LabInput(**data["lab"]),
        topology=FileInput(**data["topology"]),
        scenario=FileInput(**data["scenario"]),
        cpu=data["cpu"],
        fragments=tuple(FileInput(**item) for item in data["fragments"]),
        sources=tuple(FileInput(**item) for item in data["sources"]),
        tools=tuple(ToolInput(**item) for item in data["tools"]),
        source_date_epoch=data["source_date_epoch"],
        outputs=tuple(Output(**item) for item in data["outputs"]),
    )


def _faults(manifest: Manifest) -> Iterator[str]:
    """Yield what cannot be, though it is of the schema."""
    yield from _kernel_faults(manifest.kernel)
    for group in ("fragments", "sources", "tools", "outputs"):
        for name, count in Counter(item.name for item in getattr(manifest, group)).items():
            if count > 1:
                yield f"{group}: {name!r} is there {count} times"
    # It is shown on terminals, where a control character could hide what stands before it.
    for text in _texts(asdict(manifest)):
        if not text.isprintable():
            yield f"{text!r} has characters that cannot be shown"


def _kernel_faults(kernel: KernelInput) -> Iterator[str]:
    """Yield how a kernel that was substituted would be passed off as the one asked for."""
    # It means a pinned archive; a package of the distribution only ever stands in for that.
    as_auto = kernel.asked == "auto" and kernel.kind == "url"
    expected = not as_auto and kernel.asked != kernel.used
    if kernel.substituted != expected:
        told = "that it was" if kernel.substituted else "that it was not"
        yield (
            f"kernel: asked for {kernel.asked!r}, used {kernel.used!r} of kind {kernel.kind}, and "
            f"says {told} substituted"
        )
    if not kernel.release.startswith(kernel.version):
        yield f"kernel: release {kernel.release!r} is not one of version {kernel.version!r}"


def _texts(data: object) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, tuple):
        for value in data:
            yield from _texts(value)


def _other_text(manifest: Manifest, text: str) -> Iterator[str]:
    """Yield the first line that is not as :func:`as_text` has it."""
    pairs = zip_longest(text.split("\n"), as_text(manifest).split("\n"))
    for number, (found, wanted) in enumerate(pairs, 1):
        if found != wanted:
            yield f"line {number}: {found or ''!r} is not as the lab writes it, {wanted or ''!r}"
            return


def _require_schema(path: Path, data: Any) -> None:  # noqa: ANN401 - JSON
    import jsonschema  # slow to load, and not needed by whoever only writes

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    found = jsonschema.Draft202012Validator(schema).iter_errors(data)
    worst = jsonschema.exceptions.best_match(found)
    if worst is not None:
        raise ManifestError(
            f"{path}: {worst.json_path}: {worst.message}",
            hint=f"a manifest of format {FORMAT} is described by {SCHEMA.name}",
        )
