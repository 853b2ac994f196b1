"""``boot.sh``: boots an image on a machine that has QEMU and a POSIX shell, and nothing else."""

import shlex
from pathlib import Path

from boot.qemu import QEMU, STEADY_CLOCK, Vm, command, shown
from boot.topology import Topology
from settings.paths import BZIMAGE, INITRAMFS

# Stands for what the script asks its environment for.
ACCEL = "@accel@"

SCRIPT = """\
#!/bin/sh
# Boots this image into a shell on the serial console, here in the terminal.
#
#   ./boot.sh [OPTION...]    options are handed to QEMU: `-s -S` waits for gdb on port 1234
#   ACCEL=kvm ./boot.sh      with KVM; without it the processor is emulated, which works anywhere
#
# Nothing is needed but {qemu} and the files beside this one. The drives are blank, and
# gone afterwards. Leave with `poweroff`, or with Ctrl-A X at any time.
set -eu
unset CDPATH
case $0 in
*/*) cd -- "${{0%/*}}/" ;;
esac
if ! command -v {qemu} >/dev/null; then
	echo "boot.sh: {qemu} is not on this machine; install QEMU for x86" >&2
	exit 69
fi

# ROWS COLUMNS of the terminal; a serial line does not tell them to the guest.
size='24 80'
if [ -t 0 ] && command -v stty >/dev/null; then
	size=$(stty size)
fi
terminal="p2plab.size=${{size% *}}x${{size#* }} p2plab.term=${{TERM:-vt100}}"
accel=${{ACCEL:-tcg}}
clock=
if [ "$accel" = tcg ]; then
	clock=' {clock}'
fi
append="{append}$clock p2plab.mode=interactive $terminal"

exec {command} \\
  "$@"
"""


def boot_script(topology: Topology, cpu: str) -> str:
    """Return the script for an image that was made for this topology and QEMU CPU model."""
    vm = Vm(
        topology=topology,
        kernel=Path(BZIMAGE),
        initramfs=Path(INITRAMFS),
        drives={drive.serial: None for drive in topology.drives},
        cpu=cpu,
        accel=ACCEL,
        console=(
            "-chardev", "stdio,id=console,mux=on,signal=off",
            "-serial", "chardev:console",
            "-mon", "chardev=console,mode=readline",
            # Where the lab's own console tells a new size of the terminal; here nobody does.
            "-chardev", "null,id=size",
            "-serial", "chardev:size",
        ),
    )  # fmt: skip
    argv = command(vm)
    append = argv[argv.index("-append") + 1]
    words = {
        append: '"$append"',
        f"{topology.machine},accel={ACCEL}": f'{topology.machine},accel="$accel"',
    }
    return SCRIPT.format(
        qemu=QEMU,
        append=append,
        clock=STEADY_CLOCK,
        command=shown(argv, lambda word: words.get(word) or shlex.quote(word)),
    )
