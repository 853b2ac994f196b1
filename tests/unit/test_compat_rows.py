"""What a compilation, a build and a verdict come to in the table of kernels."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compat import compiled, offer, table, task, whole
from compat.compiled import judged
from compat.row import Answer, Row, Subject, must_refuse
from compat.unpacked import Unpacked
from host.errors import LabError, MissingToolError
from kernel import download
from kernel.kbuild import Kbuild
from kernel.registry import AptKernel, Kernel, TreeKernel, UrlKernel
from kernel.selection import select
from settings.paths import PROJECT

OFF = '/k/p2pmem_compat.h:16:2: error: #error "p2pmem_pci needs CONFIG_PCI_P2PDMA=y, which is off"'
OLD = '/k/p2pmem_compat.h:14:2: error: #error "p2pmem_pci needs Linux 6.2: older ones cannot"'
OTHER = "p2pmem_main.c:5:1: error: unknown type name 'x'"
FATAL = "p2pmem_main.c:5:10: fatal error: linux/x.h: No such file or directory"
OWN = "/k/m/p2pmem_main.c:7:6: warning: no previous prototype for 'f' [-Wmissing-prototypes]"
THEIRS = "/usr/src/linux/include/linux/mm.h:7:6: warning: cast from function type"
MODPOST = "WARNING: modpost: missing MODULE_DESCRIPTION() in p2pmem_pci.o"
SUBJECT = Subject("6.12", "somewhere")
P2PDMA_OFF = "CONFIG_PCI_P2PDMA is off"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    for name in ("p2pmem_main.c", "p2pmem_compat.h", "Kbuild"):
        (folder / name).touch()
    return folder


def test_what_must_be_refused() -> None:
    assert must_refuse((6, 1), True) == must_refuse((6, 1), False) == "older than 6.2"
    assert must_refuse((6, 2), False) == P2PDMA_OFF
    assert must_refuse((6, 2), True) == must_refuse((7, 3), True) == ""


@pytest.mark.parametrize(
    ("refusal", "failed", "lines", "answer", "why"),
    [
        ("", False, ["  CC x"], Answer.YES, ""),
        ("", False, [THEIRS], Answer.YES, ""),
        ("", False, [OWN], Answer.NO, "warns: p2pmem_main.c:7:6: warning: no previous"),
        ("", False, [MODPOST], Answer.NO, "warns: missing MODULE_DESCRIPTION()"),
        ("", True, [OTHER, "make: *** Error 2"], Answer.NO, "unknown type name 'x'"),
        ("", True, [FATAL], Answer.NO, "linux/x.h: No such file"),
        ("", True, [OFF], Answer.NO, "#error"),
        ("", True, ["Killed"], Answer.NO, "make failed without a word"),
        (P2PDMA_OFF, True, [OFF], Answer.REFUSED, f"refused: {P2PDMA_OFF}"),
        ("older than 6.2", True, [OLD], Answer.REFUSED, "refused: older than 6.2"),
        # Refused, but for another reason, twice, with more errors, or not at all.
        (P2PDMA_OFF, True, [OLD], Answer.NO, "has to be refused once"),
        ("older than 6.2", True, [OFF], Answer.NO, "has to be refused once"),
        (P2PDMA_OFF, True, [OFF, OFF], Answer.NO, "has to be refused once"),
        (P2PDMA_OFF, True, [OFF, OTHER], Answer.NO, "has to be refused once"),
        (P2PDMA_OFF, True, [OTHER], Answer.NO, "has to be refused once"),
        (P2PDMA_OFF, False, [], Answer.NO, "compiles, but has to be refused"),
    ],
)
def test_compilation(
    module: Path, refusal: str, failed: bool, lines: list[str], answer: Answer, why: str
) -> None:
    log = module / "log"
    log.write_text("\n".join(["+ make error: in the command itself", *lines, ""]))

    row = judged(SUBJECT, refusal, failed, log, module)

    assert (row.compiles, row.verifies) == (answer, Answer.UNTRIED)
    assert row.why.startswith(why)
    assert row.bad == (answer is Answer.NO)
    assert row.good != row.bad


def row(compiles: Answer, verifies: Answer = Answer.UNTRIED, name: str = "6.12") -> Row:
    return Row(Subject(name, "apt | here"), compiles, verifies, "because <of> that", "the log")


def test_table_for_people_and_programs(tmp_path: Path) -> None:
    rows = [
        row(Answer.YES, Answer.YES),
        row(Answer.REFUSED),
        row(Answer.UNTRIED),
        row(Answer.YES, Answer.NO, "7.9"),
    ]

    table.write(rows, {"made": "today"}, tmp_path)

    text = (tmp_path / "compat.md").read_text()
    assert "4 kernels: 2 compile, 1 of them are verified, 1 are refused" in text
    assert "1 could not be tried, 1 are wrong" in text
    assert "| 7.9 | apt &#124; here | yes | NO | because &lt;of&gt; that |" in text
    data = json.loads((tmp_path / "compat.json").read_text())
    assert data["about"] == {"made": "today"}
    assert [it["bad"] for it in data["rows"]] == [False, False, False, True]
    assert data["rows"][3]["verifies"] == "NO"
    assert table.line(rows[3]).splitlines()[0].split() == ["yes", "NO", "7.9"]


def test_words_of_a_compiler_do_not_steer_the_terminal() -> None:
    assert table.line(replace(row(Answer.NO), why="error: \x1b[2J")).endswith(" error: ?[2J")


def test_exit_code_tells_of_one_bad_kernel_and_of_none_tried() -> None:
    good = [row(Answer.YES), row(Answer.REFUSED), row(Answer.UNTRIED)]
    task.require_good(good)
    for rows, told in (
        ([*good, row(Answer.YES, Answer.NO, "7.9")], "1 of 4 kernels are not .*: 7.9"),
        ([*good, row(Answer.NO, name="7.8")], "1 of 4 kernels are not .*: 7.8"),
        ([row(Answer.UNTRIED)], "no kernel at all"),
        ([row(Answer.REFUSED), row(Answer.UNTRIED)], "compiled for no kernel at all"),
        ([], "no kernel at all"),
    ):
        with pytest.raises(task.NotCompatible, match=told) as caught:
            task.require_good(rows)
        assert caught.value.exit_code == 10


def test_every_kernel_once() -> None:
    known: dict[str, Kernel] = {
        "6.3.2": UrlKernel("6.3.2", ("https://h/f",), "0" * 64, "f"),
        "stable": AptKernel("stable", "linux-source-6.12"),
        "mine": TreeKernel("mine", Path("/t")),
    }

    found = whole.kernels(known, ["6.12", "7.2"], [Path("/a/linux")])

    assert found == ["6.3.2", "stable", "mine", "7.2", "/a/linux"]


class FakeDoit:
    """Plays the inner doit: what it prints, by its last word."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.words: list[tuple[str, ...]] = []
        self.fails: dict[str, tuple[str, str]] = {}
        self.row = Row(SUBJECT, Answer.YES, log="l")
        self.folder = folder
        monkeypatch.setattr(whole, "_doit", self.doit)
        monkeypatch.setattr(whole, "_compiled", lambda *_: self.row)
        monkeypatch.setattr(whole, "passed_checks", lambda *_: "3 of 3 checks passed")
        monkeypatch.setattr(whole, "read_record", lambda _: self)
        monkeypatch.setattr(download, "unreachable", lambda _: "h: no route")

    version, package, package_version = "7.2.13", "linux-source-7.2", "7.2.13-1"

    def doit(self, words: list[str], _kernel: str, log: Path) -> str:
        self.words.append(tuple(words))
        stage, error = self.fails.get(words[-1], (words[-1], ""))
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"== source\n== {stage}\nerror: {error}\n")
        return error

    def attempt(self, kernel: str = "7.2", **given: str) -> Row:
        return whole.attempt(kernel, given, self.folder, self.folder)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeDoit:
    monkeypatch.setenv("P2PLAB_DOWNLOADS", str(tmp_path / "downloads"))
    return FakeDoit(monkeypatch, tmp_path)


