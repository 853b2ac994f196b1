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
#include <linux/sysfs.h>

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

/*
 * Does this function offer peer-to-peer memory to others?
 *
 * Call with the device lock held and a driver bound.
 *
 * pci_has_p2pmem() answers it up to 6.17 and is private to the kernel since
 * then. Nothing exported replaces it: pci_p2pmem_find() also computes, and
 * caches without printing, whether this function can reach every other
 * provider, so that a transfer which is refused later gives no reason in the
 * log. A non-NULL pdev->p2pdma alone says only that a driver, such as vfio-pci,
 * thought of it. The documented answer is p2pmem/published in sysfs, read here
 * as a reader of that file would.
 */
#ifdef P2PMEM_HAVE_PCI_HAS_P2PMEM
static inline bool p2pmem_published(struct pci_dev *pdev)
{
	return pci_has_p2pmem(pdev);
}

static inline bool p2pmem_maybe_published(struct pci_dev *pdev)
{
	return pci_has_p2pmem(pdev);
}
#else
static inline bool p2pmem_read_flag(struct kobject *kobj,
				    struct kernfs_node *file)
{
	const struct sysfs_ops *ops = kobj->ktype->sysfs_ops;
	char *page = (char *)get_zeroed_page(GFP_KERNEL);
	bool flag = false;

	if (!page)
		return false;
	if (ops->show(kobj, file->priv, page) <= 0 || kstrtobool(page, &flag))
		flag = false;
	free_page((unsigned long)page);
	return flag;
}

static inline bool p2pmem_published(struct pci_dev *pdev)
{
	struct kobject *kobj = &pdev->dev.kobj;
	struct kernfs_node *group, *file;
	bool published = false;

	group = sysfs_get_dirent(kobj->sd, "p2pmem");
	if (!group)
		return false;
	file = sysfs_get_dirent(group, "published");
	if (file) {
		published = p2pmem_read_flag(kobj, file);
		sysfs_put(file);
	}
	sysfs_put(group);
	return published;
}

/* A cheap first look that needs no lock: false is final, true is not. */
static inline bool p2pmem_maybe_published(struct pci_dev *pdev)
{
	return rcu_access_pointer(pdev->p2pdma);
}
#endif

#endif /* P2PMEM_COMPAT_H */
