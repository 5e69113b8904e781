/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c: page faults: may the access be, and what makes the page present. */
#include "internal.h"
#include "fs.h"
#include "proc.h"

#define RLIMIT_STACK 3
#define OWN_AROUND 8

/* Below this much free memory a touch maps one page, not its neighbours too. */
bool memory_scarce(void)
{
	return page_free_bytes() < page_total_bytes() / 16;
}

/* The pages to map around va: base of them, twice as many each time the last window's end is touched next. */
struct window fault_window(struct vma *v, u64 va, u32 base, u32 max)
{
	v->window = va == v->next && v->window ? MIN(v->window * 2, max) : base;
	u64 bytes = memory_scarce() ? PAGE_SIZE : (u64)v->window * PAGE_SIZE;
	u64 lo = ALIGN_DOWN(va, bytes);
	struct window w = { MAX(lo, v->start), MIN(lo + bytes, v->end) };
	v->next = w.hi;
	return w;
}

/* A growing stack reaches down to addr, if its limit and its neighbour allow that. */
static bool grow_stack(struct mm *mm, struct vma *v, u64 addr)
{
	u64 start = ALIGN_DOWN(addr, WINDOW_BASE * PAGE_SIZE);
	struct vma *below = vma_before(mm, v->start);
	u64 floor = below ? below->end + (below->flags & VM_PROT ? STACK_GAP : 0) : MMAP_MIN;
	u64 limit = mm_rlimit(RLIMIT_STACK);
	if (limit < v->end - MMAP_MIN)
		floor = MAX(floor, ALIGN_UP(v->end - limit, PAGE_SIZE));
	if (v->start > UFS_WINDOW_END)
		floor = MAX(floor, UFS_WINDOW_END);
	start = MAX(start, floor);
	if (addr < start || over_limits(mm, v->start - start, v->flags))
		return false;
	vma_resize(mm, v, start, v->end);
	return true;
}

static struct vma *vma_for_access(struct mm *mm, u64 addr)
{
	struct vma *v = vma_find(mm, addr);
	if (!v || v->start <= addr)
		return v;
	return (v->flags & VM_GROWSDOWN) && grow_stack(mm, v, addr) ? v : NULL;
}

/* Who writes to a page after a fork writes to its neighbours too: one fault for all of them. */
static void own_around(struct mm *mm, struct vma *v, u64 va)
{
	u64 lo = ALIGN_DOWN(va, OWN_AROUND * PAGE_SIZE), hi = MIN(lo + OWN_AROUND * PAGE_SIZE, v->end);
	for (u64 at = MAX(lo, v->start); at < hi && (v->flags & VM_WRITE); at += PAGE_SIZE) {
		int level;
		u64 *e = pt_find(mm, at, &level);
		if (level || !pte_live(*e) || *e & PTE_W || !in_ram(*e))
			continue;
		if (page_refs(pte_page(*e)) == 1)
			*e = pt_leaf(v, *e & PTE_ADDR, true); /* a right more needs no flush */
		else if (!v->file && (memory_scarce() || anon_copy(mm, v, at, e)))
			break;
	}
}

/* A write to a page that is present, but not writable for it. */
static int fault_present(struct mm *mm, struct vma *v, u64 va, u64 *e, int level)
{
	if (!vma_private(v))
		return *e & PTE_W ? 0 : file_fault_write(mm, v, va);
	if (!in_ram(*e) || page_refs(pte_page(*e)) > 1) {
		int r = v->file ? file_fault_write(mm, v, va) : anon_copy(mm, v, va, e);
		if (!r)
			own_around(mm, v, va);
		return r;
	}
	u64 leaf = pt_leaf(v, *e & PTE_ADDR, true) | (*e & PTE_HUGE);
	if (leaf != *e) {
		*e = leaf;
		pt_stale(mm, ALIGN_DOWN(va, level_size(level)), level_size(level));
		own_around(mm, v, va);
	}
	return 0;
}

int fault_page(struct mm *mm, struct vma *v, u64 va, bool write)
{
	int level;
	u64 *e = pt_find(mm, va, &level);
	if (pte_live(*e))
		return write ? fault_present(mm, v, va, e, level) : 0;
	return v->file ? file_fault(mm, v, va, write) : anon_fault(mm, v, va, write);
}

static bool allowed(const struct vma *v, u64 error)
{
	if (error & FAULT_WRITE)
		return v->flags & VM_WRITE;
	if (error & FAULT_EXEC)
		return v->flags & VM_EXEC;
	return v->flags & VM_PROT;
}

