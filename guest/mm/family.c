/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family.c: processes that share page tables and take turns in memory.
 *
 * One vCPU runs one process at a time, and changing page tables is what costs where the host shadows them: a trap for the
 * change, one for each table and page met again, one for each page that was write-protected and is written. So a forked
 * process starts in the page tables of its parent. What the two may write differently, the pages that are private and
 * writable, stands in memory for one of them, the resident, and in a copy for each other. mm_activate() exchanges the bytes,
 * a tenth of a microsecond a page.
 *
 * Processes with more of such pages than are exchanged in a hurry are write-protected first: then what is written becomes a spot, one fault for
 * a few neighbours (family_write()). It stays writable afterwards, so the next fork knows which pages the program writes.
 *
 * While a family lasts its page tables and mappings do not change, but for pages that look the same to all (family_fault()).
 * Whoever wants to change something leaves first, with page tables of its own made of its copies (family_leave()), unless it is the
 * oldest: then the others leave. A process that ends or starts another program has nothing to take along.
 * Nothing is written to on behalf of a process that is not resident, except through family_page().
 */
#include "internal.h"
#include "fs.h"
#include "platform.h"

#define SPOTS_MAX 1024          /* 4 KiB pages' worth at a fork; with more all start write-protected */
#define SPOTS_MORE 1024         /* that writing may add */
#define WRITE_AROUND 2         /* pages that become spots together: as many as a shadow MMU looks at together */
#define SWAP_CHEAP 192         /* pages that are exchanged sooner than page tables are changed */
#define SWAP_PATIENCE 8192     /* pages exchanged before larger families part: about what that costs */

struct spot { u64 va; char *page; u64 size; };

struct family {
	struct list members;       /* the oldest first: it keeps the page tables */
	struct mm *resident;       /* NULL: the one that was has ended */
	u32 count, pages, swapped, room;
	struct spot spots[];       /* in order of address: all leaves that private mappings may write to */
};

/* swap.S */
__attribute__((visibility("hidden"))) void swap_bytes(void *a, void *b, u64 n);

struct scan { struct family *f; u32 n; u64 pages; bool ok; const struct vma *v; };

static bool is_spot(const struct vma *v, u64 e)
{
	return vma_private(v) && (e & PTE_W);
}

static void protect_leaf(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	if (*e & PTE_W)
		pt_stale(mm, va, level_size(level));
	*e &= ~PTE_W;
}

static void count_leaf(struct mm *mm, u64 *e, u64 va, int level, void *arg)
{
	struct scan *s = arg;
	if (!is_spot(s->v, *e))
		return;
	if (s->f)
		s->f->spots[s->n] = (struct spot){ va, pte_page(*e), level_size(level) };
	s->n++;
	s->pages += level_size(level) >> PAGE_SHIFT;
}

/* The spots of an address space: counted, and if s->f, listed. */
static void scan(struct mm *mm, struct scan *s)
{
	for (struct vma *v = vma_find(mm, 0); v && s->pages <= SPOTS_MAX; v = vma_find(mm, v->end)) {
		s->v = v;
		if (v->flags & (VM_DONTFORK | VM_WIPEONFORK))
			s->ok = false;
		/* Large mappings of files have no spots, and many leaves. */
		if (vma_private(v) && (v->flags & VM_WRITE))
			pt_each(mm, v->start, v->end, count_leaf, s);
	}
}

static struct family *family_new(struct mm *mm)
{
	struct scan s = { .ok = true };
	scan(mm, &s);
	u32 most = s.pages > SPOTS_MAX ? 0 : s.n, room = most + (most == s.n ? SPOTS_MORE / 8 : SPOTS_MORE);
	struct family *f = s.ok ? kmalloc(sizeof(*f) + room * sizeof(f->spots[0])) : NULL;
	if (!f)
		return NULL;
	*f = (struct family){ .resident = mm, .room = room };
	if (s.n != most) {
		for (struct vma *v = vma_find(mm, 0); v; v = vma_find(mm, v->end))
			if (vma_private(v))
				pt_each(mm, v->start, v->end, protect_leaf, NULL);
		pt_flush(mm);
		s.n = s.pages = 0;
	}
	list_init(&f->members);
	f->count = s.n;
	f->pages = s.pages;
	s = (struct scan){ .f = f };
	if (f->count)
		scan(mm, &s);
	list_add_tail(&mm->kin, &f->members);
	mm->fam = f;
	return f;
}

