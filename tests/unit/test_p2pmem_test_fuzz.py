"""The parsers of the userspace tool, fed with random command lines, under ASan and UBSan."""

import secrets
import subprocess
from pathlib import Path

import pytest

from tests.unit.p2pmem_tool import SANITIZERS, SOURCE

pytest_plugins = ["tests.unit.p2pmem_fixtures"]

TARGET = Path(__file__).with_name("p2pmem_fuzz.c")
RUNS = 100_000  # some seconds
TIMEOUT_S = 300


def build(builds: Path, folder: Path, changed: Path | None = None) -> Path:
    """Link the target with the tool's sanitized objects; one source may take another's place."""
    program = folder / "fuzz"
    flags = [*SANITIZERS.split(), "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-pthread"]
    left_out = {"main.o", f"{changed.stem}.o" if changed else ""}
    objects = [path for path in (builds / "sanitized").glob("*.o") if path.name not in left_out]
    more = [changed] if changed else []
    argv: list[str | Path] = [
        "gcc",
        *flags,
        f"-I{SOURCE}",
        "-o",
        program,
        TARGET,
        *more,
        *sorted(objects),
    ]
    subprocess.run(argv, check=True, timeout=TIMEOUT_S)
    return program


def fuzz(program: Path, seed: int) -> subprocess.CompletedProcess[str]:
    print(f"to repeat it: {program.name} {seed} {RUNS}")
    argv: list[str | Path] = [program, str(seed), str(RUNS)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)


def test_random_command_lines(builds: Path, tmp_path: Path) -> None:
    """Another seed for each run; pytest shows it if the test fails."""
    done = fuzz(build(builds, tmp_path), secrets.randbits(32))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("file", "right", "wrong", "words"),
    [("size.c", "__builtin_mul_overflow(*value, 10, value) ||", "(*value *= 10, 0) ||",
      "size_of(text, &expected) == !wrong"),
     ("size.c", "if (!suffix || text[1])", "if (!suffix)", "size_of(text, &expected) == !wrong"),
     ("geometry.c", "end > INT64_MAX", "0", "end <= INT64_MAX"),
     ("geometry.c", "geometry_slices(geo) > geo->chunks", "0", "geo->iodepth <= geo->chunks"),
     ("options.c", "init->count % init->width", "0", "opt->init.count"),
     ("options.c", "colon != width + 1 || ", "", "opt->host_access.width"),
     ("outcome.c", "*c = '?'", "(void)0", "!strpbrk(out.message")],
)  # fmt: skip
def test_mistakes_are_found(
    builds: Path, tmp_path: Path, file: str, right: str, wrong: str, words: str
) -> None:
    """A parser that is wrong in one place does not get through."""
    text = (SOURCE / file).read_text()
    assert text.count(right) == 1
    changed = tmp_path / file
    changed.write_text(text.replace(right, wrong))
    done = fuzz(build(builds, tmp_path, changed), 1)
    assert done.returncode != 0
    assert words in done.stderr
