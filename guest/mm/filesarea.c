/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filesarea.c: the part of the libos window that shows files of the host. It has a slot of its own in the PML4, filled once before
 * there is a second address space, so that all share the tables below.
 */
#include "internal.h"
#include "platform.h"

#define LEAF (PTE_P | PTE_U | PTE_A | PTE_D | PTE_NX)

static struct mm area; /* only for its tables */

int mm_files_init(void)
{
	area.pml4 = boot_pml4;
	return pt_make(&area, UFS_FILES_VA, 2) ? 0 : -ENOMEM;
}

/* 2 MiB leaves for all but the end, which the monitor backs only up to the last page. */
int mm_files_map(u64 off, u64 len)
{
	u64 end = off + ALIGN_UP(len, PAGE_SIZE), start = off;

	while (off < end) {
		bool huge = !(off & ~HUGE_MASK) && end - off >= HUGE_SIZE;
		u64 va = UFS_FILES_VA + off, *e = huge ? pt_make(&area, va, 1) : NULL;
		if (e && !*e) {
			*e = (UFS_FILES_GPA + off) | LEAF | PTE_HUGE;
			off += HUGE_SIZE;
			continue;
		}
		e = pt_make(&area, va, 0); /* also where an earlier file has left a table */
		if (!e) {
			mm_files_unmap(start, off - start);
			return -ENOMEM;
		}
		*e = (UFS_FILES_GPA + off) | LEAF;
		off += PAGE_SIZE;
	}
	return 0;
}

static void clear(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	*e = 0;
}

void mm_files_unmap(u64 off, u64 len)
{
	u64 va = UFS_FILES_VA + off;

	pt_each(&area, va, va + ALIGN_UP(len, PAGE_SIZE), clear, NULL);
	platform_flush(va, len);
}
