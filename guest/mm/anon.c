/* SPDX-License-Identifier: Apache-2.0 */
/*
 * anon.c: memory without a file: zero pages, runs of pages around a fault, 2 MiB leaves.
 *
 * A fault costs far more than a page, so one fault maps many: 2 MiB where the mapping and the free memory are large
 * enough, else an aligned run. What turns out to stay zero comes back when memory runs out (reclaim.c).
 */
#include "internal.h"

#define HUGE_RAM_MIN (64UL << 20) /* guests smaller than this have no memory to round up with */

static void *zero_page; /* mapped read-only wherever zeros are read; one reference is held for ever */

void *anon_page(void)
{
	return page_alloc(0, PG_USER);
}

bool huge_fits(const struct vma *v, u64 va)
{
	u64 lo = va & HUGE_MASK, total = page_total_bytes();
	return lo >= v->start && lo + HUGE_SIZE <= v->end && !(v->flags & VM_NOHUGE) && total >= HUGE_RAM_MIN &&
	       page_free_bytes() >= total / 4 + HUGE_SIZE;
}

static bool map_huge(struct mm *mm, struct vma *v, u64 va)
{
	va &= HUGE_MASK;
	u64 *e = pt_make_room(mm, va) ? pt_make(mm, va, 1) : NULL;
	if (!e || *e) /* a table is there already */
		return false;
	void *block = page_alloc(9, PG_ZERO | PG_USER);
	if (!block)
		return false;
	pt_set(mm, e, va, 1, pt_leaf(v, virt_to_phys(block), true) | PTE_HUGE);
	return true;
}

/* Zero pages for the absent entries from e on; stops at n pages, at a present entry or without memory. Pages done. */
static u64 map_run(struct mm *mm, struct vma *v, u64 *e, u64 va, u64 n)
{
	u64 done = 0;
	for (u64 k = 0; k < n && !pte_live(e[k]); k++)
		done = k + 1;
	n = done;
	for (done = 0; done < n;) {
		unsigned order = 63 - __builtin_clzll(n - done);
		char *block;
		while (!(block = page_alloc(order, PG_ZERO | PG_USER)))
			if (!order--)
				return done;
		page_split(block, order);
		for (u64 k = 0; k < 1UL << order; k++, done++)
			pt_set(mm, &e[done], va + done * PAGE_SIZE, 0, pt_leaf(v, virt_to_phys(block + k * PAGE_SIZE), true));
	}
	return done;
}

static int map_window(struct mm *mm, struct vma *v, u64 va)
{
	struct window w = fault_window(v, va, WINDOW_BASE, WINDOW_ANON);
	u64 *e = pt_make(mm, va, 0);
	if (!e)
		return -ENOMEM;
	u64 lo = va;
	while (lo > w.lo && !pte_live(e[-1]))
		lo -= PAGE_SIZE, e--;
	map_run(mm, v, e, lo, (w.hi - lo) / PAGE_SIZE);
	e += (va - lo) / PAGE_SIZE;
	return pte_live(*e) || map_run(mm, v, e, va, 1) ? 0 : -ENOMEM;
}

static int map_zero(struct mm *mm, struct vma *v, u64 va)
{
	if (!zero_page && !(zero_page = page_alloc(0, PG_ZERO)))
		return -ENOMEM;
	u64 *e = pt_make(mm, va, 0);
	if (!e)
		return -ENOMEM;
	struct window w = fault_window(v, va, WINDOW_BASE, WINDOW_ANON);
	for (u64 at = w.lo; at < w.hi; at += PAGE_SIZE) {
		u64 *p = e + ((s64)(at - va) >> PAGE_SHIFT);
		if (pte_live(*p))
			continue;
		page_get(zero_page);
		pt_set(mm, p, at, 0, pt_leaf(v, virt_to_phys(zero_page), false));
	}
	return 0;
}

int anon_fault(struct mm *mm, struct vma *v, u64 va, bool write)
{
	/* Reading what nobody can write, or while memory is short, needs no memory of its own. */
	if (!write && (!(v->flags & VM_WRITE) || memory_scarce()))
		return map_zero(mm, v, va);
	if (huge_fits(v, va) && map_huge(mm, v, va))
		return 0;
	return map_window(mm, v, va);
}

int anon_copy(struct mm *mm, struct vma *v, u64 va, u64 *e)
{
	char *page = anon_page();
	if (!page)
		return -ENOMEM;
	const void *old = pte_page(*e);
	if (old == zero_page)
		memset(page, 0, PAGE_SIZE);
	else
		memcpy(page, old, PAGE_SIZE);
	pt_set(mm, e, va, 0, pt_leaf(v, virt_to_phys(page), true));
	return 0;
}
