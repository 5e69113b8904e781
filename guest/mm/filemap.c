/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filemap.c: pages of mapped files.
 *
 * The file names its pages by libos address: in the image (shared by all instances, mapped as they are) or in RAM (with a
 * reference for us). A file system may sleep over a page, and the mappings may change meanwhile: then -EAGAIN, nothing done.
 */
#include "internal.h"
#include "fs.h"
#include "platform.h"

/* In mappings up to this size, pages of the image are copied rather than mapped: a host that shadows page tables maps eight pages of RAM
 * at a time, but pages of the image one by one (docs/decisions/0006). */
#define COPY_MAX (8UL << 20)
#define WARM_MAX 65536 /* pages */

static void drop(void *page)
{
	if (page_pa(page) < UFS_IMAGE_GPA)
		page_put(page);
}

/* A page read by copy, for file systems that have none to lend. Private mappings only. */
static void *read_page(struct inode *ino, u64 off)
{
	char *page = anon_page();
	if (!page)
		return ERR_PTR(-ENOMEM);
	struct iter it;
	iter_kernel(&it, page, PAGE_SIZE);
	long n = ino->ops->read(ino, &it, off);
	if (n < 0) {
		page_put(page);
		return ERR_PTR(-EFAULT);
	}
	memset(page + n, 0, PAGE_SIZE - n);
	return page;
}

/* The file's page for va, with a reference; -EFAULT past the end of the file. */
static void *file_page(struct mm *mm, struct vma *v, u64 va, bool write)
{
	struct inode *ino = v->file->ino;
	u64 off = v->off + (va - v->start), seq = mm->seq;
	if (off >= ino->size && (ino->mode & S_IFMT) == S_IFREG)
		return ERR_PTR(-EFAULT);
	struct file *f = v->file;
	file_get(f);
	void *page = ino->ops->page ? ino->ops->page(ino, off, write) : read_page(ino, off);
	file_put(f);
	if (mm->seq != seq) {
		if (!IS_ERR(page))
			drop(page);
		return ERR_PTR(-EAGAIN);
	}
	return page;
}

static int error_of(void *page)
{
	long e = PTR_ERR(page);
	return e == -EAGAIN || e == -ENOMEM ? (int)e : -EFAULT;
}

/* Map the file's own page; the caller has made the table. copy: a page of the image as a copy, which no failure forbids. */
static int map_page(struct mm *mm, struct vma *v, u64 va, bool write, bool copy)
{
	void *page = file_page(mm, v, va, write), *mine;
	if (IS_ERR(page))
		return error_of(page);
	u64 *e = pt_make(mm, va, 0);
	if (!e || (vma_private(v) && pte_live(*e))) { /* live: another thread was here while we slept, and may have written */
		drop(page);
		return e ? -EAGAIN : -ENOMEM;
	}
	/* One that was read by copy is the mapping's own. */
	bool own = vma_private(v) && !v->file->ino->ops->page;
	if (copy && page_pa(page) >= UFS_IMAGE_GPA && (mine = anon_page())) {
		page = memcpy(mine, page, PAGE_SIZE);
		own = !mm->fam; /* what a family sees in common it may not write */
	}
	pt_set(mm, e, va, 0, pt_leaf(v, page_pa(page), own || (!vma_private(v) && write)));
	return 0;
}

/* A private copy of the page at va, which is absent or not the mapping's own. */
static int copy_page(struct mm *mm, struct vma *v, u64 va)
{
	u64 *e = pt_make(mm, va, 0);
	if (!e)
		return -ENOMEM;
	void *src = NULL;
	bool absent = !pte_live(*e);
	if (absent) {
		if (!v->file->ino->ops->page)
			return map_page(mm, v, va, true, false);
		src = file_page(mm, v, va, false);
		if (IS_ERR(src))
			return error_of(src);
		if (pte_live(*e)) { /* as in map_page() */
			drop(src);
			return -EAGAIN;
		}
	}
	void *page = anon_page();
	if (page)
		memcpy(page, absent ? src : pte_page(*e), PAGE_SIZE);
	if (absent)
		drop(src);
	if (!page)
		return -ENOMEM;
	pt_set(mm, e, va, 0, pt_leaf(v, virt_to_phys(page), true));
	return 0;
}

static bool is_missing(struct mm *mm, u64 va, bool write)
{
	int level;
	u64 e = *pt_find(mm, va, &level);
	return !pte_live(e) || (write && !(e & PTE_W));
}

typedef int map_fn(struct mm *mm, struct vma *v, u64 va);

/* The page at va, then its neighbours in the window that are missing; only the first may fail. */
static int map_around(struct mm *mm, struct vma *v, u64 va, struct window w, bool write, map_fn *fn)
{
	int r = fn(mm, v, va);
	for (u64 at = w.lo; !r && at < w.hi; at += PAGE_SIZE)
		if (at != va && is_missing(mm, at, write) && fn(mm, v, at))
			break;
	return r;
}

static int map_for_read(struct mm *mm, struct vma *v, u64 va)
{
	return map_page(mm, v, va, false, false);
}

static int map_copied(struct mm *mm, struct vma *v, u64 va)
{
	return map_page(mm, v, va, false, true);
}

static int map_for_write(struct mm *mm, struct vma *v, u64 va)
{
	return map_page(mm, v, va, true, false);
}

int file_fault_write(struct mm *mm, struct vma *v, u64 va)
{
	if (!vma_private(v))
		return map_around(mm, v, va, fault_window(v, va, 1, WINDOW_BASE), true, map_for_write);
	if (!(v->flags & VM_WRITE))
		return copy_page(mm, v, va); /* the libos writes: only where it must */
	/* Where one word of initialised data is written, others follow; copying is cheaper than faulting. */
	return map_around(mm, v, va, fault_window(v, va, WINDOW_BASE, WINDOW_BASE), true, copy_page);
}

