/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore.c: what the monitor says after it has put memory and CPU back to a snapshot.
 *
 * All was saved in IDLE, so this runs where IDLE returns to: on the stack of whoever gave up the CPU last, before any thread
 * runs. Until the page tables are as they were, nothing but the libos's own memory may be touched.
 */
#include "stream.h"
#include "mm.h"
#include "platform.h"
#include "snapshot.h"

static void store(u64 pa, u64 value)
{
	if (pa % 8 || pa < UFS_TABLES_PA || pa >= UFS_TABLES_END)
		panic("restore: 0x%llx is no entry of a page table", (unsigned long long)pa);
	*(volatile u64 *)phys_to_virt(pa) = value;
}

/* Of two numbers each: as long as messages are aligned, so that none lies across the end of the ring. */
static void pairs(const struct spans *s, void (*fn)(u64, u64))
{
	u64 v[2];
	u32 n = s->n + s->n2;
	if (n % sizeof(v))
		panic("rx ring: %u bytes are no list", n);
	for (u32 i = 0; i < n; i += sizeof(v)) {
		memcpy(v, i < s->n ? s->p + i : s->p2 + (i - s->n), sizeof(v));
		fn(v[0], v[1]);
	}
}

void restore_tables(const struct spans *s)
{
	pairs(s, store);
	platform_flush(0, ~0ULL);
}

void free_done(const struct spans *s) { pairs(s, memory_freed); }

void restore_done(u32 kind, const struct spans *s)
{
	struct { struct ufs_restore r; char name[64]; } m = { .r.hostname = 0 };
	u32 len = s->n + s->n2, n = MIN(s->n, (u32)sizeof(m));
	memcpy(&m, s->p, n);
	memcpy((u8 *)&m + n, s->p2, MIN(s->n2, (u32)sizeof(m) - n));
	if (kind - 1 >= UFS_RESTORE_REWIND || len < sizeof(m.r) || m.r.hostname > MIN(len - sizeof(m.r), sizeof(m.name)))
		panic("restore: message of kind %u, %u bytes, host name of %u", kind, len, m.r.hostname);
	if (kind != UFS_RESTORE_WAKE) {
		mm_wipe();
		stack_renew();
	}
	if (m.r.hostname)
		host_rename(m.name, m.r.hostname);
	tcp_reset_all(m.r.stream);
	flow_reset_all();
	snapshot_restored(m.r.generation);
}

bool snapshot_ready(void)
{
	static bool warm;
	if (!snapshot_wanted() || page_any_out() || !(tcp_awaited() || tcp_read_awaited() || job_awaited()))
		return false;
	if (!warm)
		mm_warm();
	return warm = true;
}
