"""What somebody's manifest describes is built here, or one clear error says why not."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundle import manifest as manifests
from bundle.errors import InputsDiffer, OutputsDiffer
from bundle.manifest import FileInput, KernelInput, Manifest, ManifestError
from host.errors import SettingError
from host.files import sha256_file
from kernel import apt
from kernel.choice import AUTO, choose
from kernel.registry import AptKernel, UrlKernel
from kernel.selection import Selection, select
from reproduce import rebuild
from reproduce.build import Built, Copy, build_image
from reproduce.described import Described, described
from settings.paths import CONFIGS
from tests.unit.bundle_fixtures import make_bundle, manifest_of, tool_input
from tests.unit.kernel_fixtures import kernel_tree

# Its image is what lies prepared in the project.
DODO = """\
import pathlib, shutil
def image():
    shutil.copytree("prepared", "build/6.12/image/switch-q35")
def task_image():
    return {"actions": [image]}
"""
URL = KernelInput(
    asked="6.9",
    used="6.9",
    substituted=False,
    reason="",
    kind="url",
    version="6.9.0",
    release="6.9.0",
    url="https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.9.tar.xz",
    package="",
    package_version="",
    file="linux-6.9.tar.xz",
    sha256="9" * 64,
)


class Theirs:
    """Somebody's image folder, and a project of ours that makes the same one."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.image = make_bundle(folder / "theirs") / "image"
        self.project = folder / "project"
        self.prepared = make_bundle(folder / "ours").rename(folder / "bundle") / "image"
        self.project.mkdir()
        (self.project / "dodo.py").write_text(DODO)
        fragment = sha256_file(CONFIGS / "p2pdma.config")
        manifest = replace(
            manifest_of(self.image), fragments=(FileInput("fragments/0-p2pdma.config", fragment),)
        )
        self.write(manifest)
        self.ours(manifest)

    @property
    def file(self) -> Path:
        return self.image / manifests.NAME

    @property
    def manifest(self) -> Manifest:
        return manifests.load(self.file)

    def write(self, manifest: Manifest) -> None:
        self.file.write_text(manifests.as_text(manifest))

    def ours(self, manifest: Manifest) -> None:
        (self.prepared / manifests.NAME).write_text(manifests.as_text(manifest))

    def rebuild(self, *words: str) -> None:
        target = self.project / "prepared"
        if not target.exists():
            self.prepared.rename(target)
        rebuild.run(selected(*words), self.file, self.scratch, self.project)

    def described(self, *words: str) -> Described:
        return described(self.manifest, self.image, selected(*words), self.scratch)


def selected(*words: str) -> Selection:
    return select([*words, "settings"])


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Theirs:
    theirs = Theirs(tmp_path)
    kernel = theirs.manifest.kernel
    package = apt.Package(Path(kernel.file), kernel.package_version, kernel.sha256, vouched=True)
    monkeypatch.setattr(apt, "fetch", lambda *_: package)
    monkeypatch.setattr(rebuild, "lab_input", lambda _: theirs.manifest.lab)
    monkeypatch.setattr(rebuild, "source_inputs", lambda *_: theirs.manifest.sources)
    monkeypatch.setattr(rebuild, "tool_inputs", lambda *_: theirs.manifest.tools)
    return theirs


def test_the_same_bytes(theirs: Theirs, capsys: pytest.CaptureFixture[str]) -> None:
    theirs.rebuild()

    first, second, *_, last = capsys.readouterr().out.splitlines()
    assert first == "   Linux 6.12.1-p2plab (from package linux-source-6.12 6.12.1-1)"
    assert second == "   all inputs are the same here"
    assert last.startswith("   the same bytes: 13 outputs, built in ")
    assert json.loads((theirs.scratch / "result.json").read_text())["same"]
    assert not (theirs.scratch / "copy").exists()


def other_output(manifest: Manifest) -> Manifest:
    """Return a manifest whose tool has other bytes."""
    outputs = [
        replace(item, sha256="d" * 64) if item.name == "p2pmem-test" else item
        for item in manifest.outputs
    ]
    return replace(manifest, outputs=tuple(outputs))


