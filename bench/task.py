"""What doit runs to measure how fast the tool is."""

from dataclasses import dataclass, replace
from pathlib import Path

from bench.guest import machine, ready
from bench.measure import Group, measure
from bench.plan import AGAINST, OURS, Plan
from bench.report import Subject, compared, print_group, print_head, write_reports
from boot.artifacts import Artifacts, built_in
from boot.drives import create_blank
from boot.qemu import QEMU, Vm, version
from boot.setup import Setup
from boot.topology import Topology, load_topology
from host.errors import SettingError
from host.files import remove, require_space, sha256_file
from host.tools import require_programs
from kernel.choice import announce
from kernel.selection import Selection
from rootfs.elf import ImageError, require_static
from rootfs.initramfs import ImageFile
from rootfs.task import pack_with
from settings.paths import Workspace, accel_cache

# In large ones a single run copies so much that the start of a program hardly counts.
DRIVE_MIB = 512
SPACE = (DRIVE_MIB << 20) + (8 << 20)  # bytes: of one drive, for the other is only read, and logs


@dataclass(frozen=True)
class Bench:
    """What is booted and measured.

    Attributes:
        workspace: the build.
        topology: the machine to boot it on.
        cpu: QEMU CPU model.
        accel: the setting: ``auto``, ``kvm`` or ``tcg``.
        against: a static program that takes the same arguments; None to measure ours alone.
        folder: gets figures and logs; emptied first.
    """

    workspace: Workspace
    topology: Topology
    cpu: str
    accel: str
    against: Path | None
    folder: Path


def fits(selection: Selection) -> None:
    """See, before anything is built for it, that the other program can run in the guest.

    Raises:
        SettingError: it cannot.
    """
    against = selection.settings.against
    if against is None:
        return
    try:
        require_static(against)
    except ImageError as error:
        raise SettingError(f"against={against}: {error.message}", hint=error.hint) from error


def run(selection: Selection) -> None:
    """Boot once, measure, print the table, write it to ``build/<kernel>/bench/<topology>/``.

    Raises:
        LabError: a setting, the guest, or a program that failed in it.
    """
    require_programs(QEMU)
    if text := announce(selection.choice):
        print(text)
    settings = selection.settings
    topology = load_topology(selection.topology_file)
    bench = Bench(
        workspace=selection.workspace,
        topology=topology,
        cpu=settings.cpu or topology.cpu,
        accel=settings.accel,
        against=settings.against,
        folder=selection.run_dir("bench"),
    )
    groups = measured(bench, Plan(against=settings.against is not None, runs=settings.runs))
    for line in compared(groups):
        print(f"   ours / {settings.against}: {line}")
    print(f"   bench.md, bench.json: {bench.folder}", flush=True)


def measured(bench: Bench, plan: Plan) -> list[Group]:
    """Boot once, measure and write the figures.

    Raises:
        LabError: the other program cannot be used, the guest did not come up, a program failed.
    """
    remove(bench.folder)
    bench.folder.mkdir(parents=True)
    require_space(bench.folder, SPACE)
    setup = _setup(bench)
    images = create_blank(setup.topology, bench.folder)
    vm = machine(setup, images)
    try:
        with ready(vm, setup) as session:
            print_head()
            groups = list(measure(session, plan, print_group))
    finally:
        for image in images.values():
            remove(image)
    write_reports(_subject(bench, vm, setup.artifacts), groups, bench.folder)
    return groups


def _setup(bench: Bench) -> Setup:
    artifacts = built_in(bench.workspace)
    if bench.against:
        more = [ImageFile(f"/bin/{AGAINST}", bench.against, "755")]
        image = pack_with(bench.workspace, more, bench.folder / "rootfs")
        artifacts = replace(artifacts, initramfs=image)
    drives = tuple(replace(drive, drive_mib=DRIVE_MIB) for drive in bench.topology.drives)
    topology = replace(bench.topology, drives=drives)
    return Setup(artifacts, topology, bench.cpu, bench.accel, accel_cache(), bench.folder)


def _subject(bench: Bench, vm: Vm, artifacts: Artifacts) -> Subject:
    programs = {OURS: bench.workspace.tool}
    if bench.against:
        programs[AGAINST] = bench.against
    return Subject(
        kernel=artifacts.release,
        topology=bench.topology.name,
        accel=vm.accel,
        cpu=vm.cpu,
        qemu=version(),
        programs={name: sha256_file(path) for name, path in programs.items()},
        against=bench.against.name if bench.against else "",
    )
