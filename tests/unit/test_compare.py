"""Two images compared: what differs, which difference explains which, and what nothing explains."""

import io
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bundle.archive import pack
from bundle.compare import (
    Comparison,
    compare,
    manifest_at,
    print_comparison,
    require_same_outputs,
    run,
)
from bundle.errors import BundleError, InputsDiffer, OutputsDiffer
from bundle.manifest import FileInput, KernelInput, Manifest, ManifestError, Output
from bundle.origins import UNKNOWN, inputs_of, origin_of
from host.errors import SettingError
from tests.unit.bundle_fixtures import (
    IMAGE,
    make_bundle,
    manifest_of,
    seal,
    substituted,
    tool_input,
)

Change = Callable[[Manifest], Manifest]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return manifest_of(make_bundle(tmp_path_factory.mktemp("compare")) / "image")


def other_outputs(manifest: Manifest, *names: str) -> Manifest:
    """Return the manifest with other bytes in these outputs."""
    assert {*names} <= {item.name for item in manifest.outputs}
    outputs = (
        replace(item, sha256="d" * 64) if item.name in names else item for item in manifest.outputs
    )
    return replace(manifest, outputs=tuple(outputs))


def other_kernel(**fields: str) -> Change:
    return lambda given: replace(
        given,
        kernel=replace(given.kernel, **fields),  # type: ignore[arg-type]
    )


def other_source(name: str) -> Change:
    def change(given: Manifest) -> Manifest:
        sources = (
            replace(item, sha256="e" * 64) if item.name == name else item for item in given.sources
        )
        return replace(given, sources=tuple(sources))

    return change


def other_tool(name: str) -> Change:
    def change(given: Manifest) -> Manifest:
        tools = (tool_input(name, "2.0") if item.name == name else item for item in given.tools)
        return replace(given, tools=tuple(tools))

    return change


def other_lab(**fields: object) -> Change:
    return lambda given: replace(given, lab=replace(given.lab, **fields))  # type: ignore[arg-type]


def ending(found: Comparison) -> int:
    """Return the exit code that a comparison comes to."""
    try:
        require_same_outputs(found)
    except (InputsDiffer, OutputsDiffer) as error:
        return error.exit_code
    return 0


def printed(found: Comparison) -> str:
    stream = io.StringIO()
    print_comparison(found, ("one", "two"), stream)
    return stream.getvalue()


def test_the_same(good: Manifest) -> None:
    found = compare(good, good)

    assert (found.inputs, found.outputs, ending(found)) == ((), (), 0)
    assert printed(found).endswith("all outputs are the same\n")


def test_other_inputs_but_the_same_outputs(good: Manifest) -> None:
    """As another compiler may give: it is told, and it is no failure."""
    found = compare(good, other_tool("gcc")(good))

    assert [item.name for item in found.inputs] == [
        "tools.gcc.package_version",
        "tools.gcc.version",
    ]
    assert ending(found) == 0
    assert "tools.gcc.version          gcc 1.0  ->  gcc 2.0" in printed(found)


COMMENT = ("p2pmem_pci.ko", "initramfs.cpio.lz4", "sbom.cdx.json", "README")


def test_comment_in_the_source_of_the_module(good: Manifest) -> None:
    changed = other_lab(dirty=True)(other_source("p2pmem-pci")(good))
    found = compare(good, other_outputs(changed, *COMMENT))
    reasons = {item.name: item.reasons for item in found.outputs}

    assert {*reasons} == {*COMMENT}
    assert reasons["p2pmem_pci.ko"] == ("sources.p2pmem-pci",)
    assert reasons["initramfs.cpio.lz4"] == ("p2pmem_pci.ko",)
    assert ending(found) == 21


@pytest.mark.parametrize("name", sorted({*IMAGE} - {*COMMENT}))
def test_comment_in_the_source_of_the_module_explains_nothing_else(
    good: Manifest, name: str
) -> None:
    changed = other_source("p2pmem-pci")(good)
    found = compare(good, other_outputs(changed, *COMMENT, name))

    assert [item.name for item in found.unexplained] == [name]
    assert ending(found) == 20
    with pytest.raises(OutputsDiffer, match=f"why these differ: {re.escape(name)}\n"):
        require_same_outputs(found)
    assert f"WITHOUT A REASON, A -> B:\n   {name}  " in printed(found)


