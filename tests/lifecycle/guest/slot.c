// SPDX-License-Identifier: GPL-2.0-only
/*
 * The power of a PCI Express slot. QEMU takes a function away from the guest
 * when the power controller of its slot is switched off: what it was answers
 * with all ones from then on, and nobody has asked its driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <unistd.h>

#include "lifecycle.h"

#define CAPABILITIES	48	/* that fit into the configuration space */
#define PATH_LENGTH	256

static int read_byte(int fd, int at)
{
	uint8_t byte;

	return pread(fd, &byte, 1, at) == 1 ? byte : -1;
}

/* Returns where the slot's control register is, or -1. */
static int slot_control(int fd)
{
	int at = read_byte(fd, PCI_CAPABILITY_LIST), left = CAPABILITIES;

	while (at > 0 && left--) {
		if (read_byte(fd, at) == PCI_CAP_ID_EXP)
			return at + PCI_EXP_SLTCTL;
		at = read_byte(fd, at + 1);
	}
	return -1;
}

/* @port: of sysfs, its directory. Returns 0 or an errno. */
int slot_power(const char *port, bool on)
{
	char path[PATH_LENGTH];
	uint16_t control;
	int fd, at, error = 0;

	snprintf(path, sizeof(path), "%s/config", port);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno;
	at = slot_control(fd);
	if (at < 0 || pread(fd, &control, sizeof(control), at) != 2) {
		close(fd);
		return ENXIO;
	}
	control &= (uint16_t)~(PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PIC);
	/* With its light: off and off, or both on. */
	if (on)
		control |= PCI_EXP_SLTCTL_PWR_IND_ON;
	else
		control |= PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF;
	if (pwrite(fd, &control, sizeof(control), at) != 2)
		error = errno;
	close(fd);
	return error;
}
