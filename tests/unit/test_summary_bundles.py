"""The summary of bundles: with and without their archives, good, damaged, and of other runs."""

import pytest

from bundle import manifest as manifests
from host.files import emptied
from tests.unit.bundle_fixtures import seal, substituted, verdict_of, write_verdict
from tests.unit.summary_project import GOOD, Project
from verify.verdict import as_data

pytest_plugins = ["tests.unit.summary_fixtures"]


def test_substituted_kernel_of_a_bundle_alone(project: Project) -> None:
    seal(project.bundled() / "image", substituted)

    assert project.summary().splitlines()[2].startswith("**Not the kernel that was asked for:**")


def test_verdict_of_a_bundle(project: Project) -> None:
    project.bundled()

    text = project.summary()
    assert "| dist/p2plab-6.12-switch-q35/evidence |" in text
    assert text.startswith("# p2plab\n\nKernel: asked 6.12")
    assert project.summary() == text, "the copies of an earlier summary are no verdicts"


def test_bundle_that_is_not_what_it_claims_to_be(project: Project) -> None:
    (project.bundled() / "image/bzImage").write_text("another kernel")

    text = project.summary()
    assert "\n**Not good:** p2plab-6.12-switch-q35 is not what it claims to be.\n" in text
    assert "image/bzImage: changed, or its line in SHA256SUMS" in text
    assert "| 0.0 MiB | **not what it claims to be** |" in text


def test_damaged_archive_beside_a_good_folder(project: Project) -> None:
    project.bundled()
    archive = project.dist / "p2plab-6.12-switch-q35.tar.xz"
    archive.write_bytes(archive.read_bytes()[:-100])

    assert "**Not good:** p2plab-6.12-switch-q35.tar.xz is not what it claims" in project.summary()


@pytest.mark.parametrize("part", ["image", "evidence"])
def test_archive_of_an_earlier_bundle(project: Project, part: str) -> None:
    folder = project.bundled()
    if part == "image":
        (folder / "image/bzImage").write_text("a newer kernel")
        seal(folder / "image")
    (folder / "evidence/console.log").write_text("a newer run")
    about = verdict_of(manifests.load(folder / "image/manifest.json"))
    write_verdict(folder / "evidence", {**as_data(GOOD), **about})

    text = project.summary()
    assert "**Not good:** p2plab-6.12-switch-q35.tar.xz is not of the folder beside it." in text
    assert "**of another bundle**" in text


def test_what_a_killed_run_left_is_no_bundle(project: Project) -> None:
    folder = project.bundled()
    folder.rename(project.dist / f".{folder.name}.4242.partial")
    (project.dist / f"{folder.name}.tar.xz").unlink()
    project.tested("lint", 0)

    text = project.summary()
    assert "partial" not in text
    assert "Not run: Builds, Verdicts, Bundles" in text


def test_run_that_came_to_no_verdict_though_an_older_bundle_passed(project: Project) -> None:
    project.built()
    project.bundled()
    emptied(project.at.run_dir("verify", "switch-q35"))

    text = project.summary()
    assert "\n**Not good:** switch-q35: no verdict.\n" in text


def test_damaged_manifest_of_a_bundle_is_told(project: Project) -> None:
    project.bundled()
    path = project.dist / "p2plab-6.12-switch-q35/image/manifest.json"
    path.write_text('{"kernel": ')

    text = project.summary()
    assert "\n**Damaged:** " in text
    assert "manifest.json" in text