BUILT = ("bzImage", "vmlinux", "System.map", ".config", "p2pmem_pci.ko")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (other_kernel(sha256="9" * 64), (*BUILT, "initramfs.cpio.lz4")),
        (other_kernel(release="6.12.1-other"), (*BUILT, "initramfs.cpio.lz4")),
        (other_tool("gcc"), (*BUILT, "p2pmem-test")),
        (other_tool("flex"), BUILT),
        (other_tool("libc.a"), ("p2pmem-test",)),
        (other_tool("crt1.o"), ("p2pmem-test",)),
        (other_tool("unheard-of"), (*BUILT, "p2pmem-test")),
        (other_tool("python3"), ()),
        (other_tool("busybox"), ("initramfs.cpio.lz4",)),
        (other_tool("lz4"), ("bzImage", "initramfs.cpio.lz4")),
        (other_source("rootfs"), ("initramfs.cpio.lz4",)),
        (other_source("p2pmem-test"), ("p2pmem-test",)),
        (other_lab(recipe="9" * 64), (*BUILT, "p2pmem-test", "initramfs.cpio.lz4", "boot.sh")),
        (lambda given: replace(given, cpu="EPYC"), ("boot.sh",)),
        (
            lambda given: replace(given, topology=FileInput("x", "9" * 64)),
            ("boot.sh", "topology.toml"),
        ),
        (lambda given: replace(given, scenario=FileInput("x", "9" * 64)), ("scenario.toml",)),
        (
            lambda given: replace(given, fragments=(FileInput("p2pdma.config", "9" * 64),)),
            (*BUILT, "fragments/0-p2pdma.config"),
        ),
        (
            lambda given: replace(given, source_date_epoch=1),
            (*BUILT, "p2pmem-test", "initramfs.cpio.lz4"),
        ),
        # What is asked for, and from where it comes, is no reason for other bytes.
        (substituted, ()),
        (other_kernel(asked="auto", url="https://example.org/x", package="other"), ()),
        (other_lab(commit="f" * 40, dirty=True), ()),
    ],
)
def test_what_an_input_explains(good: Manifest, change: Change, names: tuple[str, ...]) -> None:
    told = ("README", "sbom.cdx.json")

    for name in IMAGE:
        found = compare(good, other_outputs(change(good), name))
        assert found.inputs
        assert ending(found) == (21 if name in (*names, *told) else 20), name


def test_output_that_holds_another_one_is_explained_by_it(good: Manifest) -> None:
    """The one that nothing explains is named, not all that contain it."""
    names = ("p2pmem-test", "initramfs.cpio.lz4", "sbom.cdx.json")
    found = compare(good, other_outputs(good, *names))

    assert [item.name for item in found.unexplained] == ["p2pmem-test"]
    assert ending(found) == 20


def test_outputs_alone_never_explain_each_other(good: Manifest) -> None:
    for names in [*itertools.combinations(IMAGE, 1), *itertools.combinations(IMAGE, 2), IMAGE]:
        assert compare(good, other_outputs(good, *names)).unexplained, names


def test_origin_of_every_output_is_known() -> None:
    assert [name for name in IMAGE if origin_of(name) == UNKNOWN] == []


def test_output_of_unknown_origin_has_no_reason(good: Manifest) -> None:
    changed = other_lab(recipe="9" * 64)(good)
    extra = Output("new", 1, "0" * 64)
    a = replace(good, outputs=(*good.outputs, extra))
    b = replace(changed, outputs=(*good.outputs, replace(extra, size=2)))

    assert [item.name for item in compare(a, b).unexplained] == ["new"]


def test_another_fragment(good: Manifest) -> None:
    more = Output("fragments/1-debug.config", 3, "0" * 64)
    b = replace(
        good,
        fragments=(*good.fragments, FileInput("debug.config", "0" * 64)),
        outputs=(*good.outputs, more),
    )
    found = compare(good, other_outputs(b, "bzImage"))

    assert [item.name for item in found.inputs] == ["fragments.1.name", "fragments.1.sha256"]
    assert ending(found) == 21
    assert "   fragments.1.name    none  ->  debug.config\n" in printed(found)
    assert "   fragments/1-debug.config (only in B)  fragments.1.name" in printed(found)


def test_order_of_fragments_is_an_input(good: Manifest) -> None:
    two = (*good.fragments, FileInput("debug.config", "0" * 64))
    a, b = replace(good, fragments=two), replace(good, fragments=two[::-1])

    assert len(compare(a, b).inputs) == 4


