/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Driver mode: memory of a function that no other driver serves.
 *
 *	p2pmem_driver.c		binds to a function and hands its memory to the kernel
 *	p2pmem_bar.c		which BAR can be device memory, and why another cannot
 *	p2pmem_cmb.c		where an NVMe controller has its memory
 *
 * None of them knows /dev/p2pmemN: a function of this driver gets its node as
 * that of any other does, when p2pmem_main.c sees that it was bound.
 */
#ifndef P2PMEM_DRIVER_H
#define P2PMEM_DRIVER_H

#include <linux/pci.h>

#define P2PMEM_BARS	PCI_STD_NUM_BARS

/**
 * struct p2pmem_range - memory of a function
 * @bar: in which BAR
 * @offset: where it starts there, in bytes
 * @size: in bytes
 */
struct p2pmem_range {
	int bar;
	u64 offset;
	u64 size;
};

/* A size, as "16 MiB". */
struct p2pmem_size {
	char text[24];
};

/* Why memory cannot be used, to follow the name of that memory. */
struct p2pmem_why {
	char text[128];
};

const char *p2pmem_size(struct p2pmem_size *size, u64 bytes);
u64 p2pmem_bar_size(struct pci_dev *pdev, int bar);
bool p2pmem_bar_is_memory(struct pci_dev *pdev, int bar,
			  struct p2pmem_why *why);
bool p2pmem_bar_qualifies(struct pci_dev *pdev, int bar,
			  struct p2pmem_why *why);
int p2pmem_range_of_bar(struct pci_dev *pdev, int bar,
			struct p2pmem_range *range);
int p2pmem_range_of_largest_bar(struct pci_dev *pdev,
				struct p2pmem_range *range);
bool p2pmem_range_fits(struct pci_dev *pdev, const struct p2pmem_range *range,
		       struct p2pmem_why *why);
int p2pmem_range_of_cmb(struct pci_dev *pdev, struct p2pmem_range *range);
void p2pmem_cmb_restore(struct pci_dev *pdev);

int p2pmem_driver_register(void);
void p2pmem_driver_unregister(void);

#endif /* P2PMEM_DRIVER_H */
