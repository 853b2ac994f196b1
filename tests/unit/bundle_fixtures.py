"""A small bundle that is valid throughout; its kernel boots nothing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bundle import manifest as manifests
from bundle import sums
from bundle.manifest import FileInput, KernelInput, LabInput, Manifest, Output, ToolInput
from host.files import sha256_file
from kernel.environment import SOURCE_DATE_EPOCH
from settings.paths import CONFIGS

TOOLS = ("busybox", "crt1.o", "flex", "gcc", "ld", "libc.a", "lz4", "python3", "unheard-of")
BUNDLE_NAME = "p2plab-6.12-switch-q35"
MADE_UP = (
    "bzImage",
    "vmlinux",
    "p2pmem_pci.ko",
    "p2pmem-test",
    "initramfs.cpio.lz4",
    ".config",
    "System.map",
    "sbom.cdx.json",
    "boot.sh",
    "README",
)
EXECUTABLE = ("vmlinux", "p2pmem-test", "boot.sh")
EVIDENCE = ("verdict.json", "junit.xml", "console.log", "trace.json", "qemu.sh", "host.json")
CONFIG_FILES = {
    "topology.toml": CONFIGS / "topologies/switch-q35.toml",
    "scenario.toml": CONFIGS / "scenarios/copy.toml",
    "fragments/0-p2pdma.config": CONFIGS / "p2pdma.config",
}
IMAGE = (*MADE_UP, *CONFIG_FILES)
KERNEL = KernelInput(
    asked="6.12",
    used="6.12",
    substituted=False,
    reason="",
    kind="apt",
    version="6.12.1",
    release="6.12.1-p2plab",
    url="",
    package="linux-source-6.12",
    package_version="6.12.1-1",
    file="linux-source-6.12_6.12.1-1_all.deb",
    sha256="1" * 64,
)


def tool_input(name: str, version: str = "1.0") -> ToolInput:
    """Return a program of the machine."""
    return ToolInput(name, f"{name} {version}", name, f"{version}-1", "a" * 64)


def manifest_of(image: Path) -> Manifest:
    """Return the manifest of the files that are in an image folder."""
    named = {name: sha256_file(image / name) for name in CONFIG_FILES}
    return Manifest(
        kernel=KERNEL,
        lab=LabInput(commit="c" * 40, dirty=False, recipe="2" * 64),
        topology=FileInput("switch-q35", named["topology.toml"]),
        scenario=FileInput("copy", named["scenario.toml"]),
        cpu="qemu64",
        fragments=(FileInput("fragments/0-p2pdma.config", named["fragments/0-p2pdma.config"]),),
        sources=tuple(
            FileInput(name, str(number) * 64)
            for number, name in enumerate(("p2pmem-pci", "p2pmem-test", "rootfs"), 3)
        ),
        tools=tuple(tool_input(name) for name in TOOLS),
        source_date_epoch=SOURCE_DATE_EPOCH,
        outputs=tuple(
            Output(name, (image / name).stat().st_size, sha256_file(image / name))
            for name in sums.files_below(image)
            if name not in (manifests.NAME, sums.NAME)
        ),
    )


def make_bundle(parent: Path, name: str = BUNDLE_NAME) -> Path:
    """Make a bundle with image and evidence; return its folder."""
    image, evidence = parent / name / "image", parent / name / "evidence"
    (image / "fragments").mkdir(parents=True)
    evidence.mkdir()
    for file in MADE_UP:
        (image / file).write_text(f"the {file} of a bundle\n" * 3)
    for file in EXECUTABLE:
        (image / file).chmod(0o755)
    for file, source in CONFIG_FILES.items():
        shutil.copyfile(source, image / file)
    for file in EVIDENCE:
        (evidence / file).write_text(f"the {file} of a run\n")
    seal(image)
    return parent / name


def seal(image: Path, change: Callable[[Manifest], Manifest] = lambda same: same) -> Manifest:
    """Write manifest and sums of an image anew, as its files are now; ``change`` may alter it.

    The verdict beside it, if there is one, becomes one about this image.
    """
    manifest = change(manifest_of(image))
    (image / manifests.NAME).write_text(manifests.as_text(manifest))
    sums.write_sums(image)
    evidence = image.parent / "evidence"
    if evidence.is_dir():
        write_verdict(evidence, verdict_of(manifest))
    return manifest


def verdict_of(manifest: Manifest) -> dict[str, Any]:
    """Return what a verdict about an image says of it."""
    booted = ("bzImage", "initramfs.cpio.lz4")
    return {
        "kernel": asdict(manifest.kernel),
        "outcome": "passed",
        "topology": manifest.topology.name,
        "scenario": manifest.scenario.name,
        "cpu": manifest.cpu,
        "files": {item.name: item.sha256 for item in manifest.outputs if item.name in booted},
    }


def write_verdict(evidence: Path, verdict: dict[str, Any]) -> None:
    """Put a verdict into an evidence folder, with sums that fit."""
    (evidence / "verdict.json").write_text(json.dumps(verdict))
    sums.write_sums(evidence)


def substituted(manifest: Manifest) -> Manifest:
    """Return the manifest of a kernel that was not the one asked for."""
    reason = "linux-6.3.2.tar.xz is neither downloaded nor reachable"
    return replace(
        manifest, kernel=replace(manifest.kernel, asked="auto", substituted=True, reason=reason)
    )
