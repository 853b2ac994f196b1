// SPDX-License-Identifier: GPL-2.0
/*
 * One character device, /dev/p2pmemN, for each PCI function that has published
 * peer-to-peer memory, for as long as its driver is bound.
 */
#include "p2pmem_compat.h"

#include <linux/idr.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>

#include "p2pmem.h"
#include "p2pmem_driver.h"

#define P2PMEM_NAME	"p2pmem"
#define P2PMEM_MINORS	(MINORMASK + 1)
#define P2PMEM_MAGIC	0x7032706d	/* "p2pm" */

static struct vfsmount *p2pmem_mnt;
static dev_t p2pmem_devt;
static DEFINE_IDA(p2pmem_ida);
static LIST_HEAD(p2pmem_nodes);
static DEFINE_MUTEX(p2pmem_nodes_lock);

/*
 * Not plain p2pmem: below the PCI function the driver core makes a directory
 * with the name of the class, and p2pmem/ is that of PCI's own attributes.
 */
static struct class p2pmem_class = {
	.name = P2PMEM_NAME "_device",
	.dev_groups = p2pmem_groups,
};

/*
 * Only to get inodes with an address_space of their own. No .owner: the mount
 * is the module's own and must not keep it from being unloaded.
 */
static int p2pmem_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, P2PMEM_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type p2pmem_fs = {
	.name = P2PMEM_NAME,
	.init_fs_context = p2pmem_init_fs_context,
	.kill_sb = kill_anon_super,
};

/*
 * The open file holds the cdev, and with it the node. A dead node can still be
 * opened by an inode that remembers its cdev: /proc/self/fd/N of a holder, or,
 * as long as there is a holder, a name that devtmpfs does not manage.
 */
static int p2pmem_open(struct inode *inode, struct file *filp)
{
	struct p2pmem_node *node = container_of(inode->i_cdev,
						struct p2pmem_node, cdev);
	bool dead;

	down_read(&node->lock);
	dead = node->dead;
	up_read(&node->lock);
	if (dead)
		return -ENODEV;

	filp->private_data = node;
	filp->f_mapping = node->inode->i_mapping;
	return nonseekable_open(inode, filp);
}

static const struct file_operations p2pmem_fops = {
	.owner = THIS_MODULE,
	.open = p2pmem_open,
	.mmap = p2pmem_mmap,
};

static void p2pmem_node_release(struct device *dev)
{
	struct p2pmem_node *node = container_of(dev, struct p2pmem_node, dev);

	iput(node->inode);
	pci_dev_put(node->pdev);
	kfree(node);
}

static struct p2pmem_node *p2pmem_node_alloc(struct pci_dev *pdev)
{
	struct p2pmem_node *node;
	struct inode *inode;

	node = kzalloc(sizeof(*node), GFP_KERNEL);
	if (!node)
		return ERR_PTR(-ENOMEM);

	init_rwsem(&node->lock);
	INIT_LIST_HEAD(&node->buffers);
	node->pdev = pci_dev_get(pdev);
	device_initialize(&node->dev);
	node->dev.class = &p2pmem_class;
	node->dev.parent = &pdev->dev;
	node->dev.release = p2pmem_node_release;
	cdev_init(&node->cdev, &p2pmem_fops);
	node->cdev.owner = THIS_MODULE;

	inode = alloc_anon_inode(p2pmem_mnt->mnt_sb);
	if (IS_ERR(inode)) {
		put_device(&node->dev);
		return ERR_CAST(inode);
	}
	node->inode = inode;
	return node;
}

/* The lowest free number, so that a function that comes back has its old one. */
static int p2pmem_node_register(struct p2pmem_node *node)
{
	int minor, err;

	minor = ida_alloc_max(&p2pmem_ida, P2PMEM_MINORS - 1, GFP_KERNEL);
	if (minor < 0)
		return minor;

	node->dev.devt = MKDEV(MAJOR(p2pmem_devt), MINOR(p2pmem_devt) + minor);
	err = dev_set_name(&node->dev, P2PMEM_NAME "%d", minor);
	if (!err)
		err = cdev_device_add(&node->cdev, &node->dev);
	if (err)
		ida_free(&p2pmem_ida, minor);
	return err;
}

