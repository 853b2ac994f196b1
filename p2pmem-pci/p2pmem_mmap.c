// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers of peer-to-peer memory, and how they get into a process and out.
 * The life cycle and the locks are described in p2pmem.h.
 */
#include "p2pmem_compat.h"

#include <linux/kref.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "p2pmem.h"

/**
 * struct p2pmem_buffer - the memory behind one mmap()
 * @ref: one per VMA
 * @node: where the memory comes from; the file of the VMA keeps it
 * @entry: in node->buffers; empty once the base references are dropped
 * @pages: the first of the contiguous pages
 * @nr_pages: how many
 */
struct p2pmem_buffer {
	struct kref ref;
	struct p2pmem_node *node;
	struct list_head entry;
	struct page *pages;
	unsigned long nr_pages;
};

static int p2pmem_init_pages(struct p2pmem_buffer *buf)
{
	unsigned long i;
	int err;

	for (i = 0; i < buf->nr_pages; i++) {
		err = p2pmem_page_init(buf->pages + i);
		if (err) {
			dev_err_ratelimited(&buf->node->dev,
					    "page %#lx came from the pool but is in use\n",
					    page_to_pfn(buf->pages + i));
			return err;
		}
	}
	return 0;
}

/*
 * One contiguous piece, however long: an NVMe controller may refuse its own
 * memory when the command describes it in several segments.
 *
 * p2pdma puts one pagemap reference for every page that it gets back, while
 * pci_alloc_p2pmem() takes a single one for the whole piece: add the others.
 */
static int p2pmem_take_pages(struct p2pmem_buffer *buf)
{
	struct pci_dev *pdev = buf->node->pdev;
	size_t size = buf->nr_pages << PAGE_SHIFT;
	struct dev_pagemap *pgmap;
	int err = -ENODEV;
	void *kaddr;

	kaddr = pci_alloc_p2pmem(pdev, size);
	if (!kaddr)
		return -ENOMEM;
	buf->pages = virt_to_page(kaddr);

	pgmap = p2pmem_get_pagemap(buf->pages);
	if (!pgmap)
		goto free;
	err = p2pmem_init_pages(buf);
	if (!err)
		percpu_ref_get_many(&pgmap->ref, buf->nr_pages - 1);
	put_dev_pagemap(pgmap);
	if (!err)
		return 0;
free:
	pci_free_p2pmem(pdev, kaddr, size);
	return err;
}

static void p2pmem_drop_pages(struct p2pmem_buffer *buf)
{
	unsigned long i;

	lockdep_assert_held_write(&buf->node->lock);

	list_del_init(&buf->entry);
	for (i = 0; i < buf->nr_pages; i++) {
		put_page(buf->pages + i);
		cond_resched();
	}
}

static struct p2pmem_buffer *p2pmem_buffer_new(struct p2pmem_node *node,
					       unsigned long nr_pages)
{
	struct p2pmem_buffer *buf;
	int err;

	buf = kzalloc(sizeof(*buf), GFP_KERNEL);
	if (!buf)
		return ERR_PTR(-ENOMEM);
	kref_init(&buf->ref);
	buf->node = node;
	buf->nr_pages = nr_pages;

	down_write(&node->lock);
	err = node->dead ? -ENODEV : p2pmem_take_pages(buf);
	if (!err)
		list_add(&buf->entry, &node->buffers);
	up_write(&node->lock);

	if (err) {
		kfree(buf);
		return ERR_PTR(err);
	}
	return buf;
}

static void p2pmem_buffer_free(struct kref *ref)
{
	struct p2pmem_buffer *buf = container_of(ref, struct p2pmem_buffer, ref);
	struct p2pmem_node *node = buf->node;

	down_write(&node->lock);
	if (!list_empty(&buf->entry))
		p2pmem_drop_pages(buf);
	up_write(&node->lock);
	kfree(buf);
}

static void p2pmem_vma_open(struct vm_area_struct *vma)
{
	struct p2pmem_buffer *buf = vma->vm_private_data;

	kref_get(&buf->ref);
}

static void p2pmem_vma_close(struct vm_area_struct *vma)
{
	struct p2pmem_buffer *buf = vma->vm_private_data;

	kref_put(&buf->ref, p2pmem_buffer_free);
}

/*
 * vm_pgoff starts at 0 and follows the VMA when it is split or moved, so
 * vmf->pgoff is the page's number in the buffer.
 */
static vm_fault_t p2pmem_vma_fault(struct vm_fault *vmf)
{
	struct p2pmem_buffer *buf = vmf->vma->vm_private_data;
	struct p2pmem_node *node = buf->node;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	down_read(&node->lock);
	if (!node->dead && vmf->pgoff < buf->nr_pages)
		ret = vmf_insert_page(vmf->vma, vmf->address,
				      buf->pages + vmf->pgoff);
	up_read(&node->lock);
	return ret;
}

static const struct vm_operations_struct p2pmem_vm_ops = {
	.open = p2pmem_vma_open,
	.close = p2pmem_vma_close,
	.fault = p2pmem_vma_fault,
};

/*
 * VM_MIXEDMAP: vm_insert_page() wants it and cannot set it during a fault.
 * VM_DONTEXPAND: mremap() must not grow a mapping beyond its buffer.
 * VM_IO and VM_PFNMAP stay clear: get_user_pages() refuses both.
 */
static void p2pmem_setup_vma(struct vm_area_struct *vma)
{
	vm_flags_mod(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP,
		     VM_MAYEXEC);
	/* As the kernel's own mapping of the BAR; aliases must not differ. */
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vma->vm_ops = &p2pmem_vm_ops;
}

/**
 * p2pmem_mmap - allocate peer-to-peer memory and map it
 * @filp: an open /dev/p2pmemN
 * @vma: the new mapping; its length is the size of the allocation
 *
 * Return: 0; -EINVAL for a private mapping or an offset; -EPERM for PROT_EXEC;
 * -ENOMEM when the pool has no contiguous piece of that size left; -ENODEV when
 * the function is going away; -ETIMEDOUT when the pool is damaged.
 */
int p2pmem_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct p2pmem_node *node = filp->private_data;
	struct p2pmem_buffer *buf;

	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_pgoff)
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;

	buf = p2pmem_buffer_new(node, vma_pages(vma));
	if (IS_ERR(buf))
		return PTR_ERR(buf);

	vma->vm_private_data = buf;
	p2pmem_setup_vma(vma);
	return 0;
}

/**
 * p2pmem_revoke - take all memory of a node back from user space
 * @node: the node, already out of reach for new openers
 *
 * Does not wait for anybody: DMA in flight keeps its pages.
 */
void p2pmem_revoke(struct p2pmem_node *node)
{
	struct p2pmem_buffer *buf, *next;

	down_write(&node->lock);
	node->dead = true;
	list_for_each_entry_safe(buf, next, &node->buffers, entry)
		p2pmem_drop_pages(buf);
	up_write(&node->lock);

	unmap_mapping_range(node->inode->i_mapping, 0, 0, 1);
}
