"""What counts as a fault of the kernel: lines as kernels from 6.2 to 7.2 print them."""

import pytest

from boot.kernel_log import complaint, complaints
from boot.outcome import Outcome

FAULTS = """
panic   [    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200
panic   [    2.1] Kernel panic - not syncing: Fatal exception in interrupt
panic   [    2.1] traps: PANIC: double fault, error_code: 0x0
hang    [   28.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [p2pmem-test:61]
hang    [   28.0] NMI watchdog: Watchdog detected hard LOCKUP on cpu 0
hang    [   28.0] watchdog: Watchdog detected hard LOCKUP on cpu 0
hang    [   28.0] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 33s!
hang    [   21.0] rcu: INFO: rcu_preempt self-detected stall on CPU
hang    [   21.0] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:
hang    [   21.0] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... }
hang    [  122.0] INFO: task modprobe:61 blocked for more than 120 seconds.
oops    [    4.0] BUG: kernel NULL pointer dereference, address: 0000000000000008
oops    [    4.0] BUG: unable to handle page fault for address: ffffc90000a00000
oops    [    4.0] Oops: 0000 [#1] PREEMPT SMP NOPTI
oops    [    4.0] Oops: Oops: 0002 [#1] SMP NOPTI
oops    [    4.0] invalid opcode: 0000 [#1] PREEMPT SMP
oops    [    4.0] divide error: 0000 [#1] SMP
oops    [    4.0] general protection fault, probably for non-canonical address 0xdead000000000100
oops    [    4.0] kernel BUG at mm/page_alloc.c:1234!
oops    [    4.0] BUG: Bad page state in process p2pmem-test  pfn:fd020
oops    [    4.0] BUG: Bad page map in process p2pmem-test  pte:80000000fd020067 pmd:0
oops    [    4.0] p2pmem-test: Corrupted page table at address 7f0000000000
oops    [    4.0] BUG: sleeping function called from invalid context at mm/slab.h:494
oops    [    4.0] BUG: KASAN: slab-use-after-free in p2pmem_fault+0x1c/0x90 [p2pmem_pci]
oops    [    4.0] BUG kmalloc-64 (Tainted: G           O     ): Redzone overwritten
oops    [    4.0] UBSAN: array-index-out-of-bounds in drivers/pci/p2pdma.c:100:5
warning [    0.9] WARNING: CPU: 1 PID: 31 at mm/memory_hotplug.c:290 __add_pages+0x9d/0x100
warning [    0.9] WARNING: mm/memory_hotplug.c:290 at __add_pages+0x9d/0x100, CPU#1: kworker/31
warning [    0.9] WARNING: possible circular locking dependency detected
warning [    0.9] WARNING: suspicious RCU usage
warning [    4.0] BUG: KCSAN: data-race in blk_mq_run_hw_queue / nvme_irq
warning [    0.9] WARNING: inconsistent lock state
warning [    0.9] INFO: trying to register non-static key.
warning [    0.9] INFO: possible recursive locking detected
warning [    9.0] kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
warning unreferenced object 0xffff888004a1c000 (size 64):
warning ** 17 printk messages dropped **
warning <a1f0|out[    0.9] WARNING: CPU: 0 PID: 1 at a line that began as the guest's answer
"""
INNOCENT = """
[    0.0] ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PCI0], AE_NOT_FOUND
[    0.0] Linux version 6.3.2 (lab@lab) (gcc 12.2.0) #1 SMP PREEMPT_DYNAMIC
[    0.1] Spectre V1 : Mitigation: usercopy/swapgs barriers and __user pointer sanitization
[    0.1] MMIO Stale Data CPU bug present and SMT on, data leak possible.
[    0.3] debug: unmapping init memory
[    0.3] DEBUG: nothing
[    0.3] rcu: Hierarchical RCU implementation.
[    0.3] rcu: RCU calculated value of scheduler-enlistment delay is 25 jiffies.
[    0.3] watchdog: Delayed init of the lockup detector failed: -19
[    0.8] nvme nvme0: pci function 0000:03:00.0
[    0.9] nvme 0000:03:00.0: warning: interrupts are shared
[    1.0] p2pmem_pci: loading out-of-tree module taints kernel.
[    1.0] nvme 0000:02:00.0: cannot be used for peer-to-peer DMA as the client and provider \
(0000:01:00.0) do not share an upstream bridge or whitelisted host bridge
[    1.0] critical target error, dev nvme0n1, sector 8 op 0x0:(READ) flags 0x4000 phys_seg 1
[    9.0] sysrq: Show Blocked State
[    9.9] reboot: Power down
<a1f0|bugs : fxsave_leak sysret_ss_attrs null_seg spectre_v1 spectre_v2 mmio_stale_data
<a1f0|{"tool": "p2pmem-test", "result": "error", "message": "warning: no O_DIRECT"}
"""


@pytest.mark.parametrize("row", FAULTS.strip().splitlines())
def test_fault(row: str) -> None:
    word, line = row.split(maxsplit=1)
    found = complaint(line)
    assert found is not None
    assert (found.outcome.word, found.line) == (word, line)


@pytest.mark.parametrize("line", INNOCENT.replace("\\\n", "").strip().splitlines())
def test_innocent(line: str) -> None:
    assert complaint(line) is None


def test_the_words_of_a_warning_count_wherever_they_stand() -> None:
    """A kernel message may land inside the guest's answer, so answers are searched too."""
    found = complaint('<a1f0|{"message": "WARNING: CPU: 0"}')
    assert found is not None
    assert found.outcome is Outcome.WARNING


def test_complaints_keep_their_order() -> None:
    lines = ["fine", "WARNING: CPU: 0 PID: 1 at a", "fine", "  Oops: 0000 [#1] SMP"]
    assert [(item.outcome, item.line) for item in complaints(lines)] == [
        (Outcome.WARNING, "WARNING: CPU: 0 PID: 1 at a"),
        (Outcome.OOPS, "Oops: 0000 [#1] SMP"),
    ]
