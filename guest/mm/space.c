/* SPDX-License-Identifier: Apache-2.0 */
/* space.c: an address space as a whole: made, adopted from the monitor, shared, ended, described. */
#include "internal.h"
#include "boot_hooks.h"
#include "fs.h"

#define WINDOW_SLOTS_FROM (UFS_WINDOW_VA >> 39)
#define WINDOW_SLOTS_END (UFS_WINDOW_END >> 39)

struct mm *mm_boot;
struct list mm_list = LIST_INIT(mm_list);
u64 boot_pml4; /* the window's tables hang here for ever, whatever becomes of mm_boot */

struct mm *space_alloc(u64 pml4)
{
	struct mm *mm = kzalloc(sizeof(*mm));
	if (!mm)
		return NULL;
	mm->refs = 1;
	mm->pml4 = pml4;
	list_add_tail(&mm->all, &mm_list);
	return mm;
}

struct mm *mm_boot_adopt(u64 pml4_pa)
{
	boot_pml4 = pml4_pa;
	mm_boot = space_alloc(pml4_pa);
	if (!mm_boot)
		panic("mm_boot_adopt: no memory for the first address space");
	return mm_boot;
}

u64 pt_root(void)
{
	u64 root = pt_kept();
	if (root)
		return root;
	u64 *table = page_alloc(0, PG_ZERO | PG_TABLE);
	if (!table)
		return 0;
	const u64 *boot = phys_to_virt(boot_pml4);
	for (unsigned i = WINDOW_SLOTS_FROM; i < WINDOW_SLOTS_END; i++)
		table[i] = boot[i];
	return virt_to_phys(table);
}

struct mm *mm_create(void)
{
	u64 root = pt_root();
	struct mm *mm = root ? space_alloc(root) : NULL;
	if (!mm && root)
		pt_end(&(struct mm){ .pml4 = root });
	return mm;
}

void mm_get(struct mm *mm)
{
	mm->refs++;
}

/* Precondition: other page tables are in force when the last reference goes. */
void mm_put(struct mm *mm)
{
	if (!mm || --mm->refs)
		return;
	if (mm->fam)
		family_end(mm);
	else if (mm->pml4 && mm->pml4 != boot_pml4)
		pt_end(mm);
	mm_unmap_range(mm, 0, UFS_WINDOW_VA);
	mm_unmap_range(mm, UFS_WINDOW_END, UFS_USER_END);
	BUG_ON(mm->root || mm->rss);
	list_del(&mm->all);
	patch_forget(mm);
	if (mm == mm_boot)
		mm_boot = NULL;
	kfree(mm);
}

u64 mm_cr3(struct mm *mm)
{
	return mm->pml4;
}

bool mm_tables_shared(struct mm *mm)
{
	return mm->fam || mm->refs > 1;
}

void mm_set_name(struct mm *mm, u64 addr, const char *name)
{
	struct vma *v = vma_at(mm, addr);
	if (v)
		v->name = name;
}

const char *mm_name(struct mm *mm, u64 addr)
{
	struct vma *v = vma_at(mm, addr);
	return v ? v->name : NULL;
}

void mm_each(struct mm *mm, void (*fn)(const struct mapinfo *, void *), void *arg)
{
	for (struct vma *v = vma_find(mm, 0); v; v = vma_find(mm, v->end)) {
		struct mapinfo mi = {
			.start = v->start, .end = v->end, .off = v->off, .prot = v->flags & VM_PROT,
			.flags = vma_private(v) ? MAP_PRIVATE : MAP_SHARED,
			.ino = v->file ? v->file->ino : NULL,
			.name = v->name ? v->name : v->file ? v->file->path : NULL,
		};
		if (v->file && !mi.name)
			mi.name = v->file->ops->name;
		fn(&mi, arg);
	}
}

void mm_stat(struct mm *mm, struct mmstat *st)
{
	*st = (struct mmstat){ .vsize = mm->total, .rss = (mm->rss - MIN(mm->rss, mm->warmed)) << PAGE_SHIFT, .data = mm->data };
	for (struct vma *v = vma_find(mm, 0); v; v = vma_find(mm, v->end)) {
		if (v->flags & VM_GROWSDOWN)
			st->stack += v->end - v->start;
		if ((v->flags & VM_EXEC) && !(v->flags & VM_WRITE))
			st->text += v->end - v->start;
	}
}

const void *mm_peek(struct mm *mm, u64 va)
{
	int level;
	u64 left, e = *pt_find(mm, va, &level);
	char *copy = mm->fam ? family_page(mm, va, &left) : NULL;
	if (copy)
		return copy;
	if (pte_live(e))
		return (char *)pte_page(e) + (va & (level_size(level) - 1) & PAGE_MASK);
	struct vma *v = vma_at(mm, va);
	if (!v || !v->file || !v->file->ino->ops->page || v->off + (va - v->start) >= v->file->ino->size)
		return NULL;
	void *page = v->file->ino->ops->page(v->file->ino, v->off + (va - v->start), false);
	if (IS_ERR(page))
		return NULL;
	if (page_pa(page) < UFS_IMAGE_GPA) {
		bool kept = page_refs(page) > 1; /* by the file; else it was made for us */
		page_put(page);
		return kept ? page : NULL;
	}
	return page;
}

struct change { struct inode *ino; u64 from, to; bool gone; };

static void drop_changed(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	struct vma *v = vma_at(mm, va);
	struct change *c = arg;
	bool own = vma_private(v) && in_ram(*e) && page_refs(pte_page(*e)) == 1;
	if (c->gone || !own)
		pt_set(mm, e, va, level, 0);
}

void mm_file_changed(struct inode *ino, u64 from, u64 to, bool gone)
{
	struct change c = { ino, from, to, gone };
	from = gone ? ALIGN_UP(from, PAGE_SIZE) : ALIGN_DOWN(from, PAGE_SIZE);
	to = to > ~0ULL - PAGE_SIZE ? ALIGN_DOWN(~0ULL, PAGE_SIZE) : ALIGN_UP(to, PAGE_SIZE);
	list_for_each(l, &mm_list) {
		struct mm *mm = list_entry(l, struct mm, all);
		for (struct vma *v = vma_find(mm, 0); v; v = vma_find(mm, v->end)) {
			u64 end = v->off + (v->end - v->start);
			if (!v->file || v->file->ino != ino || v->off >= to || end <= from)
				continue;
			u64 lo = v->start + (MAX(from, v->off) - v->off), hi = v->start + (MIN(to, end) - v->off);
			if (!mm_alone(mm) && !pt_split(mm, lo) && !pt_split(mm, hi)) /* out of memory, they stay */
				pt_each(mm, lo, hi, drop_changed, &c);
		}
		pt_flush(mm);
	}
}

/* In place where it can be: page tables that do not change are the same after each restore. */
static void wipe_leaf(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	if (in_ram(*e) && page_refs(pte_page(*e)) == 1)
		memset(pte_page(*e), 0, level_size(level));
	else
		pt_set(mm, e, va, level, 0);
}

/* Address spaces with such mappings are in no family. */
void mm_wipe(void)
{
	list_for_each(l, &mm_list) {
		struct mm *mm = list_entry(l, struct mm, all);
		for (struct vma *v = vma_find(mm, 0); v; v = vma_find(mm, v->end))
			if (v->flags & VM_WIPEONFORK)
				pt_each(mm, v->start, v->end, wipe_leaf, NULL);
		pt_flush(mm);
	}
}