static int fault_once(struct mm *mm, u64 addr, u64 error, int *code)
{
	struct vma *v = vma_find(mm, addr);
	u64 before = mm->rss, va = ALIGN_DOWN(addr, PAGE_SIZE);
	bool covered = v && v->start <= addr;
	*code = covered ? SEGV_ACCERR : SEGV_MAPERR;
	if (covered ? !allowed(v, error) : !v || !(v->flags & VM_GROWSDOWN))
		return SIGSEGV;
	if (mm->fam) {
		if (covered && (error & FAULT_WRITE || !v->file) && family_write(mm, v, va))
			return 0;
		if (!(covered && family_fault(mm, v, error & FAULT_WRITE)) && family_leave(mm))
			return -ENOMEM;
	}
	v = vma_for_access(mm, addr);
	if (!v)
		return SIGSEGV;
	*code = SEGV_ACCERR;
	if (!allowed(v, error))
		return SIGSEGV;
	if (error & 1)
		pt_stale(mm, va, PAGE_SIZE); /* the entry may have been mended meanwhile, and the CPU remembers the old one */
	int r = fault_page(mm, v, va, error & FAULT_WRITE);
	if (mm->fam)
		family_rss(mm, before);
	pt_flush(mm);
	return r;
}

int mm_fault(struct mm *mm, u64 addr, u64 error, int *code)
{
	int r;
	do {
		r = fault_once(mm, addr, error, code);
		if (r == -ENOMEM && mm_reclaim())
			r = fault_once(mm, addr, error, code);
	} while (r == -EAGAIN);
	if (r == -EFAULT) {
		*code = BUS_ADRERR;
		return SIGBUS;
	}
	return r;
}

static int populate_page(struct mm *mm, u64 va, bool write, bool force)
{
	int r, tries = 0;
	do {
		struct vma *v = vma_at(mm, va);
		if (!v || mm_alone(mm))
			return -ENOMEM;
		if (!force && (!(v->flags & VM_PROT) || (write && !(v->flags & VM_WRITE))))
			return -EACCES;
		r = fault_page(mm, v, va, write);
	} while (r == -EAGAIN || (r == -ENOMEM && !tries++ && mm_reclaim()));
	return r;
}

long mm_populate(struct mm *mm, u64 addr, u64 len, bool write)
{
	u64 end = ALIGN_UP(addr + len, PAGE_SIZE);
	int r = 0;
	for (u64 va = ALIGN_DOWN(addr, PAGE_SIZE); !r && va < end;) {
		int level;
		u64 *e = pt_find(mm, va, &level);
		if (!pte_live(*e) || (write && !(*e & PTE_W))) {
			r = populate_page(mm, va, write, false);
			e = pt_find(mm, va, &level);
		}
		va = ALIGN_DOWN(va, level_size(level)) + level_size(level);
	}
	pt_flush(mm);
	return r;
}

long mm_own(struct mm *mm, u64 addr, u64 len)
{
	u64 end = addr + len;
	int r = mm_alone(mm);
	for (u64 va = ALIGN_DOWN(addr, PAGE_SIZE); !r && va < end;) {
		struct vma *v = vma_at(mm, va);
		if (v && v->file && v->file->ino->ops->prepare) {
			long n = file_own_read(mm, v, va, end);
			if (n > 0) {
				va += n;
				continue;
			}
			if (n == -EAGAIN) /* v may be gone; what is left comes with the faults */
				break;
		}
		if (v && v->file && !(va & ~HUGE_MASK) && end - va >= HUGE_SIZE && file_own_huge(mm, v, va)) {
			va += HUGE_SIZE;
			continue;
		}
		r = populate_page(mm, va, true, true);
		va += PAGE_SIZE;
	}
	pt_flush(mm);
	return r;
}

long mm_poke(struct mm *mm, u64 addr, const void *src, size_t n)
{
	int r = 0;
	while (!r && n) {
		u64 left, va = ALIGN_DOWN(addr, PAGE_SIZE);
		size_t k = MIN(n, va + PAGE_SIZE - addr);
		struct vma *v = vma_at(mm, va);
		if (mm->fam && v)
			family_write(mm, v, va);
		char *copy = mm->fam ? family_page(mm, addr, &left) : NULL;
		if (copy) {
			memcpy(copy, src, MIN(k, left));
			k = MIN(k, left);
			goto next;
		}
		if (!v || (!vma_private(v) && !(v->flags & VM_MAYWRITE))) {
			r = -EFAULT;
			break;
		}
		r = populate_page(mm, va, true, true);
		if (r)
			break;
		int level;
		u64 e = *pt_find(mm, va, &level);
		memcpy((char *)pte_page(e) + (addr & (level_size(level) - 1)), src, k);
next:
		addr += k;
		src = (const char *)src + k;
		n -= k;
	}
	pt_flush(mm);
	return r;
}
