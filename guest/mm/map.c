/* SPDX-License-Identifier: Apache-2.0 */
/* map.c: mmap, munmap, mprotect, brk: where mappings go and what they may be. */
#include "internal.h"
#include "fs.h"
#include <linux/fcntl.h>

#define RLIMIT_DATA 2
#define RLIMIT_AS 9
#define EAGER_HEAP (132UL << 10)
#define LOW_END 0x80000000UL /* MAP_32BIT: below 2 GiB, as addresses are signed */

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define MAP_KNOWN (MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_32BIT | MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED | \
	MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_FIXED_NOREPLACE)

bool range_ok(u64 start, u64 end)
{
	return start <= end && access_ok((void *)start, end - start);
}

u64 mm_rlimit(int which)
{
	struct thread *t = current();
	return t && t->proc ? t->proc->rlim[which].cur : ~0ULL;
}

/* Linux's heuristic: refuse what can never be, trust the rest. */
bool overcommits(u64 len, u32 flags)
{
	return (flags & VM_WRITE) && !(flags & (VM_SHARED | VM_NORESERVE)) && len > page_total_bytes();
}

bool over_limits(struct mm *mm, u64 len, u32 flags)
{
	u64 data = (flags & VM_WRITE) && !(flags & VM_SHARED) ? len : 0;
	u64 as = mm_rlimit(RLIMIT_AS), max = mm_rlimit(RLIMIT_DATA);
	return mm->total + len > as || (data && mm->data + data > max);
}

static u64 choose_below(struct mm *mm, u64 len, u64 top)
{
	u64 at = top > UFS_WINDOW_END ? vma_hole(mm, len, UFS_WINDOW_END, top) : 0;
	return at ? at : vma_hole(mm, len, MMAP_MIN, MIN(top, UFS_WINDOW_VA));
}

u64 mm_choose(struct mm *mm, u64 len, u32 flags, bool low)
{
	if (low)
		return vma_hole(mm, len, MMAP_MIN, LOW_END);
	/* Large ones start on a 2 MiB boundary, so that they can have 2 MiB leaves from the first byte on. */
	if (!(flags & VM_NOHUGE) && len >= HUGE_SIZE && (len % HUGE_SIZE == 0 || len >= 4 * HUGE_SIZE)) {
		u64 at = choose_below(mm, len + HUGE_SIZE - PAGE_SIZE, MMAP_BASE);
		if (at)
			return ALIGN_UP(at, HUGE_SIZE);
	}
	return choose_below(mm, len, MMAP_BASE);
}

static bool is_free(struct mm *mm, u64 start, u64 end)
{
	struct vma *v = vma_find(mm, start);
	return !v || v->start >= end;
}

int mm_unmap_range(struct mm *mm, u64 start, u64 end)
{
	int r = mm_alone(mm);
	if (r || (r = vma_carve(mm, start, end)))
		return r;
	struct vma *gone = NULL, *v;
	while ((v = vma_find(mm, start)) && v->start < end) {
		vma_remove(mm, v);
		v->left = gone;
		gone = v;
	}
	if (!gone)
		return 0;
	struct vma *below = vma_before(mm, start), *above = v;
	if (mm->pml4)
		pt_clear(mm, start, end);
	if (mm->pml4)
		pt_free_tables(mm, start, end, below ? below->end : 0, above ? above->start : UFS_USER_END + PAGE_SIZE);
	pt_flush(mm);
	while ((v = gone)) {
		gone = v->left;
		vma_free(v); /* last: closing a file may run other code */
	}
	return 0;
}

long mm_unmap(struct mm *mm, u64 addr, u64 len)
{
	u64 end = addr + ALIGN_UP(len, PAGE_SIZE);
	if ((addr & (PAGE_SIZE - 1)) || end <= addr || !range_ok(addr, end))
		return -EINVAL;
	return mm_unmap_range(mm, addr, end);
}

/* May this file be mapped so? Adds what the mapping may become. */
static int check_file(const struct file *f, int prot, u32 *flags)
{
	u32 mode = f->flags & O_ACCMODE;
	if ((f->flags & O_PATH))
		return -EBADF;
	if (mode == O_WRONLY || ((*flags & VM_SHARED) && (prot & PROT_WRITE) && mode != O_RDWR))
		return -EACCES;
	const struct inode_ops *ops = f->ino ? f->ino->ops : NULL;
	if (!ops || (!ops->page && ((*flags & VM_SHARED) || !ops->read)))
		return -ENODEV;
	if ((f->ino->mode & S_IFMT) != S_IFREG && !ops->page)
		return -ENODEV;
	if (*flags & VM_GROWSDOWN)
		return -EINVAL;
	if ((*flags & VM_SHARED) && mode == O_RDWR)
		*flags |= VM_MAYWRITE;
	return 0;
}