/* The copies of the child that ended last, for the next one: a shell starts one after the other. So what the children's programs
 * get lies in the same place each time, where the shadow has it already. */
static struct { char **copies; u32 count, room; } spare;

static void copies_drop(char **copies, u32 n)
{
	for (u32 i = 0; copies && i < n; i++)
		if (copies[i])
			page_put(copies[i]);
	kfree(copies);
}

u64 family_drain(void)
{
	u64 before = page_free_bytes();
	copies_drop(spare.copies, spare.count);
	spare.copies = NULL;
	return (page_free_bytes() - before) >> PAGE_SHIFT;
}

static bool all_single(const struct mm *mm, const struct family *f)
{
	for (u32 i = 0; i < f->count; i++)
		if (!mm->copies[i] || f->spots[i].size != PAGE_SIZE)
			return false;
	return true;
}

static void copies_free(struct mm *mm, const struct family *f)
{
	if (mm->copies && !spare.copies && !memory_scarce() && all_single(mm, f)) {
		spare.copies = mm->copies;
		spare.count = f->count;
		spare.room = f->room;
	} else {
		copies_drop(mm->copies, f->count);
	}
	mm->copies = NULL;
}

static bool copies_make(struct mm *mm, const struct family *f)
{
	if (spare.copies && spare.count == f->count && spare.room == f->room && f->count == f->pages) {
		mm->copies = spare.copies;
		spare.copies = NULL;
	} else {
		mm->copies = kzalloc(f->room * sizeof(mm->copies[0]));
	}
	if (!mm->copies)
		return false;
	for (u32 i = 0; i < f->count; i++) {
		const struct spot *s = &f->spots[i];
		if (!mm->copies[i])
			mm->copies[i] = page_alloc(s->size > PAGE_SIZE ? 9 : 0, PG_USER);
		if (!mm->copies[i])
			return false;
		memcpy(mm->copies[i], s->page, s->size);
	}
	return true;
}

/* One member is no family. */
static void family_check(struct family *f)
{
	struct mm *mm = list_first(&f->members, struct mm, kin);
	if (mm->kin.next != &f->members)
		return;
	if (f->resident != mm)
		for (u32 i = 0; i < f->count; i++)
			swap_bytes(f->spots[i].page, mm->copies[i], f->spots[i].size);
	copies_free(mm, f);
	list_del(&mm->kin);
	mm->fam = NULL;
	kfree(f);
}

static void family_remove(struct mm *mm)
{
	struct family *f = mm->fam;

	if (f->resident == mm)
		f->resident = NULL;
	copies_free(mm, f);
	list_del(&mm->kin);
	mm->fam = NULL;
	family_check(f);
}

/* Takes child, which has src's mappings and no page tables, into the family of src, which is current. */
bool family_join(struct mm *src, struct mm *child)
{
	struct family *f = src->fam ? src->fam : family_new(src);
	if (!f)
		return false;
	BUG_ON(f->resident != src);
	bool roomy = page_free_bytes() / 4 > (u64)f->pages << PAGE_SHIFT && !memory_scarce();
	if (!roomy || !copies_make(child, f)) {
		copies_free(child, f);
		family_check(f);
		return false;
	}
	child->fam = f;
	list_add_tail(&child->kin, &f->members);
	child->pml4 = src->pml4;
	child->rss = src->rss;
	src->seq++; /* a fault that sleeps must not go on as if it were alone */
	return true;
}

void family_end(struct mm *mm)
{
	family_remove(mm);
	mm->pml4 = 0;
	mm->rss = 0;
}

static void take_residence(struct mm *mm)
{
	struct family *f = mm->fam;
	struct mm *old = f->resident;
	if (old == mm)
		return;
	for (u32 i = 0; i < f->count; i++)
		swap_bytes(f->spots[i].page, mm->copies[i], f->spots[i].size);
	/* What is in the copies now is what the one before had. */
	if (old)
		old->copies = mm->copies;
	else
		copies_free(mm, f);
	mm->copies = NULL;
	f->resident = mm;
	f->swapped += f->pages;
}

