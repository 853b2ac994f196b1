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
    flag,
    fragments,
    kernel,
    one_word,
    positive,
    stem_of,
    whole,
)


@dataclass(frozen=True)
class Settings:
    """The values of all settings for one run of doit."""

    kernel: str
    config: tuple[Path, ...]
    topology: str
    scenario: str
    accel: str
    cpu: str
    jobs: int
    keep: bool
    gdb: bool
    bundle: Path | None
    manifest: Path | None
    minutes: int
    seed: int


@dataclass(frozen=True)
class Setting:
    """One ``name=value`` of the command line."""

    name: str
    default: str
    help: str
    parse: Callable[[str, Root], Any]


STANDARD_SCENARIO = "copy"
SETTINGS = (
    Setting(
        "kernel",
        "auto",
        "a kernel of configs/kernels.toml, a path to your own kernel tree, or auto: "
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
    Setting("topology", "switch-q35", "a PCI tree of configs/topologies", stem_of("topologies")),
    Setting(
        "scenario",
        STANDARD_SCENARIO,
        "what verify checks, of configs/scenarios",
        stem_of("scenarios"),
    ),
    Setting(
        "accel",
        "auto",
        "auto, kvm or tcg; auto boots a probe once to see whether KVM can run a guest",
        choice("auto", "kvm", "tcg"),
    ),
    Setting("cpu", "", "QEMU CPU model instead of the topology's, e.g. EPYC", one_word),
    Setting("jobs", str(os.cpu_count() or 1), "parallel jobs of a kernel build", positive),
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
        existing,
    ),
    Setting("minutes", "10", "how long `doit soak` goes on; never less than one pass", positive),
    Setting(
        "seed",
        "0",
        "of everything random in `doit lifecycle` and `doit soak`: they print it; 0: a new one",
        whole,
    ),
)
