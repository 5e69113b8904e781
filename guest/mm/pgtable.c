/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pgtable.c: four-level page tables with leaves of 4 KiB and 2 MiB.
 *
 * Levels: 0 holds 4 KiB leaves, 1 holds 2 MiB leaves or tables, 2 and 3 tables only. Leaves are made with ACCESSED and
 * DIRTY set: a shadow MMU then maps them ahead of use, and nobody reads these bits. An entry that goes from absent to
 * present needs no flush; every other change is noted with pt_stale() and flushed once at the end of the operation.
 */
#include "internal.h"
#include "platform.h"

static unsigned index_at(u64 va, int level)
{
	return va >> (PAGE_SHIFT + 9 * level) & 511;
}

static u64 *table_of(u64 e)
{
	return phys_to_virt(e & PTE_ADDR);
}

static bool is_table(u64 e, int level)
{
	return level > 0 && (e & PTE_P) && !(e & PTE_HUGE);
}

u64 *pt_find(struct mm *mm, u64 va, int *level)
{
	u64 *e = (u64 *)phys_to_virt(mm->pml4) + index_at(va, 3);
	int l = 3;
	while (is_table(*e, l)) {
		l--;
		e = table_of(*e) + index_at(va, l);
	}
	*level = l;
	return e;
}

u64 *pt_make(struct mm *mm, u64 va, int level)
{
	int l;
	u64 *e = pt_find(mm, va, &l);
	while (l > level) {
		BUG_ON(pte_live(*e));
		void *table = page_alloc(0, PG_ZERO | PG_TABLE);
		if (!table)
			return NULL;
		*e = virt_to_phys(table) | PTE_TABLE;
		l--;
		e = (u64 *)table + index_at(va, l);
	}
	return l == level ? e : NULL;
}

u64 pt_leaf(const struct vma *v, u64 pa, bool write)
{
	if (!(v->flags & VM_PROT))
		return pa | PTE_NONE | PTE_U | PTE_A | PTE_D | PTE_NX;
	return pa | PTE_P | PTE_U | PTE_A | PTE_D | (write && (v->flags & VM_WRITE) ? PTE_W : 0) | (v->flags & VM_EXEC ? 0 : PTE_NX);
}

void pt_stale(struct mm *mm, u64 va, u64 len)
{
	if (mm->flush_lo == mm->flush_hi) {
		mm->flush_lo = va;
		mm->flush_hi = va + len;
	}
	mm->flush_lo = MIN(mm->flush_lo, va);
	mm->flush_hi = MAX(mm->flush_hi, va + len);
}

void pt_flush(struct mm *mm)
{
	/* Without references it is being taken down and in force nowhere. */
	if (mm->refs && mm->flush_lo != mm->flush_hi)
		platform_flush(mm->flush_lo, mm->flush_hi - mm->flush_lo);
	mm->flush_lo = mm->flush_hi = 0;
}

void pt_set(struct mm *mm, u64 *e, u64 va, int level, u64 entry)
{
	u64 old = *e, pages = level_size(level) >> PAGE_SHIFT;
	*e = entry;
	if (pte_live(old)) {
		mm->rss -= pages;
		if (old & PTE_P)
			pt_stale(mm, va, level_size(level));
		if (in_ram(old))
			page_put(pte_page(old));
	}
	if (pte_live(entry))
		mm->rss += pages;
}

int pt_split(struct mm *mm, u64 va)
{
	int level;
	u64 *e = pt_find(mm, va, &level);
	if (level != 1 || !pte_live(*e) || !(va & (HUGE_SIZE - 1)))
		return 0;
	u64 *table = page_alloc(0, PG_TABLE);
	if (!table)
		return -ENOMEM;
	page_split(pte_page(*e), 9);
	u64 leaf = *e & ~PTE_HUGE;
	for (unsigned i = 0; i < 512; i++)
		table[i] = leaf + i * PAGE_SIZE;
	/* The same pages with the same rights: what the CPU remembers of the old leaf stays true until a page changes. */
	*e = virt_to_phys(table) | PTE_TABLE;
	return 0;
}

void pt_each(struct mm *mm, u64 start, u64 end, pt_visit *fn, void *arg)
{
	for (u64 va = start; va < end;) {
		int level;
		u64 *e = pt_find(mm, va, &level), next = ALIGN_DOWN(va, level_size(level)) + level_size(level);
		if (level)
			next = MIN(next, end);
		else
			next = MIN(ALIGN_DOWN(va, HUGE_SIZE) + HUGE_SIZE, end);
		if (level && pte_live(*e))
			fn(mm, e, ALIGN_DOWN(va, HUGE_SIZE), level, arg);
		for (; !level && va < next; va += PAGE_SIZE, e++)
			if (pte_live(*e))
				fn(mm, e, va, 0, arg);
		va = next;
	}
}

static void clear_leaf(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	pt_set(mm, e, va, level, 0);
}

void pt_clear(struct mm *mm, u64 start, u64 end)
{
	pt_each(mm, start, end, clear_leaf, NULL);
}

struct span { u64 start, end, floor, ceil; };

static void free_below(struct mm *mm, u64 *table, int level, u64 base, const struct span *s)
{
	u64 size = level_size(level), from = MAX(base, s->start), to = MIN(base + 512 * size, s->end);
	for (u64 va = ALIGN_DOWN(from, size); va < to; va += size) {
		u64 *e = &table[index_at(va, level)];
		if (!is_table(*e, level))
			continue;
		if (level > 1)
			free_below(mm, table_of(*e), level - 1, va, s);
		if (va < s->floor || va + size > s->ceil)
			continue;
		page_put(table_of(*e));
		*e = 0;
		/* The CPU may remember where the table was, even if it held no leaf. */
		pt_stale(mm, va, PAGE_SIZE);
	}
}

