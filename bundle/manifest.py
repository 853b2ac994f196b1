"""``image/manifest.json``: every input of an image, and every output with size and sum.

Its form is fixed by ``manifest.schema.json``. It holds no path of a machine, no name of a user or
host and no time of day: the same inputs give the same bytes.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host.errors import LabError

FORMAT = 1  # raised when a field changes its meaning
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

    Raises:
        ManifestError: it cannot be read, is not JSON, or not of the schema; names the place.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ManifestError(f"{path}: not JSON: {error}") from error
    _require_schema(path, data)
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
