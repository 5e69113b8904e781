/* SPDX-License-Identifier: Apache-2.0 */
/* vdso_map.c: put the vDSO into an address space. */
#include "vdso.h"
#include <linux/mman.h>

extern const u8 vdso_start[], vdso_end[];

u64 vdso_map(struct mm *mm)
{
	u64 len = ALIGN_UP((u64)(vdso_end - vdso_start), PAGE_SIZE);
	long at = mm_map(mm, 0, len, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
	if (at < 0)
		return 0;
	if (mm_poke(mm, at, vdso_start, vdso_end - vdso_start))
		return 0;
	mm_set_name(mm, at, "[vdso]");
	return at;
}
