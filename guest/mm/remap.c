/* SPDX-License-Identifier: Apache-2.0 */
/* remap.c: mremap: a mapping made shorter, longer, or moved with its pages. */
#include "internal.h"
#include "fs.h"

static bool room_after(struct mm *mm, const struct vma *v, u64 end)
{
	struct vma *n = vma_find(mm, v->end);
	return range_ok(v->start, end) && (!n || n->start >= end);
}

/* v is one mapping of its own, [addr, addr+old_len); it goes to `to` and becomes new_len >= old_len long. */
static long move(struct mm *mm, struct vma *v, u64 new_len, u64 to)
{
	u64 from = v->start, old_len = v->end - v->start;
	struct vma *w = vma_alloc(to, to + new_len, v->flags, v->file, v->off);
	if (!w)
		return -ENOMEM;
	w->name = v->name;
	int r = pt_move(mm, from, to, old_len);
	if (r) {
		struct vma *below = vma_before(mm, to), *above = vma_find(mm, to);
		pt_free_tables(mm, to, to + new_len, below ? below->end : 0, above ? above->start : UFS_USER_END + PAGE_SIZE);
		pt_flush(mm);
		vma_free(w);
		return r;
	}
	vma_insert(mm, w);
	r = mm_unmap_range(mm, from, from + old_len); /* cannot fail: exactly one mapping */
	BUG_ON(r);
	pt_flush(mm);
	vma_merge(mm, to, to + new_len);
	return to;
}

static long grow_in_place(struct mm *mm, struct vma *v, u64 end)
{
	u64 start = v->start;
	vma_resize(mm, v, start, end);
	vma_merge(mm, start, end);
	return start;
}

static long move_to(struct mm *mm, u64 addr, u64 old_len, u64 new_len, u64 to, bool fixed)
{
	int r;
	if (fixed && (r = mm_unmap_range(mm, to, to + new_len)))
		return r;
	if (new_len < old_len && (r = mm_unmap_range(mm, addr + new_len, addr + old_len)))
		return r;
	u64 len = MIN(old_len, new_len);
	if ((r = vma_carve(mm, addr, addr + len)))
		return r;
	struct vma *v = vma_at(mm, addr);
	if (!fixed && !(to = mm_choose(mm, new_len, v->flags, false)))
		r = -ENOMEM;
	long at = r ? r : move(mm, v, new_len, to);
	if (at < 0)
		vma_merge(mm, addr, addr + len);
	return at;
}

long mm_remap(struct mm *mm, u64 addr, u64 old_len, u64 new_len, u64 flags, u64 to)
{
	bool fixed = flags & MREMAP_FIXED;
	if ((flags & ~(u64)(MREMAP_MAYMOVE | MREMAP_FIXED)) || (fixed && !(flags & MREMAP_MAYMOVE)) || (addr & (PAGE_SIZE - 1)))
		return -EINVAL;
	old_len = ALIGN_UP(old_len, PAGE_SIZE);
	new_len = ALIGN_UP(new_len, PAGE_SIZE);
	if (!new_len || !old_len || old_len > UFS_USER_END || new_len > UFS_USER_END)
		return -EINVAL;
	if (fixed && ((to & (PAGE_SIZE - 1)) || !range_ok(to, to + new_len) || to < MMAP_MIN || (to < addr + old_len && addr < to + new_len)))
		return -EINVAL;
	struct vma *v = vma_at(mm, addr);
	if (!v || v->end - addr < old_len)
		return -EFAULT;
	if (mm_alone(mm))
		return -ENOMEM;
	u64 more = new_len > old_len ? new_len - old_len : 0;
	if (more && (over_limits(mm, more, v->flags) || overcommits(new_len, v->flags)))
		return -ENOMEM;
	if (fixed)
		return move_to(mm, addr, old_len, new_len, to, true);
	if (!more)
		return new_len == old_len ? (long)addr : mm_unmap_range(mm, addr + new_len, addr + old_len) ? -ENOMEM : (long)addr;
	long r = -ENOMEM;
	if (addr + old_len == v->end && room_after(mm, v, addr + new_len))
		return grow_in_place(mm, v, addr + new_len) < 0 ? -ENOMEM : (long)addr;
	if (flags & MREMAP_MAYMOVE)
		r = move_to(mm, addr, old_len, new_len, 0, false);
	return r;
}
