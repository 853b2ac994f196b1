"""A manifest says one thing to people and programs alike, or it is none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundle.manifest import FileInput, Manifest, ManifestError, as_text, load
from tests.unit.bundle_fixtures import KERNEL, make_bundle, manifest_of, substituted, tool_input

Change = Callable[[Manifest], Manifest]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return manifest_of(make_bundle(tmp_path_factory.mktemp("manifest")) / "image")


def loaded(folder: Path, text: str) -> Manifest:
    file = folder / "manifest.json"
    file.write_text(text)
    return load(file)


@pytest.mark.parametrize("change", [lambda same: same, substituted])
def test_what_is_written_is_read(good: Manifest, change: Change, tmp_path: Path) -> None:
    assert loaded(tmp_path, as_text(change(good))) == change(good)


def with_kernel(**fields: Any) -> Change:  # noqa: ANN401 - of any kind
    return lambda given: replace(given, kernel=replace(given.kernel, **fields))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (with_kernel(asked="6.3.2"), "asked for '6.3.2', used '6.12' .* it was not substituted"),
        (with_kernel(asked="auto"), "asked for 'auto', .* of kind apt, .* was not substituted"),
        (with_kernel(substituted=True, reason="why not"), "says that it was substituted"),
        (with_kernel(version="6.3.2"), "release '6.12.1-p2plab' is not one of version '6.3.2'"),
        (with_kernel(reason="\x1b[2K"), "reason"),
    ],
)
def test_substituted_kernel_is_not_passed_off(
    good: Manifest, change: Change, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=told):
        loaded(tmp_path, as_text(change(good)))


@pytest.mark.parametrize("sign", ["\x1b[2K", "\n", "\r", "\u202e", "\x9b"])
def test_nothing_steers_a_terminal(good: Manifest, sign: str, tmp_path: Path) -> None:
    tool = replace(good.tools[0], version=f"1.0{sign}")

    with pytest.raises(ManifestError, match="characters that cannot be shown") as caught:
        loaded(tmp_path, as_text(replace(good, tools=(tool, *good.tools[1:]))))

    assert sign not in caught.value.message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: replace(m, outputs=(*m.outputs, m.outputs[0])), "outputs: '.config' .* 2 times"),
        (
            lambda m: replace(m, tools=(tool_input("gcc", "13.1"), *m.tools)),
            "tools: 'gcc' is there 2 times",
        ),
        (
            lambda m: replace(m, sources=(FileInput("rootfs", "0" * 64), *m.sources)),
            "sources: 'rootfs' is there 2 times",
        ),
        (
            lambda m: replace(m, fragments=(*m.fragments, *m.fragments)),
            "fragments: .* is there 2 times",
        ),
    ],
)
def test_of_two_with_one_name_none_is_hidden(
    good: Manifest, change: Change, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=told):
        loaded(tmp_path, as_text(change(good)))


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "..", "a/..", "./a", "a//b", "a/", "/a", "a\n", ""]
)
@pytest.mark.parametrize("group", ["outputs", "fragments", "topology", "scenario"])
def test_no_name_leaves_its_folder(good: Manifest, name: str, group: str, tmp_path: Path) -> None:
    field = getattr(good, group)
    changed = replace(field[0] if isinstance(field, tuple) else field, name=name)
    fields: dict[str, Any] = {group: (changed,) if isinstance(field, tuple) else changed}

    with pytest.raises(ManifestError, match=rf"\$\.{group}"):
        loaded(tmp_path, as_text(replace(good, **fields)))


@pytest.mark.parametrize("group", ["topology", "scenario"])
def test_a_configuration_is_in_no_folder_below(good: Manifest, group: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = {group: FileInput("a/b", "0" * 64)}

    with pytest.raises(ManifestError, match=rf"\$\.{group}\.name"):
        loaded(tmp_path, as_text(replace(good, **fields)))


@pytest.mark.parametrize("cpu", ["", "qemu64 x", "../x", "qemu64\n", "*"])
def test_processor_is_one_word(good: Manifest, cpu: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"\$\.cpu"):
        loaded(tmp_path, as_text(replace(good, cpu=cpu)))


def test_member_that_is_there_twice(good: Manifest, tmp_path: Path) -> None:
    """A person reads the first one, a program takes the last."""
    kernel = json.dumps({"kernel": {**KERNEL.__dict__, "used": "6.3.2", "asked": "6.3.2"}})
    text = as_text(substituted(good)).replace("{", kernel.removesuffix("}") + ",", 1)
    assert json.loads(text)["kernel"]["used"] == "6.12"

    with pytest.raises(ManifestError, match=r"line 1: .* is not as the lab writes it"):
        loaded(tmp_path, text)


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda text: json.dumps(dict(reversed(json.loads(text).items())), indent=2) + "\n",
        lambda text: text.replace('"size": ', '"size": 1.0e0', 1),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f"{text}\n",
        lambda text: text.replace('"6.12"', '"\\u0036.12"', 1),
        lambda text: text.replace('"apt"', '"apt" ', 1),
    ],
    ids=["kernel last", "number", "line ends", "end", "escape", "blank"],
)
def test_the_same_told_otherwise(
    good: Manifest, rewritten: Callable[[str], str], tmp_path: Path
) -> None:
    text = as_text(good)
    assert rewritten(text) != text

    with pytest.raises(ManifestError, match=r"line \d+: .* is not as the lab writes it"):
        loaded(tmp_path, rewritten(text))


@pytest.mark.parametrize("text", ["[" * 100_000, '"\\ud800"', "\ud800", "NaN", "1" * 5000])
def test_what_json_cannot_be(text: str, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(text, errors="surrogatepass")

    with pytest.raises(ManifestError):
        load(file)
