"""./doit on a pretended machine: a PATH of stand-ins, no network, nothing really installed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from host.tools import WORK, read_table
from tests.unit.wrapper_machine import (
    BASE_TOOLS,
    PYTHON,
    ROOT,
    SUDO,
    Machine,
    pretend_machine,
    write_program,
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return pretend_machine(tmp_path)


def missing_lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("doit: missing:")]


# --- starting doit --------------------------------------------------------------------------


def test_passes_arguments_untouched_and_returns_the_exit_code(machine: Machine) -> None:
    result = machine.run("a b", "*", "", "kernel=6.3.2", "$HOME")
    assert result.stdout.splitlines()[3:] == [
        "arg=a b",
        "arg=*",
        "arg=",
        "arg=kernel=6.3.2",
        "arg=$HOME",
    ]
    assert result.returncode == 7


def test_second_start_prepares_nothing_and_says_nothing(machine: Machine) -> None:
    machine.run()
    before = machine.calls("")
    result = machine.run("list")
    assert machine.calls("") == before
    assert result.stderr == ""


def test_makes_the_environment_from_hashed_wheels_only(machine: Machine) -> None:
    machine.run()
    (call,) = machine.calls("-m pip")
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:", "-r requirements.lock"):
        assert option in call


def test_works_from_another_directory(machine: Machine, tmp_path: Path) -> None:
    result = machine.run(cwd=tmp_path)
    assert f"cwd={machine.checkout}\nfrom={tmp_path}\n" in result.stdout


def test_works_by_a_relative_path_with_cdpath_set(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / machine.checkout.name).mkdir(parents=True)
    wrapper = Path(machine.checkout.name) / "doit"
    result = machine.run(wrapper=wrapper, cwd=tmp_path, CDPATH=str(tmp_path / "elsewhere"))
    assert f"cwd={machine.checkout}\nfrom={tmp_path}\n" in result.stdout


def test_works_through_a_chain_of_symbolic_links(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links/first").symlink_to("../my lab/doit")
    (tmp_path / "second").symlink_to(tmp_path / "links/first")
    result = machine.run(wrapper=tmp_path / "second", cwd=Path("/"))
    assert f"cwd={machine.checkout}\nfrom=/\n" in result.stdout


def test_hides_foreign_python_packages(machine: Machine) -> None:
    assert "pythonpath=unset" in machine.run(PYTHONPATH="/opt/foreign").stdout


# --- host tools -----------------------------------------------------------------------------


def test_no_install_lists_the_missing_tool_with_its_packages(machine: Machine) -> None:
    machine.remove_tool("qemu-system-x86_64")
    machine.add_apt(uid=0)
    result = machine.run(P2PLAB_NO_INSTALL="1")
    (line,) = missing_lines(result)
    assert "qemu-system-x86_64" in line
    assert "Debian qemu-system-x86, Fedora qemu-system-x86-core, Arch qemu-system-x86" in line
    assert "P2PLAB_NO_INSTALL is set" in result.stderr
    assert result.returncode == 3
    assert machine.calls("") == []


def test_root_installs_exactly_what_is_missing(machine: Machine) -> None:
    machine.remove_tool("qemu-system-x86_64")
    machine.add_apt(uid=0)
    result = machine.run("list")
    simulated, installed = machine.calls("apt-get")
    assert installed.endswith(" install -y --no-install-recommends qemu-system-x86")
    assert simulated == installed + " --simulate"
    assert "installing with apt-get: qemu-system-x86" in result.stderr
    assert "arg=list" in result.stdout


def test_updates_the_index_when_a_package_is_unknown(machine: Machine) -> None:
    machine.remove_tool("qemu-system-x86_64")
    machine.add_apt(uid=0, index="mirror")
    result = machine.run()
    assert [call.split()[3] for call in machine.calls("apt-get")] == [
        "install",
        "update",
        "install",
    ]
    assert result.returncode == 7


def test_package_that_no_mirror_has_ends_in_the_list(machine: Machine) -> None:
    machine.remove_tool("bc")
    machine.add_apt(uid=0)
    result = machine.run()
    assert "missing: bc" in result.stderr
    assert "not installed: apt-get failed" in result.stderr
    assert result.returncode == 3


def test_package_without_the_tool_is_an_error(machine: Machine) -> None:
    machine.remove_tool("bc")
    machine.add_apt(uid=0)
    (machine.state / "index/bc").mkdir()
    (machine.state / "index/bc/README").touch()
    result = machine.run()
    assert "still not to be found" in result.stderr
    assert result.returncode == 3


def test_user_installs_through_sudo_without_password(machine: Machine) -> None:
    machine.remove_tool("qemu-system-x86_64")
    machine.add_apt(uid=1000)
    write_program(machine.bin / "sudo", SUDO)
    result = machine.run()
    assert "installing with sudo apt-get: qemu-system-x86" in result.stderr
    assert result.returncode == 7


def test_sudo_may_ask_only_at_a_terminal(machine: Machine) -> None:
    machine.remove_tool("qemu-system-x86_64")
    machine.add_apt(uid=1000)
    write_program(machine.bin / "sudo", SUDO)
    machine.set("sudo-asks")
    assert "wants a password" in machine.run().stderr
    assert machine.calls("apt-get") == []

    controller, terminal = os.openpty()
    try:
        process = subprocess.Popen(
            [machine.checkout / "doit"],
            env=machine.environment,
            stdin=terminal,
            stderr=terminal,
            stdout=subprocess.DEVNULL,
        )
        assert process.wait(timeout=30) == 7
    finally:
        os.close(controller)
        os.close(terminal)
    assert machine.calls("sudo")[-1] == "sudo env"


def test_user_without_sudo_gets_the_list(machine: Machine) -> None:
    machine.remove_tool("flex")
    machine.remove_tool("bison")
    machine.add_apt(uid=1000)
    result = machine.run()
    assert len(missing_lines(result)) == 2
    assert "there is no sudo" in result.stderr
    assert "apt-get install flex bison" in result.stderr
    assert result.returncode == 3


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("dnf", "dnf install elfutils-libelf-devel busybox"),
        ("pacman", "pacman -S libelf busybox"),
        (None, "your package manager"),
    ],
)
def test_no_apt_gives_the_command_of_the_machine(
    machine: Machine, manager: str | None, command: str
) -> None:
    (machine.state / "gelf.h").unlink()
    machine.remove_tool("busybox")
    if manager:
        write_program(machine.bin / manager)
    result = machine.run()
    header, busybox = missing_lines(result)
    assert "gelf.h" in header
    assert "Fedora elfutils-libelf-devel, Arch libelf" in header
    assert "busybox (statically linked)" in busybox
    assert command in result.stderr
    assert result.returncode == 3


def test_dynamic_busybox_does_not_count(machine: Machine) -> None:
    machine.remove_tool("busybox")
    shutil.copy(Path("/bin/sh").resolve(), machine.bin / "busybox")
    (line,) = missing_lines(machine.run())
    assert "busybox (statically linked)" in line


def test_package_of_several_missing_tools_is_named_once(machine: Machine) -> None:
    machine.remove_tool("lz4")
    machine.remove_tool("lz4c")
    write_program(machine.bin / "dnf")
    result = machine.run()
    assert len(missing_lines(result)) == 2
    assert result.stderr.endswith("dnf install lz4\n")


def test_every_line_of_the_table_has_its_columns() -> None:
    lines = (ROOT / "host/tools.txt").read_text().splitlines()
    rows = [line.split(None, 5) for line in lines if line and not line.startswith("#")]
    assert rows
    for row in rows:
        assert len(row) == 6, row
        assert row[1] in WORK, row
        assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", package) for package in row[2:5]), row


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("comand:gcc build gcc gcc gcc typing error", "unknown probe 'comand:gcc'"),
        ("cmd:gcc gcc gcc gcc forgotten column", "unknown word 'gcc' in column 'for'"),
    ],
)
def test_mistake_in_the_table_is_an_error(machine: Machine, row: str, told: str) -> None:
    with (machine.checkout / "host/tools.txt").open("a") as table:
        table.write(f"{row}\n")
    result = machine.run()
    assert told in result.stderr
    assert result.returncode == 3


# One need of each kind of work.
RUN, BUILD, REPRODUCE, TEST, TOOLS = "qemu-system-x86_64", "gcc", "faketime", "pod2man", "fio"


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("", (RUN, BUILD)),
        ("verify", (RUN, BUILD)),
        ("build", (RUN, BUILD)),
        ("kernel=6.12 boot", (RUN, BUILD)),
        ("bundle= verify", (RUN, BUILD)),
        ("bundle=x build", (RUN, BUILD)),
        ("bundle=x build verify", (RUN, BUILD)),
        ("verify bundle=x", (RUN,)),
        ("bundle=x topology=switch", (RUN,)),
        ("bundle=a=b verify", (RUN,)),
        ("compare build test", (RUN,)),
        ("summary", (RUN,)),
        ("clean kernel", (RUN,)),
        ("reproduce", (RUN, BUILD, REPRODUCE)),
        ("reproduce manifest=x verify", (RUN, BUILD, REPRODUCE)),
        ("rootfs=tools boot", (RUN, BUILD, TOOLS)),
        ("reproduce rootfs=tools", (RUN, BUILD, REPRODUCE, TOOLS)),
        ("rootfs=plain verify", (RUN, BUILD)),
        ("rootfs=tools list", (RUN,)),
        ("build test", (RUN, BUILD, REPRODUCE, TOOLS, TEST)),
        ("kernel=6.12 test:unit", (RUN, BUILD, REPRODUCE, TOOLS, TEST)),
    ],
)
def test_only_what_the_command_line_is_about_is_asked_for(
    machine: Machine, command: str, needed: tuple[str, ...]
) -> None:
    for name in (RUN, BUILD, REPRODUCE, TOOLS):
        machine.remove_tool(name)
    (machine.state / TEST).unlink()
    result = machine.run(*command.split(), P2PLAB_NO_INSTALL="1")
    assert [line.split()[2] for line in missing_lines(result)] == list(needed)
    assert result.returncode == 3


def test_bundle_is_verified_on_a_machine_that_cannot_build(machine: Machine) -> None:
    for need in read_table():
        if need.work != "run" and need.command and need.command not in BASE_TOOLS:
            machine.remove_tool(need.command)
    for command in (["verify", "bundle=x.tar.xz"], ["compare", "a", "b"]):
        result = machine.run(*command, P2PLAB_NO_INSTALL="1")
        assert "doit: missing" not in result.stderr
        assert result.stdout.endswith("".join(f"arg={word}\n" for word in command))
        assert result.returncode == 7
    result = machine.run("build", P2PLAB_NO_INSTALL="1")
    assert "missing: gcc (compiles kernel, module and tool)" in result.stderr
    assert not any("disorderfs" in line for line in missing_lines(result))
    assert result.returncode == 3


# --- Python ---------------------------------------------------------------------------------


def test_old_python_is_an_error_that_names_it(machine: Machine) -> None:
    machine.set("python-is-old")
    result = machine.run()
    assert "Python 3.11 or newer is needed" in result.stderr
    assert f"{machine.bin}/python3 is Python 3.9.2" in result.stderr
    assert result.returncode == 3
    assert not (machine.checkout / ".venv").exists()


def test_newer_python_beside_an_old_one_is_used(machine: Machine) -> None:
    machine.set("python-is-old")
    write_program(machine.bin / "python3.12", PYTHON.replace("python-is-old", "never"))
    result = machine.run()
    assert f"making .venv with {machine.bin}/python3.12" in result.stderr
    assert result.returncode == 7


def test_no_python_at_all_is_one_of_the_missing_tools(machine: Machine) -> None:
    machine.remove_tool("python3")
    result = machine.run()
    assert "Debian python3," in missing_lines(result)[0]
    assert "Debian python3-venv," in missing_lines(result)[1]


def test_ensurepip_is_asked_of_the_package_of_the_chosen_python(machine: Machine) -> None:
    machine.unset("ensurepip")
    assert "Debian python3-venv," in missing_lines(machine.run())[0]
    machine.set("python-is-old")
    write_program(machine.bin / "python3.12", PYTHON.replace("python-is-old", "never"))
    assert "Debian python3.12-venv," in missing_lines(machine.run())[0]


# --- the environment ------------------------------------------------------------------------


def test_failed_pip_is_reported_and_the_next_start_recovers(machine: Machine) -> None:
    machine.set("pip-fails")
    result = machine.run()
    assert "could not make .venv" in result.stderr
    assert result.returncode == 1
    machine.unset("pip-fails")
    assert machine.run().returncode == 7


def test_killed_start_leaves_nothing_that_the_next_one_trusts(machine: Machine) -> None:
    machine.set("pip-hangs")
    process = machine.start()
    deadline = time.monotonic() + 20
    while not machine.calls("-m pip"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    machine.unset("pip-hangs")
    (machine.state / "pip-runs").rmdir()
    (half_made,) = machine.checkout.glob(".venv-*")
    (half_made / "leftover").touch()
    assert machine.run().returncode == 7
    assert not (half_made / "leftover").exists()


def test_environment_of_a_foreign_maker_is_replaced(machine: Machine) -> None:
    (machine.checkout / ".venv/bin").mkdir(parents=True)
    write_program(machine.checkout / ".venv/bin/python")
    assert machine.run().returncode == 7
    assert (machine.checkout / ".venv").is_symlink()


def test_changed_lock_renews_and_keeps_only_the_previous(machine: Machine) -> None:
    used = []
    for version in range(3):
        (machine.checkout / "requirements.lock").write_text(f"doit=={version}\n")
        machine.run()
        used.append((machine.checkout / ".venv").readlink().name)
    assert len(machine.calls("-m pip")) == 3
    assert {path.name for path in machine.checkout.glob(".venv-*")} == set(used[1:])


def test_going_back_to_the_previous_lock_installs_nothing(machine: Machine) -> None:
    lock = machine.checkout / "requirements.lock"
    first = lock.read_text()
    machine.run()
    lock.write_text("doit==2\n")
    machine.run()
    lock.write_text(first)
    assert machine.run().returncode == 7
    assert len(machine.calls("-m pip")) == 2


def test_moved_checkout_gets_a_new_environment(machine: Machine, tmp_path: Path) -> None:
    machine.run()
    machine.checkout.rename(tmp_path / "moved")
    result = machine.run(wrapper=tmp_path / "moved/doit", cwd=tmp_path)
    assert f"cwd={tmp_path}/moved" in result.stdout
    assert len(machine.calls("-m pip")) == 2


def test_python_that_went_away_renews(machine: Machine) -> None:
    machine.run()
    python = machine.checkout / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.11")
    assert machine.run().returncode == 7
    assert len(machine.calls("-m pip")) == 2


def test_starts_at_the_same_time_prepare_once(machine: Machine) -> None:
    machine.set("pip-takes-time")
    processes = [machine.start() for _ in range(4)]
    results = [process.communicate(timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [7] * 4
    assert len(machine.calls("-m pip")) == 1
    assert machine.calls("two pips") == []
    assert any("waiting for another" in errors for _, errors in results)