def test_whole_kernel_that_works(fake: FakeDoit) -> None:
    found = fake.attempt(jobs="2")

    assert found.subject == Subject("7.2.13", "linux-source-7.2 7.2.13-1")
    assert (found.compiles, found.verifies) == (Answer.YES, Answer.YES)
    assert found.why == "3 of 3 checks passed"
    assert fake.words == [("jobs=2", "kernel=7.2", "source"), ("jobs=2", "kernel=7.2", "verify")]


@pytest.mark.parametrize(
    ("stage", "compiles", "why"),
    [
        ("kernel", Answer.UNTRIED, "kernel: it broke"),
        ("config", Answer.UNTRIED, "config: it broke"),
        ("verify", Answer.YES, "verify: it broke"),
    ],
)
def test_whole_kernel_that_does_not(fake: FakeDoit, stage: str, compiles: Answer, why: str) -> None:
    fake.fails["verify"] = (stage, "it broke")

    found = fake.attempt()

    assert (found.compiles, found.verifies, found.why) == (compiles, Answer.NO, why)
    assert found.bad


def test_module_that_does_not_compile_is_told_by_the_compiler(fake: FakeDoit) -> None:
    fake.fails["verify"] = ("module", "make ended with 2")
    fake.row = Row(SUBJECT, Answer.NO, why="unknown type name", log="l")

    found = fake.attempt()

    assert (found.compiles, found.verifies) == (Answer.NO, Answer.UNTRIED)
    assert found.why == "unknown type name"