static int vm_flags(struct mm *mm, int prot, int flags, u32 *out)
{
	u32 vm = (prot & VM_PROT) | mm->default_flags;
	switch (flags & MAP_TYPE) {
	case MAP_PRIVATE:
		break;
	case MAP_SHARED_VALIDATE:
		if (flags & ~MAP_KNOWN)
			return -EOPNOTSUPP;
		/* fall through */
	case MAP_SHARED:
		vm |= VM_SHARED;
		break;
	default:
		return -EINVAL;
	}
	if (flags & MAP_HUGETLB)
		return -ENOMEM; /* as on a machine without reserved huge pages */
	if (flags & MAP_GROWSDOWN)
		vm |= VM_GROWSDOWN;
	if (flags & (MAP_GROWSDOWN | MAP_STACK))
		vm |= VM_NOHUGE;
	if (flags & MAP_NORESERVE)
		vm |= VM_NORESERVE;
	if (flags & MAP_LOCKED)
		vm |= VM_LOCKED;
	*out = vm;
	return 0;
}

/* The address for a new mapping; negative errno when there is none. */
static long place(struct mm *mm, u64 addr, u64 len, u32 vm, int flags)
{
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
		if (addr & (PAGE_SIZE - 1))
			return -EINVAL;
		if (!range_ok(addr, addr + len))
			return -ENOMEM;
		if (addr < MMAP_MIN)
			return -EPERM;
		return (flags & MAP_FIXED_NOREPLACE) && !is_free(mm, addr, addr + len) ? -EEXIST : (long)addr;
	}
	addr = ALIGN_DOWN(addr, PAGE_SIZE);
	bool low = flags & MAP_32BIT;
	if (addr) {
		addr = MAX(addr, MMAP_MIN);
		if (range_ok(addr, addr + len) && addr + len <= (low ? LOW_END : UFS_USER_END) && is_free(mm, addr, addr + len))
			return addr;
	}
	addr = mm_choose(mm, len, vm, low);
	return addr ? (long)addr : -ENOMEM;
}

/* A file object for memory shared without a file, so that processes that inherit it see the same pages. */
static struct file *shared_memory(u64 len)
{
	static const struct file_ops ops = { .name = "/dev/zero" };
	struct inode *ino = shm_inode_create(len);
	if (IS_ERR(ino))
		return NULL;
	struct file *f = file_alloc(&ops, O_RDWR, NULL);
	if (f)
		f->ino = ino;
	else
		inode_put(ino);
	return f;
}

static bool is_dev_zero(const struct file *f)
{
	return f->ino && (f->ino->mode & S_IFMT) == S_IFCHR && f->ino->rdev == 0x105;
}

static long map_at(struct mm *mm, u64 addr, u64 len, u32 vm, int flags, struct file *f, u64 off)
{
	struct vma *v = vma_alloc(addr, addr + len, vm, f, off);
	if (!v)
		return -ENOMEM;
	int r = mm_alone(mm);
	if (!r)
		r = mm_unmap_range(mm, addr, addr + len);
	if (r) {
		vma_free(v);
		return r;
	}
	vma_insert(mm, v);
	vma_merge(mm, addr, addr + len);
	if (((flags & MAP_POPULATE) && !(flags & MAP_NONBLOCK)) || (vm & VM_LOCKED))
		mm_populate(mm, addr, len, vma_private(v) && (vm & VM_WRITE)); /* a failure shows again at the touch */
	return addr;
}

long mm_map(struct mm *mm, u64 addr, u64 len, int prot, int flags, struct file *f, u64 off)
{
	u32 vm;
	if (!len || (off & (PAGE_SIZE - 1)))
		return -EINVAL;
	len = ALIGN_UP(len, PAGE_SIZE);
	if (!len || len > UFS_USER_END)
		return -ENOMEM;
	if (off + len < off)
		return -EOVERFLOW;
	int r = vm_flags(mm, prot, flags, &vm);
	if (r)
		return r;
	if (f && is_dev_zero(f))
		f = NULL;
	if (f && ((r = check_file(f, prot, &vm)) || (r = inode_prepare(f->ino)) < 0))
		return r;
	if (!f && (vm & VM_SHARED) && (vm & VM_GROWSDOWN))
		return -EINVAL;
	long at = place(mm, addr, len, vm, flags);
	if (at < 0)
		return at;
	if (mm->count >= MAP_COUNT_MAX || over_limits(mm, len, vm) || overcommits(len, vm))
		return -ENOMEM;
	if (f || !(vm & VM_SHARED))
		return map_at(mm, at, len, vm, flags, f, off);
	f = shared_memory(len);
	if (!f)
		return -ENOMEM;
	at = map_at(mm, at, len, vm | VM_MAYWRITE, flags, f, 0);
	file_put(f);
	return at;
}