void pt_free_tables(struct mm *mm, u64 start, u64 end, u64 floor, u64 ceil)
{
	struct span s = { start, end, floor, ceil };
	free_below(mm, phys_to_virt(mm->pml4), 3, 0, &s);
}

static void protect_leaf(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	const struct vma *v = arg;
	/* A page that is not the mapping's own stays read-only: the write fault copies it, or asks the file. */
	bool own = vma_private(v) && in_ram(*e) && page_refs(pte_page(*e)) == 1;
	bool write = own || ((v->flags & VM_SHARED) && (*e & PTE_W));
	u64 new = pt_leaf(v, *e & PTE_ADDR, write) | (*e & PTE_HUGE);
	if (new == *e)
		return;
	if (*e & PTE_P)
		pt_stale(mm, va, level_size(level));
	*e = new;
}

void pt_protect(struct mm *mm, struct vma *v, u64 start, u64 end)
{
	pt_each(mm, start, end, protect_leaf, v);
}

struct move { u64 from, to; bool failed; };

/* Tables for the new place, and no 2 MiB leaf that does not fit there, so that the move itself cannot fail. */
static void move_prepare(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	struct move *m = arg;
	u64 to = va - m->from + m->to;
	if (level && (to & (HUGE_SIZE - 1))) {
		if (pt_split(mm, va + PAGE_SIZE) || !pt_make(mm, to + HUGE_SIZE - PAGE_SIZE, 0))
			m->failed = true;
		level = 0;
	}
	if ((level && !pt_make_room(mm, to)) || !pt_make(mm, to, level))
		m->failed = true;
}

static void move_leaf(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	struct move *m = arg;
	*pt_make(mm, va - m->from + m->to, level) = *e;
	if (*e & PTE_P)
		pt_stale(mm, va, level_size(level));
	*e = 0;
}

/*
 * Page tables of an address space that ended are kept for the next one. Where the host shadows page tables, each write to an upper
 * one is a trap, and so is each table that the shadow has not seen yet; programs lie in the same places, so their upper
 * tables are the same. Only the leaf tables are cleared, and not before they are used again.
 */
#define KEPT_ROOTS 4
#define KEPT_TABLES 24 /* of one root: larger ones are freed */

static u64 kept[KEPT_ROOTS];
static unsigned nkept;

static bool user_slot(unsigned i, int level)
{
	return level < 3 || i < UFS_WINDOW_VA >> 39 || (i >= UFS_WINDOW_END >> 39 && i < 256);
}

/* Drops what leaves refer to and writes nothing. Returns the tables met. */
static u64 drop_leaves(u64 *table, int level)
{
	u64 tables = 1;
	for (unsigned i = 0; i < 512; i++) {
		u64 e = table[i];
		if (!pte_live(e) || !user_slot(i, level))
			continue;
		if (is_table(e, level))
			tables += drop_leaves(table_of(e), level - 1);
		else if (in_ram(e))
			page_put(pte_page(e));
	}
	return tables;
}

static u64 free_tables(u64 *table, int level)
{
	u64 n = 1;
	for (unsigned i = 0; level && i < 512; i++)
		if (user_slot(i, level) && is_table(table[i], level))
			n += free_tables(table_of(table[i]), level - 1);
	page_put(table);
	return n;
}

static void clear_leaves(u64 *table, int level)
{
	if (!level) {
		memset(table, 0, PAGE_SIZE);
		return;
	}
	for (unsigned i = 0; i < 512; i++) {
		if (!table[i] || !user_slot(i, level))
			continue;
		if (is_table(table[i], level))
			clear_leaves(table_of(table[i]), level - 1);
		else
			table[i] = 0;
	}
}

void pt_end(struct mm *mm)
{
	u64 *root = phys_to_virt(mm->pml4);
	u64 tables = drop_leaves(root, 3);
	if (nkept < KEPT_ROOTS && tables <= KEPT_TABLES && !memory_scarce())
		kept[nkept++] = mm->pml4;
	else
		free_tables(root, 3);
	mm->pml4 = mm->rss = 0;
}

u64 pt_kept(void)
{
	if (!nkept)
		return 0;
	u64 root = kept[--nkept];
	clear_leaves(phys_to_virt(root), 3);
	return root;
}

u64 pt_drain(void)
{
	u64 n = 0;
	while (nkept)
		n += free_tables(phys_to_virt(kept[--nkept]), 3);
	return n;
}

bool pt_make_room(struct mm *mm, u64 va)
{
	int level;
	u64 *table = pt_find(mm, va & HUGE_MASK, &level);
	if (level)
		return true;
	for (unsigned i = 0; i < 512; i++)
		if (table[i])
			return false;
	u64 *e = phys_to_virt(mm->pml4);
	for (level = 3; level > 1; level--)
		e = table_of(e[index_at(va, level)]);
	e[index_at(va, 1)] = 0;
	page_put(table);
	pt_stale(mm, va, PAGE_SIZE); /* the CPU may remember where the table was */
	return true;
}

/* The new place must hold no leaf. After -ENOMEM it may hold tables. */
int pt_move(struct mm *mm, u64 from, u64 to, u64 len)
{
	struct move m = { from, to, false };
	pt_each(mm, from, from + len, move_prepare, &m);
	if (m.failed)
		return -ENOMEM;
	pt_each(mm, from, from + len, move_leaf, &m);
	return 0;
}
