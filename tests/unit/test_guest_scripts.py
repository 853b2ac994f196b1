"""The shell scripts of the image, run by the machine's busybox."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from rootfs.sources import FOLDER

BUSYBOX = "busybox"
COMMANDS = {
    *("cat", "echo", "init", "md5sum", "mkdir", "modprobe"),
    *("mount", "poweroff", "sed", "sh", "stty", "tail"),
}


@pytest.mark.parametrize("name", ["init", "serve", "profile"])
def test_busybox_can_parse_it(name: str) -> None:
    done = subprocess.run(
        [BUSYBOX, "sh", "-n", FOLDER / name], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_busybox_has_every_command_that_the_scripts_use() -> None:
    listed = subprocess.check_output([BUSYBOX, "--list"], text=True).split()

    assert set(listed) >= COMMANDS


def served(folder: Path, requests: str) -> list[str]:
    """Send requests to the guest's end of the protocol; return the lines that it answers."""
    done = subprocess.run(
        [BUSYBOX, "sh", FOLDER / "serve"],
        input=requests,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "P2PLAB_ANSWERS": str(folder / "answers")},
    )
    return done.stdout.splitlines()


def closing(number: int, status: int, output: str) -> str:
    return f"<{number}={status} {hashlib.md5(output.encode()).hexdigest()}>"


def test_answer_has_its_mark_on_each_line_and_status_and_sum_at_the_end(tmp_path: Path) -> None:
    ready, *lines = served(tmp_path, "run 7 echo out; echo '  a  b' >&2; exit 3\n")

    assert ready == "<p2plab=ready>"
    assert lines == ["<7|out", "<7|  a  b", closing(7, 3, "out\n  a  b\n")]


def test_output_without_a_last_newline_or_without_a_line(tmp_path: Path) -> None:
    lines = served(tmp_path, "run 1 printf a\nrun 2 true\n")

    assert lines[1:] == ["<1|a", closing(1, 0, "a"), closing(2, 0, "")]


def test_quotes_and_backslashes_reach_the_command(tmp_path: Path) -> None:
    lines = served(tmp_path, r"""run 1 printf '%s\n' "a b" 'c\d' $((1 + 1))""" + "\n")

    assert lines[1:-1] == ["<1|a b", r"<1|c\d", "<1|2"]


def test_again_sends_the_frame_without_running_the_command(tmp_path: Path) -> None:
    count = tmp_path / "count"

    lines = served(tmp_path, f"run 1 echo x >>{count}; echo done\nagain 1\nagain 1\n")

    assert lines[1:] == ["<1|done", closing(1, 0, "done\n")] * 3
    assert count.read_text() == "x\n"


def test_command_cannot_read_the_next_request(tmp_path: Path) -> None:
    lines = served(tmp_path, "run 1 cat\nrun 2 echo two\n")

    assert lines[1:] == [closing(1, 0, ""), "<2|two", closing(2, 0, "two\n")]


def test_what_is_no_request_is_ignored(tmp_path: Path) -> None:
    assert served(tmp_path, "\nhello\nrun 1 true\n") == ["<p2plab=ready>", closing(1, 0, "")]


def test_modes_of_init_are_those_of_the_host() -> None:
    modes = re.findall(r"^(\w+)\)$", (FOLDER / "init").read_text(), re.MULTILINE)

    assert modes == ["verify", "interactive"]
