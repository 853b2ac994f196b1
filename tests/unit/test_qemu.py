"""The QEMU command line."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from boot.interactive import boot, waiting_for_gdb, with_terminal
from boot.qemu import SERVE, Vm, command, shown
from boot.topology import load_topology
from host.errors import LabError
from settings.paths import CONFIGS

VM = Vm(
    topology=load_topology(CONFIGS / "topologies/switch-q35.toml"),
    kernel=Path("/k/bzImage"),
    initramfs=Path("/k/initramfs"),
    drives={"d00d0001": Path("/d/1.img"), "d00d0002": Path("/d/a,b/2.img")},
    accel="tcg",
    cpu="qemu64",
    console=("-serial", "chardev:console"),
    kernel_arguments=SERVE,
    extra=("-D", "/d/my log"),
)
GOLDEN = [
    "qemu-system-x86_64",
    "-name", "p2plab-switch-q35",
    "-machine", "q35,accel=tcg",
    "-cpu", "qemu64",
    "-smp", "2",
    "-m", "1024M",
    "-no-user-config",
    "-nodefaults",
    "-display", "none",
    "-no-reboot",
    "-serial", "chardev:console",
    "-D", "/d/my log",
    "-kernel", "/k/bzImage",
    "-initrd", "/k/initramfs",
    "-append",
    "console=ttyS0,115200 nokaslr panic=-1 nvme_core.multipath=N clocksource=hpet "
    "p2plab.mode=verify loglevel=7",
    "-device", "pcie-root-port,id=root,bus=pcie.0,addr=0x4,chassis=1,slot=1",
    "-device", "x3130-upstream,id=upstream,bus=root,addr=0x0",
    "-device", "xio3130-downstream,id=downstream0,bus=upstream,addr=0x0,chassis=3,slot=3",
    "-device", "xio3130-downstream,id=downstream1,bus=upstream,addr=0x1,chassis=4,slot=4",
    "-drive", "if=none,id=image-d00d0001,format=raw,file=/d/1.img",
    "-device", "nvme-subsys,id=subsystem-d00d0001",
    "-device",
    "nvme,id=nvme-d00d0001,bus=downstream0,addr=0x0,subsys=subsystem-d00d0001,"
    "serial=d00d0001,cmb_size_mb=16",
    "-device", "nvme-ns,id=namespace-d00d0001,bus=nvme-d00d0001,drive=image-d00d0001,nsid=1",
    "-drive", "if=none,id=image-d00d0002,format=raw,file=/d/a,,b/2.img",
    "-device", "nvme-subsys,id=subsystem-d00d0002",
    "-device",
    "nvme,id=nvme-d00d0002,bus=downstream1,addr=0x0,subsys=subsystem-d00d0002,"
    "serial=d00d0002,cmb_size_mb=16",
    "-device", "nvme-ns,id=namespace-d00d0002,bus=nvme-d00d0002,drive=image-d00d0002,nsid=2",
]  # fmt: skip


def test_whole_command() -> None:
    assert command(VM) == GOLDEN


def test_machine_and_cpu_come_from_topology_and_choice() -> None:
    pc = load_topology(CONFIGS / "topologies/switch.toml")
    argv = command(replace(VM, topology=pc, accel="kvm", cpu="EPYC"))
    assert argv[argv.index("-machine") + 1] == "pc,accel=kvm"
    assert argv[argv.index("-cpu") + 1] == "EPYC"
    assert "clocksource" not in argv[argv.index("-append") + 1]
    assert "pcie-root-port,id=root,bus=pci.0,addr=0x4,chassis=1,slot=1" in argv


def test_a_clock_that_is_quick_to_read_instead_of_one_that_is_right() -> None:
    argv = command(replace(VM, steady_clock=False))
    assert "clocksource" not in argv[argv.index("-append") + 1]


def test_cards_and_drives_without_memory() -> None:
    ivshmem = load_topology(CONFIGS / "topologies/ivshmem.toml")
    argv = command(replace(VM, topology=ivshmem))
    assert argv[-4:] == [
        "-object",
        "memory-backend-ram,id=memory-shared,size=16M,share=on",
        "-device",
        "ivshmem-plain,memdev=memory-shared,id=shared,bus=downstream2,addr=0x0",
    ]
    testdev = load_topology(CONFIGS / "topologies/testdev.toml")
    argv = command(replace(VM, topology=testdev))
    assert argv[-2:] == ["-device", "pci-testdev,membar=16M,id=forgetful,bus=downstream2,addr=0x0"]
    assert not any("cmb_size_mb" in word for word in argv)


def test_shown_command_can_be_pasted_into_a_shell() -> None:
    text = shown(GOLDEN)
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == GOLDEN
    assert "\n  -name p2plab-switch-q35 \\\n" in text
    assert "\n  -D '/d/my log' \\\n" in text


def test_terminal_and_gdb() -> None:
    argv = command(waiting_for_gdb(with_terminal(VM, Path("/s/size"))))
    assert "stdio,id=console,mux=on,signal=off" in argv
    assert "socket,id=size,path=/s/size,server=on,wait=off" in argv
    assert argv[argv.index("-gdb") + 1] == "tcp:127.0.0.1:1234"
    assert "-S" in argv
    words = argv[argv.index("-append") + 1].split()
    assert "p2plab.mode=interactive" in words
    assert any(word.startswith("p2plab.size=") for word in words)


def test_boot_beside_other_tasks_is_refused() -> None:
    # `doit -n 2` runs its tasks in threads, which may not say what a signal does.
    with ThreadPoolExecutor(1) as pool, pytest.raises(LabError, match="share its terminal") as told:
        pool.submit(boot, VM).result()
    assert "-n" in told.value.hint
