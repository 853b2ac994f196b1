/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /dev/p2pmemN: peer-to-peer memory of a PCI function for user space.
 *
 * Who holds what
 * --------------
 *
 *	file ----> cdev ----> p2pmem_node ----> pci_dev
 *	 ^                      |     ^
 *	 |             buffers  v     |
 *	vma ----> p2pmem_buffer ------+
 *	 |            |
 *	 | PTE        | base reference of each page
 *	 v            v
 *	struct page, one per 4 KiB of the BAR ----> pagemap of the driver
 *	 ^
 *	 | DMA in flight (get_user_pages)
 *
 * Every mmap() takes one contiguous buffer from the pool of the function. Fork
 * and partial munmap make several VMAs from one; they share the buffer by its
 * kref. A page returns to the pool with its last reference, whoever drops that:
 * the buffer, a page table or a transfer that outlived its mapping. So pages
 * are released with put_page(); pci_free_p2pmem() is only for a buffer that
 * nobody has seen yet. A page that is in use holds the driver's pagemap, and the
 * driver's unbind waits for that.
 *
 * The way out
 * -----------
 *
 * When the driver of the function is about to be unbound, the node goes first:
 *
 *	remove /dev/p2pmemN		no new name; an old inode may still lead here
 *	node->dead = true		no new file or buffer (ENODEV), no new PTE
 *					(SIGBUS)
 *	drop the base references
 *	unmap_mapping_range()		no PTE left
 *
 * What remains are transfers in flight. They end by themselves, and the unbind
 * waits for them. A process that still has the mapping delays nobody: its next
 * access raises SIGBUS.
 *
 * This is why ->fault inserts the pages and not ->mmap: a VMA that is still in
 * ->mmap is not yet visible to unmap_mapping_range(). And it is why all openers
 * share one address_space, that of node->inode: one call finds every mapping.
 *
 * Locks
 * -----
 *
 *	device_lock(pdev)		attach and detach of this function, also by
 *					the scan on load and on unload
 *	    p2pmem_nodes_lock		list of nodes
 *	    node->lock
 *	mmap_lock or VMA lock
 *	    node->lock			read: open, insert a PTE
 *					write: dead, buffers, base references
 *		page table lock
 *
 * unmap_mapping_range() takes i_mmap and page table locks; it is called after
 * node->lock was released. A fault that came before has its PTE removed, one
 * that comes later finds the node dead.
 */
#ifndef P2PMEM_H
#define P2PMEM_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/pci.h>
#include <linux/rwsem.h>

/**
 * struct p2pmem_node - one /dev/p2pmemN
 * @dev: class device; its reference count is the life of the node
 * @cdev: its character device
 * @pdev: the PCI function that has the memory, referenced
 * @inode: owner of the address_space that all openers share
 * @entry: in the list of nodes
 * @lock: see above
 * @dead: the function is going away
 * @buffers: every buffer that still owns its base references
 */
struct p2pmem_node {
	struct device dev;
	struct cdev cdev;
	struct pci_dev *pdev;
	struct inode *inode;
	struct list_head entry;

	struct rw_semaphore lock;
	bool dead;
	struct list_head buffers;
};

int p2pmem_mmap(struct file *filp, struct vm_area_struct *vma);
void p2pmem_revoke(struct p2pmem_node *node);

extern const struct attribute_group *p2pmem_groups[];
bool p2pmem_published(struct pci_dev *pdev);
u64 p2pmem_pool_size(struct pci_dev *pdev);

#endif /* P2PMEM_H */
