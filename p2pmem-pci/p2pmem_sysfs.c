// SPDX-License-Identifier: GPL-2.0
/*
 * What sysfs tells about peer-to-peer memory: PCI's own attributes, which are
 * read here, and those of /sys/class/p2pmem_device/p2pmemN.
 */
#include "p2pmem_compat.h"

#include <linux/sysfs.h>

#include "p2pmem.h"
#include "p2pmem_driver.h"

static int p2pmem_read_file(struct kobject *kobj, struct kernfs_node *file,
			    u64 *value)
{
	const struct sysfs_ops *ops = kobj->ktype->sysfs_ops;
	char *page = (char *)get_zeroed_page(GFP_KERNEL);
	int err;

	if (!page)
		return -ENOMEM;
	err = ops->show(kobj, file->priv, page);
	if (err >= 0)
		err = kstrtou64(page, 10, value);
	free_page((unsigned long)page);
	return err;
}

/*
 * Read one of PCI's attributes as a reader of that file would.
 *
 * Nothing exported tells size and what is available. Whether the memory is
 * published told pci_has_p2pmem() up to 6.17. pci_p2pmem_find() also computes,
 * and caches without printing, whether this function can reach every other
 * provider, so that a transfer which is refused later gives no reason in the
 * log. A non-NULL pdev->p2pdma alone says only that a driver, such as vfio-pci,
 * thought of it. The files are documented, and the same in all kernels.
 */
static int p2pmem_read(struct pci_dev *pdev, const char *name, u64 *value)
{
	struct kobject *kobj = &pdev->dev.kobj;
	struct kernfs_node *group, *file;
	int err = -ENODEV;

	group = sysfs_get_dirent(kobj->sd, "p2pmem");
	if (!group)
		return err;
	file = sysfs_get_dirent(group, name);
	if (file) {
		err = p2pmem_read_file(kobj, file, value);
		sysfs_put(file);
	}
	sysfs_put(group);
	return err;
}

/**
 * p2pmem_published - does this function offer peer-to-peer memory to others?
 * @pdev: the function, its device lock held and a driver bound
 *
 * Return: true if it does.
 */
bool p2pmem_published(struct pci_dev *pdev)
{
	u64 flag;

	return !p2pmem_read(pdev, "published", &flag) && flag;
}

/**
 * p2pmem_pool_size - how much peer-to-peer memory a function has
 * @pdev: as above
 *
 * Return: bytes.
 */
u64 p2pmem_pool_size(struct pci_dev *pdev)
{
	u64 bytes;

	return p2pmem_read(pdev, "size", &bytes) ? 0 : bytes;
}

/*
 * A node and its files are gone before the driver of its function is unbound:
 * while one of these is read, the memory and PCI's own files are there.
 */
static struct pci_dev *p2pmem_function(struct device *dev)
{
	return container_of(dev, struct p2pmem_node, dev)->pdev;
}

static ssize_t p2pmem_show(struct device *dev, const char *name, char *buf)
{
	u64 value;
	int err = p2pmem_read(p2pmem_function(dev), name, &value);

	return err ?: sysfs_emit(buf, "%llu\n", value);
}

static ssize_t size_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return p2pmem_show(dev, "size", buf);
}
static DEVICE_ATTR_RO(size);

static ssize_t available_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	return p2pmem_show(dev, "available", buf);
}
static DEVICE_ATTR_RO(available);

static ssize_t pci_address_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", pci_name(p2pmem_function(dev)));
}
static DEVICE_ATTR_RO(pci_address);

static int p2pmem_emit_bar(char *buf, int at, struct pci_dev *pdev, int bar)
{
	struct p2pmem_size size;
	struct p2pmem_why why;

	if (!p2pmem_bar_size(pdev, bar))
		return 0;
	if (!p2pmem_bar_qualifies(pdev, bar, &why))
		return sysfs_emit_at(buf, at, "BAR %d: no, it %s\n", bar,
				     why.text);
	return sysfs_emit_at(buf, at, "BAR %d: yes, %s\n", bar,
			     p2pmem_size(&size, p2pmem_bar_size(pdev, bar)));
}

/* A table, as that of the resources which it is about. */
static ssize_t bars_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct pci_dev *pdev = p2pmem_function(dev);
	int bar, len = 0;

	for (bar = 0; bar < P2PMEM_BARS; bar++)
		len += p2pmem_emit_bar(buf, len, pdev, bar);
	return len;
}
static DEVICE_ATTR_RO(bars);

static struct attribute *p2pmem_attrs[] = {
	&dev_attr_size.attr,
	&dev_attr_available.attr,
	&dev_attr_pci_address.attr,
	&dev_attr_bars.attr,
	NULL,
};

static const struct attribute_group p2pmem_group = {
	.attrs = p2pmem_attrs,
};

const struct attribute_group *p2pmem_groups[] = {
	&p2pmem_group,
	NULL,
};
