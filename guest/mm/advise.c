/* SPDX-License-Identifier: Apache-2.0 */
/* advise.c: madvise, mlock, mincore, msync: calls that visit the mappings of a range. */
#include "internal.h"
#include "fs.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

typedef int visit(struct mm *mm, struct vma *v, u64 start, u64 end, u64 arg);

/* Calls fn for the mapped parts of [start,end). -ENOMEM at the end if there were holes, as Linux does; fn's error at once. */
static int each_part(struct mm *mm, u64 start, u64 end, visit *fn, u64 arg)
{
	int holes = 0;
	while (start < end) {
		struct vma *v = vma_find(mm, start);
		if (!v || v->start >= end)
			return -ENOMEM;
		if (v->start > start) {
			holes = -ENOMEM;
			start = v->start;
		}
		u64 to = MIN(end, v->end); /* fn may join or free v */
		int r = fn(mm, v, start, to, arg);
		if (r)
			return r;
		start = to;
	}
	return holes;
}

static int set_flags(struct mm *mm, struct vma *v, u64 start, u64 end, u32 flags)
{
	if (flags == v->flags)
		return 0;
	int r = mm_alone(mm);
	if (r || (r = vma_carve(mm, start, end)))
		return r;
	vma_set_flags(mm, vma_at(mm, start), flags);
	vma_merge(mm, start, end);
	return 0;
}

/* arg: flags to set, shifted left 32: flags to clear. */
static int change_flags(struct mm *mm, struct vma *v, u64 start, u64 end, u64 arg)
{
	return set_flags(mm, v, start, end, (v->flags & ~(u32)(arg >> 32)) | (u32)arg);
}

static int wipe_on_fork(struct mm *mm, struct vma *v, u64 start, u64 end, u64 arg)
{
	if (v->file)
		return -EINVAL;
	return set_flags(mm, v, start, end, v->flags | VM_WIPEONFORK);
}

static int discard(struct mm *mm, struct vma *v, u64 start, u64 end, u64 advice)
{
	if (advice != MADV_DONTNEED_LOCKED && (v->flags & VM_LOCKED))
		return -EINVAL;
	if (advice == MADV_FREE && v->file)
		return -EINVAL;
	/* MADV_FREE leaves the choice: while memory is plenty, keeping pages is cheaper than making them again. */
	if (advice == MADV_FREE && page_free_bytes() > page_total_bytes() / 2)
		return 0;
	if (mm_alone(mm) || pt_split(mm, start) || pt_split(mm, end))
		return -ENOMEM;
	pt_clear(mm, start, end);
	return 0;
}

static int populate_part(struct mm *mm, struct vma *v, u64 start, u64 end, u64 write)
{
	if (!(v->flags & (write ? VM_WRITE : VM_PROT)))
		return -EINVAL;
	int r = mm_populate(mm, start, end - start, write);
	return r == -EACCES ? -EINVAL : r;
}

static int hint(struct mm *mm, struct vma *v, u64 start, u64 end, u64 arg)
{
	return 0;
}

static int advise_range(struct mm *mm, u64 start, u64 end, int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_COLD:
	case MADV_PAGEOUT:
		return each_part(mm, start, end, hint, 0);
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
		return each_part(mm, start, end, discard, advice);
	case MADV_DONTFORK:
		return each_part(mm, start, end, change_flags, VM_DONTFORK);
	case MADV_DOFORK:
		return each_part(mm, start, end, change_flags, (u64)VM_DONTFORK << 32);
	case MADV_WIPEONFORK:
		return each_part(mm, start, end, wipe_on_fork, 0);
	case MADV_KEEPONFORK:
		return each_part(mm, start, end, change_flags, (u64)VM_WIPEONFORK << 32);
	case MADV_HUGEPAGE:
		return each_part(mm, start, end, change_flags, (u64)VM_NOHUGE << 32);
	case MADV_NOHUGEPAGE:
		return each_part(mm, start, end, change_flags, VM_NOHUGE);
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return each_part(mm, start, end, populate_part, advice == MADV_POPULATE_WRITE);
	default:
		return -EINVAL;
	}
}

