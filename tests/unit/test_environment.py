"""A build does not see what its caller exports, and ccache changes no byte of it."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from kernel.environment import REPRODUCIBLE, build_environment
from kernel.external import build_module
from kernel.kbuild import Kbuild
from kernel.selection import select
from rootfs import task as rootfs_task
from settings.paths import PROJECT, Workspace
from tests.unit.fake_kernel import fake_kernel, fake_module

# What people export for other work, each of which once reached a compiler or a makefile.
EXPORTED = {
    "CFLAGS": "-O0 -g",
    "CPPFLAGS": "-DNDEBUG",
    "LDFLAGS": "-Wl,--build-id=none",
    "LDLIBS": "-lm",
    "MAKEFLAGS": "STATIC=",
    "C_INCLUDE_PATH": "/nowhere",
    "LOCALVERSION": "-mine",
    "KBUILD_BUILD_USER": "me",
    "SOURCE_DATE_EPOCH": "1",
    "LC_ALL": "tr_TR.UTF-8",
}


def test_little_of_the_caller_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("CCACHE_DIR", "/cache")
    for name, value in EXPORTED.items():
        monkeypatch.setenv(name, value)

    seen = build_environment()

    assert seen["PATH"] == "/bin"
    assert seen["CCACHE_DIR"] == "/cache"
    assert {name: seen[name] for name in REPRODUCIBLE} == REPRODUCIBLE
    assert (EXPORTED.keys() - REPRODUCIBLE.keys()) & seen.keys() == set()


def real_tool(folder: Path) -> bytes:
    """Return the real tool, built by its stage."""
    selection = replace(select(["settings"]), workspace=Workspace(folder))
    rootfs_task.tool(selection, PROJECT / "p2pmem-test")
    return selection.workspace.tool.read_bytes()


def test_exported_variables_change_no_byte_of_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = real_tool(tmp_path / "before")
    for name, value in EXPORTED.items():
        monkeypatch.setenv(name, value)

    assert real_tool(tmp_path / "after") == before


def test_a_rust_compiler_of_this_machine_is_not_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Kconfig asks $(RUSTC) as scripts/rustc-version.sh does; rustup's answers by the home.
    kbuild = Kbuild(fake_kernel(tmp_path / "src"), tmp_path / "build/linux", jobs=1)
    makefile = kbuild.source / "Makefile"
    asked = "RUSTC = rustc\nnoted:\n\t$(RUSTC) --version || echo none\n"
    makefile.write_text(makefile.read_text() + asked)
    rustc = tmp_path / "bin/rustc"
    rustc.parent.mkdir()
    rustc.write_text("#!/bin/sh\necho rustc 1.95 of $HOME\n")
    rustc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{rustc.parent}:/usr/bin:/bin")

    kbuild.run(["noted"], title="noted", log=tmp_path / "log")

    assert "none" in (tmp_path / "log").read_text().splitlines()


class Checkout:
    """A checkout with an unpacked (fake) kernel and a module that tells where it was compiled."""

    def __init__(self, root: Path) -> None:
        self.root = root
        source = fake_kernel(root / "build/6.12/source")
        self.kbuild = Kbuild(source, root / "build/6.12/linux", jobs=1)
        self.kbuild.output.mkdir()
        (self.kbuild.output / "Module.symvers").touch()
        self.folder = fake_module(root / "own")
        own = self.folder / "own.c"
        own.write_text(own.read_text() + "const char *where(void) { return __FILE__; }\n")

    def module(self) -> bytes:
        output = self.kbuild.output.with_name("own")
        build_module(self.kbuild, self.folder, output, self.root / "module.log")
        return (output / "own.ko").read_bytes()


def hits(cache: Path) -> int:
    """Return how many compilations a cache has saved."""
    text = subprocess.check_output(
        ["ccache", "--print-stats"], env={"PATH": "/usr/bin:/bin", "CCACHE_DIR": str(cache)}
    )
    counts = dict(line.split("\t") for line in text.decode().splitlines())
    return int(counts["direct_cache_hit"]) + int(counts["preprocessed_cache_hit"])


def test_another_checkout_hits_the_cache_and_gets_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    with monkeypatch.context() as without:
        without.setenv("CCACHE_DISABLE", "1")
        plain = Checkout(tmp_path / "plain").module()
    monkeypatch.delenv("CCACHE_DISABLE", raising=False)
    monkeypatch.setenv("CCACHE_DIR", str(cache))

    first = Checkout(tmp_path / "first").module()
    assert hits(cache) == 0
    second = Checkout(tmp_path / "second-and-longer").module()

    assert hits(cache) == 1
    assert b"/p2plab/build/own/own.c" in plain
    assert first == second == plain


def test_cache_of_a_user_with_another_base_directory_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CCACHE_BASEDIR", str(tmp_path / "one/own"))

    assert b"/p2plab/build/own/own.c" in Checkout(tmp_path / "one").module()
