"""kill -9 of a whole build at many moments; the same command again ends in the same bytes."""

import random
import shutil
from pathlib import Path

import pytest

from tests.unit.fake_checkout import FakeCheckout

# Inside doit: counts what may change files, and kills the process group at the given moment.
KILLER = """
import os, signal, sys
moment = int(os.environ.get("KILL_AT", "0"))
events = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.utime", "os.symlink",
          "subprocess.Popen", "fcntl.flock"}
count = 0

def changes(event, args):
    if event == "open":
        return not isinstance(args[0], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return event in events

def hook(event, args):
    global count
    if moment and changes(event, args):
        count += 1
        if count == moment:
            os.kill(0, signal.SIGKILL)

sys.addaudithook(hook)
"""

# In place of gcc: kills the process group when half of a certain file is written.
GCC = """\
#!/bin/sh
for word; do
	[ "$before" != -o ] || out=$word
	before=$word
done
{real} "$@" || exit
if [ "${{out##*/}}" = "$(cat {point})" ]; then
	head -c $(($(wc -c <"$out") / 2)) "$out" >"$out.half"
	cat "$out.half" >"$out"
	kill -9 0
fi
"""

# In place of lz4, which writes to a pipe: the same after a part of what it has to say.
LZ4 = """\
#!/bin/sh
[ "$(cat {point})" = lz4 ] || exec {real} "$@"
{real} "$@" | head -c 500000
kill -9 0
"""


class Victim:
    """A fake checkout, and ways to kill its doit."""

    def __init__(self, folder: Path) -> None:
        self.checkout = FakeCheckout(folder)
        self.point = folder / "point"
        self.point.touch()
        bin_dir = folder / "bin"
        bin_dir.mkdir()
        for name, text in (("gcc", GCC), ("lz4", LZ4)):
            program = bin_dir / name
            program.write_text(text.format(real=shutil.which(name), point=self.point))
            program.chmod(0o755)
        (bin_dir / "sitecustomize.py").write_text(KILLER)
        environment = self.checkout.environment
        environment["PATH"] = f"{bin_dir}:{environment['PATH']}"
        environment["PYTHONPATH"] = str(bin_dir)
        self.whole = self.checkout.build()

    def wipe(self) -> None:
        shutil.rmtree(self.checkout.root / "build")

    def killed_at_event(self, moment: int) -> bool:
        """Kill a build when it changes its moment-th file; False if it ended before that."""
        self.checkout.environment["KILL_AT"] = str(moment)
        done = self.checkout.doit("build")
        del self.checkout.environment["KILL_AT"]
        assert done.returncode in (0, -9), done.stderr
        return done.returncode != 0

    def killed_in(self, file: str) -> None:
        """Kill a build when gcc has written half of a file, or in ``lz4``."""
        self.point.write_text(file)
        done = self.checkout.doit("build")
        self.point.write_text("")
        assert done.returncode == -9, done.stderr


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    return Victim(tmp_path_factory.mktemp("killed"))


def test_killed_again_and_again_at_random_moments(victim: Victim) -> None:
    victim.wipe()
    chance = random.Random(4)
    kills = [victim.killed_at_event(chance.randint(1, 40)) for _ in range(8)]

    assert victim.checkout.build() == victim.whole
    assert sum(kills) >= 4


def test_killed_in_every_stage_when_half_of_a_file_is_written(victim: Victim) -> None:
    victim.wipe()
    for file in ("kernel.o", "vmlinux", "p2pmem_pci.ko", "p2pmem-test", "lz4"):
        victim.killed_in(file)

    assert victim.checkout.build() == victim.whole


def test_half_an_object_would_be_believed_without_the_marker(victim: Victim) -> None:
    victim.wipe()
    victim.killed_in("kernel.o")
    marker = victim.checkout.at.root / ".linux.unfinished"
    assert marker.exists()
    marker.unlink()

    done = victim.checkout.doit("build")

    assert done.returncode == 1
    assert "kernel.o" in done.stderr


def test_killed_in_a_rebuild_after_an_edit(victim: Victim) -> None:
    victim.wipe()
    victim.checkout.build()
    folder = victim.checkout.root
    edits = (
        (folder / "p2pmem-pci/p2pmem_pci.c", "\nint more;\n", "p2pmem_pci.ko"),
        (folder / "p2pmem-test/main.c", "\nint more = 1;\n", "p2pmem-test"),
    )
    for path, more, made in edits:
        path.write_text(path.read_text() + more)
        victim.killed_in(made)
    edited = victim.checkout.build()
    victim.wipe()

    assert edited == victim.checkout.build()
    assert edited["p2pmem-test"] != victim.whole["p2pmem-test"]

    for path, more, made in edits:
        path.write_text(path.read_text().removesuffix(more))
        victim.killed_in(made)
        # What a killed run made must not pass for what doit's older notes are about.
        path.write_text(path.read_text() + more)

    assert victim.checkout.build() == edited
    for path, more, _ in edits:
        path.write_text(path.read_text().removesuffix(more))