/* Frees the number at once; a holder of the old file keeps only the memory. */
static void p2pmem_node_remove(struct p2pmem_node *node)
{
	cdev_device_del(&node->cdev, &node->dev);
	ida_free(&p2pmem_ida, MINOR(node->dev.devt) - MINOR(p2pmem_devt));
	p2pmem_revoke(node);
	pci_info(node->pdev, "%s: removed\n", dev_name(&node->dev));
	put_device(&node->dev);
}

static struct p2pmem_node *p2pmem_find_node(struct pci_dev *pdev)
{
	struct p2pmem_node *node, *found = NULL;

	mutex_lock(&p2pmem_nodes_lock);
	list_for_each_entry(node, &p2pmem_nodes, entry)
		if (node->pdev == pdev)
			found = node;
	mutex_unlock(&p2pmem_nodes_lock);
	return found;
}

/*
 * Called with the device lock held: the scan and the notifier may meet at the
 * same function.
 */
static void p2pmem_attach(struct pci_dev *pdev)
{
	struct p2pmem_node *node;
	struct p2pmem_size size;
	int err;

	if (!pdev->dev.driver || !p2pmem_published(pdev) ||
	    p2pmem_find_node(pdev))
		return;

	node = p2pmem_node_alloc(pdev);
	if (IS_ERR(node)) {
		err = PTR_ERR(node);
		goto fail;
	}
	err = p2pmem_node_register(node);
	if (err) {
		/* The cdev was live for a moment; see that nobody stays. */
		p2pmem_revoke(node);
		put_device(&node->dev);
		goto fail;
	}

	mutex_lock(&p2pmem_nodes_lock);
	list_add_tail(&node->entry, &p2pmem_nodes);
	mutex_unlock(&p2pmem_nodes_lock);
	pci_info(pdev, "%s: %s of peer-to-peer memory\n", dev_name(&node->dev),
		 p2pmem_size(&size, p2pmem_pool_size(pdev)));
	return;

fail:
	pci_err(pdev, "no device node for peer-to-peer memory: error %d\n", err);
}

/* Called with the device lock held. */
static void p2pmem_detach(struct pci_dev *pdev)
{
	struct p2pmem_node *node = p2pmem_find_node(pdev);

	if (!node)
		return;

	mutex_lock(&p2pmem_nodes_lock);
	list_del(&node->entry);
	mutex_unlock(&p2pmem_nodes_lock);
	p2pmem_node_remove(node);
}

/*
 * A driver publishes its memory while it probes, and loses it when it is
 * unbound: the two moments to watch, both under the device lock. Each has a
 * notifier of its own because the module stops to watch the first one earlier.
 */
static int p2pmem_notify_bound(struct notifier_block *nb, unsigned long action,
			       void *data)
{
	if (action == BUS_NOTIFY_BOUND_DRIVER)
		p2pmem_attach(to_pci_dev(data));
	return NOTIFY_OK;
}

static int p2pmem_notify_unbind(struct notifier_block *nb,
				unsigned long action, void *data)
{
	if (action == BUS_NOTIFY_UNBIND_DRIVER)
		p2pmem_detach(to_pci_dev(data));
	return NOTIFY_OK;
}

static struct notifier_block p2pmem_bound_nb = {
	.notifier_call = p2pmem_notify_bound,
};

static struct notifier_block p2pmem_unbind_nb = {
	.notifier_call = p2pmem_notify_unbind,
};

/* A cheap first look that needs no lock: false is final, true is not. */
static bool p2pmem_maybe_published(struct pci_dev *pdev)
{
	return rcu_access_pointer(pdev->p2pdma);
}

static s64 p2pmem_position(struct pci_dev *pdev)
{
	return (s64)pci_domain_nr(pdev->bus) << 16 | pci_dev_id(pdev);
}

static struct pci_dev *p2pmem_next_provider(s64 after)
{
	struct pci_dev *pdev = NULL, *next = NULL;

