// SPDX-License-Identifier: GPL-2.0
/*
 * Where an NVMe controller has its memory, the Controller Memory Buffer (CMB).
 *
 * NVM Express 1.4, section 4.7 describes it, sections 3.1.11 (CMBLOC), 3.1.12
 * (CMBSZ), 3.1.16 (CMBMSC) and 3.1.17 (CMBSTS) the registers. Up to 1.3 a CMB
 * is simply there. Since 1.4 a controller that has one sets CAP.CMBS, and the
 * host enables first the two registers that describe it (CMBMSC.CRE), then the
 * memory itself (CMBMSC.CMSE), naming the address at which the controller sees
 * it (CMBMSC.CBA).
 */
#include "p2pmem_compat.h"

#include <linux/bitfield.h>
#include <linux/io-64-nonatomic-hi-lo.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/nvme.h>
#include <linux/sizes.h>

#include "p2pmem_driver.h"

/* Not in linux/nvme.h. */
#define P2PMEM_REG_CMBSTS	0x58
#define P2PMEM_CMBSTS_CBAI	BIT(0)

#define P2PMEM_CMBSZ_DATA	(NVME_CMBSZ_RDS | NVME_CMBSZ_WDS)
#define P2PMEM_CMBSZ_SZU	GENMASK(11, 8)
#define P2PMEM_CMBSZ_SZ		GENMASK(31, 12)
#define P2PMEM_CMBSZ_SZU_MOST	6	/* 64 GiB; more is reserved */

/**
 * struct p2pmem_cmb - a CMB that was enabled; the driver data of its function
 * @regs: the registers of the controller
 * @control: CMBMSC
 */
struct p2pmem_cmb {
	void __iomem *regs;
	u64 control;
};

static void p2pmem_cmb_write(struct p2pmem_cmb *cmb, u64 control)
{
	hi_lo_writeq(control, cmb->regs + NVME_REG_CMBMSC);
	cmb->control = control;
}

static void p2pmem_cmb_disable(void *cmb)
{
	p2pmem_cmb_write(cmb, 0);
}

static int p2pmem_cmb_refuse(struct pci_dev *pdev, const char *why)
{
	pci_err(pdev, "controller memory buffer %s\n", why);
	return -ENXIO;
}

static int p2pmem_cmb_refuse_bar(struct pci_dev *pdev, int bar,
				 const char *why)
{
	pci_err(pdev, "controller memory buffer is in BAR %d, which %s\n", bar,
		why);
	return -ENXIO;
}

/* A CMB may be larger than the BAR that gives access to it. */
static int p2pmem_cmb_locate(struct pci_dev *pdev, u32 cmbloc, u32 cmbsz,
			     struct p2pmem_range *range)
{
	u64 unit = (u64)SZ_4K << (4 * FIELD_GET(P2PMEM_CMBSZ_SZU, cmbsz));
	struct p2pmem_size size;
	struct p2pmem_why why;
	u64 bar_size;

	range->bar = NVME_CMB_BIR(cmbloc);
	range->offset = unit * NVME_CMB_OFST(cmbloc);
	range->size = unit * FIELD_GET(P2PMEM_CMBSZ_SZ, cmbsz);

	if (range->bar >= P2PMEM_BARS)
		return p2pmem_cmb_refuse_bar(pdev, range->bar, "no function has");
	if (!p2pmem_bar_is_memory(pdev, range->bar, &why))
		return p2pmem_cmb_refuse_bar(pdev, range->bar, why.text);

	bar_size = p2pmem_bar_size(pdev, range->bar);
	if (range->offset >= bar_size) {
		scnprintf(why.text, sizeof(why.text),
			  "is %s, but the offset is %#llx",
			  p2pmem_size(&size, bar_size), range->offset);
		return p2pmem_cmb_refuse_bar(pdev, range->bar, why.text);
	}
	range->size = min(range->size, bar_size - range->offset);

	if (!p2pmem_range_fits(pdev, range, &why))
		return p2pmem_cmb_refuse(pdev, why.text);
	return 0;
}

static int p2pmem_cmb_read(struct pci_dev *pdev, void __iomem *regs,
			   struct p2pmem_range *range)
{
	u32 cmbsz = readl(regs + NVME_REG_CMBSZ);
	u32 cmbloc = readl(regs + NVME_REG_CMBLOC);