void mm_activate(struct mm *mm)
{
	struct family *f = mm->fam;
	if (f && f->resident != mm) {
		if (f->pages > SWAP_CHEAP && f->swapped > SWAP_PATIENCE) {
			f->swapped = 0;
			bool oldest = f->members.next == &mm->kin;
			if (!oldest || f->resident)
				family_leave(oldest ? f->resident : mm); /* if memory is short it stays */
		}
		if (mm->fam)
			take_residence(mm);
	}
	platform_switch_mm(mm->pml4);
}

/* ---- leaving ---- */

struct leave { struct mm *to; const struct vma *v; u32 next; bool failed; };

/* Tables, and no 2 MiB leaf that both would have to share: afterwards nothing can fail. */
static void prepare_leaf(struct mm *from, u64 *e, u64 va, int level, void *arg)
{
	struct leave *l = arg;
	if (level && !is_spot(l->v, *e)) {
		if (pt_split(from, va + PAGE_SIZE))
			l->failed = true;
		level = 0;
	}
	/* Kept page tables may have an empty one where a large leaf goes. */
	if (!l->failed && ((level && !pt_make_room(l->to, va)) || !pt_make(l->to, va, level)))
		l->failed = true;
}

static void build_leaf(struct mm *from, u64 *e, u64 va, int level, void *arg)
{
	struct leave *l = arg;
	u64 leaf = *e;
	if (is_spot(l->v, leaf)) {
		char **copy = &l->to->copies[l->next++];
		leaf = (leaf & ~PTE_ADDR) | virt_to_phys(*copy);
		*copy = NULL;
	} else if (in_ram(leaf)) {
		page_get(pte_page(leaf));
	}
	pt_set(l->to, pt_make(l->to, va, level), va, level, leaf);
}

static void each_leaf(struct mm *keeper, struct leave *l, pt_visit *fn)
{
	for (struct vma *v = vma_find(keeper, 0); v && !l->failed; v = vma_find(keeper, v->end)) {
		l->v = v;
		pt_each(keeper, v->start, v->end, fn, l);
	}
}

/* Page tables of its own for mm, which is neither the oldest nor resident. */
static int build(struct mm *mm)
{
	struct mm *keeper = list_first(&mm->fam->members, struct mm, kin);
	struct leave l = { .to = mm };
	u64 shared = mm->pml4;
	mm->pml4 = pt_root();
	if (!mm->pml4) {
		mm->pml4 = shared;
		return -ENOMEM;
	}
	each_leaf(keeper, &l, prepare_leaf);
	if (l.failed) {
		u64 rss = mm->rss;
		pt_end(mm);
		mm->pml4 = shared;
		mm->rss = rss;
		return -ENOMEM;
	}
	mm->rss = 0;
	each_leaf(keeper, &l, build_leaf);
	mm->flush_lo = mm->flush_hi = 0; /* nobody has used these tables yet */
	mm->seq++;
	family_remove(mm);
	return 0;
}

int family_leave(struct mm *mm)
{
	struct family *f = mm->fam;
	struct mm *keeper = list_first(&f->members, struct mm, kin), *was = f->resident;
	int r = 0;
	take_residence(keeper);
	if (mm != keeper) {
		r = build(mm);
	} else {
		/* The family is gone with the last but one. */
		while (!r && mm->fam)
			r = build(list_entry(f->members.prev, struct mm, kin));
	}
	if (was && was != keeper && percpu.cr3 == keeper->pml4)
		mm_activate(was); /* whose memory whoever called this sees */
	return r;
}

/* ---- what works without leaving ---- */

char *family_page(struct mm *mm, u64 va, u64 *left)
{
	struct family *f = mm->fam;
	for (u32 i = 0; f->resident != mm && i < f->count; i++) {
		const struct spot *s = &f->spots[i];
		if (va - s->va < s->size) {
			*left = s->size - (va - s->va);
			return mm->copies[i] + (va - s->va);
		}
	}
	return NULL;
}

