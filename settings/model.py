"""Every setting of the lab: its name, default, meaning, and how its text becomes a value."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from settings.parse import (
    Root,
    choice,
    existing,
    existing_file,
    flag,
    fragments,
    kernel,
    one_word,
    patterns,
    positive,
    source_folder,
    stem_of,
    trees,
    whole,
)


@dataclass(frozen=True)
class Settings:
    """The values of all settings for one run of doit."""

    kernel: str
    config: tuple[Path, ...]
    module: Path | None
    tool: Path | None
    rootfs: str
    topology: str
    scenario: str
    accel: str
    cpu: str
    jobs: int
    keep: bool
    gdb: bool
    bundle: Path | None
    manifest: Path | None
    against: Path | None
    runs: int
    trees: tuple[Path, ...]
    minutes: int
    seed: int
    cases: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """One ``name=value`` of the command line."""

    name: str
    default: str
    help: str
    parse: Callable[[str, Root], Any]


AUTO_SCENARIO = "auto"
SETTINGS = (
    Setting(
        "kernel",
        "auto",
        "a kernel of configs/kernels.toml, X.Y for apt's linux-source-X.Y of any suite, a path to "
        "your own kernel tree, or auto: "
        "6.3.2 if it is downloaded or can be, else the newest linux-source that apt offers",
        kernel,
    ),
    Setting(
        "config",
        "",
        "Kconfig fragments on top of configs/p2pdma.config, separated by commas: names of "
        "configs/*.config (debug, kcsan), or paths to your own",
        fragments,
    ),
    Setting(
        "module",
        "",
        "the folder of your own kernel module, with a Kbuild or Makefile, instead of p2pmem-pci",
        source_folder("Kbuild", "Makefile"),
    ),
    Setting(
        "tool",
        "",
        "the folder of your own tool, with a Makefile, instead of p2pmem-test",
        source_folder("Makefile", "makefile", "GNUmakefile"),
    ),
    Setting(
        "rootfs",
        "plain",
        "tools: fio, nvme and lspci are in the guest too, and take part in `doit verify`",
        choice("plain", "tools"),
    ),
    Setting("topology", "switch-q35", "a PCI tree of configs/topologies", stem_of("topologies")),
    Setting(
        "scenario",
        AUTO_SCENARIO,
        "what verify checks, of configs/scenarios, or auto: the one that is called as the topology "
        "is, else copy",
        stem_of("scenarios", AUTO_SCENARIO),
    ),
    Setting(
        "accel",
        "auto",
        "auto, kvm or tcg; auto boots a probe once to see whether KVM can run a guest",
        choice("auto", "kvm", "tcg"),
    ),
    Setting("cpu", "", "QEMU CPU model instead of the topology's, e.g. EPYC", one_word),
    Setting(
        "jobs",
        str(os.cpu_count() or 1),
        "parallel jobs of a kernel build, and of the tests",
        positive,
    ),
    Setting("keep", "no", "yes: `doit boot` keeps the drive images for the next boot", flag),
    Setting("gdb", "no", "yes: `doit boot` waits for gdb before the first instruction", flag),
    Setting(
        "bundle",
        "",
        "`doit verify` checks and boots this bundle (its folder or archive), not the build tree",
        existing,
    ),
    Setting(
        "manifest",
        "",
        "`doit reproduce` rebuilds what this manifest.json of a bundle describes",
        existing_file("the manifest.json of a bundle"),
    ),
    Setting(
        "against",
        "",
        "a static program that takes p2pmem-test's arguments: `doit bench` compares ours with it",
        existing_file("a program"),
    ),
    Setting("runs", "5", "how often `doit bench` measures each variant", positive),
    Setting(
        "trees",
        "",
        "`doit compat` takes these kernel trees of yours too, separated by commas",
        trees,
    ),
    Setting(
        "minutes",
        "10",
        "how long `doit soak` goes on, but never less than one pass; how long `doit race` looks",
        positive,
    ),
    Setting(
        "seed",
        "0",
        "of everything random in `doit lifecycle` and `doit soak`: they print it; 0: a new one",
        whole,
    ),
    Setting(
        "cases",
        "",
        "only these cases of `doit lifecycle` and `doit soak`: patterns like 'mapping x *', "
        "separated by commas",
        patterns,
    ),
)
