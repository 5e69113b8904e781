/* SPDX-License-Identifier: Apache-2.0 */
/* fork.c: a copy of an address space that shares all pages until one side writes. */
#include "internal.h"

struct copy { struct mm *to; bool private, failed; };

static void copy_leaf(struct mm *from, u64 *e, u64 va, int level, void *arg)
{
	struct copy *c = arg;
	if (c->failed)
		return;
	u64 *d = pt_make(c->to, va, 0);
	if (!d) {
		c->failed = true;
		return;
	}
	if (c->private && (*e & PTE_W)) {
		*e &= ~PTE_W;
		pt_stale(from, va, PAGE_SIZE);
	}
	if (in_ram(*e))
		page_get(pte_page(*e));
	pt_set(c->to, d, va, 0, *e);
}

/* References are counted by page, so a page that two share cannot be part of a 2 MiB leaf. */
static void split_leaf(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	struct copy *c = arg;
	if (level && pt_split(mm, va + PAGE_SIZE))
		c->failed = true;
}

static bool copy_mapping(struct mm *from, const struct vma *v, struct mm *to)
{
	struct vma *w = vma_alloc(v->start, v->end, v->flags & ~VM_LOCKED, v->file, v->off);
	if (!w)
		return false;
	w->name = v->name;
	vma_insert(to, w);
	return true;
}

static bool copy_leaves(struct mm *from, const struct vma *v, struct mm *to)
{
	struct copy c = { to, vma_private(v), false };
	pt_each(from, v->start, v->end, split_leaf, &c);
	pt_each(from, v->start, v->end, copy_leaf, &c);
	return !c.failed;
}

struct mm *mm_fork(struct mm *src)
{
	struct mm *mm = space_alloc(0);
	if (!mm)
		return NULL;
	bool ok = true;
	for (struct vma *v = vma_find(src, 0); v && ok; v = vma_find(src, v->end))
		if (!(v->flags & VM_DONTFORK))
			ok = copy_mapping(src, v, mm);
	if (ok && !family_join(src, mm)) {
		ok = !mm_alone(src) && (mm->pml4 = pt_root());
		for (struct vma *v = vma_find(src, 0); v && ok; v = vma_find(src, v->end))
			if (!(v->flags & (VM_DONTFORK | VM_WIPEONFORK)))
				ok = copy_leaves(src, v, mm);
		pt_flush(src);
	}
	mm->brk_start = src->brk_start;
	mm->brk = src->brk;
	mm->membarrier = src->membarrier;
	mm->warmed = src->warmed;
	if (ok)
		return mm;
	mm_put(mm);
	return NULL;
}
