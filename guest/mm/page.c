/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page.c: physical pages, a buddy allocator.
 *
 * RAM that was never used lies above the frontier, in no list: it is zero, and the host has given nothing for it yet.
 * It enters the lists 2 MiB at a time, marked clean, and splits downwards, so that small blocks come from low
 * addresses and stay together. The books are 8 bytes a page beside the pages, never in them: a free page is not touched.
 */
#include "internal.h"
#include "platform.h"

#define ORDERS 11
#define CHUNK 512 /* pages that enter the lists together; their books fill exactly one page */
#define BIG 9     /* order of the blocks that can be given back */
#define REFS_MAX 0xffffffffu

enum { ST_NONE, ST_FREE, ST_USED, ST_OUT /* the monitor has it */ };

struct page {
	u32 link;        /* used: references, free: next block of its list */
	u32 prev : 22;   /* free: the one before it; 0 is the list's head, for page 0 is never free */
	u32 order : 4;   /* of the block that starts here */
	u32 state : 2;
	u32 clean : 1;   /* free: contents are zero. Used: a page table outside of the zone */
	u32 user : 1;    /* used: charged to the program */
	u32 kind : 2;    /* used: PK_*, heap.c's mark */
};
_Static_assert(sizeof(struct page) == 8 && UFS_RAM_MAX >> PAGE_SHIFT <= 1 << 22, "page books");

static struct {
	struct page *pages;
	u32 head[ORDERS];
	u32 frontier, end;   /* page numbers */
	u64 nfree;           /* pages free, those above the frontier too */
	u64 nuser;           /* pages charged to the program */
	u64 nout;            /* pages that the monitor has, neither free nor used */
	u32 spare, low;      /* free blocks of 2 MiB that are not clean; the least since somebody asked */
	u64 tables_out;      /* ufs_ctl.tables_out */
	u64 reserve;         /* the program cannot have the last ones: the libos must be able to end it in order */
} ram;

/* Pages for page tables: taken in order, then those that came back. When all else is used up, they are for anything. */
static struct { u32 lo, next, end, back; } zone;

static u32 index_of(const void *page) { return virt_to_phys(page) >> PAGE_SHIFT; }
static void *address_of(u32 i) { return phys_to_virt((u64)i << PAGE_SHIFT); }

/* Books of pages above the frontier are RAM that nobody has touched: a page of them for each CHUNK. */
static u64 books_untouched(void)
{
	u64 pages = ALIGN_UP(ram.end, CHUNK) / CHUNK, touched = ALIGN_UP(ram.frontier, CHUNK) / CHUNK;
	return pages - MIN(pages, touched);
}

static void account(void)
{
	u64 used = ram.end - ram.nfree - ram.nout - books_untouched();
	CTL->ram_used = used << PAGE_SHIFT;
	CTL->ram_libos = (used - ram.nuser) << PAGE_SHIFT;
}

/* While the monitor can restore page tables entry by entry, this is 0. */
static void tables_out(int more)
{
	CTL->tables_out = ram.tables_out += more;
}

static void list_push(u32 i, unsigned order, bool clean)
{
	struct page *p = &ram.pages[i];
	u32 prev = 0, next = ram.head[order];
	if (unlikely(order >= BIG)) {
		if (!clean)
			ram.spare += 1u << (order - BIG);
		/* Behind those that are not: what the host has no memory for is used last. */
		while (clean && next && !ram.pages[next].clean) {
			prev = next;
			next = ram.pages[next].link;
		}
	}
	*p = (struct page){ .link = next, .prev = prev, .order = order, .state = ST_FREE, .clean = clean };
	if (next)
		ram.pages[next].prev = i;
	if (unlikely(prev))
		ram.pages[prev].link = i;
	else
		ram.head[order] = i;
}

static void list_remove(u32 i)
{
	struct page *p = &ram.pages[i];
	if (p->prev)
		ram.pages[p->prev].link = p->link;
	else
		ram.head[p->order] = p->link;
	if (p->link)
		ram.pages[p->link].prev = p->prev;
	if (unlikely(p->order >= BIG) && !p->clean)
		ram.spare -= 1u << (p->order - BIG);
	p->state = ST_NONE;
}

