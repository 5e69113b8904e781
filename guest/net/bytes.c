/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.c: byte buffer of a stream: a chain of pages, none while it is empty. */
#include "bytes.h"
#include "mm.h"
#include "errno.h"

struct chunk { struct chunk *next; u32 off, end; u8 data[]; };
#define CHUNK_DATA ((u32)(PAGE_SIZE - sizeof(struct chunk)))

/* The chunk to append to; NULL when out of memory. */
static struct chunk *tail(struct bytes *b)
{
	struct chunk *c = b->last;
	if (c && c->end < CHUNK_DATA)
		return c;
	c = page_alloc(0, 0);
	if (!c)
		return NULL;
	c->next = NULL;
	c->off = c->end = 0;
	if (b->last)
		b->last->next = c;
	else
		b->first = c;
	b->last = c;
	return c;
}

static void drop_first(struct bytes *b)
{
	struct chunk *c = b->first;
	b->first = c->next;
	if (!b->first)
		b->last = NULL;
	page_put(c);
}

long bytes_put(struct bytes *b, struct iter *it, size_t n)
{
	size_t done = 0;
	long r = 0;
	n = MIN(n, it->left);
	while (done < n) {
		struct chunk *c = tail(b);
		if (!c) {
			r = -ENOMEM;
			break;
		}
		size_t want = MIN(n - done, (size_t)(CHUNK_DATA - c->end));
		r = iter_get(it, c->data + c->end, want);
		if (r <= 0)
			break;
		c->end += r;
		b->len += r;
		done += r;
		if ((size_t)r < want)
			break;
	}
	/* A fault may leave a fresh chunk without a byte in it. */
	if (!b->len && b->first)
		drop_first(b);
	return done ? (long)done : r;
}

int bytes_add(struct bytes *b, const void *p, size_t n)
{
	while (n) {
		struct chunk *c = tail(b);
		if (!c)
			return -ENOMEM;
		u32 want = MIN(n, (size_t)(CHUNK_DATA - c->end));
		memcpy(c->data + c->end, p, want);
		c->end += want;
		b->len += want;
		p = (const u8 *)p + want;
		n -= want;
	}
	return 0;
}

void bytes_drop(struct bytes *b, size_t n)
{
	n = MIN(n, (size_t)b->len);
	b->len -= n;
	while (b->first) {
		struct chunk *c = b->first;
		u32 k = MIN(n, (size_t)(c->end - c->off));
		c->off += k;
		n -= k;
		if (c->off < c->end)
			break;
		drop_first(b);
	}
}

long bytes_get(struct bytes *b, struct iter *it, size_t n, bool keep)
{
	size_t done = 0;
	n = MIN(MIN(n, it->left), (size_t)b->len);
	for (struct chunk *c = b->first; c && done < n; c = c->next) {
		size_t want = MIN(n - done, (size_t)(c->end - c->off));
		long r = iter_put(it, c->data + c->off, want);
		if (r < 0 && !done)
			return r;
		if (r <= 0)
			break;
		done += r;
		if ((size_t)r < want)
			break;
	}
	if (!keep)
		bytes_drop(b, done);
	return done;
}
