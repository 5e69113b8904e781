/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vma.c: the ordered set of mappings of an address space.
 *
 * A treap by start address. Each node knows the largest hole of its subtree, so finding room is as quick as finding a
 * mapping. Whoever changes start, end or flags of a mapping takes it out and puts it back, which also keeps the sums right.
 */
#include "internal.h"
#include "fs.h"

static u32 random32(void)
{
	static u32 x = 2463534242u;
	x ^= x << 13;
	x ^= x >> 17;
	return x ^= x << 5;
}

static void pull(struct vma *t)
{
	struct vma *l = t->left, *r = t->right;
	t->lo = l ? l->lo : t->start;
	t->hi = r ? r->hi : t->end;
	u64 below = l ? MAX(l->gap, t->start - l->hi) : 0;
	u64 above = r ? MAX(r->gap, r->lo - t->end) : 0;
	t->gap = MAX(below, above);
}

static struct vma *join(struct vma *a, struct vma *b)
{
	if (!a || !b)
		return a ? a : b;
	if (a->prio > b->prio) {
		a->right = join(a->right, b);
		pull(a);
		return a;
	}
	b->left = join(a, b->left);
	pull(b);
	return b;
}

/* Starts below key go to *a, the others to *b. */
static void cut(struct vma *t, u64 key, struct vma **a, struct vma **b)
{
	if (!t) {
		*a = *b = NULL;
		return;
	}
	if (t->start < key) {
		cut(t->right, key, &t->right, b);
		*a = t;
	} else {
		cut(t->left, key, a, &t->left);
		*b = t;
	}
	pull(t);
}

static void count(struct mm *mm, const struct vma *v, int sign)
{
	u64 len = v->end - v->start;
	mm->count += sign;
	mm->total += sign * len;
	if (vma_private(v) && (v->flags & VM_WRITE))
		mm->data += sign * len;
	mm->seq++;
}

void vma_insert(struct mm *mm, struct vma *v)
{
	struct vma *a, *b;
	cut(mm->root, v->start, &a, &b);
	v->left = v->right = NULL;
	pull(v);
	mm->root = join(join(a, v), b);
	count(mm, v, 1);
}

void vma_remove(struct mm *mm, struct vma *v)
{
	struct vma *a, *b, *self;
	cut(mm->root, v->start, &a, &b);
	cut(b, v->start + 1, &self, &b);
	BUG_ON(self != v);
	mm->root = join(a, b);
	count(mm, v, -1);
}

struct vma *vma_find(struct mm *mm, u64 addr)
{
	struct vma *best = NULL;
	for (struct vma *t = mm->root; t;) {
		if (t->end > addr) {
			best = t;
			t = t->left;
		} else {
			t = t->right;
		}
	}
	return best;
}

struct vma *vma_at(struct mm *mm, u64 addr)
{
	struct vma *v = vma_find(mm, addr);
	return v && v->start <= addr ? v : NULL;
}

struct vma *vma_before(struct mm *mm, u64 addr)
{
	struct vma *best = NULL;
	for (struct vma *t = mm->root; t;) {
		if (t->end <= addr) {
			best = t;
			t = t->right;
		} else {
			t = t->left;
		}
	}
	return best;
}

struct vma *vma_alloc(u64 start, u64 end, u32 flags, struct file *f, u64 off)
{
	struct vma *v = kzalloc(sizeof(*v));
	if (!v)
		return NULL;
	v->start = start;
	v->end = end;
	v->flags = flags;
	v->file = f;
	v->off = off;
	v->prio = random32();
	if (f)
		file_get(f);
	return v;
}

void vma_free(struct vma *v)
{
	if (v->file)
		file_put(v->file);
	kfree(v);
}

void vma_set_flags(struct mm *mm, struct vma *v, u32 flags)
{
	vma_remove(mm, v);
	v->flags = flags;
	vma_insert(mm, v);
}

void vma_resize(struct mm *mm, struct vma *v, u64 start, u64 end)
{
	vma_remove(mm, v);
	if (v->file)
		v->off += start - v->start;
	v->start = start;
	v->end = end;
	vma_insert(mm, v);
}

int vma_split(struct mm *mm, struct vma *v, u64 at)
{
	if (mm->count >= MAP_COUNT_MAX)
		return -ENOMEM;
	struct vma *w = vma_alloc(at, v->end, v->flags, v->file, v->file ? v->off + (at - v->start) : 0);
	if (!w)
		return -ENOMEM;
	if (pt_split(mm, at)) {
		vma_free(w);
		return -ENOMEM;
	}
	w->name = v->name;
	vma_resize(mm, v, v->start, at);
	vma_insert(mm, w);
	return 0;
}

int vma_carve(struct mm *mm, u64 start, u64 end)
{
	struct vma *v = vma_at(mm, start);
	int r = v && v->start < start ? vma_split(mm, v, start) : 0;
	if (r)
		return r;
	v = vma_at(mm, end);
	return v && v->start < end ? vma_split(mm, v, end) : 0;
}

static bool can_join(const struct vma *a, const struct vma *b)
{
	return a->end == b->start && a->flags == b->flags && a->file == b->file && a->name == b->name &&
	       (!a->file || a->off + (a->end - a->start) == b->off);
}

void vma_merge(struct mm *mm, u64 start, u64 end)
{
	struct vma *v = start ? vma_at(mm, start - 1) : NULL;
	if (!v)
		v = vma_find(mm, start);
	while (v && v->start < end) {
		struct vma *n = vma_at(mm, v->end);
		if (!n || !can_join(v, n)) {
			v = vma_find(mm, v->end);
			continue;
		}
		vma_remove(mm, n);
		vma_resize(mm, v, v->start, n->end);
		vma_free(n);
	}
}

/* The subtree t lies in [a,b). Subtrees without a hole of this size are not entered. */
static u64 hole(const struct vma *t, u64 a, u64 b, u64 len, u64 lo, u64 hi)
{
	u64 from = MAX(a, lo), to = MIN(b, hi);
	if (to < from || to - from < len)
		return 0;
	if (!t)
		return to - len;
	if (MAX(t->gap, MAX(t->lo - a, b - t->hi)) < len)
		return 0;
	u64 r = hole(t->right, t->end, b, len, lo, hi);
	return r ? r : hole(t->left, a, t->start, len, lo, hi);
}

u64 vma_hole(struct mm *mm, u64 len, u64 lo, u64 hi)
{
	return hole(mm->root, 0, UFS_USER_END, len, lo, hi);
}
