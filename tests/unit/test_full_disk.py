"""Every stage on a disk that is full: one clear error, and the next run succeeds."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings.paths import PROJECT, Workspace
from tests.unit.fake_checkout import KERNEL, FakeCheckout
from tests.unit.small_disk import SmallDisk, small_disk

KIB = 1 << 10


class Lab:
    """A fake checkout whose build directory is a small disk."""

    def __init__(self, checkout: FakeCheckout, disk: SmallDisk) -> None:
        self.checkout = checkout
        self.disk = disk
        checkout.prefix = disk.prefix(checkout.root)
        checkout.at = Workspace(disk.seen / KERNEL)

    def full(self, left: int, *words: str) -> str:
        """Run doit with little space left; return its one error."""
        self.disk.leave(left)
        done = self.checkout.doit(*words)
        self.disk.free()
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert "\n  hint: " in done.stderr, done.stderr
        error, hint = done.stderr.splitlines()[-2:]
        assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [error]
        assert "hint: free some space on the file system of " in hint
        assert "`./doit disk` shows" in hint
        return error.removeprefix("error: ")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    checkout = FakeCheckout(tmp_path_factory.mktemp("full"))
    with small_disk(checkout.root / "build") as disk:
        yield Lab(checkout, disk)


def test_nothing_left_at_the_start(lab: Lab) -> None:
    reserve = lab.checkout.root / f"build/{KERNEL}/reserve"

    assert lab.full(0, "source") == f"no space left while writing {reserve}"

    assert lab.checkout.doit("source").returncode == 0


def test_every_stage_of_a_build(lab: Lab, tmp_path: Path) -> None:
    assert [lab.checkout.doit(word).returncode for word in ("source", "clean")] == [0, 0]
    root = lab.checkout.root / "build" / KERNEL
    for left, stage, place in (
        (12 * KIB, "source", "source"),
        (8 * KIB, "config", "linux"),
        (16 * KIB, "kernel", "linux"),
        (8 * KIB, "module", "p2pmem-pci"),
        (200 * KIB, "tool", "p2pmem-test"),
        (3500 * KIB, "initramfs", "rootfs/initramfs.cpio.lz4"),
    ):
        # Where it comes first is a matter of pages: in the stage's place, or in its log.
        places = (root / place, root / "logs" / stage)
        errors = tuple(f"no space left while writing {path}" for path in places)
        assert lab.full(left, stage).startswith(errors)
        assert lab.checkout.doit(stage).returncode == 0

    assert lab.checkout.outputs() == FakeCheckout(tmp_path, lab.checkout.downloads).build()


def test_full_disk_can_be_looked_at_and_cleaned(lab: Lab) -> None:
    whole = lab.checkout.build()
    lab.disk.leave(0)

    done = [lab.checkout.doit(*words) for words in (["disk"], ["list"], ["forget"], ["clean"])]

    lab.disk.free()
    assert [(it.returncode, it.stderr) for it in done] == [(0, "")] * len(done)
    assert lab.checkout.build() == whole


def inside(lab: Lab, code: str) -> str:
    """Run Python in the build directory of the small disk; return what it says."""
    command = [*lab.disk.prefix(lab.checkout.root / "build"), sys.executable, "-c", code]
    environment = {**lab.checkout.environment, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


IMAGES = """
from pathlib import Path
from boot.drives import create_filled
from boot.topology import load_topology
from host.files import DiskFullError
from settings.paths import CONFIGS
folder = Path("drives")
try:
    create_filled(load_topology(CONFIGS / "topologies/switch-q35.toml"), folder)
except DiskFullError as error:
    print(error.message, [path.name for path in folder.iterdir()])
"""


def test_drive_images(lab: Lab) -> None:
    lab.disk.leave(20 << 20)

    assert inside(lab, IMAGES) == "no space left while writing drives/d00d0001.img []\n"


MEASURED = """
from pathlib import Path
from host.disk import allocated
print(allocated(Path.cwd()) > 32 << 20, allocated(Path.cwd().parent) > 32 << 20)
"""


def test_what_is_mounted_does_not_count(lab: Lab) -> None:
    lab.disk.leave(1 << 20)

    assert inside(lab, MEASURED) == "True False\n"


REPORTS = """
from pathlib import Path
from host.files import DiskFullError
from tests.unit.test_verdict import VERDICT
from verify.reports import write_reports
folder = Path("verify")
folder.mkdir(exist_ok=True)
try:
    write_reports(VERDICT, folder)
except DiskFullError as error:
    print(error.message, [path.name for path in folder.iterdir()])
"""


def test_reports(lab: Lab) -> None:
    lab.disk.leave(0)

    assert inside(lab, REPORTS) == "no space left while writing verify/verdict.json []\n"
