/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reclaim.c: pages back when memory runs out.
 *
 * Faults map more than was asked for, so that a program that touches little in many places holds pages it never wrote.
 * Those are still zero: dropping them changes nothing that the program can see.
 */
#include "internal.h"

#define ENOUGH 512  /* pages; the rest waits for the next time */
#define TOO_FEW 32  /* not worth the search: memory is used up */

struct reclaim { u64 freed; };

static bool is_zero(const u64 *page)
{
	for (unsigned i = 0; i < PAGE_SIZE / 8; i += 4)
		if (page[i] | page[i + 1] | page[i + 2] | page[i + 3])
			return false;
	return true;
}

static void reclaim_page(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	struct reclaim *r = arg;
	if (level || r->freed >= ENOUGH || !in_ram(*e) || page_refs(pte_page(*e)) != 1 || !is_zero(pte_page(*e)))
		return;
	pt_set(mm, e, va, 0, 0);
	r->freed++;
}

static bool has_zero_page(const char *block)
{
	for (u64 at = 0; at < HUGE_SIZE; at += PAGE_SIZE)
		if (is_zero((const u64 *)(block + at)))
			return true;
	return false;
}

static void reclaim_leaf(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	struct reclaim *r = arg;
	if (r->freed >= ENOUGH)
		return;
	if (!level)
		reclaim_page(mm, e, va, 0, arg);
	else if (has_zero_page(pte_page(*e)) && !pt_split(mm, va + PAGE_SIZE))
		pt_each(mm, va, va + HUGE_SIZE, reclaim_page, arg);
}

u64 mm_reclaim(void)
{
	struct reclaim r = { pt_drain() + family_drain() };
	list_for_each(l, &mm_list) {
		struct mm *mm = list_entry(l, struct mm, all);
		for (struct vma *v = mm->fam ? NULL : vma_find(mm, 0); v && r.freed < ENOUGH; v = vma_find(mm, v->end))
			if (!v->file && !(v->flags & VM_LOCKED))
				pt_each(mm, v->start, v->end, reclaim_leaf, &r);
		pt_flush(mm);
	}
	return r.freed < TOO_FEW ? 0 : r.freed;
}