int file_fault(struct mm *mm, struct vma *v, u64 va, bool write)
{
	bool shared = !vma_private(v), lent = v->file->ino->ops->page;
	/* What a writable mapping shows of a file must be the page that later writes go to. */
	if (write || (shared && (v->flags & VM_WRITE)))
		return file_fault_write(mm, v, va);
	if (!shared && lent && v->end - v->start <= COPY_MAX && !memory_scarce())
		return map_around(mm, v, va, fault_window(v, va, WINDOW_BASE, WINDOW_BASE), false, map_copied);
	u32 base = !lent ? 1 : shared ? WINDOW_BASE : WINDOW_FILE / 2;
	return map_around(mm, v, va, fault_window(v, va, base, lent ? WINDOW_FILE : WINDOW_BASE), false, map_for_read);
}

/*
 * What programs may read of files in the image is mapped before a snapshot is taken: no RAM goes into it but tables, and requests do not
 * do it again after each restore. A host that shadows page tables keeps its own, too. Never sleeps.
 */
void mm_warm(void)
{
	u64 left = WARM_MAX, out = CTL->tables_out;
	int level;
	if (BOOT->flags & UFS_BOOT_FILES) /* their pages may have to be asked for */
		return;
	list_for_each(l, &mm_list) {
		struct mm *mm = list_entry(l, struct mm, all);
		u64 rss = mm->rss;
		for (struct vma *v = mm->fam ? NULL : vma_find(mm, 0); v; v = vma_find(mm, v->end)) {
			if (!v->file || !v->file->ino->ops->page || v->flags & (VM_SHARED | VM_WRITE) || !(v->flags & VM_PROT))
				continue;
			for (u64 va = v->start; va < v->end && left && CTL->tables_out == out && !memory_scarce(); va += PAGE_SIZE, left--)
				if (is_missing(mm, va, false) && (map_for_read(mm, v, va) || in_ram(*pt_find(mm, va, &level))))
					break; /* its end, or a file of which there may be more in memory than there is now */
		}
		mm->warmed += mm->rss - rss;
	}
}

/* Up to *n pages side by side, each to be given back alone. */
static char *own_block(u64 *n)
{
	unsigned order = 0;
	while (order < 10 && 1ULL << order < *n)
		order++;
	char *p;
	while (!(p = page_alloc(order, PG_USER)) && order)
		order--;
	if (!p)
		return NULL;
	if (order)
		page_split(p, order);
	*n = MIN(*n, 1ULL << order);
	for (u64 i = *n; i < 1ULL << order; i++)
		page_put(p + i * PAGE_SIZE);
	return p;
}

/*
 * Pages of the mapping's own with the file's contents, read into a block of memory: for files whose pages are dear to touch.
 * Preconditions: the mapping is private and nothing of it is present yet.
 */
long file_own_read(struct mm *mm, struct vma *v, u64 va, u64 end)
{
	struct file *f = v->file;
	if (!vma_private(v) || inode_prepare(f->ino) != 1 || vma_at(mm, va) != v || !is_missing(mm, va, false))
		return 0;
	u64 n = (MIN(end, v->end) - va + PAGE_SIZE - 1) >> PAGE_SHIFT, seq = mm->seq, off = v->off + (va - v->start);
	if (off >= f->ino->size)
		return 0;
	char *block = own_block(&n);
	if (!block)
		return -ENOMEM;
	file_get(f);
	u64 got = 0;
	for (long r = 1; r > 0 && got < n << PAGE_SHIFT; got += MAX(r, 0L)) {
		struct iter it;
		iter_kernel(&it, block + got, (n << PAGE_SHIFT) - got);
		r = f->ino->ops->read(f->ino, &it, off + got);
	}
	file_put(f);
	memset(block + got, 0, (n << PAGE_SHIFT) - got);
	bool ok = got && mm->seq == seq;
	for (u64 i = 0; i < n; i++) {
		u64 at = va + (i << PAGE_SHIFT), *e = ok ? pt_make(mm, at, 0) : NULL;
		if (e && !pte_live(*e) && off + (i << PAGE_SHIFT) < f->ino->size)
			pt_set(mm, e, at, 0, pt_leaf(v, virt_to_phys(block + (i << PAGE_SHIFT)), true));
		else
			page_put(block + (i << PAGE_SHIFT));
	}
	if (mm->seq != seq)
		return -EAGAIN;
	return ok ? (long)(n << PAGE_SHIFT) : 0;
}

bool file_own_huge(struct mm *mm, struct vma *v, u64 va)
{
	if (!vma_private(v) || !v->file->ino->ops->page || !huge_fits(v, va))
		return false;
	u64 *e = pt_make_room(mm, va) ? pt_make(mm, va, 1) : NULL;
	if (!e || *e) /* a table is there already */
		return false;
	char *block = page_alloc(9, PG_USER);
	if (!block)
		return false;
	for (u64 off = 0; off < HUGE_SIZE; off += PAGE_SIZE) {
		void *page = file_page(mm, v, va + off, false);
		if (IS_ERR(page)) {
			page_put(block);
			return false;
		}
		memcpy(block + off, page, PAGE_SIZE);
		drop(page);
	}
	if (*e) { /* another thread, while we slept */
		page_put(block);
		return false;
	}
	pt_set(mm, e, va, 1, pt_leaf(v, virt_to_phys(block), true) | PTE_HUGE);
	return true;
}
