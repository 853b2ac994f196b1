"""Build p2pmem-test from the tree and run it on regular files."""

import json
import os
import random
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "p2pmem-test"
SHIM_SOURCES = Path(__file__).with_name("p2pmem_shim")
SECTOR = 512
MASK = (1 << 64) - 1
TIMEOUT_S = 60
MIB = 1 << 20
SIZE = 2 * MIB
SANITIZERS = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
DRIVES = ("a.img", "b.img")
PEER = (*DRIVES, "mem")
DATA = {name: random.Random(name).randbytes(SIZE) for name in PEER}


def make(out: Path, *arguments: str, source: Path = SOURCE) -> Path:
    """Build the tool into `out`, warnings being errors; return the program."""
    subprocess.run(
        ["make", "-s", "-j2", f"O={out}", "CPPFLAGS=-Werror", *arguments],
        cwd=source,
        check=True,
        timeout=300,
    )
    return out / "p2pmem-test"


def make_shim(out: Path) -> Path:
    """Build the library that plays a failing kernel; return it."""
    library = out / "p2pmem_shim.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    flags += ["-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64"]
    sources = sorted(str(path) for path in SHIM_SOURCES.glob("*.c"))
    subprocess.run(["gcc", *flags, "-o", str(library), *sources], check=True, timeout=60)
    return library


@dataclass(frozen=True)
class Result:
    """What a run of the tool left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The object that --json printed; its exit code is checked against the real one."""
        report: dict[str, Any] = json.loads(self.stdout)
        assert report["exit_code"] == self.code
        return report


@dataclass(frozen=True)
class Call:
    """One pread or pwrite of the tool, as the shim saw it."""

    call: str
    file: str
    offset: int
    length: int
    memory: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """What was done to which file by which memory."""
        return (self.call, self.file, self.memory)


@dataclass(frozen=True)
class Tool:
    """A built tool, started in `folder`, optionally with the shim below it."""

    program: Path
    folder: Path
    shim: Path | None = None
    preloaded: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where the shim writes its log."""
        return self.folder / "shim.log"

    def run(self, *args: str | bytes, rules: str = "") -> Result:
        """Run the tool to its end; `rules` are the shim's."""
        env = {**os.environ, **self.env}
        if self.shim:
            env |= {
                "LD_PRELOAD": ":".join((*self.preloaded, str(self.shim))),
                "P2PMEM_SHIM": rules,
                "P2PMEM_SHIM_LOG": str(self.log),
            }
        done = subprocess.run(
            [self.program, *args],
            cwd=self.folder,
            env=env,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=TIMEOUT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def json(self, *args: str, rules: str = "") -> dict[str, Any]:
        """Run the tool with --json; return the object."""
        return self.run(*args, "--json", rules=rules).report

    def calls(self) -> list[Call]:
        """The I/O of the last run with the shim, in order."""
        words = (line.split() for line in self.log.read_text().splitlines())
        return [Call(c, f, int(o), int(n), m) for c, f, o, n, m in words]


def sanitizer_library() -> str:
    """The library of ASan, which has to be loaded before any other."""
    done = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def mix(value: int) -> int:
    """The finalizer of SplitMix64."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def pattern(offset: int, length: int, seed: int) -> bytes:
    """The pattern as the man page describes it."""
    blocks = []
    for block in range(offset // SECTOR, (offset + length) // SECTOR):
        state = mix(block ^ mix(seed))
        fill = [mix((state + i) & MASK) for i in range(2, 64)]
        blocks.append(struct.pack("<64Q", block, seed, *fill))
    return b"".join(blocks)


def contents(tool: Tool) -> list[bytes]:
    """Both drives and the memory."""
    return [(tool.folder / name).read_bytes() for name in PEER]