	for_each_pci_dev(pdev) {
		if (!p2pmem_maybe_published(pdev) ||
		    p2pmem_position(pdev) <= after ||
		    (next && p2pmem_position(pdev) > p2pmem_position(next)))
			continue;
		pci_dev_put(next);
		next = pci_dev_get(pdev);
	}
	return next;
}

/*
 * Functions that were bound before the module came, by ascending address. The
 * order of for_each_pci_dev() is that of discovery.
 */
static void p2pmem_scan(void)
{
	struct pci_dev *pdev;
	s64 position = -1;

	while ((pdev = p2pmem_next_provider(position))) {
		position = p2pmem_position(pdev);
		device_lock(&pdev->dev);
		p2pmem_attach(pdev);
		device_unlock(&pdev->dev);
		pci_dev_put(pdev);
	}
}

static struct pci_dev *p2pmem_first_node(void)
{
	struct p2pmem_node *node;
	struct pci_dev *pdev = NULL;

	mutex_lock(&p2pmem_nodes_lock);
	node = list_first_entry_or_null(&p2pmem_nodes, struct p2pmem_node,
					entry);
	if (node)
		pdev = pci_dev_get(node->pdev);
	mutex_unlock(&p2pmem_nodes_lock);
	return pdev;
}

/*
 * With the device lock, as an unbind does it: a node is a child of its PCI
 * function and has to go before the function does.
 */
static void p2pmem_detach_all(void)
{
	struct pci_dev *pdev;

	while ((pdev = p2pmem_first_node())) {
		device_lock(&pdev->dev);
		p2pmem_detach(pdev);
		device_unlock(&pdev->dev);
		pci_dev_put(pdev);
	}
}

static int __init p2pmem_init(void)
{
	int err;

	p2pmem_mnt = kern_mount(&p2pmem_fs);
	if (IS_ERR(p2pmem_mnt))
		return PTR_ERR(p2pmem_mnt);

	err = alloc_chrdev_region(&p2pmem_devt, 0, P2PMEM_MINORS, P2PMEM_NAME);
	if (err)
		goto unmount;
	err = class_register(&p2pmem_class);
	if (err)
		goto free_region;
	err = bus_register_notifier(&pci_bus_type, &p2pmem_unbind_nb);
	if (err)
		goto free_class;
	err = p2pmem_driver_register();
	if (err)
		goto free_unbind;
	err = bus_register_notifier(&pci_bus_type, &p2pmem_bound_nb);
	if (err)
		goto free_driver;

	/*
	 * After the notifier, so that no function can slip through between.
	 * After the driver, so that its functions are numbered with the others.
	 */
	p2pmem_scan();
	return 0;

free_driver:
	p2pmem_driver_unregister();
free_unbind:
	bus_unregister_notifier(&pci_bus_type, &p2pmem_unbind_nb);
free_class:
	class_unregister(&p2pmem_class);
free_region:
	unregister_chrdev_region(p2pmem_devt, P2PMEM_MINORS);
unmount:
	kern_unmount(p2pmem_mnt);
	return err;
}

/*
 * No file is open and so no buffer exists. The functions of our own driver are
 * unbound, which removes their nodes. Others may still come and go: first no
 * node is added any more, then all are removed, by this or by the unbind of
 * their function.
 */
static void __exit p2pmem_exit(void)
{
	p2pmem_driver_unregister();
	bus_unregister_notifier(&pci_bus_type, &p2pmem_bound_nb);
	p2pmem_detach_all();
	bus_unregister_notifier(&pci_bus_type, &p2pmem_unbind_nb);
	class_unregister(&p2pmem_class);
	unregister_chrdev_region(p2pmem_devt, P2PMEM_MINORS);
	ida_destroy(&p2pmem_ida);
	kern_unmount(p2pmem_mnt);
}

module_init(p2pmem_init);
module_exit(p2pmem_exit);

MODULE_DESCRIPTION("PCI peer-to-peer memory as character devices");
MODULE_AUTHOR("p2plab");
MODULE_LICENSE("GPL");
