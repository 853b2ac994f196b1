"""Two images held against each other: which inputs differ, which outputs, and which why."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bundle.archive import unpacked
from bundle.check import open_bundle, open_image
from bundle.errors import InputsDiffer, OutputsDiffer
from bundle.manifest import NAME, KernelInput, Manifest, Output, load
from bundle.names import IMAGE
from bundle.origins import inputs_of, origin_of
from host.errors import SettingError
from host.terminal import printable
from settings.paths import expanded

SUM = re.compile(r"[0-9a-f]{40,}")
SHOWN_DIGITS = 12  # of a sum or commit
SHOWN_REASONS = 4  # of an output: its description may have dozens


@dataclass(frozen=True)
class InputChange:
    """An input that differs: its dotted name and both values; None where there is none."""

    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True)
class OutputChange:
    """An output that differs, and the names of the differing inputs and outputs that explain it."""

    name: str
    a: Output | None
    b: Output | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What differs between two images.

    Attributes:
        kernels: of both; a substituted one is to be told first.
        inputs: those that differ, by name.
        outputs: those that differ, or are in one image only, by name.
    """

    kernels: tuple[KernelInput, KernelInput]
    inputs: tuple[InputChange, ...]
    outputs: tuple[OutputChange, ...]

    @property
    def unexplained(self) -> tuple[OutputChange, ...]:
        """The outputs that differ without a reason."""
        return tuple(item for item in self.outputs if not item.reasons)


def compare(a: Manifest, b: Manifest) -> Comparison:
    """Return what differs between two images."""
    inputs_a, inputs_b = inputs_of(a), inputs_of(b)
    inputs = tuple(
        InputChange(name, inputs_a.get(name), inputs_b.get(name))
        for name in sorted({*inputs_a, *inputs_b})
        if inputs_a.get(name) != inputs_b.get(name)
    )
    outputs_a = {item.name: item for item in a.outputs}
    outputs_b = {item.name: item for item in b.outputs}
    differing = [
        name
        for name in sorted({*outputs_a, *outputs_b})
        if outputs_a.get(name) != outputs_b.get(name)
    ]
    outputs = []
    for name in differing:
        origin = origin_of(name, everywhere=name in outputs_a and name in outputs_b)
        reasons = [item.name for item in inputs if origin.has_input(item.name)]
        reasons += [other for other in differing if other != name and origin.has_output(other)]
        outputs.append(OutputChange(name, outputs_a.get(name), outputs_b.get(name), tuple(reasons)))
    return Comparison((a.kernel, b.kernel), inputs, tuple(outputs))


def require_same_outputs(found: Comparison) -> None:
    """End with what a comparison came to.

    Raises:
        OutputsDiffer: an output differs without a reason.
        InputsDiffer: outputs differ, each with a reason.
    """
    if found.unexplained:
        names = ", ".join(printable(item.name) for item in found.unexplained)
        raise OutputsDiffer(
            f"no differing input explains why these differ: {names}",
            hint="the same inputs should give the same bytes; diffoscope shows what is in a file",
        )
    if found.outputs:
        raise InputsDiffer(f"{len(found.outputs)} outputs differ, each for a reason named above")


def print_comparison(found: Comparison, titles: tuple[str, str], stream: TextIO) -> None:
    """Print a comparison for people: substituted kernels first.

    Args:
        found: the comparison.
        titles: how the two images are called.
        stream: where to.
    """
    for letter, title, kernel in zip("AB", titles, found.kernels, strict=True):
        print(f"{letter}: {title}\n   {_kernel_line(kernel)}", file=stream)
    print_inputs(found.inputs, "inputs that differ, A -> B", stream)
    explained = [
        (item.name + _side(item), _listed(item.reasons)) for item in found.outputs if item.reasons
    ]
    _print_table("outputs that differ, and why", explained, stream)
    rest = [(item.name + _side(item), _sizes_and_sums(item)) for item in found.unexplained]
    _print_table("OUTPUTS THAT DIFFER WITHOUT A REASON, A -> B", rest, stream)
    if not found.outputs:
        print("all outputs are the same", file=stream)
    stream.flush()


def print_inputs(changes: Iterable[InputChange], title: str, stream: TextIO) -> None:
    """Print a table of inputs that differ; nothing if none does."""
    rows = [(item.name, f"{_short(item.a)}  ->  {_short(item.b)}") for item in changes]
    _print_table(title, rows, stream)


def run(words: list[str], invoked_from: Path) -> None:
    """Compare the two things that a person names: bundles, archives, image parts or manifests.

    Args:
        words: two paths.
        invoked_from: where relative ones start.

    Raises:
        SettingError: not two paths, or there is no such file.
        BundleError: a bundle is not what it claims to be.
        ManifestError: a manifest cannot be read.
        OutputsDiffer, InputsDiffer: they differ.
    """
    if len(words) != 2:
        raise SettingError(
            f"`doit compare` takes two bundles, not {len(words)}",
            hint="doit compare A B; each a bundle's folder or archive, its image/ or a manifest",
        )
    paths = [invoked_from / expanded(word) for word in words]
    for path in paths:
        if not path.exists():
            raise SettingError(f"there is no {path}", hint="relative paths start where you are")
    found = compare(manifest_at(paths[0]), manifest_at(paths[1]))
    print_comparison(found, (words[0], words[1]), sys.stdout)
    require_same_outputs(found)


def manifest_at(path: Path) -> Manifest:
    """Return the manifest of a bundle's folder or archive, an image part, or a file of its own.

    Raises:
        BundleError: the files are not what the manifest says; they are checked first.
        ManifestError: the file is no manifest.
    """
    if path.is_dir():
        alone = not (path / IMAGE).exists() and (path / NAME).exists()
        return (open_image if alone else open_bundle)(path).manifest
    if _is_json(path):
        return load(path)
    with unpacked(path) as folder:
        return open_bundle(folder).manifest


def _is_json(path: Path) -> bool:
    if path.suffix == ".json":
        return True
    with path.open("rb") as stream:
        return stream.read(64).lstrip().startswith(b"{")


def _kernel_line(kernel: KernelInput) -> str:
    is_linux = f"kernel {kernel.used} (Linux {kernel.version})"
    if kernel.substituted:
        line = f"NOT THE KERNEL ASKED FOR: {is_linux}, asked was {kernel.asked}: {kernel.reason}"
    else:
        line = f"{is_linux}, as asked for ({kernel.asked})"
    return printable(line)


def _print_table(title: str, rows: list[tuple[str, str]], stream: TextIO) -> None:
    if not rows:
        return
    print(f"{title}:", file=stream)
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"   {printable(name):{width}}  {printable(text)}", file=stream)


def _side(item: OutputChange) -> str:
    if item.a and item.b:
        return ""
    return " (only in A)" if item.a else " (only in B)"


def _sizes_and_sums(item: OutputChange) -> str:
    sides = [
        f"{side.size} bytes, sum {side.sha256[:SHOWN_DIGITS]}" if side else "none"
        for side in (item.a, item.b)
    ]
    return "  ->  ".join(sides)


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN_REASONS
    return ", ".join(names[:SHOWN_REASONS]) + (f" and {more} more" if more > 0 else "")


def _short(text: str | None) -> str:
    if text is None:
        return "none"
    return text[:SHOWN_DIGITS] if SUM.fullmatch(text) else text or "(empty)"