/* One more spot, which has the same bytes for all. page is in the page tables, or will be. */
static bool spot_add(struct family *f, u64 va, char *page)
{
	u32 i = f->count;
	if (i == f->room)
		return false;
	list_for_each(l, &f->members) {
		struct mm *m = list_entry(l, struct mm, kin);
		if (m->copies && !(m->copies[i] = anon_page()))
			goto undo;
		if (m->copies)
			memcpy(m->copies[i], page, PAGE_SIZE);
	}
	while (i && f->spots[i - 1].va > va)
		i--;
	list_for_each(l, &f->members) {
		char **c = list_entry(l, struct mm, kin)->copies, *last = c ? c[f->count] : NULL;
		if (c) {
			memmove(&c[i + 1], &c[i], (f->count - i) * sizeof(*c));
			c[i] = last;
		}
	}
	memmove(&f->spots[i + 1], &f->spots[i], (f->count - i) * sizeof(f->spots[0]));
	f->spots[i] = (struct spot){ va, page, PAGE_SIZE };
	f->count++;
	f->pages++;
	return true;
undo:
	list_for_each(l, &f->members) {
		struct mm *m = list_entry(l, struct mm, kin);
		if (m->copies && m->copies[i])
			page_put(m->copies[i]);
		if (m->copies)
			m->copies[i] = NULL;
	}
	return false;
}

/* The page at va, which is not a spot, becomes one. */
static bool spot_make(struct mm *mm, const struct vma *v, u64 va)
{
	u64 *e = pt_make(mm, va, 0);
	if (!e)
		return false;
	bool live = pte_live(*e), own = live && in_ram(*e) && page_refs(pte_page(*e)) == 1;
	char *page = own ? pte_page(*e) : page_alloc(0, PG_USER | (live ? 0 : PG_ZERO));
	if (page && live && !own)
		memcpy(page, pte_page(*e), PAGE_SIZE);
	if (!page || !spot_add(mm->fam, va, page)) {
		if (page && !own)
			page_put(page);
		return false;
	}
	u64 leaf = pt_leaf(v, virt_to_phys(page), true);
	if (own)
		*e = leaf;
	else
		pt_set(mm, e, va, 0, leaf);
	return true;
}

/*
 * The page at va, in a private mapping, may be written from now on; what is written is seen by mm alone. False: not here,
 * mm has to leave. Never sleeps.
 */
bool family_write(struct mm *mm, const struct vma *v, u64 va)
{
	struct family *f = mm->fam;
	u64 lo = ALIGN_DOWN(va, WRITE_AROUND * PAGE_SIZE), rss = mm->rss;
	int level;
	u64 *e = pt_find(mm, va, &level);
	if (!vma_private(v) || !(v->flags & VM_WRITE) || memory_scarce() || (!pte_live(*e) && v->file))
		return false;
	if (*e & PTE_W && pte_live(*e))
		return true;
	if (level && pte_live(*e) && pt_split(mm, va | PAGE_SIZE))
		return false;
	if (!spot_make(mm, v, va))
		return false;
	for (u64 at = MAX(lo, v->start); at < MIN(lo + WRITE_AROUND * PAGE_SIZE, v->end); at += PAGE_SIZE) {
		e = pt_find(mm, at, &level);
		if (!(*e & PTE_W) && (pte_live(*e) || !v->file) && !spot_make(mm, v, at))
			break;
	}
	/* A fault that sleeps must not go on with what it found. */
	list_for_each(l, &f->members)
		list_entry(l, struct mm, kin)->seq++;
	family_rss(mm, rss);
	pt_flush(mm);
	return true;
}

bool family_fault(struct mm *mm, const struct vma *v, bool write)
{
	/* Pages lent by a file look the same to all until they are written. */
	return vma_private(v) ? !write && v->file && v->file->ino->ops->page : true;
}

void family_rss(struct mm *mm, u64 before)
{
	list_for_each(l, &mm->fam->members) {
		struct mm *m = list_entry(l, struct mm, kin);
		if (m != mm)
			m->rss += mm->rss - before;
	}
}
