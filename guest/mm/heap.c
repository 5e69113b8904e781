/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.c: kmalloc. Small objects come from slabs of one size, larger ones straight from the page allocator.
 *
 * A slab is 4 KiB (16 KiB for objects above 512 bytes), naturally aligned, with its header in front. One bit for each
 * object says that it is free: freeing twice, or a pointer that is no object, is found at once.
 */
#include "internal.h"

#define SLAB_HEAD 64
#define SMALL_MAX 512
#define BIG_ORDER 2

struct slab {
	struct list link;   /* in its class's list while an object is free */
	u16 class, count, free, hint;
	u64 bits[4];        /* free objects */
	u64 pad;
};
_Static_assert(sizeof(struct slab) <= SLAB_HEAD, "slab header");

/* Sizes above SMALL_MAX divide the 16 KiB slab into 25, 21, 15, 12, 8, 6 and 4. */
static const u16 sizes[] = { 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512,
	640, 768, 1088, 1360, 2032, 2720, 4080 };
#define CLASSES ARRAY_SIZE(sizes)

/* Slabs with a free object. Zeroed means not used yet. */
static struct list partial[CLASSES];

static unsigned class_of(size_t n)
{
	unsigned c = n <= 128 ? (n + !n - 1) / 16 : n <= 256 ? 8 + (n - 129) / 32 : n <= SMALL_MAX ? 12 + (n - 257) / 64 : 16;
	while (sizes[c] < n)
		c++;
	return c;
}

static size_t slab_bytes(unsigned class)
{
	return sizes[class] <= SMALL_MAX ? PAGE_SIZE : PAGE_SIZE << BIG_ORDER;
}

static struct slab *slab_create(unsigned class)
{
	size_t bytes = slab_bytes(class);
	bool big = bytes > PAGE_SIZE;
	struct slab *s = page_alloc(big ? BIG_ORDER : 0, 0);
	if (!s)
		return NULL;
	page_set_kind(s, bytes >> PAGE_SHIFT, big ? PK_SLAB_BIG : PK_SLAB);
	memset(s, 0, sizeof(*s));
	s->class = class;
	s->count = s->free = (bytes - SLAB_HEAD) / sizes[class];
	for (unsigned i = 0; i < s->count; i++)
		s->bits[i / 64] |= 1ULL << (i % 64);
	list_add(&s->link, &partial[class]);
	return s;
}

static void *slab_take(struct slab *s)
{
	unsigned w = 0;
	while (!s->bits[w])
		w++;
	unsigned i = w * 64 + __builtin_ctzll(s->bits[w]);
	s->bits[w] &= s->bits[w] - 1;
	if (!--s->free)
		list_del(&s->link);
	return (char *)s + SLAB_HEAD + (size_t)i * sizes[s->class];
}

static void *large_alloc(size_t n)
{
	unsigned order = n <= PAGE_SIZE ? 0 : 64 - PAGE_SHIFT - __builtin_clzll(n - 1);
	void *p = page_alloc(order, 0);
	if (p)
		page_set_kind(p, 1, PK_LARGE);
	return p;
}

void *kmalloc(size_t n)
{
	if (n > sizes[CLASSES - 1])
		return large_alloc(n);
	unsigned c = class_of(n);
	struct list *l = &partial[c];
	if (!l->next)
		list_init(l);
	struct slab *s = list_empty(l) ? slab_create(c) : list_first(l, struct slab, link);
	return s ? slab_take(s) : NULL;
}

void *kzalloc(size_t n)
{
	void *p = kmalloc(n);
	return p ? memset(p, 0, n) : NULL;
}

static struct slab *slab_of(void *p, unsigned kind)
{
	u64 size = kind == PK_SLAB_BIG ? PAGE_SIZE << BIG_ORDER : PAGE_SIZE;
	return (struct slab *)ALIGN_DOWN((u64)p, size);
}

static void page_release(void *p, unsigned pages)
{
	page_set_kind(p, pages, PK_NONE);
	page_put(p);
}

static void slab_free(struct slab *s, void *p)
{
	u32 at = (char *)p - (char *)s - SLAB_HEAD, i = at / sizes[s->class];
	if ((char *)p < (char *)s + SLAB_HEAD || at % sizes[s->class] || i >= s->count)
		panic("kfree: %p is not an object", p);
	if (s->bits[i / 64] >> (i % 64) & 1)
		panic("kfree: %p is free already", p);
	s->bits[i / 64] |= 1ULL << (i % 64);
	struct list *l = &partial[s->class];
	if (s->free++ == 0)
		list_add(&s->link, l);
	/* Give an empty slab back, unless it is the only one with room: the next kmalloc would make it again. */
	if (s->free == s->count && l->next != l->prev) {
		list_del(&s->link);
		page_release(s, slab_bytes(s->class) >> PAGE_SHIFT);
	}
}

void kfree(void *p)
{
	if (!p)
		return;
	unsigned kind = page_kind(p);
	if (kind == PK_SLAB || kind == PK_SLAB_BIG)
		slab_free(slab_of(p, kind), p);
	else if (kind == PK_LARGE && !((u64)p & (PAGE_SIZE - 1)))
		page_release(p, 1);
	else
		panic("kfree: %p was not allocated", p);
}

static size_t usable(void *p)
{
	unsigned kind = page_kind(p);
	if (kind == PK_LARGE)
		return PAGE_SIZE << page_order(p);
	BUG_ON(kind == PK_NONE);
	return sizes[slab_of(p, kind)->class];
}

void *krealloc(void *p, size_t n)
{
	if (!p)
		return kmalloc(n);
	size_t have = usable(p);
	if (n <= have && n > have / 2)
		return p;
	void *q = kmalloc(n);
	if (!q)
		return n <= have ? p : NULL;
	memcpy(q, p, MIN(n, have));
	kfree(p);
	return q;
}
