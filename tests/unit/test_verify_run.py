"""A whole verification with a QEMU that does not get far: the verdict is never a pass."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from boot.artifacts import Artifacts
from boot.outcome import Outcome
from boot.topology import load_topology
from host.files import DiskFullError
from kernel.source import SourceRecord
from settings.paths import CONFIGS
from tests.unit.fake_qemu import ENDS_AFTER_ITS_GREETING, FAILS_AT_ONCE, PANICS, install
from verify.drivers import DriverStep
from verify.plan import guest_checks, image_checks, log_checks
from verify.reports import write_reports
from verify.run import Inputs, verify
from verify.runner import Check, Result, Status
from verify.scenario import Copy, Scenario

COPY = Copy("p2pmem", "d00d0001", "d00d0001", "d00d0002", 1, 4096, 0, 1)
SCENARIO = Scenario("copy", "", (COPY,))


def planned(scenario: Scenario) -> list[Check]:
    return [*guest_checks(scenario), *image_checks(scenario), *log_checks()]


def inputs(folder: Path) -> Inputs:
    topology = load_topology(CONFIGS / "topologies/switch-q35.toml")
    small = tuple(replace(drive, drive_mib=1) for drive in topology.drives)
    for name in ("bzImage", "initramfs"):
        (folder / name).write_text(name)
    return Inputs(
        artifacts=Artifacts(
            source=SourceRecord("auto", "6.3.2", "", "url", "6.3.2", folder / "source"),
            release="6.3.2",
            bzimage=folder / "bzImage",
            initramfs=folder / "initramfs",
        ),
        topology=replace(topology, drives=small),
        scenario=SCENARIO,
        accel="tcg",
        accel_cache=folder / "accel.json",
        cpu="qemu64",
        folder=folder / "run",
    )


@pytest.mark.parametrize(
    ("behaviour", "outcome", "cause"),
    [
        (FAILS_AT_ONCE, Outcome.LOST, "qemu: unknown machine"),
        (ENDS_AFTER_ITS_GREETING, Outcome.LOST, "QEMU ended during the guest's init"),
        (PANICS, Outcome.PANIC, "Kernel panic - not syncing: x"),
    ],
)
def test_guest_that_does_not_come_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    outcome: Outcome,
    cause: str,
) -> None:
    install(tmp_path / "bin", monkeypatch, behaviour)
    given = inputs(tmp_path)
    given.folder.mkdir()
    stale = [given.folder / name for name in ("verdict.json", "junit.xml", "trace.log")]
    for path in stale:
        path.write_text("of an earlier run")
    reported: list[Result] = []
    verdict = verify(given, reported.append, lambda _text: None)
    assert not any(path.exists() for path in stale)
    assert verdict.outcome is outcome
    assert cause in verdict.cause
    titles = [check.title for check in planned(SCENARIO)]
    assert [result.title for result in verdict.results] == titles
    assert reported == list(verdict.results)
    passed = [result.title for result in verdict.results if result.status is Status.PASSED]
    assert set(passed) <= {"no oops, WARN or BUG in the log"}
    assert "qemu-system-x86_64" in verdict.subject.command
    write_reports(verdict, given.folder)
    data = json.loads((given.folder / "verdict.json").read_text())
    assert data["outcome"] == outcome.word
    assert data["files"]["bzImage"] != data["files"]["initramfs"]


@pytest.mark.parametrize(
    ("free", "told"),
    [
        ([31 << 20], "no space left while writing .*run: 31 MiB are free, 32 are needed"),
        ([32 << 20, 0], "no space left while writing .*run: 0 MiB are free, 1 are needed"),
    ],
)
def test_logs_that_a_full_disk_cut_short_decide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: list[int], told: str
) -> None:
    install(tmp_path / "bin", monkeypatch, ENDS_AFTER_ITS_GREETING)
    monkeypatch.setattr("host.files.free_space", lambda _folder: free.pop(0))
    with pytest.raises(DiskFullError, match=told):
        verify(inputs(tmp_path), lambda _result: None, lambda _text: None)
    assert free == []


def test_every_check_has_a_title_of_its_own() -> None:
    checks = planned(SCENARIO)
    assert len({check.title for check in checks}) == len(checks)
    assert COPY.title in [check.title for check in checks]


def test_steps_are_numbered_and_so_may_come_twice() -> None:
    unbind = DriverStep("unbind", "d00d0002", "nvme")
    bind = DriverStep("bind", "d00d0002", "nvme")
    checks = planned(Scenario("steps", "", (unbind, bind, unbind, bind, COPY)))
    titles = [check.title for check in checks]
    assert len(set(titles)) == len(titles)
    first = titles.index("step 1: unbind d00d0002 from nvme")
    assert titles[first + 4] == f"step 5: {COPY.title}"


def test_every_planned_copy_is_checked_in_the_guest_and_on_the_host() -> None:
    other = replace(COPY, provider="d00d0002", seed=2)
    titles = [check.title for check in guest_checks(Scenario("two", "", (COPY, other)))]
    assert titles.index(COPY.title) < titles.index(other.title)
    assert titles[0] == "boot"
    assert titles[-1] == "power-off ends QEMU"
