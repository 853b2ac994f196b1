"""A project's folder as runs leave it, for summaries of those."""

import json
from dataclasses import replace
from pathlib import Path

from bundle import manifest as manifests
from bundle import summary
from bundle.archive import pack
from kernel.source import SourceRecord
from settings.paths import Workspace
from tests.unit.bundle_fixtures import make_bundle, verdict_of, write_verdict
from tests.unit.test_verdict import PASS
from verify.reports import write_reports
from verify.verdict import Verdict, as_data

AS_ASKED = SourceRecord("6.12", "6.12", "", "apt", "6.12.117", Path("/nowhere"))
SUM_A, SUM_B = "a" * 64, "b" * 64
GOOD = replace(PASS, subject=replace(PASS.subject, kernel=AS_ASKED))


class Project:
    """A project's folder as runs leave it."""

    def __init__(self, root: Path, label: str = "6.12") -> None:
        self.build = root / "build"
        self.dist = root / "dist"
        self.build.mkdir(exist_ok=True)
        self.at = Workspace(self.build / label)

    def built(self, *, without: str = "") -> None:
        at = self.at
        for path in (at.bzimage, at.module, at.tool, at.initramfs, at.logs / "kernel.log"):
            if path.name != without:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{path.name} made\n")
        self.source(AS_ASKED)

    def source(self, record: SourceRecord) -> None:
        self.at.root.mkdir(parents=True, exist_ok=True)
        self.at.source_record.write_text(json.dumps(record.as_data()))

    def verified(self, verdict: Verdict, name: str = "switch-q35") -> Path:
        folder = self.at.run_dir("verify", name)
        folder.mkdir(parents=True)
        write_reports(verdict, folder)
        (folder / "console.log").write_text("[ 0.1] Linux\n")
        (folder / "d00d0001.img").write_text("a drive")
        return folder

    def tested(self, step: str, exit_code: int | None, xml: str = "") -> None:
        folder = self.build / "tests"
        folder.mkdir(exist_ok=True)
        record = {"started": "2026-11-24T12:00:00+00:00", "seconds": 31.2, "exit_code": exit_code}
        (folder / f"{step}.json").write_text(json.dumps(record))
        if xml:
            (folder / f"{step}.xml").write_text(xml)

    def bundled(self, name: str = "p2plab-6.12-switch-q35", verdict: Verdict = GOOD) -> Path:
        """Put a bundle into dist/, as folder and archive; return the folder."""
        folder = make_bundle(self.dist, name)
        about = verdict_of(manifests.load(folder / "image/manifest.json"))
        write_verdict(folder / "evidence", {**as_data(verdict), **about})
        pack(folder, self.dist / f"{name}.tar.xz")
        return folder

    def reproduced(self, b: str = SUM_A, **changes: object) -> None:
        folder = self.build / "reproduce"
        (folder / "image-a").mkdir(parents=True)
        result = {
            "same": True,
            "differences": [],
            "variations": [
                {"name": "umask", "a": "022", "b": "077", "applied": True, "reason": ""},
                {"name": "clock", "a": "now", "b": "then", "applied": False, "reason": "a | b"},
            ],
            "builds": {
                "a": {"seconds": 200.4, "sums": {"bzImage": SUM_A, "fragments/0": SUM_A}},
                "b": {"seconds": 300.6, "sums": {"bzImage": b, "fragments/0": SUM_A}},
            },
            **changes,
        }
        (folder / "result.json").write_text(json.dumps(result))
        for name in ("a.log", "diffoscope.txt", "image-a/SHA256SUMS", "image-a/bzImage"):
            (folder / name).write_text(name)

    def summary(self) -> str:
        summary.run(self.build, self.dist)
        return (self.dist / "summary.md").read_text()

    def kept(self) -> list[str]:
        run = self.dist / "run"
        return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


def junit(*cases: str) -> str:
    return f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"


FINE = '<testcase classname="tests.a" name="fine" />'
BAD = (
    '<testcase classname="tests.a" name="bad[x]">'
    '<failure message="a | b&#10;c">trace</failure></testcase>'
)
