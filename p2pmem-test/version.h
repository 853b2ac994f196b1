/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef P2PMEM_TEST_VERSION_H
#define P2PMEM_TEST_VERSION_H

#define P2PMEM_TEST_VERSION "0.1.0"

#endif