def test_verdict_that_fails_does_not_hide_behind_a_warning(fake: FakeDoit) -> None:
    fake.fails["verify"] = ("verify", "verdict: failed")
    fake.row = Row(SUBJECT, Answer.NO, why="warns: x", log="l")

    found = fake.attempt()

    assert (found.compiles, found.verifies) == (Answer.NO, Answer.NO)


def test_tree_that_is_gone_ends_no_table(fake: FakeDoit) -> None:
    found = fake.attempt("/nonexistent/linux")

    assert (found.good, found.bad, fake.words) == (False, False, [])
    assert found.why.startswith("kernel=/nonexistent/linux: there is no directory")


def test_warning_does_not_hide_behind_a_verdict(fake: FakeDoit) -> None:
    fake.row = Row(SUBJECT, Answer.NO, why="warns: x", log="l")

    found = fake.attempt()

    assert (found.compiles, found.verifies, found.why) == (Answer.NO, Answer.YES, "warns: x")


def test_kernel_that_cannot_be_had_is_no_failure(fake: FakeDoit) -> None:
    fake.fails["source"] = ("source", "no mirror")

    package, pinned = fake.attempt(), fake.attempt("6.3.2")

    assert package.why == "cannot be had: no mirror"
    assert pinned.why == "not downloaded, and out of reach: h: no route"
    assert not any(it.bad or it.good for it in (package, pinned))


def test_download_that_is_not_what_was_pinned_is_a_failure(
    fake: FakeDoit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "unreachable", lambda _: "")
    fake.fails["source"] = ("source", "not the file that was pinned")

    found = fake.attempt("6.3.2")

    assert found.why == "cannot be had: not the file that was pinned"
    assert found.bad


