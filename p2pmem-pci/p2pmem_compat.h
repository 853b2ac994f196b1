/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Everything that depends on the kernel version, and nothing else.
 *
 * The P2PMEM_HAVE_* symbols come from Kbuild, which looks into the headers of
 * the kernel it builds for: distributions backport, so a version number proves
 * little. Include this header first, so that a kernel which cannot work says so
 * before anything else fails.
 */
#ifndef P2PMEM_COMPAT_H
#define P2PMEM_COMPAT_H

#ifndef P2PMEM_HAVE_FOLL_PCI_P2PDMA
#error "p2pmem_pci needs Linux 6.2: older kernels cannot map P2P memory to user space"
#elif !defined(CONFIG_PCI_P2PDMA)
#error "p2pmem_pci needs CONFIG_PCI_P2PDMA=y, which is off in this kernel"
#endif

#include <linux/build_bug.h>
#include <linux/delay.h>
#include <linux/iopoll.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>

/* Before 6.3 a driver wrote to vma->vm_flags, which is read-only since then. */
#ifndef P2PMEM_HAVE_VM_FLAGS_MOD
static inline void vm_flags_mod(struct vm_area_struct *vma, unsigned long set,
				unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* 6.18 dropped the second argument, a cached pagemap that nobody here has. */
static inline struct dev_pagemap *p2pmem_get_pagemap(struct page *page)
{
#ifdef P2PMEM_HAVE_GET_DEV_PAGEMAP_1ARG
	return get_dev_pagemap(page_to_pfn(page));
#else
	return get_dev_pagemap(page_to_pfn(page), NULL);
#endif
}

/*
 * Give a page that was just taken from the pool the one reference that its
 * buffer owns.
 *
 * Since 6.15 a free ZONE_DEVICE page has no reference; page_pgmap(), which came
 * with that change, is what can be seen of it in the headers. Before, it had one, but
 * free_zone_device_page() returns the page to the pool first and sets its
 * count second: whoever allocates in between has to wait for the second step.
 * That is a few instructions; a page which takes longer was freed to the pool
 * while somebody still uses it, and must not be handed out.
 *
 * Returns 0 or -ETIMEDOUT.
 */
#ifdef P2PMEM_HAVE_PAGE_PGMAP
static inline int p2pmem_page_init(struct page *page)
{
	set_page_count(page, 1);
	return 0;
}
#else
static inline int p2pmem_page_init(struct page *page)
{
	int count;

	/*
	 * Gone with the same change: if the probe for page_pgmap() misses it,
	 * this does not compile, instead of an mmap() that always fails.
	 */
	BUILD_BUG_ON(!sizeof_field(struct page, pgmap));
	return read_poll_timeout(page_ref_count, count, count == 1, 10,
				 10 * USEC_PER_MSEC, false, page);
}
#endif

#endif /* P2PMEM_COMPAT_H */
