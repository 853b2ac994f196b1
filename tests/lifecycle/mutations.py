"""The module with one thing taken out: each has to be found by the case that is there for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from kernel.external import module_sources

MAIN = "p2pmem_main.c"
MMAP = "p2pmem_mmap.c"


@dataclass(frozen=True)
class Mutation:
    """One change of the module's source.

    Attributes:
        name: what was taken out.
        file: where.
        old: text that is there exactly once.
        new: what comes in its place.
        case: the case that has to fail.
        says: a part of what it then says.
    """

    name: str
    file: str
    old: str
    new: str
    case: str
    says: str


MUTATIONS = (
    Mutation(
        "revoke removed",
        MMAP,
        "\tstruct p2pmem_buffer *buf, *next;\n",
        "\tstruct p2pmem_buffer *buf, *next;\n\n\tif (node)\n\t\treturn;\n",
        "mapping x driver unbind",
        "driver unbind of 0000:03:00.0 did not end within",
    ),
    Mutation(
        "pages given back while a transfer uses them",
        MMAP,
        "\tfor (i = 0; i < buf->nr_pages; i++) {\n\t\tput_page(buf->pages + i);\n"
        "\t\tcond_resched();\n\t}\n",
        "\ti = buf->nr_pages << PAGE_SHIFT;\n"
        "\tpci_free_p2pmem(buf->node->pdev, page_to_virt(buf->pages), i);\n",
        "dma-unmapped",
        "bytes are held",
    ),
    Mutation(
        "VM_DONTEXPAND not set",
        MMAP,
        "VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP",
        "VM_MIXEDMAP | VM_DONTDUMP",
        "mremap-grow",
        "growing",
    ),
    Mutation(
        "MAP_PRIVATE not refused",
        MMAP,
        "!(vma->vm_flags & VM_MAYSHARE) || vma->vm_pgoff",
        "vma->vm_pgoff",
        "map-private",
        "MAP_PRIVATE",
    ),
    Mutation(
        "an offset not refused",
        MMAP,
        "!(vma->vm_flags & VM_MAYSHARE) || vma->vm_pgoff",
        "!(vma->vm_flags & VM_MAYSHARE)",
        "map-offset",
        "an offset of one page: 0",
    ),
    Mutation(
        "VM_EXEC not refused",
        MMAP,
        "\tif (vma->vm_flags & VM_EXEC)\n\t\treturn -EPERM;\n",
        "",
        "map-exec",
        "PROT_EXEC: 0",
    ),
    Mutation(
        "VM_MAYEXEC kept",
        MMAP,
        "\t\t     VM_MAYEXEC);",
        "\t\t     0);",
        "mprotect-exec",
        "mprotect to PROT_EXEC: 0",
    ),
    Mutation(
        "number not given back",
        MAIN,
        "\tida_free(&p2pmem_ida, MINOR(node->dev.devt) - MINOR(p2pmem_devt));\n",
        "",
        "open file x driver unbind",
        "/dev/p2pmem0 of 0000:03:00.0 is p2pmem2 now",
    ),
    Mutation(
        "buffer leaked",
        MMAP,
        "\tkref_put(&buf->ref, p2pmem_buffer_free);\n",
        "\tkref_read(&buf->ref);\n",
        "munmap-split",
        "bytes again",
    ),
    Mutation(
        "reference for a second VMA not taken",
        MMAP,
        "\tkref_get(&buf->ref);\n",
        "\tkref_read(&buf->ref);\n",
        "fork-child-first",
        "refcount_warn_saturate",
    ),
    Mutation(
        "dead not set",
        MMAP,
        "\tnode->dead = true;\n",
        "",
        "open file x driver unbind",
        "mmap() of the open file gives ENOMEM, not ENODEV",
    ),
    Mutation(
        "content not kept by MADV_DONTNEED: another page each time",
        MMAP,
        "buf->pages + vmf->pgoff);",
        "buf->pages + (vmf->pgoff + jiffies) % buf->nr_pages);",
        "madvise-dontneed",
        "the content is kept when it is touched again",
    ),
)

# Only a KCSAN kernel finds it. It watches one access in some thousands, and of those that follow
# the start of a sequence counter's read section, without its end, none of the first thousand: the
# way into a page fault is such a place (seen on 6.12). Hence so many.
RACE = Mutation(
    "faults counted without a lock",
    MMAP,
    "\tvm_fault_t ret = VM_FAULT_SIGBUS;\n",
    "\tvm_fault_t ret = VM_FAULT_SIGBUS;\n\tstatic unsigned long faults;\n\tint i;\n\n"
    "\tfor (i = 0; i < 4000; i++) {\n\t\tfaults++;\n\t\tbarrier();\n\t}\n",
    "race-fault",
    "BUG: KCSAN: data-race in p2pmem_vma_fault ",
)


def mutate(sources: Path, mutation: Mutation, target: Path) -> Path:
    """Copy a module's sources with the change made, and return where they are.

    Raises:
        AssertionError: the text that is to be changed is not there, or not just once: the module
            has changed, and the mutation has to follow.
    """
    target.mkdir(parents=True)
    for path in module_sources(sources):
        shutil.copyfile(path, target / path.name)
    file = target / mutation.file
    text = file.read_text(encoding="utf-8")
    found = text.count(mutation.old)
    assert found == 1, (
        f"mutation '{mutation.name}': its text is {found} times in {mutation.file}; "
        f"the module has changed, tests/lifecycle/mutations.py has to follow:\n{mutation.old}"
    )
    file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    return target
