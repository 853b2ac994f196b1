// SPDX-License-Identifier: GPL-2.0
/*
 * Which BAR of a function can be device memory.
 *
 * Every page of device memory gets a struct page. The kernel makes them in
 * pieces of memremap_compat_align() bytes, 2 MiB on most machines, and answers
 * anything else with a warning and a backtrace: check_pfn_span() in
 * mm/memory_hotplug.c. So what does not fit is refused here, with the reason.
 */
#include "p2pmem_compat.h"

#include <linux/sizes.h>

#include "p2pmem_driver.h"

/**
 * p2pmem_size - a size for people, in the largest unit that divides it
 * @size: where to write
 * @bytes: the size
 *
 * Return: the text.
 */
const char *p2pmem_size(struct p2pmem_size *size, u64 bytes)
{
	static const char * const units[] = { "bytes", "KiB", "MiB", "GiB" };
	unsigned int unit = 0;

	while (bytes && IS_ALIGNED(bytes, SZ_1K) &&
	       unit < ARRAY_SIZE(units) - 1) {
		bytes /= SZ_1K;
		unit++;
	}
	scnprintf(size->text, sizeof(size->text), "%llu %s", bytes, units[unit]);
	return size->text;
}

/**
 * p2pmem_bar_size - how long a BAR is
 * @pdev: the function
 * @bar: the BAR, 0 to 5
 *
 * Return: bytes; 0 if it is absent, also if the BAR before it takes its place.
 */
u64 p2pmem_bar_size(struct pci_dev *pdev, int bar)
{
	return pci_resource_flags(pdev, bar) ? pci_resource_len(pdev, bar) : 0;
}

static u32 p2pmem_bar_register(struct pci_dev *pdev, int bar)
{
	u32 value = 0;

	pci_read_config_dword(pdev, PCI_BASE_ADDRESS_0 + 4 * bar, &value);
	return PCI_POSSIBLE_ERROR(value) ? 0 : value;
}

static bool p2pmem_register_is_wide(u32 value)
{
	return !(value & PCI_BASE_ADDRESS_SPACE_IO) &&
	       value & PCI_BASE_ADDRESS_MEM_TYPE_64;
}

/*
 * Is this a memory BAR that the kernel found no place for? That is what a
 * large BAR meets without "above 4G decoding" in the firmware, or behind a
 * port with a small window. Most kernels then forget it: what is left to tell
 * it from a BAR that is absent are the type bits of its register.
 */
static bool p2pmem_bar_is_unplaced(struct pci_dev *pdev, int bar)
{
	int at = 0;
	u32 value;

	if (p2pmem_bar_size(pdev, bar))
		return pci_resource_flags(pdev, bar) & IORESOURCE_MEM &&
		       (pci_resource_flags(pdev, bar) & IORESOURCE_UNSET ||
			!pci_resource_start(pdev, bar) ||
			!pdev->resource[bar].parent);
	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return false;

	while (at < bar)
		at += p2pmem_register_is_wide(p2pmem_bar_register(pdev, at)) ?
		      2 : 1;
	value = p2pmem_bar_register(pdev, bar);
	return at == bar && !(value & PCI_BASE_ADDRESS_SPACE_IO) &&
	       value & ~PCI_BASE_ADDRESS_MEM_MASK;
}

/**
 * p2pmem_range_fits - can the kernel make pages for this memory?
 * @pdev: whose memory it is
 * @range: the memory, inside its BAR
 * @why: why not
 *
 * Return: true if it can.
 */
bool p2pmem_range_fits(struct pci_dev *pdev, const struct p2pmem_range *range,
		       struct p2pmem_why *why)
{
	u64 start = pci_resource_start(pdev, range->bar) + range->offset;
	u64 align = memremap_compat_align();
	struct p2pmem_size size, unit;

	p2pmem_size(&unit, align);
	if (!range->size || !IS_ALIGNED(range->size, align))
		scnprintf(why->text, sizeof(why->text),
			  "is %s; device memory must be a multiple of %s",
			  p2pmem_size(&size, range->size), unit.text);
	else if (!IS_ALIGNED(start, align))
		scnprintf(why->text, sizeof(why->text),
			  "starts at %#llx; device memory must start at a multiple of %s",
			  start, unit.text);
	else
		return true;
	return false;
}

/**
 * p2pmem_bar_is_memory - is there any memory behind a BAR?
 * @pdev: the function
 * @bar: the BAR, 0 to 5
 * @why: why not, to follow "BAR n"
 *
 * Return: true if there is, which the CPU can reach.
 */