long mm_advise(struct mm *mm, u64 addr, u64 len, int advice)
{
	u64 end = addr + ALIGN_UP(len, PAGE_SIZE);
	if ((addr & (PAGE_SIZE - 1)) || end < addr || (len && end == addr))
		return -EINVAL;
	int r = advise_range(mm, addr, end, advice); /* an empty range too: unknown advice is refused */
	pt_flush(mm);
	return r;
}

#define RLIMIT_MEMLOCK 8

static u64 locked_bytes(struct mm *mm)
{
	u64 sum = 0;
	for (struct vma *v = vma_find(mm, 0); v; v = vma_find(mm, v->end))
		sum += v->flags & VM_LOCKED ? v->end - v->start : 0;
	return sum;
}

static int lock_limit(struct mm *mm, u64 more)
{
	u64 limit = mm_rlimit(RLIMIT_MEMLOCK);
	struct thread *t = current();
	if (!t || !t->proc || t->proc->euid == 0)
		return 0;
	return !limit ? -EPERM : locked_bytes(mm) + more > limit ? -ENOMEM : 0;
}

long mm_lock(struct mm *mm, u64 addr, u64 len, bool lock, bool now)
{
	u64 start = ALIGN_DOWN(addr, PAGE_SIZE), end = ALIGN_UP(addr + len, PAGE_SIZE);
	if (addr + len < addr || end < start)
		return -EINVAL;
	int r = lock ? lock_limit(mm, end - start) : 0;
	if (!r)
		r = each_part(mm, start, end, change_flags, lock ? VM_LOCKED : (u64)VM_LOCKED << 32);
	/* Nothing is ever swapped out: to lock a page is to have it. */
	if (!r && lock && now) {
		for (u64 at = start; !r && at < end;) {
			struct vma *v = vma_at(mm, at);
			u64 to = MIN(end, v->end);
			r = mm_populate(mm, at, to - at, vma_private(v) && (v->flags & VM_WRITE));
			at = to;
		}
		r = r == -EACCES || r == -EFAULT ? -ENOMEM : r;
	}
	return r;
}

long mm_lock_all(struct mm *mm, u64 flags)
{
	if (!flags || (flags & ~(u64)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
		return -EINVAL;
	int r = lock_limit(mm, flags & MCL_CURRENT ? mm->total : 0);
	if (r)
		return r;
	mm->default_flags = flags & MCL_FUTURE ? VM_LOCKED : 0;
	if (flags & MCL_CURRENT)
		each_part(mm, 0, UFS_USER_END, change_flags, VM_LOCKED);
	return 0;
}

void mm_unlock_all(struct mm *mm)
{
	mm->default_flags = 0;
	each_part(mm, 0, UFS_USER_END, change_flags, (u64)VM_LOCKED << 32);
}

static bool in_core(struct mm *mm, const struct vma *v, u64 va)
{
	int level;
	/* A file's pages are in memory whether mapped yet or not. */
	return v->file || pte_live(*pt_find(mm, va, &level));
}

long mm_incore(struct mm *mm, u64 addr, u64 len, u8 *uvec)
{
	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	u64 end = addr + ALIGN_UP(len, PAGE_SIZE);
	if (end < addr || !range_ok(addr, end))
		return -ENOMEM;
	u8 buf[256];
	while (addr < end) {
		unsigned n = 0;
		for (; n < sizeof(buf) && addr < end; n++, addr += PAGE_SIZE) {
			struct vma *v = vma_at(mm, addr);
			if (!v)
				return -ENOMEM;
			buf[n] = in_core(mm, v, addr);
		}
		if (copy_to_user(uvec, buf, n))
			return -EFAULT;
		uvec += n;
	}
	return 0;
}

static int sync_part(struct mm *mm, struct vma *v, u64 start, u64 end, u64 flags)
{
	return (flags & MS_INVALIDATE) && (v->flags & VM_LOCKED) ? -EBUSY : 0;
}

/* The pages of a shared mapping are the file's own, so there is nothing to write back. */
long mm_sync(struct mm *mm, u64 addr, u64 len, u64 flags)
{
	u64 end = addr + ALIGN_UP(len, PAGE_SIZE);
	if ((flags & ~(u64)(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (addr & (PAGE_SIZE - 1)) || ((flags & MS_ASYNC) && (flags & MS_SYNC)))
		return -EINVAL;
	if (end < addr)
		return -ENOMEM;
	return each_part(mm, addr, end, sync_part, flags);
}
