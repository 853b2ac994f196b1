// SPDX-License-Identifier: GPL-2.0
/*
 * A driver for functions that are there for nothing but their memory, or whose
 * own driver was unbound. It claims ivshmem and nothing else by itself; new_id
 * or driver_override gives it any function.
 */
#include "p2pmem_compat.h"

#include <linux/module.h>
#include <linux/moduleparam.h>

#include "p2pmem_driver.h"

#define P2PMEM_BAR_AUTO	(-1)

static int p2pmem_bar = P2PMEM_BAR_AUTO;

static int p2pmem_bar_set(const char *text, const struct kernel_param *param)
{
	unsigned int bar;

	if (sysfs_streq(text, "auto")) {
		WRITE_ONCE(p2pmem_bar, P2PMEM_BAR_AUTO);
		return 0;
	}
	if (kstrtouint(text, 10, &bar) || bar >= P2PMEM_BARS)
		return -EINVAL;
	WRITE_ONCE(p2pmem_bar, bar);
	return 0;
}

static int p2pmem_bar_get(char *buf, const struct kernel_param *param)
{
	int bar = READ_ONCE(p2pmem_bar);

	if (bar == P2PMEM_BAR_AUTO)
		return sysfs_emit(buf, "auto\n");
	return sysfs_emit(buf, "%d\n", bar);
}

static const struct kernel_param_ops p2pmem_bar_ops = {
	.set = p2pmem_bar_set,
	.get = p2pmem_bar_get,
};

module_param_cb(bar, &p2pmem_bar_ops, NULL, 0644);
MODULE_PARM_DESC(bar,
		 "BAR that has the memory, for functions bound from now on: 0..5, or auto (default): as an NVMe controller says, else the largest that qualifies");

static void p2pmem_disable(void *pdev)
{
	pci_disable_device(pdev);
}

/*
 * Not pcim_enable_device(), which fails if an I/O BAR has no address, as is
 * usual below a PCIe port. No bus mastering: nothing here makes the function
 * do DMA, and what the firmware once told it to do is over.
 */
static int p2pmem_enable(struct pci_dev *pdev)
{
	int err = pci_enable_device_mem(pdev);

	if (err)
		return err;
	pci_clear_master(pdev);
	return devm_add_action_or_reset(&pdev->dev, p2pmem_disable, pdev);
}

/*
 * Enables the function and finds its memory. A BAR is judged first: enabling
 * the function would fail for one that has no address, with fewer words. An
 * NVMe controller has to be enabled before it can be asked.
 */
static int p2pmem_find_range(struct pci_dev *pdev, struct p2pmem_range *range)
{
	int bar = READ_ONCE(p2pmem_bar);
	int err;

	if (bar == P2PMEM_BAR_AUTO && pdev->class == PCI_CLASS_STORAGE_EXPRESS) {
		err = p2pmem_enable(pdev);
		return err ?: p2pmem_range_of_cmb(pdev, range);
	}
	if (bar == P2PMEM_BAR_AUTO)
		err = p2pmem_range_of_largest_bar(pdev, range);
	else
		err = p2pmem_range_of_bar(pdev, bar, range);
	return err ?: p2pmem_enable(pdev);
}

/* Shown in /proc/iomem; the pages that p2pdma makes do not claim the region. */
static int p2pmem_request(struct pci_dev *pdev,
			  const struct p2pmem_range *range)
{
	u64 start = pci_resource_start(pdev, range->bar) + range->offset;

	if (devm_request_mem_region(&pdev->dev, start, range->size,
				    KBUILD_MODNAME))
		return 0;

	pci_err(pdev, "BAR %d is in use: see %#llx in /proc/iomem\n",
		range->bar, start);
	return -EBUSY;
}

/* The node comes when the driver core tells that the function was bound. */
static int p2pmem_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct p2pmem_range range;
	int err;

	err = p2pmem_find_range(pdev, &range);
	if (err)
		return err;
	err = p2pmem_request(pdev, &range);
	if (err)
		return err;
	err = pci_p2pdma_add_resource(pdev, range.bar, range.size, range.offset);
	if (err) {
		pci_err(pdev, "BAR %d is refused by the kernel: error %d\n",
			range.bar, err);
		return err;
	}

	pci_p2pmem_publish(pdev, true);
	return 0;
}

static const struct pci_device_id p2pmem_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) },	/* ivshmem */
	{ }
};
MODULE_DEVICE_TABLE(pci, p2pmem_ids);

static const struct pci_error_handlers p2pmem_error_handlers = {
	.reset_done = p2pmem_cmb_restore,
};

/* No ->remove: all that a probe does is undone by its managed resources. */
static struct pci_driver p2pmem_driver = {
	.name = KBUILD_MODNAME,
	.id_table = p2pmem_ids,
	.probe = p2pmem_probe,
	.err_handler = &p2pmem_error_handlers,
};

/**
 * p2pmem_driver_register - serve the functions that this driver has an id for
 *
 * Return: 0 or what pci_register_driver() says.
 */
int p2pmem_driver_register(void)
{
	return pci_register_driver(&p2pmem_driver);
}

/**
 * p2pmem_driver_unregister - let go of all functions
 *
 * Waits for transfers that use their memory.
 */
void p2pmem_driver_unregister(void)
{
	pci_unregister_driver(&p2pmem_driver);
}
