import json
from pathlib import Path

import pytest

from bundle.evidence import HOST, TRACE, drop_evidence, write_evidence
from host.errors import LabError

VERDICT = {
    "outcome": "passed",
    "qemu": "QEMU emulator version 7.2",
    "accel": "tcg",
    "copies": [
        {
            "memory": "p2pmem",
            "provider": "d0",
            "source": "d0",
            "destination": "d1",
            "chunks": 2,
            "chunk_size": 4096,
            "predicted": {"d1": "below a common upstream bridge"},
            "traced_bytes": {"d00d0001 read own CMB 0000:03:00.0": 8192},
        }
    ],
}
TRACED = (
    "pci_nvme_read cid 1\npci_nvme_map_addr addr 0x1 len 4\n\npci_nvme_map_addr addr 0x2 len 4\n"
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "verdict.json").write_text(json.dumps(VERDICT))
    (folder / "junit.xml").write_text("<testsuite/>")
    (folder / "console.log").write_text("Linux version\n")
    (folder / "qemu.sh").write_text("qemu\n")
    (folder / "trace.log").write_text(TRACED)
    (folder / "d0.img").write_bytes(bytes(4096))
    return folder


def test_what_is_kept(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "evidence"
    write_evidence(run, target, {"jobs": "3"})
    assert sorted(path.name for path in target.iterdir()) == [
        "SHA256SUMS",
        "console.log",
        "host.json",
        "junit.xml",
        "qemu.sh",
        "trace.json",
        "verdict.json",
    ]
    trace = json.loads((target / TRACE).read_text())
    assert trace["lines_by_event"] == {"pci_nvme_map_addr": 2, "pci_nvme_read": 1}
    assert trace["copies"][0]["bytes"] == 8192
    assert trace["copies"][0]["traced_bytes"] == {"d00d0001 read own CMB 0000:03:00.0": 8192}
    host = json.loads((target / HOST).read_text())
    assert host["qemu"] == "QEMU emulator version 7.2"
    assert host["settings"] == {"jobs": "3"}


def test_a_guest_that_never_started_leaves_evidence_too(run: Path, tmp_path: Path) -> None:
    for name in ("trace.log", "console.log"):
        (run / name).unlink()
    write_evidence(run, tmp_path / "evidence", {})
    trace = json.loads((tmp_path / "evidence" / TRACE).read_text())
    assert (trace["lines_by_event"], trace["sha256"]) == ({}, "")
    assert not (tmp_path / "evidence/console.log").exists()


def test_without_a_verdict_there_is_no_evidence(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "evidence"
    write_evidence(run, target, {})
    before = sorted(target.iterdir())
    (run / "verdict.json").write_text("{")
    with pytest.raises(LabError, match="left no verdict"):
        write_evidence(run, target, {})
    assert sorted(target.iterdir()) == before


def test_earlier_evidence_is_dropped(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "evidence"
    drop_evidence(target)
    write_evidence(run, target, {})

    drop_evidence(target)

    assert not target.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "more", "link", "dangling"])
def test_what_is_no_evidence_stays(run: Path, tmp_path: Path, kind: str) -> None:
    target, precious = tmp_path / "x.evidence", tmp_path / "precious"
    write_evidence(run, precious, {})
    if kind == "file":
        target.write_text("precious")
    elif kind == "folder":
        (target / "thesis").mkdir(parents=True)
    elif kind == "more":
        precious.rename(target)
        (target / "thesis").write_text("precious")
    elif kind == "link":
        target.symlink_to(precious)
    else:
        target.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(LabError, match="is in the way"):
        drop_evidence(target)

    assert sorted(tmp_path.rglob("*")) == before