@pytest.mark.parametrize("name", ["bzImage", "p2pmem_pci.ko"])
def test_output_of_one_image_only(good: Manifest, name: str) -> None:
    """Another compiler gives other bytes, not one file less."""
    less = tuple(item for item in good.outputs if item.name != name)
    found = compare(replace(other_tool("gcc")(good), outputs=less), good)

    assert [item.name for item in found.unexplained] == [name]
    assert f"{name} (only in B)  none  ->  " in printed(found)
    assert ending(found) == 20


def test_substituted_kernel_is_told_first(good: Manifest) -> None:
    lines = printed(compare(good, substituted(good))).splitlines()

    assert lines[:4] == [
        "A: one",
        "   kernel 6.12 (Linux 6.12.1), as asked for (6.12)",
        "B: two",
        "   NOT THE KERNEL ASKED FOR: kernel 6.12 (Linux 6.12.1), asked was auto: "
        "linux-6.3.2.tar.xz is neither downloaded nor reachable",
    ]


def test_long_lists_and_sums_are_shortened(good: Manifest) -> None:
    text = printed(compare(good, other_outputs(other_kernel(sha256="9" * 64)(good), *IMAGE)))
    told = next(line for line in text.splitlines() if line.startswith("   sbom.cdx.json"))

    assert "   kernel.sha256  111111111111  ->  999999999999\n" in text
    assert "   sbom.cdx.json       kernel.sha256, .config, System.map, boot.sh and " in told


def test_somebody_elses_manifest_does_not_steer_the_terminal(good: Manifest) -> None:
    evil = other_kernel(used="\x1b[2J", version="\n")(good)

    text = printed(compare(good, evil))

    assert "\x1b" not in text
    assert "kernel ?[2J (Linux ?)" in text


def test_inputs_by_dotted_names(good: Manifest) -> None:
    inputs = inputs_of(good)

    assert inputs["tools.gcc.version"] == "gcc 1.0"
    assert inputs["sources.rootfs"] == "5" * 64
    assert inputs["lab.dirty"] == "no"
    assert inputs["fragments.0.name"] == "fragments/0-p2pdma.config"
    assert len([name for name in inputs if name.startswith("kernel.")]) == len(
        KernelInput.__dataclass_fields__
    )


# --- from paths --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


@pytest.mark.parametrize("word", ["", "/image", "/image/manifest.json", ".tar.xz", ".txt"])
def test_everything_that_has_a_manifest(folder: Path, word: str) -> None:
    pack(folder, folder.with_name(f"{folder.name}.tar.xz"))
    text = (folder / "image/manifest.json").read_text()
    folder.with_name(f"{folder.name}.txt").write_text(text)

    path = folder.with_name(f"{folder.name}{word}") if "/" not in word else folder / word[1:]

    assert manifest_at(path) == manifest_of(folder / "image")


@pytest.mark.parametrize("word", ["", "/image"])
def test_files_that_are_there_are_checked_first(folder: Path, word: str) -> None:
    (folder / "image/boot.sh").write_text("rm -r /")

    with pytest.raises(BundleError, match=r"boot\.sh: changed"):
        manifest_at(Path(f"{folder}{word}"))


def test_manifest_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("no JSON")

    with pytest.raises(ManifestError, match="not JSON") as caught:
        manifest_at(tmp_path / "manifest.json")
    assert "get it from its bundle" in caught.value.hint


@pytest.mark.parametrize("words", [[], ["a"], ["a", "b", "c"]])
def test_two_are_compared(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(SettingError, match=f"takes two bundles, not {len(words)}"):
        run(words, tmp_path)


def test_what_is_not_there(folder: Path) -> None:
    with pytest.raises(SettingError, match=f"there is no {folder.parent}/nope"):
        run([folder.name, "nope"], folder.parent)


def test_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(folder, folder.parent / "before.tar.xz")
    run(["before.tar.xz", folder.name], folder.parent)
    assert capsys.readouterr().out.endswith("all outputs are the same\n")

    (folder / "image/p2pmem_pci.ko").write_text("with other line numbers")
    seal(folder / "image", other_source("p2pmem-pci"))
    with pytest.raises(InputsDiffer, match="1 outputs differ, each for a reason"):
        run(["before.tar.xz", folder.name], folder.parent)
    assert "   p2pmem_pci.ko  sources.p2pmem-pci\n" in capsys.readouterr().out
