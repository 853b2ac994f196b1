"""What CI runs, with a stand-in for ./doit that can be told to fail."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from settings.paths import PROJECT

DOIT = """\
#!/bin/sh
echo "$*" >>calls
[ "$CI" = true ] || exit 99
if read -r line; then echo "something to read: $line" >>calls; fi
case $1 in
bundle) mkdir -p dist && echo new >dist/p2plab-6.12-switch-q35.tar.xz ;;
esac
echo "doit says $*"
while read -r code words; do
    [ "$*" != "$words" ] || exit "$code"
done <fail
"""


class Checkout:
    """A project with nothing in it but the script and the stand-in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".ci").mkdir()
        shutil.copy(PROJECT / ".ci/run", root / ".ci/run")
        (root / "doit").write_text(DOIT)
        (root / "doit").chmod(0o755)
        (root / "fail").touch()

    def run(self, failing: str = "") -> "subprocess.CompletedProcess[str]":
        (self.root / "fail").write_text(failing)
        environment = {key: text for key, text in os.environ.items() if key != "CI"}
        return subprocess.run(
            [self.root / ".ci/run"],
            input="typed by nobody\n",
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()


ARCHIVE = "verify bundle=dist/p2plab-6.12-switch-q35.tar.xz"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def results(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return the table at the end, without the times."""
    lines = [line.split(maxsplit=4) for line in done.stdout.splitlines() if line.startswith("ci: ")]
    table = [line for line in lines if line[3:4] == ["s"]]
    half = len(table) // 2
    assert [line[1:2] + line[3:] for line in table[:half]] == [
        line[1:2] + line[3:] for line in table[half:]
    ]
    return [f"{line[1]}: {line[4]}" for line in table[half:]]


def test_all_steps_in_order(checkout: Checkout) -> None:
    done = checkout.run()

    assert done.returncode == 0
    assert checkout.calls() == ["test", "bundle", ARCHIVE, "reproduce", "summary"]
    assert results(done) == [
        f"{name}: passed" for name in ("test", "bundle", "archive", "reproduce", "summary")
    ]
    assert "ci: all passed in" in done.stdout.splitlines()[-1]
    assert "doit says test\n" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("failing", "code", "calls"),
    [
        ("7 test", 7, ["test", "summary"]),
        ("10 bundle", 10, ["test", "bundle", "reproduce", "summary"]),
        (f"22 {ARCHIVE}", 22, ["test", "bundle", ARCHIVE, "reproduce", "summary"]),
        ("20 reproduce", 20, ["test", "bundle", ARCHIVE, "reproduce", "summary"]),
        ("1 summary", 1, ["test", "bundle", ARCHIVE, "reproduce", "summary"]),
        ("10 bundle\n20 reproduce\n1 summary", 10, ["test", "bundle", "reproduce", "summary"]),
    ],
)
def test_first_failure_decides_and_what_needs_it_is_not_run(
    checkout: Checkout, failing: str, code: int, calls: list[str]
) -> None:
    done = checkout.run(f"{failing}\n")

    assert done.returncode == code
    assert checkout.calls() == calls
    first = failing.split()[1].replace("verify", "archive")
    assert f"{first}: FAILED with exit code {code}" in results(done)
    assert f"ci: FAILED with exit code {code} after" in done.stderr


def test_what_was_not_run_says_why(checkout: Checkout) -> None:
    done = checkout.run("7 test\n")

    assert results(done) == [
        "test: FAILED with exit code 7",
        "bundle: not run: it needs test",
        "archive: not run: it needs bundle",
        "reproduce: not run: it needs test",
        "summary: passed",
    ]


def test_newest_archive_is_verified(checkout: Checkout) -> None:
    older = checkout.root / "dist/p2plab-6.3.2-switch-q35.tar.xz"
    older.parent.mkdir()
    older.touch()
    os.utime(older, (1, 1))

    checkout.run()
    assert ARCHIVE in checkout.calls()


def test_a_bundle_step_that_leaves_no_archive_is_no_pass(checkout: Checkout) -> None:
    stand_in = checkout.root / "doit"
    stand_in.write_text(DOIT.replace("echo new >dist/", "true dist/"))

    done = checkout.run()
    assert done.returncode == 1
    assert "archive: FAILED with exit code 1" in results(done)
    assert [call for call in checkout.calls() if call.startswith("verify")] == []