static int protect_one(struct mm *mm, struct vma *v, u64 start, u64 end, u32 prot)
{
	u32 flags = (v->flags & ~VM_PROT) | prot;
	if (flags == v->flags)
		return 0;
	if (mm_alone(mm))
		return -ENOMEM;
	if ((prot & VM_WRITE) && (v->flags & VM_SHARED) && !(v->flags & VM_MAYWRITE))
		return -EACCES;
	if ((prot & VM_WRITE) && !(v->flags & VM_WRITE) && vma_private(v) && (overcommits(end - start, flags) || over_limits(mm, 0, flags)))
		return -ENOMEM;
	int r = vma_carve(mm, start, end);
	if (r)
		return r;
	v = vma_at(mm, start);
	vma_set_flags(mm, v, flags);
	pt_protect(mm, v, start, end);
	vma_merge(mm, start, end);
	return 0;
}

long mm_protect(struct mm *mm, u64 addr, u64 len, int prot)
{
	u64 end = addr + ALIGN_UP(len, PAGE_SIZE);
	if ((addr & (PAGE_SIZE - 1)) || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP)) ||
	    ((prot & PROT_GROWSDOWN) && (prot & PROT_GROWSUP)))
		return -EINVAL;
	if (!len)
		return 0;
	if (end <= addr)
		return -ENOMEM;
	struct vma *v = vma_at(mm, addr);
	if (!v)
		return -ENOMEM;
	if (prot & PROT_GROWSUP)
		return -EINVAL;
	if (prot & PROT_GROWSDOWN) {
		if (!(v->flags & VM_GROWSDOWN))
			return -EINVAL;
		addr = v->start;
	}
	int r = 0;
	for (u64 at = addr; !r && at < end;) {
		v = vma_at(mm, at);
		if (!v) {
			r = -ENOMEM; /* what came before the hole stays changed, as in Linux */
			break;
		}
		u64 to = MIN(end, v->end);
		r = protect_one(mm, v, at, to, prot & VM_PROT);
		at = to;
	}
	pt_flush(mm);
	return r;
}

void mm_set_brk(struct mm *mm, u64 start)
{
	mm->brk_start = mm->brk = start;
}

static bool grow_heap(struct mm *mm, u64 from, u64 to, u64 brk)
{
	struct vma *above = vma_find(mm, from);
	u64 gap = above && (above->flags & VM_GROWSDOWN) ? STACK_GAP : 0;
	if (!range_ok(from, to) || (above && above->start < to + gap))
		return false;
	if (brk - mm->brk_start > mm_rlimit(RLIMIT_DATA) || over_limits(mm, to - from, VM_READ | VM_WRITE) || overcommits(to - from, VM_WRITE))
		return false;
	struct vma *v = mm->count < MAP_COUNT_MAX && !mm_alone(mm) ? vma_alloc(from, to, VM_READ | VM_WRITE | mm->default_flags, NULL, 0) : NULL;
	if (!v)
		return false;
	v->name = "[heap]";
	vma_insert(mm, v);
	vma_merge(mm, from, to);
	/* An allocator that asks for little uses it at once; a fault costs more than these pages. */
	if (!memory_scarce())
		mm_populate(mm, from, mm->default_flags & VM_LOCKED ? to - from : MIN(to - from, EAGER_HEAP), true);
	return true;
}

long mm_brk(struct mm *mm, u64 addr)
{
	u64 old = ALIGN_UP(mm->brk, PAGE_SIZE), new = ALIGN_UP(addr, PAGE_SIZE);
	if (addr < mm->brk_start || addr > UFS_USER_END)
		return mm->brk;
	if (new > old && !grow_heap(mm, old, new, addr))
		return mm->brk;
	if (new < old && mm_unmap_range(mm, new, old))
		return mm->brk;
	return mm->brk = addr;
}

long mm_find_near(struct mm *mm, u64 lo, u64 hi, u64 len)
{
	const u64 reach = 1945UL << 20; /* 1.9 GiB */
	lo = ALIGN_DOWN(lo, PAGE_SIZE);
	hi = ALIGN_UP(hi, PAGE_SIZE);
	u64 floor = hi > reach + MMAP_MIN ? hi - reach : MMAP_MIN;
	len = ALIGN_UP(len, PAGE_SIZE);
	/* Below first: above the program its heap wants to grow. */
	u64 at = floor < lo ? vma_hole(mm, len, floor, lo) : 0;
	if (!at)
		at = vma_hole(mm, len, hi, MIN(lo + reach, UFS_USER_END));
	if (at && range_ok(at, at + len))
		return at;
	return -ENOMEM;
}
