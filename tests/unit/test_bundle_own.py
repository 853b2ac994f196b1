"""A manifest tells whose module and tool an image has, and everybody goes by it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundle import check, sections
from bundle.check import open_bundle
from bundle.compare import compare
from bundle.inputs import packed_inputs, source_inputs
from bundle.manifest import FileInput, Manifest, ToolInput
from bundle.own import has_clients, module_file, own_names
from bundle.read_me import read_me
from bundle.sbom import sbom
from host.errors import LabError, SettingError
from rootfs.initramfs import ImageFile
from settings.paths import PROJECT
from tests.unit.bundle_fixtures import make_bundle, manifest_of, seal, verdict_of, write_verdict
from tests.unit.fake_dpkg import database
from tests.unit.image_parts import Machine
from tests.unit.test_rebuild import Theirs, theirs
from tests.unit.test_sbom import licence, listed, properties

__all__ = ["theirs"]  # the fixture
PACKED = (
    ToolInput("packed/bin/fio", "", "fio", "3.33-3", "f" * 64),
    ToolInput("packed/lib/x86_64-linux-gnu/libz.so.1", "", "zlib1g", "1.2.13", "e" * 64),
)


def with_own(manifest: Manifest) -> Manifest:
    """Return the manifest of an image with a module and a tool of the user's own, and with fio."""
    names = {"p2pmem-pci": "module/mine", "p2pmem-test": "tool/my-tool"}
    return replace(
        manifest,
        sources=tuple(
            replace(item, name=names.get(item.name, item.name)) for item in manifest.sources
        ),
        tools=(*manifest.tools, *PACKED),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a bundle with own module and tool."""
    folder = make_bundle(tmp_path)
    image = folder / "image"
    (image / "p2pmem_pci.ko").rename(image / "mine.ko")
    made = seal(image, with_own)
    verdict = verdict_of(made) | {"own": {"module": "mine", "tool": "my-tool"}}
    write_verdict(folder / "evidence", verdict)
    return folder


def test_sources_of_the_users_own_are_summed_under_their_name(tmp_path: Path) -> None:
    own = tmp_path / "my module"
    own.mkdir()
    (own / "Makefile").write_text("obj-m := mine.o\n")
    plain = {item.name: item.sha256 for item in source_inputs(PROJECT)}

    found = {item.name: item.sha256 for item in source_inputs(PROJECT, module=own)}
    (own / "notes").write_text("whatever the build may read")
    changed = {item.name: item.sha256 for item in source_inputs(PROJECT, module=own)}

    assert set(plain) == {"p2pmem-pci", "p2pmem-test", "rootfs"}
    assert set(found) == {"module/my_module", "p2pmem-test", "rootfs"}
    assert found["module/my_module"] != changed["module/my_module"]


def test_packed_files_are_named_by_their_place_in_the_guest(tmp_path: Path) -> None:
    file = tmp_path / "libone.so"
    file.write_text("one")

    (found,) = packed_inputs({"/lib/libone.so": file})

    assert found.name == "packed/lib/libone.so"
    assert found.version == ""


def test_manifest_tells_whose_they_are(folder: Path) -> None:
    manifest = open_bundle(folder).manifest

    assert own_names(manifest) == {"module": "mine", "tool": "my-tool"}
    assert has_clients(manifest)
    assert module_file(item.name for item in manifest.outputs) == "mine.ko"


def test_plain_image_is_all_ours(tmp_path: Path) -> None:
    manifest = manifest_of(make_bundle(tmp_path) / "image")

    assert own_names(manifest) == {}
    assert not has_clients(manifest)


def test_bundle_is_booted_as_what_it_is(folder: Path) -> None:
    artifacts = check.artifacts(open_bundle(folder))

    assert artifacts.module == "mine"
    assert (artifacts.own_module, artifacts.own_tool) == ("mine", "my-tool")
    assert artifacts.clients


@pytest.mark.parametrize("own", [{}, {"module": "other", "tool": "my-tool"}])
def test_verdict_about_another_module(folder: Path, own: dict[str, str]) -> None:
    verdict = json.loads((folder / "evidence/verdict.json").read_text())
    write_verdict(folder / "evidence", verdict | {"own": own})

    with pytest.raises(LabError, match="is about another image: own is"):
        open_bundle(folder)


def test_read_me_names_them(folder: Path) -> None:
    text = read_me(open_bundle(folder).manifest)

    assert "the module mine of a user's own,\nthe tool my-tool of a user's own," in text
    assert "./doit module=mine tool=my-tool reproduce manifest=" in text
    assert "sources are /p2plab/build/module there" in text


def test_library_of_the_machine_explains_another_image_and_nothing_else(folder: Path) -> None:
    manifest = open_bundle(folder).manifest
    tools = [replace(tool, sha256="0" * 64) if tool in PACKED else tool for tool in manifest.tools]
    outputs = [
        replace(item, sha256="0" * 64)
        if item.name in ("initramfs.cpio.lz4", "p2pmem-test", "bzImage")
        else item
        for item in manifest.outputs
    ]
    found = compare(manifest, replace(manifest, tools=tuple(tools), outputs=tuple(outputs)))

    reasons = {item.name: item.reasons for item in found.outputs}
    assert "tools.packed/bin/fio.sha256" in reasons["initramfs.cpio.lz4"]
    assert [item.name for item in found.unexplained] == ["bzImage", "p2pmem-test"]


def test_sources_of_the_users_own_explain_another_module(folder: Path) -> None:
    theirs = open_bundle(folder).manifest
    sources = [
        FileInput("module/other", "0" * 64) if item.name == "module/mine" else item
        for item in theirs.sources
    ]
    outputs = [
        replace(item, name="other.ko", sha256="0" * 64) if item.name == "mine.ko" else item
        for item in theirs.outputs
    ]
    found = compare(theirs, replace(theirs, sources=tuple(sources), outputs=tuple(outputs)))

    assert found.unexplained == ()
    assert {item.name for item in found.outputs} == {"mine.ko", "other.ko"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), r"somebody's own module \(mine\), which has no address"),
        (("module=mine",), r"somebody's own tool \(my-tool\)"),
    ],
)
def test_rebuild_wants_the_same_sources(
    theirs: Theirs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    (own / "Kbuild").touch()
    monkeypatch.setenv("P2PLAB_INVOKED_FROM", str(tmp_path))
    theirs.write(with_own(theirs.manifest))

    with pytest.raises(SettingError, match=told) as caught:
        theirs.described(*words)

    assert "give the same sources: " in caught.value.hint


def test_rebuild_of_ours_wants_no_other(
    theirs: Theirs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "Makefile").touch()
    monkeypatch.setenv("P2PLAB_INVOKED_FROM", str(tmp_path))

    with pytest.raises(SettingError, match=r"tool= and this manifest do not go together"):
        theirs.described("tool=.")


def test_rebuild_has_the_same_programs_in_its_guest(theirs: Theirs) -> None:
    assert theirs.described().selection.given["rootfs"] == "plain"
    theirs.write(replace(theirs.manifest, tools=(*theirs.manifest.tools, *PACKED)))

    plan = theirs.described()

    assert plan.selection.given["rootfs"] == "tools"
    assert plan.selection.settings.rootfs == "tools"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("own-sbom")
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = Machine(folder / "machine", database(folder, monkeypatch))
        made.install()
        made.dpkg.add("zlib1g", "1:1.2.13", made.file("lib/libz.so.1"), Source="zlib")
        yield made


def test_bill_of_materials_lists_packages_of_packed_files(machine: Machine) -> None:
    parts = machine.parts()
    library = ImageFile("/lib/libz.so.1", machine.file("lib/libz.so.1"), "755")

    found = listed(sbom(replace(parts, contents=(*parts.contents, library))))

    assert found["zlib1g"]["version"] == "1:1.2.13"
    assert properties(found["zlib1g/libz.so.1"])["p2plab:guest-path"] == "/lib/libz.so.1"


def test_bill_of_materials_claims_no_licence_for_what_is_not_ours(machine: Machine) -> None:
    parts = machine.parts()
    names = {"p2pmem_pci.ko": "mine.ko"}
    outputs = tuple(replace(item, name=names.get(item.name, item.name)) for item in parts.outputs)
    own = {"module": "mine", "tool": "my-tool"}

    found = listed(sbom(replace(parts, outputs=outputs, own=own, linked=())))

    for name in ("mine", "my-tool"):
        assert licence(found[name]) == []
        assert properties(found[name])["p2plab:own-sources"] in own.values()
        assert "p2plab:guest-path" in properties(found[name])
    assert properties(found["my-tool"])["p2plab:linked-from"] == "not known"
    assert "p2pmem_pci" not in found


def test_build_with_a_module_of_ones_own_is_a_finished_one(tmp_path: Path) -> None:
    root = tmp_path / "build/6.12"
    for name in (
        "source.json",
        "linux/arch/x86/boot/bzImage",
        "module-mine-1.ko",
        "tool-mine-2.program",
        "rootfs+module-mine-1/initramfs.cpio.lz4",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "source.json").write_text(
        json.dumps({"asked": "6.12", "used": "6.12", "version": "6.12.1"})
    )

    section = sections.builds(sections.Place(tmp_path / "build", tmp_path / "dist"))

    assert section.rows == [["6.12", "done"]]
    (root / "tool-mine-2.program").unlink()
    section = sections.builds(sections.Place(tmp_path / "build", tmp_path / "dist"))
    assert section.rows == [["6.12", "**not finished**: no tool"]]
