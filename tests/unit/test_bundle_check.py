"""A bundle that is not what it claims to be: every kind of change is named, and nothing opens."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundle import check, manifest, sums
from bundle.check import open_bundle, open_image
from bundle.errors import BundleError
from bundle.manifest import FileInput, Manifest
from host.files import sha256_file
from settings.paths import CONFIGS
from tests.unit.bundle_fixtures import (
    BUNDLE_NAME,
    EVIDENCE,
    IMAGE,
    make_bundle,
    seal,
    substituted,
    verdict_of,
    write_verdict,
)

PARTS = ("image", "evidence")
EVERY_FILE = (
    *(f"image/{name}" for name in (*IMAGE, manifest.NAME, sums.NAME)),
    *(f"evidence/{name}" for name in (*EVIDENCE, sums.NAME)),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


def refusal(folder: Path) -> list[str]:
    """Return what is said about a bundle, line by line, behind its name."""
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    assert caught.value.exit_code == 22
    assert caught.value.hint
    first, *rest = caught.value.message.splitlines()
    assert first == f"{BUNDLE_NAME} is not what it claims to be:"
    return [line.strip() for line in rest]


def test_the_list_of_files_here_is_complete(folder: Path) -> None:
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert sorted(map(str, found)) == sorted(EVERY_FILE)


def test_good_bundle(folder: Path) -> None:
    bundle = open_bundle(folder)

    assert (bundle.folder, bundle.image) == (folder, folder / "image")
    assert bundle.manifest == manifest.load(folder / "image/manifest.json")


def test_image_part_alone(folder: Path) -> None:
    for path in (folder / "evidence").iterdir():
        path.unlink()
    (folder / "evidence").rmdir()
    image = folder / "image"

    assert open_bundle(folder).image == image
    assert open_image(image).manifest == open_bundle(folder).manifest


@pytest.mark.parametrize("name", EVERY_FILE)
def test_one_flipped_bit(folder: Path, name: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    told = refusal(folder)

    if path.name == sums.NAME:
        assert all(line.startswith(f"{path.parent.name}/") for line in told)
        assert any(sums.NAME in line for line in told)
    else:
        assert told == [f"{name}: changed, or its line in SHA256SUMS"]


@pytest.mark.parametrize("name", EVERY_FILE)
def test_removed_file(folder: Path, name: str) -> None:
    (folder / name).unlink()

    parent = str(Path(name).parent)
    assert refusal(folder) == [
        f"{name}: missing"
        if parent in PARTS
        else f"{parent}: an empty folder, which no list can hold"
    ]


@pytest.mark.parametrize("part", PARTS)
def test_added_file(folder: Path, part: str) -> None:
    (folder / part / "new").touch()

    assert refusal(folder) == [f"{part}/new: extra, not in SHA256SUMS"]


@pytest.mark.parametrize("part", PARTS)
def test_added_folder(folder: Path, part: str) -> None:
    (folder / part / "new/er").mkdir(parents=True)

    assert refusal(folder) == [f"{part}/new/er: an empty folder, which no list can hold"]


@pytest.mark.parametrize("name", ["image/bzImage", "evidence/verdict.json"])
@pytest.mark.parametrize("target", ["../../outside", "/etc/passwd", "manifest.json"])
def test_link_in_place_of_a_file(folder: Path, name: str, target: str) -> None:
    (folder / name).rename(folder.parent / "outside")
    (folder / name).symlink_to(target)

    assert refusal(folder) == [f"{name}: a symbolic link"]


@pytest.mark.parametrize("part", PARTS)
def test_link_in_place_of_a_part(folder: Path, part: str) -> None:
    (folder / part).rename(folder.parent / part)
    (folder / part).symlink_to(f"../{part}")

    assert refusal(folder) == [f"{part}: no folder"]


def test_fifo_is_not_opened(folder: Path) -> None:
    (folder / "image/bzImage").unlink()
    os.mkfifo(folder / "image/bzImage")

    assert refusal(folder) == ["image/bzImage: no regular file"]


def test_top_of_a_bundle_has_two_parts_and_nothing_else(folder: Path) -> None:
    (folder / "README").touch()
    (folder / "images").mkdir()

    assert refusal(folder) == [
        "'README': extra; a bundle has only image/ and evidence/",
        "'images': extra; a bundle has only image/ and evidence/",
    ]


def test_folder_that_is_no_bundle_is_not_listed(folder: Path) -> None:
    (folder / "image").rename(folder / "other")

    assert refusal(folder) == ["it has no folder image/"]


def test_bundle_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / BUNDLE_NAME).touch()

    assert refusal(tmp_path / BUNDLE_NAME) == ["it is no folder"]


def test_both_parts_are_told_at_once(folder: Path) -> None:
    (folder / "evidence/junit.xml").write_text("all passed")
    (folder / "image/bzImage").write_text("another kernel")

    assert refusal(folder) == [
        "image/bzImage: changed, or its line in SHA256SUMS",
        "evidence/junit.xml: changed, or its line in SHA256SUMS",
    ]


# From here on all sums are right: somebody made them anew after the change.


def test_manifest_that_is_none(folder: Path) -> None:
    (folder / "image/manifest.json").write_text("{}")
    sums.write_sums(folder / "image")

    with pytest.raises(BundleError, match=r"manifest\.json: \$: .* is a required property"):
        open_bundle(folder)


def outputs(change: Callable[[dict[str, tuple[int, str]]], object]) -> Callable[..., Manifest]:
    """Return what alters the outputs of a manifest, given as size and sum by name."""

    def changed(given: Manifest) -> Manifest:
        by_name = {item.name: (item.size, item.sha256) for item in given.outputs}
        change(by_name)
        items = (manifest.Output(name, *rest) for name, rest in by_name.items())
        return replace(given, outputs=tuple(items))

    return changed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            outputs(lambda items: items.pop("vmlinux")),
            "image/vmlinux: extra, not in manifest.json",
        ),
        (
            outputs(lambda items: items.update({"new": (0, "0" * 64)})),
            "image/new: in manifest.json, but missing",
        ),
        (
            outputs(lambda items: items.update({"boot.sh": (1, items["boot.sh"][1])})),
            "image/boot.sh: has another size than in manifest.json",
        ),
        (
            outputs(lambda items: items.update({"boot.sh": (items["boot.sh"][0], "0" * 64)})),
            "image/boot.sh: has another sum than in manifest.json",
        ),
        (
            lambda given: replace(given, topology=FileInput("switch-q35", "0" * 64)),
            "image/topology.toml: is not the file that manifest.json has as an input",
        ),
        (
            lambda given: replace(given, scenario=FileInput("copy", "0" * 64)),
            "image/scenario.toml: is not the file that manifest.json has as an input",
        ),
    ],
)
def test_manifest_of_another_image(
    folder: Path, change: Callable[[Manifest], Manifest], told: str
) -> None:
    seal(folder / "image", change)

    assert refusal(folder) == [told]


@pytest.mark.parametrize("name", ["bzImage", "initramfs.cpio.lz4"])
def test_image_that_cannot_be_booted(folder: Path, name: str) -> None:
    (folder / "image" / name).unlink()
    seal(folder / "image")

    assert refusal(folder) == [f"image/{name}: missing; without it nothing can be booted"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: v["files"].update(bzImage="0" * 64), "files.bzImage is "),
        (lambda v: v["files"].update({"initramfs.cpio.lz4": "0" * 64}), "files.initramfs.cpio.lz4"),
        (lambda v: v["kernel"].update(reason="why not"), "kernel.reason is 'why not', not ''"),
        (lambda v: v["kernel"].update(asked="6.3.2"), "kernel.asked is '6.3.2', not '6.12'"),
        (lambda v: v["kernel"].update(sha256="0" * 64), "kernel.sha256 is "),
        (lambda v: v.update(topology="root-ports"), "topology is 'root-ports', not 'switch-q35'"),
        (lambda v: v.update(scenario="less"), "scenario is 'less', not 'copy'"),
        (lambda v: v.update(cpu="EPYC"), "cpu is 'EPYC', not 'qemu64'"),
    ],
)
def test_evidence_of_another_image(
    folder: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    verdict = verdict_of(manifest.load(folder / "image/manifest.json"))
    change(verdict)
    write_verdict(folder / "evidence", verdict)

    (line,) = refusal(folder)

    assert line.startswith(f"evidence/verdict.json: is about another image: {told}")


def test_evidence_without_a_verdict(folder: Path) -> None:
    (folder / "evidence/verdict.json").unlink()
    sums.write_sums(folder / "evidence")

    assert refusal(folder) == ["evidence/verdict.json: cannot be read: No such file or directory"]


def test_evidence_without_anything(folder: Path) -> None:
    """An empty list is right about an empty folder."""
    for path in (folder / "evidence").iterdir():
        path.unlink()
    sums.write_sums(folder / "evidence")

    assert refusal(folder) == ["evidence/verdict.json: cannot be read: No such file or directory"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1, "kernel": 2}', "[" * 100_000])
def test_evidence_with_a_damaged_verdict(folder: Path, text: str) -> None:
    (folder / "evidence/verdict.json").write_text(text)
    sums.write_sums(folder / "evidence")

    (line,) = refusal(folder)

    assert line.startswith("evidence/verdict.json: ")


@pytest.mark.parametrize("name", ["fragments/0-p2pdma.config", "fragments/1-own.config"])
def test_fragments_are_those_of_the_manifest(folder: Path, name: str) -> None:
    listed = manifest.load(folder / "image/manifest.json").fragments
    (folder / "image" / name).write_text("CONFIG_PCI_P2PDMA=n\n")
    seal(folder / "image", lambda given: replace(given, fragments=listed))

    assert refusal(folder) == [f"image/{name}: is not the file that manifest.json has as an input"]


def test_fragment_that_is_missing(folder: Path) -> None:
    extra = FileInput("fragments/1-own.config", "0" * 64)
    seal(folder / "image", lambda given: replace(given, fragments=(*given.fragments, extra)))

    assert refusal(folder) == [
        "image/fragments/1-own.config: an input in manifest.json, but missing"
    ]


def test_what_changes_behind_the_check_is_not_booted(folder: Path, tmp_path: Path) -> None:
    bundle = open_bundle(folder)
    own = check.held(bundle, tmp_path / "first")
    (folder / "image/bzImage").write_text("another kernel")

    assert (
        sha256_file(check.artifacts(own).bzimage)
        == {item.name: item.sha256 for item in own.manifest.outputs}["bzImage"]
    )
    with pytest.raises(BundleError, match="image/bzImage: changed while it was being checked"):
        check.held(bundle, tmp_path / "second")


def test_what_a_boot_needs_comes_out_of_the_bundle(folder: Path) -> None:
    seal(folder / "image", substituted)
    bundle = open_bundle(folder)
    tree = check.topology(bundle)
    artifacts = check.artifacts(bundle)

    assert (tree.name, check.scenario(bundle, tree).name) == ("switch-q35", "copy")
    assert len(check.scenario(bundle, tree).copies) > 1
    assert artifacts.release == "6.12.1-p2plab"
    assert artifacts.bzimage == folder / "image/bzImage"
    assert artifacts.initramfs == folder / "image/initramfs.cpio.lz4"
    assert artifacts.source.asked == "auto"
    assert artifacts.source.reason.startswith("linux-6.3.2.tar.xz is neither")


def test_report_of_a_bundle_names_no_path(folder: Path) -> None:
    """A user's own tree was somewhere on another machine; here there is none."""

    def of_a_tree(given: Manifest) -> Manifest:
        return replace(given, kernel=replace(given.kernel, kind="path", asked="path", used="path"))

    seal(folder / "image", of_a_tree)

    data = check.artifacts(open_bundle(folder)).source.as_data()

    assert (data["kind"], data["tree"]) == ("path", "")
    assert "/" not in "".join(data.values())


def test_names_that_mean_the_same_here(folder: Path) -> None:
    assert [*check.foreign(open_bundle(folder))] == []


def test_bundle_brings_its_own_topology(folder: Path) -> None:
    text = (CONFIGS / "topologies/root-ports.toml").read_text()
    (folder / "image/topology.toml").write_text(text)
    seal(folder / "image")

    bundle = open_bundle(folder)
    tree = check.topology(bundle)

    assert tree.name == "switch-q35"  # as its manifest calls it
    assert [*check.foreign(bundle)] == [
        "note: its switch-q35.toml is not the one of configs/topologies here"
    ]
    assert [port.model for port in tree.ports] == ["pcie-root-port", "pcie-root-port"]
