"""What of the files of all runs is kept beside the summary."""

import gzip

from bundle.leftovers import LARGE
from tests.unit.summary_project import GOOD, Project

pytest_plugins = ["tests.unit.summary_fixtures"]


def test_large_files_are_packed_and_drive_images_left_out(project: Project) -> None:
    project.built()
    folder = project.verified(GOOD)
    trace = "a line of the trace\n" * (LARGE // 10)
    (folder / "trace.log").write_text(trace)
    (folder / "probe").mkdir()
    (folder / "probe/console.log").write_text("probe")
    (folder / "qemu.log").symlink_to("/etc/passwd")

    project.summary()
    assert project.kept() == [
        "6.12/logs/kernel.log",
        "6.12/source.json",
        "6.12/verify/switch-q35/console.log",
        "6.12/verify/switch-q35/junit.xml",
        "6.12/verify/switch-q35/probe/console.log",
        "6.12/verify/switch-q35/trace.log.gz",
        "6.12/verify/switch-q35/verdict.json",
    ]
    packed = project.dist / "run/6.12/verify/switch-q35/trace.log.gz"
    assert gzip.decompress(packed.read_bytes()).decode() == trace


def test_both_kinds_of_rebuilding_leave_their_logs(project: Project) -> None:
    project.built()
    for name in ("reproduce/a.log", "rebuild/again.log", "rebuild/result.json"):
        path = project.build / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("said")

    project.summary()
    assert {"reproduce/a.log", "rebuild/again.log", "rebuild/result.json"} <= {*project.kept()}


def test_what_an_earlier_call_kept_is_replaced(project: Project) -> None:
    project.built()
    project.summary()
    (project.at.logs / "kernel.log").rename(project.at.logs / "module.log")

    project.summary()
    assert project.kept() == ["6.12/logs/module.log", "6.12/source.json"]
