// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "options.h"

void options_usage(void)
{
	fputs("usage: p2pmem-test [options] READ_DEV WRITE_DEV [P2PMEM]\n"
	      "\n"
	      "Copy from READ_DEV to WRITE_DEV (drives, or regular files) through the\n"
	      "peer-to-peer memory P2PMEM: /dev/p2pmemN or a .../p2pmem/allocate file\n"
	      "in sysfs. Without P2PMEM the data goes through host memory.\n"
	      "WRITE_DEV is overwritten; with --check READ_DEV is overwritten, too.\n"
	      "\n"
	      "  -c, --chunks N          number of chunks to copy (1024)\n"
	      "  -s, --chunk_size SIZE   size of a chunk (4k)\n"
	      "  -t, --threads N         threads, each with its own chunks (1)\n"
	      "      --iodepth N         chunks in flight per thread, by io_uring (1)\n"
	      "  -o, --offset SIZE       where the range starts on both drives (0)\n"
	      "  -D, --duration SECONDS  copy again and again for so long\n"
	      "      --check             write a pattern to READ_DEV before, read\n"
	      "                          WRITE_DEV back after and compare every byte\n"
	      "      --seed N            seed of the pattern (a new one for each run)\n"
	      "      --overlap           allow ranges that overlap or are longer than\n"
	      "                          the drive\n"
	      "      --force=WHY[,WHY]   overwrite a drive that is in use; WHY is root,\n"
	      "                          mounted, swap, held or busy, as refused\n"
	      "      --skip-read         only write to WRITE_DEV\n"
	      "      --skip-write        only read from READ_DEV\n"
	      "      --init[=WIDTH[:BYTES]]\n"
	      "                          zero the buffer by CPU stores before\n"
	      "      --host_access[=WIDTH[:COUNT]]\n"
	      "                          write, read and check the buffer by CPU before\n"
	      "      --json              print one JSON object instead of text\n"
	      "  -h, --help              print this\n"
	      "      --version           print the version\n"
	      "\n"
	      "SIZE is bytes, or a number followed by k, M, G or T.\n"
	      "Exit codes: 0 all done, and equal if checked; 1 data differs; 2 usage;\n"
	      "3 peer-to-peer refused by the kernel; 4 I/O or system error; 5 a drive is\n"
	      "in use; 128 + N stopped by signal N.\n"
	      "More: man p2pmem-test\n", stdout);
}