def test_outputs_that_differ_although_the_inputs_agree(theirs: Theirs) -> None:
    theirs.ours(other_output(theirs.manifest))

    with pytest.raises(
        OutputsDiffer, match=r"no differing input explains .* p2pmem-test"
    ) as caught:
        theirs.rebuild()

    assert caught.value.exit_code == 20
    assert not json.loads((theirs.scratch / "result.json").read_text())["same"]


def test_inputs_that_differ_are_told_before_the_build(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [tool for tool in theirs.manifest.tools if tool.name != "gcc"]
    tools = (*others, tool_input("gcc", "13.1"))
    monkeypatch.setattr(rebuild, "tool_inputs", lambda *_: tools)
    told: list[str] = []

    def watched(copy: Copy) -> Built:
        told.append(capsys.readouterr().out)
        return build_image(copy)

    monkeypatch.setattr(rebuild, "build_image", watched)
    theirs.ours(replace(other_output(theirs.manifest), tools=tools))

    with pytest.raises(InputsDiffer) as caught:
        theirs.rebuild()

    assert caught.value.exit_code == 21
    (text,) = told
    assert "tools.gcc.version" in text
    assert "gcc 1.0  ->  gcc 13.1" in text


def test_substituted_kernel_is_said_first_and_substituted_again(
    theirs: Theirs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "linux-6.3.2.tar.xz is neither downloaded nor reachable"
    kernel = replace(theirs.manifest.kernel, asked=AUTO, substituted=True, reason=reason)
    theirs.write(replace(theirs.manifest, kernel=kernel))
    theirs.ours(theirs.manifest)
    downloads = theirs.scratch.with_name("downloads")
    downloads.mkdir()
    (downloads / "linux-6.3.2.tar.xz").touch()
    monkeypatch.setenv("P2PLAB_DOWNLOADS", str(downloads))

    theirs.rebuild()

    assert capsys.readouterr().out.startswith("   NOT the kernel that was asked for (auto)")
    theirs.described()
    chosen = choose(
        AUTO,
        registry=theirs.scratch / "kernels.toml",
        memory=theirs.scratch / "auto-kernel.json",
    )
    assert chosen.kernel == AptKernel("6.12", "linux-source-6.12")
    assert chosen.reason == reason


def test_somebody_elses_manifest_does_not_steer_the_terminal(
    theirs: Theirs, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = replace(theirs.manifest.kernel, release="6.12\x1b[2J")
    theirs.ours(theirs.manifest)
    theirs.write(replace(theirs.manifest, kernel=kernel))

    with pytest.raises(ManifestError) as caught:
        theirs.rebuild()

    assert "\x1b" not in f"{caught.value}{capsys.readouterr().out}"


def test_archive_comes_from_where_our_own_registry_has_it(theirs: Theirs) -> None:
    pinned = replace(URL, asked="6.3.2", used="6.3.2", version="6.3.2", release="6.3.2")
    ours = choose("6.3.2").kernel
    assert isinstance(ours, UrlKernel)
    theirs.write(replace(theirs.manifest, kernel=replace(pinned, sha256=ours.sha256)))

    plan = theirs.described()

    assert plan.selection.choice.kernel == ours
    registry = plan.overlay[Path("configs/kernels.toml")]
    assert choose("6.3.2", registry=registry).kernel == ours


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        (URL, "its kernel is 6.9 .* kernels.toml does not have it"),
        (replace(URL, url="file:///etc/passwd"), "does not have it"),
        (replace(URL, url="gopher://10.0.0.1/", file="../../etc/passwd"), "does not have it"),
        (
            replace(URL, asked="6.3.2", used="6.3.2", version="6.3.2", release="6.3.2"),
            "has another kernel of this name",
        ),
        (
            replace(URL, asked="6.12", used="6.12", version="6.12.0", release="6.12.0"),
            "has another kernel of this name",
        ),
    ],
)
def test_no_host_is_contacted_at_somebody_elses_word(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch, kernel: KernelInput, told: str
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("contacts a host")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    theirs.write(replace(theirs.manifest, kernel=kernel))

    with pytest.raises(ManifestError, match=told) as caught:
        theirs.rebuild()

    assert kernel.url in caught.value.hint
    assert not (theirs.scratch / "copy").exists()


def test_own_tree_has_to_be_given(theirs: Theirs, tmp_path: Path) -> None:
    path = replace(URL, kind="path", asked="path", used="path", url="", file="")
    theirs.write(replace(theirs.manifest, kernel=path))

    with pytest.raises(SettingError, match="somebody's own kernel tree") as caught:
        theirs.described()
    assert "kernel=/path/to/linux" in caught.value.hint

    tree = kernel_tree(tmp_path / "linux")
    plan = theirs.described(f"kernel={tree}")
    here = rebuild.expected(theirs.manifest, plan, tmp_path / "log").kernel
    assert here.sha256 != path.sha256
    assert here.version != path.version


def test_kernel_is_not_chosen_twice(theirs: Theirs) -> None:
    with pytest.raises(SettingError, match="do not go together"):
        theirs.described("kernel=6.12")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (lambda m: replace(m, topology=FileInput("mine", "a" * 64)), "no mine in configs/topolog"),
        (lambda m: replace(m, scenario=FileInput("mine", "a" * 64)), "no mine in configs/scenario"),
        (
            lambda m: replace(
                m, fragments=(*m.fragments, FileInput("fragments/1-my.config", "a" * 64))
            ),
            "fragments/1-my.config is not beside the manifest",
        ),
    ],
)
def test_what_is_nowhere_to_be_had(
    theirs: Theirs, changed: Callable[[Manifest], Manifest], told: str
) -> None:
    theirs.write(changed(theirs.manifest))

    with pytest.raises(ManifestError, match=told) as caught:
        theirs.rebuild()

    assert "take the manifest.json in the image folder" in caught.value.hint
    assert not (theirs.scratch / "copy").exists()


