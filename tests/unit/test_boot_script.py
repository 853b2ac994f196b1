"""boot.sh really runs here, by a POSIX shell, with a program that shows its arguments as QEMU."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from boot.qemu import QEMU
from boot.topology import Topology, load_topology
from bundle.boot_script import boot_script
from settings.paths import CONFIGS

SHELL = "/bin/sh"


@pytest.fixture
def topology() -> Topology:
    return load_topology(CONFIGS / "topologies/switch-q35.toml")


@pytest.fixture
def image(tmp_path: Path, topology: Topology) -> Path:
    folder = tmp_path / "an image"
    folder.mkdir()
    script = folder / "boot.sh"
    script.write_text(boot_script(topology, "EPYC,x2apic=on"))
    script.chmod(0o755)
    return folder


@pytest.fixture
def only_qemu(tmp_path: Path) -> dict[str, str]:
    """Return an environment with nothing but QEMU in its PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    qemu = programs / QEMU
    qemu.write_text(f'#!{SHELL}\npwd\nprintf "%s\\n" "$@"\n')
    qemu.chmod(0o755)
    return {"PATH": str(programs), "TERM": "xterm"}


def run(image: Path, env: dict[str, str], *arguments: str, cwd: Path | None = None) -> list[str]:
    folder = str(image) if cwd is None else os.path.relpath(image, cwd)
    done = subprocess.run(
        [f"{folder}/boot.sh", *arguments],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_it_boots_the_files_beside_it_from_anywhere(
    image: Path, only_qemu: dict[str, str], tmp_path: Path
) -> None:
    for cwd in (None, tmp_path, image):
        words = run(image, {**only_qemu, "CDPATH": "/"}, cwd=cwd)
        assert words[0] == str(image)
        assert after(words, "-kernel") == "bzImage"
        assert after(words, "-initrd") == "initramfs.cpio.lz4"


def test_the_machine_is_the_one_of_the_image(image: Path, only_qemu: dict[str, str]) -> None:
    words = run(image, only_qemu)
    assert after(words, "-machine") == "q35,accel=tcg"
    assert after(words, "-cpu") == "EPYC,x2apic=on"
    append = after(words, "-append")
    assert "clocksource=hpet" in append
    assert "console=ttyS0,115200" in append
    assert append.endswith("p2plab.mode=interactive p2plab.size=24x80 p2plab.term=xterm")
    drives = [word for word in words if word.startswith("if=none")]
    assert len(drives) == 2
    assert all("file.driver=null-co,file.size=67108864" in drive for drive in drives)


def test_accelerator_and_options_are_the_users(image: Path, only_qemu: dict[str, str]) -> None:
    words = run(image, {**only_qemu, "ACCEL": "kvm"}, "-s", "-name", "with blank")
    assert after(words, "-machine") == "q35,accel=kvm"
    assert "clocksource" not in after(words, "-append")
    assert words[-3:] == ["-s", "-name", "with blank"]


def test_without_qemu_it_says_so(image: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [SHELL, str(image / "boot.sh")],
        env={"PATH": str(tmp_path / "nothing")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 69
    assert f"{QEMU} is not on this machine" in done.stderr


def test_no_path_of_a_machine_is_in_it(topology: Topology) -> None:
    text = boot_script(topology, topology.cpu).replace("#!/bin/sh", "").replace("/dev/null", "")
    assert not re.findall(r"(?<![\w.}*])/\w[\w/]*", text)
