"""A bundle of the real build: made, damaged, moved to a machine with nothing but QEMU, booted."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest

from boot.qemu import QEMU
from bundle import manifest
from bundle.archive import SUFFIX
from bundle.image import outputs
from kernel.source import read_record
from settings.paths import DIST, PROJECT, Workspace
from tests.integration.conftest import doit_argv

pytestmark = pytest.mark.kernel

BOOT_TIMEOUT = 120  # seconds; emulated, on a machine that may be busy
INPUTS_DIFFER = 21
BAD_BUNDLE = 22


@pytest.fixture(scope="session")
def bundle(workspace: Workspace) -> Path:
    """Return the bundle of the tested build, made as a person makes it."""
    done = subprocess.run(
        doit_argv("bundle"), cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # It was built before the tests began: built again, it would go away under those that boot it.
    # Only make knows whether a user's own tree has changed.
    own_tree = read_record(workspace.source_record).kind == "path"
    assert own_tree or "== kernel" not in done.stdout, done.stdout
    archives = [Path(word) for word in done.stdout.split() if word.endswith(f"{SUFFIX}:")]
    assert len(archives) == 1, done.stdout
    return DIST / archives[0].name.removesuffix(f"{SUFFIX}:")


@pytest.fixture
def moved(bundle: Path, tmp_path: Path) -> Path:
    """Return a copy of the bundle's folder that a test may damage."""
    return Path(shutil.copytree(bundle, tmp_path / bundle.name))


@pytest.fixture
def only_qemu(tmp_path: Path) -> dict[str, str]:
    """Return an environment with QEMU and no other program: no compiler, no shell, no git."""
    programs = tmp_path / "bin"
    programs.mkdir()
    found = shutil.which(QEMU)
    assert found
    (programs / QEMU).symlink_to(found)
    return {**os.environ, "PATH": str(programs)}


def verify(path: Path, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `doit verify bundle=...`."""
    argv = [*doit_argv()[:3], "verify", f"bundle={path}"]
    return subprocess.run(argv, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)


def test_the_folder_holds_what_the_manifest_says(bundle: Path) -> None:
    image = bundle / "image"
    done = subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=image)
    assert done.returncode == 0
    found = manifest.load(image / manifest.NAME)
    assert found.outputs == tuple(outputs(image))
    assert {"bzImage", "vmlinux", "p2pmem_pci.ko", "p2pmem-test", "boot.sh", ".config"} <= {
        item.name for item in found.outputs
    }


def test_the_first_thing_a_reader_meets_is_the_kernel(bundle: Path) -> None:
    text = (bundle / "image" / manifest.NAME).read_text()
    assert next(iter(json.loads(text))) == "kernel"
    kernel = manifest.load(bundle / "image" / manifest.NAME).kernel
    first = (bundle / "image/README").read_text().splitlines()[0]
    assert ("NOT the kernel that was asked for" in first) == kernel.substituted
    assert kernel.release in first


def test_the_evidence_is_about_this_image(bundle: Path) -> None:
    verdict = json.loads((bundle / "evidence/verdict.json").read_text())
    assert verdict["outcome"] == "passed"
    for name, digest in verdict["files"].items():
        assert hashlib.sha256((bundle / "image" / name).read_bytes()).hexdigest() == digest


def test_an_archive_is_verified_with_nothing_but_qemu(
    bundle: Path, tmp_path: Path, only_qemu: dict[str, str]
) -> None:
    archive = Path(shutil.copy(f"{bundle}{SUFFIX}", tmp_path))
    done = verify(archive, only_qemu)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout
    evidence = tmp_path / f"{bundle.name}.evidence"
    assert json.loads((evidence / "verdict.json").read_text())["outcome"] == "passed"
    assert (evidence / "console.log").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [archive.name, evidence.name, "bin"]
    )


def test_one_flipped_bit_in_any_file_is_named_and_nothing_is_booted(moved: Path) -> None:
    files = [path for path in sorted(moved.rglob("*")) if path.is_file()]
    assert len(files) > 15
    for path in files:
        whole = path.read_bytes()
        place = len(whole) // 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        done = verify(moved)
        path.write_bytes(whole)
        assert done.returncode == BAD_BUNDLE, (path, done.stdout, done.stderr)
        assert path.name in done.stderr
        assert "Traceback" not in done.stderr
        assert not moved.with_name(f"{moved.name}.evidence").exists()


def test_boot_sh_needs_nothing_but_qemu_and_a_shell(moved: Path, only_qemu: dict[str, str]) -> None:
    child = pexpect.spawn(
        "/bin/sh",
        [str(moved / "image/boot.sh")],
        env=only_qemu,
        encoding="utf-8",
        timeout=BOOT_TIMEOUT,
    )
    child.expect(r"p2plab:\S+# ")
    child.sendline("modprobe p2pmem_pci && sleep 1 && echo loaded-$?")
    child.expect("loaded-0")
    command = "p2pmem-test /dev/nvme0n1 /dev/nvme1n1 /dev/p2pmem0 -c 4 -s 64k --check"
    child.sendline(f"{command}; echo ended-$?")
    child.expect("MATCH")
    child.expect("ended-0")
    child.sendline("poweroff -f")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_comment_in_the_module_changes_the_module_and_what_holds_it(
    bundle: Path, clone: Path
) -> None:
    """Rebuild the bundle elsewhere from its manifest, with one input changed."""
    source = clone / "p2pmem-pci/p2pmem_main.c"
    source.write_text(f"/* A remark. */\n{source.read_text()}")
    given = f"manifest={bundle / 'image' / manifest.NAME}"
    done = subprocess.run(
        [*doit_argv()[:3], "reproduce", given],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == INPUTS_DIFFER, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    told = manifest.load(bundle / "image" / manifest.NAME).kernel
    assert told.release in lines[1]
    assert ("NOT the kernel" in lines[1]) == told.substituted
    before = done.stdout.index("sources.p2pmem-pci")
    assert before < done.stdout.index("outputs that differ")
    result = json.loads((clone / "build/rebuild/result.json").read_text())
    changed = {item["name"]: item["reasons"] for item in result["outputs"]}
    # Not bzImage, vmlinux, System.map, .config, p2pmem-test, boot.sh and the files of the user.
    assert set(changed) == {"p2pmem_pci.ko", "initramfs.cpio.lz4", "sbom.cdx.json", "README"}
    assert changed["p2pmem_pci.ko"] == ["sources.p2pmem-pci"]