@pytest.mark.parametrize("group", ["topology", "scenario"])
def test_nothing_is_written_outside_of_the_copy(theirs: Theirs, group: str) -> None:
    """Their file is beside the manifest; its name would put it elsewhere."""
    file = replace(getattr(theirs.manifest, group), name="../../../precious")
    fields: dict[str, Any] = {group: file}
    theirs.write(replace(theirs.manifest, **fields))

    with pytest.raises(ManifestError, match=rf"\$\.{group}"):
        theirs.rebuild()

    assert not list(theirs.scratch.parent.rglob("precious*"))


def test_files_beside_the_manifest_are_taken(theirs: Theirs) -> None:
    topology = theirs.image / "topology.toml"
    topology.write_text(topology.read_text() + "\n# theirs\n")
    fragment = theirs.image / "fragments/1-my.config"
    fragment.write_text("CONFIG_EXT4_FS=y\n")
    theirs.write(
        replace(
            theirs.manifest,
            topology=FileInput("theirs", sha256_file(topology)),
            cpu="EPYC",
            fragments=(
                *theirs.manifest.fragments,
                FileInput("fragments/1-my.config", sha256_file(fragment)),
            ),
        )
    )

    plan = theirs.described()

    assert plan.overlay[Path("configs/topologies/theirs.toml")] == topology
    assert plan.selection.run_name == "theirs+EPYC"
    assert [path.name for path in plan.selection.settings.config] == ["my.config"]
    assert plan.selection.settings.config[0].read_bytes() == fragment.read_bytes()
    here = rebuild.expected(theirs.manifest, plan, theirs.scratch / "log")
    assert here.fragments == theirs.manifest.fragments
    assert here.topology == theirs.manifest.topology


def test_fragment_may_be_given(theirs: Theirs, tmp_path: Path) -> None:
    fragment = tmp_path / "elsewhere.config"
    fragment.write_text("CONFIG_EXT4_FS=y\n")
    named = FileInput("fragments/1-my.config", sha256_file(fragment))
    theirs.write(replace(theirs.manifest, fragments=(*theirs.manifest.fragments, named)))

    plan = theirs.described(f"config={fragment}")

    assert [path.name for path in plan.fragments] == ["p2pdma.config", "my.config"]


def test_file_that_is_no_manifest(theirs: Theirs) -> None:
    theirs.file.write_text("{}")

    with pytest.raises(ManifestError, match="is a required property"):
        theirs.rebuild()