def test_interrupted_table_keeps_what_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def rows(*_: object) -> Iterator[Row]:
        yield Row(SUBJECT, Answer.YES)
        raise KeyboardInterrupt

    monkeypatch.setattr(task, "COMPAT", tmp_path)
    monkeypatch.setattr(task, "_rows", rows)
    monkeypatch.setattr(task, "require_programs", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        task.run(select(["compat"]), tmp_path)

    written = (tmp_path / "compat.md").read_text()
    assert "not complete: the run has not come to its end" in written
    assert f"| {SUBJECT.name} |" in written


def test_headers_that_apt_cannot_bring_are_untried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> object:
        raise LabError("unmet dependencies\nmore")

    monkeypatch.setattr(task, "COMPAT", tmp_path)
    monkeypatch.setattr(offer, "headers", broken)

    (found,) = task.headers_rows("sid", ["sid", "experimental"], tmp_path, 1)

    assert found.subject == Subject("sid", "linux-headers of sid, experimental")
    assert (found.good, found.bad, found.why) == (False, False, "unmet dependencies")


def test_reasons_of_refusals_are_the_modules_own() -> None:
    header = (Path(__file__).parents[2] / "p2pmem-pci/p2pmem_compat.h").read_text()
    for pattern in compiled.REFUSALS.values():
        assert pattern.search(header)


NOW = datetime(2026, 5, 15, 12, 0, 0, 500000, UTC)
VERDICT = {
    "outcome": "passed",
    "kernel": {"version": "7.2.13"},
    "started": "2026-05-15T12:00:00+00:00",
    "checks": [{"status": "passed"}, {"status": "passed"}],
}


def test_verdict_that_counts(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(VERDICT))
    assert whole.passed_checks(path, "7.2.13", NOW) == "2 of 2 checks passed"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"outcome": "failed"}, "is: failed, Linux 7.2.13"),
        ({"kernel": {"version": "6.12"}}, "is: passed, Linux 6.12"),
        ({"started": "2026-05-15T11:59:59+00:00"}, "is of an earlier run"),
        ({"checks": None}, "cannot be read"),
    ],
)
def test_verdict_of_something_else_is_no_yes(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(VERDICT | change))
    with pytest.raises(LabError, match=told):
        whole.passed_checks(path, "7.2.13", NOW)


def test_no_verdict_is_no_yes(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be read"):
        whole.passed_checks(tmp_path / "verdict.json", "7.2.13", NOW)


def test_a_warning_comes_again_in_the_next_run(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """make does not compile what is up to date, so objects of a run that warned must be gone."""
    output, log = tmp_path / "output", tmp_path / "log"

    def make(*_: object) -> bool:
        built = output / "p2pmem_main.o"
        log.write_text("+ make\n" + ("" if built.exists() else f"{OWN}\n"))
        built.touch()
        return False

    monkeypatch.setattr(compiled, "_make_failed", make)
    kbuild = Kbuild(tmp_path, tmp_path, 1)
    rows = [compiled.against_build(SUBJECT, kbuild, module, output, log) for _ in range(2)]
    assert [it.compiles for it in rows] == [Answer.NO, Answer.NO]


def test_table_of_an_earlier_run_is_gone_when_nothing_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(task, "COMPAT", tmp_path)
    for name in ("compat.md", "compat.json"):
        (tmp_path / name).write_text("all is well")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError):
        task.run(select(["compat"]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_all_of_a_users_own_module_is_compiled(tmp_path: Path) -> None:
    """Its sources may lie in folders; kbuild is played by a Makefile that wants them."""
    unpacked = Unpacked(tmp_path / "root")
    headers = unpacked.headers("7.9")
    headers.mkdir(parents=True)
    (headers / ".config").write_text("CONFIG_PCI_P2PDMA=y\n")
    (headers / "Makefile").write_text("modules: $(M)/src/own_main.c $(M)/include/own_p2pmem.h\n")
    own = PROJECT / "tests/fixtures/own_module"

    row = compiled.against_headers(
        Subject("7.9", "apt"), (7, 9), unpacked, own, tmp_path / "output", tmp_path / "log", 1
    )

    assert (row.compiles, row.why) == (Answer.YES, "")