/* Put a block into the lists, joined with its buddies. */
static void block_free(u32 i, unsigned order, bool clean)
{
	for (; order < ORDERS - 1; order++) {
		u32 buddy = i ^ 1u << order;
		struct page *b = &ram.pages[buddy];
		if (buddy >= ram.end || b->state != ST_FREE || b->order != order)
			break;
		clean = clean && b->clean;
		list_remove(buddy);
		i &= ~(1u << order);
	}
	list_push(i, order, clean);
}

static void range_free(u32 i, u32 end)
{
	while (i < end) {
		unsigned order = MIN((unsigned)__builtin_ctz(i), ORDERS - 1u);
		while (i + (1u << order) > end)
			order--;
		block_free(i, order, true);
		i += 1u << order;
	}
}

/* Gives what is left of the zone to everybody. */
static bool zone_open(void)
{
	u32 next = zone.next, end = zone.end, back = zone.back;
	if (next == end && !back)
		return false;
	zone.lo = zone.next = zone.end = zone.back = 0;
	tables_out(1); /* for ever: anything may be there from now on */
	range_free(next, end);
	while (back) {
		u32 i = back;
		back = ram.pages[i].link;
		block_free(i, 0, false);
	}
	return true;
}

static u32 zone_take(bool *clean)
{
	u32 i = zone.back;
	*clean = !i;
	if (i)
		zone.back = ram.pages[i].link;
	else if (zone.next < zone.end)
		i = zone.next++;
	return i;
}

static bool advance_frontier(void)
{
	if (ram.frontier == zone.lo && zone.end)
		ram.frontier = zone.end;
	if (ram.frontier >= ram.end)
		return zone_open();
	u32 next = MIN(ALIGN_DOWN(ram.frontier, CHUNK) + CHUNK, ram.end);
	range_free(ram.frontier, next);
	ram.frontier = next;
	return true;
}

/* Take a block of this order from the lists; 0: none. The upper halves of what is split go back. */
static u32 block_take(unsigned order, bool *clean)
{
	unsigned o = order;
	for (;; o++) {
		if (o == ORDERS) {
			if (!advance_frontier())
				return 0;
			o = order;
		}
		if (ram.head[o])
			break;
	}
	u32 i = ram.head[o];
	*clean = ram.pages[i].clean;
	list_remove(i);
	if (unlikely(o >= BIG))
		ram.low = MIN(ram.low, ram.spare);
	while (o-- > order)
		list_push(i + (1u << o), o, *clean);
	return i;
}

void page_init(u64 start, u64 size)
{
	u64 books = ALIGN_UP(start, PAGE_SIZE);
	ram.pages = phys_to_virt(books);
	ram.end = size >> PAGE_SHIFT;
	ram.frontier = (books + page_books_size(size)) >> PAGE_SHIFT;
	if (size > UFS_RAM_MAX || ram.frontier >= ram.end)
		panic("page_init: %llu bytes of RAM cannot be managed", (unsigned long long)size);
	ram.nfree = ram.end - ram.frontier;
	ram.nuser = ram.nout = ram.spare = 0;
	memset(&zone, 0, sizeof(zone));
	ram.reserve = MIN(ram.end / 64, 64u);
	memset(ram.head, 0, sizeof(ram.head));
	ram.tables_out = 0;
	tables_out(0);
	account();
}

u64 page_books_size(u64 size)
{
	return ALIGN_UP((size >> PAGE_SHIFT) * sizeof(struct page), PAGE_SIZE);
}

void page_reserve_tables(u64 start, u64 block, u64 end)
{
	u32 lo = block >> PAGE_SHIFT, next = start >> PAGE_SHIFT, hi = end >> PAGE_SHIFT;
	BUG_ON(block % HUGE_SIZE || end % HUGE_SIZE || hi > ram.end || (ram.frontier > lo && ram.frontier < hi));
	/* Above the frontier the whole block was counted as free. */
	ram.nfree = ram.frontier <= lo ? ram.nfree - (next - lo) : ram.nfree + (hi - next);
	zone.lo = lo;
	zone.next = next;
	zone.end = hi;
	zone.back = 0;
	account();
}

