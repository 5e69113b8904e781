/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid.c: CPUID from the monitor's table. The instruction leaves the guest; a C library runs it some seventy times at start. */
#include "internal.h"

#define TABLE ((const struct ufs_cpuid *)(ufs_shared + UFS_CPUID_OFF))

void cpuid_execute(u32 leaf, u32 sub, u32 r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

/* EAX, EBX, ECX, EDX, for entry.S; valid until the next call. A leaf that is not in the table is left to the CPU: what it
 * answers there differs by vendor. */
const u32 *cpuid_lookup(u32 leaf, u32 sub)
{
	/* What was asked for lately: each program that starts asks for the same. */
	static struct { u32 leaf, sub, r[4]; bool known; } others[8];
	static unsigned next;
	u32 n = MIN(TABLE->count, (u32)UFS_CPUID_MAX);
	for (u32 i = 0; i < n; i++) {
		const struct ufs_cpuid_entry *e = &TABLE->entries[i];
		if (e->function == leaf && (!e->indexed || e->index == sub))
			return &e->eax;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
		if (others[i].known && others[i].leaf == leaf && others[i].sub == sub)
			return others[i].r;
	unsigned i = next++ % ARRAY_SIZE(others);
	others[i].leaf = leaf;
	others[i].sub = sub;
	others[i].known = true;
	cpuid_execute(leaf, sub, others[i].r);
	return others[i].r;
}

u32 platform_hwcap(void)
{
	return cpuid_lookup(1, 0)[3];
}
