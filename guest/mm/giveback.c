/* SPDX-License-Identifier: Apache-2.0 */
/*
 * giveback.c: free memory goes back to the monitor (UFS_MSG_FREE), once it was not needed for a while.
 *
 * A program that frees and allocates with each request must not pay for it: only what stayed free for all of PERIOD goes,
 * in whole 2 MiB blocks, and never the last ones. It is counted from a moment of idleness on, by a timer, so an
 * instance that is left alone gives back its memory, too.
 */
#include "internal.h"
#include "net.h"
#include "platform.h"
#include "time.h"

#define PERIOD NSEC
#define KEEP 2    /* 2 MiB blocks */
#define WORTH 4   /* for fewer nobody is troubled */

static void give_back(struct ktimer *t)
{
	u32 low = page_spare_low(), n = 0;
	struct ufs_range r[UFS_FREE_MAX];
	u64 pa;
	for (unsigned order = 10; order >= 9 && low >= KEEP + WORTH; order--)
		while (n < UFS_FREE_MAX && low >= KEEP + (1u << (order - 9)) && page_take_spare(order, &pa)) {
			r[n++] = (struct ufs_range){ pa, PAGE_SIZE << order };
			low -= 1u << (order - 9);
		}
	if (!n || queue_send(UFS_MSG_FREE, 0, 0, r, n * sizeof(r[0])))
		return;
	while (n--)
		page_came_back(r[n].pa, r[n].size == HUGE_SIZE ? 9 : 10, false);
}

void memory_idle(void)
{
	static struct ktimer timer = { .fn = give_back };
	if (likely(page_spare() < KEEP + WORTH) || timer.slot)
		return;
	page_spare_low();
	timer_set(&timer, now_ns() + PERIOD);
}

void memory_freed(u64 pa, u64 size)
{
	if (!page_came_back(pa, size == HUGE_SIZE ? 9 : 10, true) || size & ~(3 * HUGE_SIZE))
		panic("memory 0x%llx, %llu bytes, comes back that nobody has given away", (unsigned long long)pa, (unsigned long long)size);
}