bool p2pmem_bar_is_memory(struct pci_dev *pdev, int bar,
			  struct p2pmem_why *why)
{
	if (p2pmem_bar_is_unplaced(pdev, bar))
		strscpy(why->text, "has no address: PCI found no place for it",
			sizeof(why->text));
	else if (!p2pmem_bar_size(pdev, bar))
		strscpy(why->text, "is absent", sizeof(why->text));
	else if (!(pci_resource_flags(pdev, bar) & IORESOURCE_MEM))
		strscpy(why->text, "is an I/O BAR", sizeof(why->text));
	else
		return true;
	return false;
}

/**
 * p2pmem_bar_qualifies - can a whole BAR be device memory?
 * @pdev: the function
 * @bar: the BAR, 0 to 5
 * @why: why not, to follow "BAR n"
 *
 * Return: true if it can.
 */
bool p2pmem_bar_qualifies(struct pci_dev *pdev, int bar,
			  struct p2pmem_why *why)
{
	struct p2pmem_range range = {
		.bar = bar,
		.size = p2pmem_bar_size(pdev, bar),
	};

	return p2pmem_bar_is_memory(pdev, bar, why) &&
	       p2pmem_range_fits(pdev, &range, why);
}

/* The largest BAR that qualifies; -1 if none does. */
static int p2pmem_best_bar(struct pci_dev *pdev)
{
	struct p2pmem_why why;
	int bar, largest = -1;

	for (bar = 0; bar < P2PMEM_BARS; bar++) {
		if (!p2pmem_bar_qualifies(pdev, bar, &why))
			continue;
		if (largest < 0 || p2pmem_bar_size(pdev, bar) >
				   p2pmem_bar_size(pdev, largest))
			largest = bar;
	}
	return largest;
}

/*
 * If none qualifies, the one that somebody will have thought of: one that has
 * no address, or else the largest.
 */
static int p2pmem_likely_bar(struct pci_dev *pdev)
{
	int bar, likely = 0;

	for (bar = 0; bar < P2PMEM_BARS; bar++) {
		if (p2pmem_bar_is_unplaced(pdev, bar))
			return bar;
		if (pci_resource_flags(pdev, bar) & IORESOURCE_MEM &&
		    p2pmem_bar_size(pdev, bar) > p2pmem_bar_size(pdev, likely))
			likely = bar;
	}
	return likely;
}

/*
 * The errno of a refusal is -ENXIO, because the driver core takes it for an
 * answer: for others it prints a second line, without the reason.
 */
static int p2pmem_refuse_bar(struct pci_dev *pdev, int bar,
			     const struct p2pmem_why *why)
{
	int better = p2pmem_best_bar(pdev);
	struct p2pmem_size size;

	if (better >= 0)
		pci_err(pdev, "BAR %d %s; BAR %d (%s) would do\n", bar,
			why->text, better,
			p2pmem_size(&size, p2pmem_bar_size(pdev, better)));
	else
		pci_err(pdev, "BAR %d %s; no BAR would do\n", bar, why->text);
	return -ENXIO;
}

/**
 * p2pmem_range_of_bar - the memory of one whole BAR
 * @pdev: the function
 * @bar: the BAR, 0 to 5
 * @range: the memory
 *
 * Return: 0, or -ENXIO for a BAR that cannot be device memory. The log says why.
 */
int p2pmem_range_of_bar(struct pci_dev *pdev, int bar,
			struct p2pmem_range *range)
{
	struct p2pmem_why why;

	if (!p2pmem_bar_qualifies(pdev, bar, &why))
		return p2pmem_refuse_bar(pdev, bar, &why);

	range->bar = bar;
	range->offset = 0;
	range->size = p2pmem_bar_size(pdev, bar);
	return 0;
}

/**
 * p2pmem_range_of_largest_bar - the memory of the largest BAR that qualifies
 * @pdev: the function
 * @range: the memory
 *
 * Return: 0, or -ENXIO if no BAR qualifies. The log says why the one that is
 * the likeliest does not.
 */
int p2pmem_range_of_largest_bar(struct pci_dev *pdev,
				struct p2pmem_range *range)
{
	int bar = p2pmem_best_bar(pdev);

	if (bar < 0)
		bar = p2pmem_likely_bar(pdev);
	return p2pmem_range_of_bar(pdev, bar, range);
}