void page_add_range(u64 start, u64 end)
{
	u32 i = ALIGN_UP(start, PAGE_SIZE) >> PAGE_SHIFT, e = end >> PAGE_SHIFT;
	BUG_ON(!i || e > ram.end);
	if (i >= e)
		return;
	range_free(i, e);
	ram.nfree += e - i;
	account();
}

void *page_alloc(unsigned order, unsigned flags)
{
	u64 n = 1ULL << order;
	bool clean, user = flags & PG_USER, out = flags & PG_TABLE;
	if (order >= ORDERS || ram.nfree < n + (user ? ram.reserve : 0))
		return NULL;
	u32 i = flags & PG_TABLE ? zone_take(&clean) : 0;
	if (likely(!i))
		i = block_take(order, &clean);
	else
		out = false;
	if (!i)
		return NULL;
	ram.pages[i] = (struct page){ .link = 1, .order = order, .state = ST_USED, .user = user, .clean = out };
	if (unlikely(out))
		tables_out(1);
	ram.nfree -= n;
	ram.nuser += user ? n : 0;
	account();
	if ((flags & PG_ZERO) && !clean)
		memset(address_of(i), 0, n << PAGE_SHIFT);
	return address_of(i);
}

static struct page *used_page(const void *page)
{
	u32 i = index_of(page);
	BUG_ON(i >= ram.end || ram.pages[i].state != ST_USED);
	return &ram.pages[i];
}

void page_get(void *page)
{
	struct page *p = used_page(page);
	if (p->link != REFS_MAX) /* saturated: the page stays for ever */
		p->link++;
}

void page_put(void *page)
{
	struct page *p = used_page(page);
	if (p->link == REFS_MAX || --p->link)
		return;
	u64 n = 1ULL << p->order;
	ram.nfree += n;
	ram.nuser -= p->user ? n : 0;
	p->state = ST_NONE;
	if (unlikely(p->clean))
		tables_out(-1);
	u32 i = p - ram.pages;
	if (i >= zone.lo && i < zone.end) {
		p->link = zone.back;
		zone.back = i;
	} else {
		block_free(i, p->order, false);
	}
	account();
}

unsigned page_refs(void *page)
{
	return used_page(page)->link;
}

void page_split(void *page, unsigned order)
{
	struct page *p = used_page(page);
	BUG_ON(p->order != order || p->link != 1);
	p->order = 0;
	for (u32 i = 1; i < 1u << order; i++)
		p[i] = *p;
}

unsigned page_order(const void *page)
{
	return used_page(page)->order;
}

void page_set_kind(void *page, unsigned pages, unsigned kind)
{
	struct page *p = used_page(page);
	for (unsigned i = 0; i < pages; i++)
		p[i].kind = kind;
}

unsigned page_kind(const void *p)
{
	u32 i = index_of(p);
	return i < ram.end ? ram.pages[i].kind : PK_NONE;
}

u64 page_free_bytes(void)
{
	return ram.nfree << PAGE_SHIFT;
}

u64 page_total_bytes(void)
{
	return (u64)ram.end << PAGE_SHIFT;
}

u32 page_spare(void) { return ram.spare; }
bool page_any_out(void) { return ram.nout; }

u32 page_spare_low(void)
{
	u32 low = ram.low;
	ram.low = ram.spare;
	return MIN(low, ram.spare);
}

bool page_take_spare(unsigned order, u64 *pa)
{
	u32 i = ram.head[order];
	while (i && i < UFS_TABLES_END >> PAGE_SHIFT)
		i = ram.pages[i].link;
	if (!i || ram.pages[i].clean)
		return false;
	list_remove(i);
	ram.pages[i].state = ST_OUT;
	ram.nfree -= 1u << order;
	ram.nout += 1u << order;
	account();
	*pa = (u64)i << PAGE_SHIFT;
	return true;
}

bool page_came_back(u64 pa, unsigned order, bool clean)
{
	u64 i = pa >> PAGE_SHIFT;
	if (i >= ram.end || pa % (PAGE_SIZE << order) || ram.pages[i].state != ST_OUT || ram.pages[i].order != order)
		return false;
	ram.pages[i].state = ST_NONE;
	ram.nout -= 1u << order;
	ram.nfree += 1u << order;
	block_free(i, order, clean);
	account();
	return true;
}
