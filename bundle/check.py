"""A bundle is what it claims to be, or nothing is done with it.

Nothing boots, or reads further, what has not come through here: whoever needs a bundle's files
takes a ``Bundle``.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from boot.artifacts import Artifacts
from boot.topology import Topology, load_topology
from bundle import manifest as manifests
from bundle import sums
from bundle.errors import BundleError
from bundle.manifest import Manifest, ManifestError
from bundle.names import EVIDENCE, FRAGMENTS, IMAGE, SCENARIO, TOPOLOGY
from bundle.own import has_clients, module_file, own_names
from bundle.records import Damaged, Fields, read_json
from host.files import sha256_file
from kernel.source import SourceRecord
from settings.paths import BZIMAGE, CONFIGS, INITRAMFS, VERDICT_FILE
from verify.scenario import Scenario, load_scenario

KERNEL_FIELDS = ("asked", "used", "reason", "kind", "version", "sha256")  # told in both parts
NEEDED = (BZIMAGE, INITRAMFS, TOPOLOGY, SCENARIO)  # to boot and verify


@dataclass(frozen=True)
class Bundle:
    """A bundle that was checked.

    Attributes:
        folder: the bundle; of an image part alone that one.
        image: the folder of the image part.
        manifest: what went into the image, and what came out.
    """

    folder: Path
    image: Path
    manifest: Manifest


def open_bundle(folder: Path) -> Bundle:
    """Check the folder of a bundle, every file of it; the evidence may be absent.

    Raises:
        BundleError: it is not what it claims to be; names the files.
    """
    _require(folder, _layout(folder))
    parts = [part for part in (IMAGE, EVIDENCE) if (folder / part).exists()]
    for_each_part = ((part, sums.complaints(folder / part)) for part in parts)
    _require(folder, (f"{part}/{told}" for part, found in for_each_part for told in found))
    manifest = _manifest(folder / IMAGE)
    _require(folder, (f"{IMAGE}/{told}" for told in _misfits(folder / IMAGE, manifest)))
    if EVIDENCE in parts:
        _require(folder, _of_another_image(folder / EVIDENCE, manifest))
    return Bundle(folder, folder / IMAGE, manifest)


def open_image(image: Path) -> Bundle:
    """Check the folder of an image part alone.

    Raises:
        BundleError: it is not what it claims to be; names the files.
    """
    _require(image, sums.complaints(image))
    manifest = _manifest(image)
    _require(image, _misfits(image, manifest))
    return Bundle(image, image, manifest)


def held(bundle: Bundle, target: Path) -> Bundle:
    """Return the bundle with copies of what a boot needs, in a new folder that is only ours.

    Whoever can write to the bundle could change a file between its check and its boot.

    Raises:
        BundleError: a file has changed since it was checked.
    """
    target.mkdir()
    sums_there = {item.name: item.sha256 for item in bundle.manifest.outputs}
    for name in NEEDED:
        shutil.copyfile(bundle.image / name, target / name)
        if sha256_file(target / name) != sums_there[name]:
            _require(bundle.folder, [f"{IMAGE}/{name}: changed while it was being checked"])
    return replace(bundle, image=target)


def foreign(bundle: Bundle) -> Iterator[str]:
    """Yield which names of the bundle stand for something else than in this lab.

    That is no fault: the lab may have changed since, or never had such a topology. But a name
    that people know proves nothing about a file that they do not.
    """
    chosen = {"topologies": bundle.manifest.topology, "scenarios": bundle.manifest.scenario}
    for folder, source in chosen.items():
        ours = CONFIGS / folder / f"{source.name}.toml"
        if not ours.is_file() or sha256_file(ours) != source.sha256:
            yield f"note: its {source.name}.toml is not the one of configs/{folder} here"


def artifacts(bundle: Bundle) -> Artifacts:
    """Return what a guest is booted from."""
    kernel = bundle.manifest.kernel
    source = SourceRecord(
        asked=kernel.asked,
        used=kernel.used,
        reason=kernel.reason,
        kind=kernel.kind,
        version=kernel.version,
        tree=Path(),
        url=kernel.url,
        package=kernel.package,
        package_version=kernel.package_version,
        file=kernel.file,
        sha256=kernel.sha256,
    )
    own = own_names(bundle.manifest)
    return Artifacts(
        source,
        kernel.release,
        bundle.image / BZIMAGE,
        bundle.image / INITRAMFS,
        module=Path(module_file(item.name for item in bundle.manifest.outputs)).stem,
        own_module=own.get("module", ""),
        own_tool=own.get("tool", ""),
        clients=has_clients(bundle.manifest),
    )


def topology(bundle: Bundle) -> Topology:
    """Return the machine that the bundle is to be booted on.

    Raises:
        TopologyError: this lab cannot use its file.
    """
    return load_topology(bundle.image / TOPOLOGY, bundle.manifest.topology.name)


def scenario(bundle: Bundle, on: Topology) -> Scenario:
    """Return what is verified of the bundle.

    Raises:
        ScenarioError: this lab cannot use its file.
    """
    return load_scenario(bundle.image / SCENARIO, on, bundle.manifest.scenario.name)


def _layout(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        yield "it is no folder"
        return
    found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if IMAGE not in [entry.name for entry in found]:
        yield f"it has no folder {IMAGE}/"
        return  # so it is something else, maybe with thousands of files
    for entry in found:
        if entry.name not in (IMAGE, EVIDENCE):
            yield f"{entry.name!r}: extra; a bundle has only {IMAGE}/ and {EVIDENCE}/"
        elif not entry.is_dir(follow_symlinks=False):
            yield f"{entry.name}: no folder"


def _manifest(image: Path) -> Manifest:
    try:
        return manifests.load(image / manifests.NAME)
    except ManifestError as error:
        raise BundleError(error.message, hint=error.hint) from error


def _misfits(image: Path, manifest: Manifest) -> Iterator[str]:
    """Yield what does not fit between a manifest and an image whose sums are right."""
    outputs = {item.name: item for item in manifest.outputs}
    there = {*sums.files_below(image)} - {manifests.NAME, sums.NAME}
    for name in sorted({*outputs, *there}):
        if name not in there:
            yield f"{name}: in {manifests.NAME}, but missing"
        elif name not in outputs:
            yield f"{name}: extra, not in {manifests.NAME}"
        elif outputs[name].size != (image / name).stat().st_size:
            yield f"{name}: has another size than in {manifests.NAME}"
        elif outputs[name].sha256 != sha256_file(image / name):
            yield f"{name}: has another sum than in {manifests.NAME}"
    for name in NEEDED:
        if name not in outputs:
            yield f"{name}: missing; without it nothing can be booted"
    inputs = {item.name: item.sha256 for item in manifest.fragments}
    inputs |= {TOPOLOGY: manifest.topology.sha256, SCENARIO: manifest.scenario.sha256}
    fragments = {name for name in outputs if name.startswith(FRAGMENTS)}
    for name in sorted({*inputs, *fragments}):
        if name not in outputs:
            yield f"{name}: an input in {manifests.NAME}, but missing"
        elif outputs[name].sha256 != inputs.get(name):
            yield f"{name}: is not the file that {manifests.NAME} has as an input"


def _of_another_image(evidence: Path, manifest: Manifest) -> Iterator[str]:
    """Yield what the verdict says of another image than that of the manifest."""
    name = f"{EVIDENCE}/{VERDICT_FILE}"
    try:
        verdict = read_json(evidence / VERDICT_FILE)
        told = _told(verdict)
    except Damaged as error:
        yield f"{name}: {error.message}"
        return
    sums_there = {item.name: item.sha256 for item in manifest.outputs}
    kernel = manifest.kernel
    expected = {
        **{f"files.{booted}": sums_there[booted] for booted in (BZIMAGE, INITRAMFS)},
        **{f"kernel.{field}": getattr(kernel, field) for field in KERNEL_FIELDS},
        "topology": manifest.topology.name,
        "scenario": manifest.scenario.name,
        "cpu": manifest.cpu,
        "own": str(own_names(manifest)),
    }
    for field, value in expected.items():
        if told[field] != value:
            yield f"{name}: is about another image: {field} is {told[field]!r}, not {value!r}"


def _told(verdict: Fields) -> dict[str, str]:
    files, kernel = verdict.within("files"), verdict.within("kernel")
    # Older verdicts are about what is the lab's, all of it.
    own = verdict.within("own") if verdict.has("own") else Fields(verdict.path, {})
    return {
        "own": str({kind: own.text(kind) for kind in own.names()}),
        **{f"files.{booted}": files.text(booted) for booted in (BZIMAGE, INITRAMFS)},
        **{f"kernel.{field}": kernel.text(field) for field in KERNEL_FIELDS},
        **{field: verdict.text(field) for field in ("topology", "scenario", "cpu")},
    }


def _require(folder: Path, complaints: Iterator[str] | list[str]) -> None:
    if told := list(complaints):
        raise BundleError(
            "\n  ".join([f"{folder.name} is not what it claims to be:", *told]),
            hint="get it anew from where it came from; nothing of it was used",
        )