	if (PCI_POSSIBLE_ERROR(cmbsz))
		return p2pmem_cmb_refuse(pdev, "is unknown: the controller does not answer");
	if (!cmbsz)
		return p2pmem_cmb_refuse(pdev, "is absent: CMBSZ is 0");
	if ((cmbsz & P2PMEM_CMBSZ_DATA) != P2PMEM_CMBSZ_DATA)
		return p2pmem_cmb_refuse(pdev, "is not for reads and writes: RDS or WDS is 0");
	/* With units that nobody has defined, offset and size may overflow. */
	if (FIELD_GET(P2PMEM_CMBSZ_SZU, cmbsz) > P2PMEM_CMBSZ_SZU_MOST)
		return p2pmem_cmb_refuse(pdev, "is of unknown size: the unit in CMBSZ is reserved");
	return p2pmem_cmb_locate(pdev, cmbloc, cmbsz, range);
}

/*
 * From here on the controller takes what has the bus address of the BAR for
 * its own memory. The driver that comes after this one starts anew.
 */
static int p2pmem_cmb_enable(struct pci_dev *pdev, void __iomem *regs,
			     struct p2pmem_range *range)
{
	struct p2pmem_cmb *cmb;
	u64 base;
	int err;

	cmb = devm_kzalloc(&pdev->dev, sizeof(*cmb), GFP_KERNEL);
	if (!cmb)
		return -ENOMEM;
	cmb->regs = regs;
	err = devm_add_action(&pdev->dev, p2pmem_cmb_disable, cmb);
	if (err)
		return err;

	p2pmem_cmb_write(cmb, NVME_CMBMSC_CRE);
	err = p2pmem_cmb_read(pdev, regs, range);
	if (err)
		return err;

	base = pci_bus_address(pdev, range->bar) + range->offset;
	p2pmem_cmb_write(cmb, base | NVME_CMBMSC_CRE | NVME_CMBMSC_CMSE);
	if (readl(regs + P2PMEM_REG_CMBSTS) & P2PMEM_CMBSTS_CBAI)
		return p2pmem_cmb_refuse(pdev, "stays off: its address is refused (CMBSTS.CBAI)");
	pci_set_drvdata(pdev, cmb);
	return 0;
}

/**
 * p2pmem_cmb_restore - make the memory accessible again after a reset
 * @pdev: a function of this driver, of whatever kind
 *
 * A reset of the function clears CMBMSC, one of the controller does not.
 */
void p2pmem_cmb_restore(struct pci_dev *pdev)
{
	struct p2pmem_cmb *cmb = pci_get_drvdata(pdev);
	u32 status;

	if (!cmb)
		return;
	p2pmem_cmb_write(cmb, cmb->control);
	status = readl(cmb->regs + P2PMEM_REG_CMBSTS);
	if (PCI_POSSIBLE_ERROR(status))
		pci_err(pdev, "controller memory buffer is unknown after a reset: the controller does not answer\n");
	else if (status & P2PMEM_CMBSTS_CBAI)
		pci_err(pdev, "controller memory buffer stays off after a reset: its address is refused (CMBSTS.CBAI)\n");
}

/**
 * p2pmem_range_of_cmb - the memory of an NVMe controller
 * @pdev: the controller, enabled
 * @range: the memory
 *
 * Makes it accessible for as long as the driver is bound.
 *
 * Return: 0; -ENXIO if there is none that can be device memory, and the log
 * says why; -ENOMEM.
 */
int p2pmem_range_of_cmb(struct pci_dev *pdev, struct p2pmem_range *range)
{
	void __iomem *regs;

	if (!(pci_resource_flags(pdev, 0) & IORESOURCE_MEM) ||
	    p2pmem_bar_size(pdev, 0) < SZ_4K)
		return p2pmem_cmb_refuse(pdev, "is unknown: BAR 0 has no registers");

	regs = pcim_iomap(pdev, 0, SZ_4K);
	if (!regs)
		return -ENOMEM;

	if (NVME_CAP_CMBS(lo_hi_readq(regs + NVME_REG_CAP)))
		return p2pmem_cmb_enable(pdev, regs, range);
	return p2pmem_cmb_read(pdev, regs, range);
}
