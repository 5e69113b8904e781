/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostdata.c: contents of files of the host's folder.
 *
 * Reading goes through a window of the file in RAM, several READs at a time: a page that is mapped from the host costs more to touch
 * than to copy. For a file of up to HOST_LOAD_MAX the window is the whole file and stays as long as the cache keeps the node; then
 * mappings show its pages. Larger files are put into the files area when they are mapped.
 */
#include "hostfs.h"

#define AHEAD 8                          /* READs under way at once: their answers fit into the ring */
#define CHUNK_PAGES (HOST_CHUNK / PAGE_SIZE)
#define WINDOW_PAGES (AHEAD * CHUNK_PAGES)
#define SEQUENTIAL 8                     /* chunks that one who reads on gets at once */

static u64 cached;                       /* pages in windows */
static struct waitq window_free = WAITQ_INIT(window_free);

static bool have(const struct hnode *h, u64 c) { return h->have[c / 64] >> (c % 64) & 1; }

static void free_window(struct hnode *h)
{
	for (u32 i = 0; i < h->pages; i++)
		page_put(h->buf + i * PAGE_SIZE);
	cached -= h->pages;
	h->buf = NULL;
	h->pages = 0;
	memset(h->have, 0, sizeof(h->have));
}

static void unmap(struct hnode *h)
{
	mm_files_unmap(h->map_off, h->map_len);
	host_unmapped(h->map_off);
	h->mapped = false;
}

void hdata_free(struct hnode *h)
{
	free_window(h);
	if (h->mapped)
		unmap(h);
}

static u64 budget(void) { return page_total_bytes() / 8 / PAGE_SIZE; }

static bool drop_window(struct tnode *t, void *arg)
{
	if (t->host && S_ISREG(t->i.mode) && t->host->buf && !t->host->busy) {
		free_window(t->host);
		t->low_ptr = NULL;
	}
	return cached + *(u32 *)arg > budget();
}

static bool drop_mapping(struct tnode *t, void *arg)
{
	if (t->host && S_ISREG(t->i.mode) && t->host->mapped)
		unmap(t->host);
	return true;
}

/* n pages side by side, each with its own reference. */
static u8 *alloc_pages(u32 n)
{
	unsigned order = 0;
	u8 *p;

	while (1U << order < n)
		order++;
	p = page_alloc(order, PG_USER);
	if (!p || !order)
		return p;
	page_split(p, order);
	for (u32 i = n; i < 1U << order; i++)
		page_put(p + i * PAGE_SIZE);
	return p;
}

static bool is_small(const struct hnode *h) { return h->size <= HOST_LOAD_MAX; }

/* A window of n pages; what only the cache holds makes room for it. */
static bool make_window(struct hnode *h, u32 n)
{
	if (cached + n > budget() || page_free_bytes() < page_total_bytes() / 16)
		tent_each_idle(drop_window, &n);
	if (cached + n > budget() && n > WINDOW_PAGES)
		return false;
	h->buf = alloc_pages(n);
	if (!h->buf)
		return false;
	h->pages = n;
	h->start = 0;
	cached += n;
	return true;
}

static bool ensure_window(struct hnode *h)
{
	u32 n = MIN(ALIGN_UP(h->size, PAGE_SIZE) / PAGE_SIZE, HOST_LOAD_MAX / PAGE_SIZE);

	if (h->buf || (is_small(h) && make_window(h, n)))
		return true;
	return make_window(h, MIN(n, (u32)WINDOW_PAGES));
}

static bool is_whole(const struct hnode *h) { return h->buf && h->pages * PAGE_SIZE >= h->size; }

static int begin_read(struct hnode *h, u64 c, struct host_wait *w)
{
	u64 at = c * HOST_CHUNK;

	w->buf = h->buf + at;
	w->cap = MIN(HOST_CHUNK, h->size - h->start - at);
	return host_begin(w, UFS_FILE_READ, h, NULL, 0, h->start + at, w->cap);
}

static void end_read(struct hnode *h, u64 c, struct host_wait *w)
{
	u64 end = MIN((c + 1) * HOST_CHUNK, h->pages * PAGE_SIZE);
	u8 *from = (u8 *)w->buf + w->len; /* the rest of the last page; a file that shrank meanwhile reads as zeros */

	memset(from, 0, h->buf + end - from);
	h->have[c / 64] |= 1UL << (c % 64);
}

/* Brings the chunks [c, end) of the window that are missing. */
static int fetch(struct hnode *h, u64 c, u64 end)
{
	struct host_wait w[AHEAD];
	u64 chunk[AHEAD];
	u32 first = 0, n = 0;
	int r = 0;

	for (;;) {
		while (c < end && have(h, c))
			c++;
		if (!r && c < end && n < AHEAD) {
			u32 i = (first + n) % AHEAD;
			r = begin_read(h, c, &w[i]);
			if (!r) {
				chunk[i] = c++;
				n++;
			}
			continue;
		}
		if (!n)
			return r;
		int e = r == -EINTR ? (host_cancel(&w[first]), r) : host_end(&w[first]);
		if (!e)
			end_read(h, chunk[first], &w[first]);
		else if (r != -EINTR)
			r = e;
		first = (first + 1) % AHEAD;
		n--;
	}
}

/* The file was replaced: look at the new one, unless something of the old was seen already. */
static int look_again(struct tnode *t)
{
	struct hnode *h = t->host;

	for (u32 i = 0; i < ARRAY_SIZE(h->have); i++)
		if (h->have[i])
			return -ESTALE;
	if (h->mapped || h->busy || t->root || (t->flags & TN_PINNED))
		return -ESTALE;
	free_window(h);
	return host_refresh(t);
}

/* Makes [off, off + want) of the file, or its beginning, be in the window. */
static int need_once(struct hnode *h, u64 off, u64 want)
{
	int r;

	while (h->busy)
		if (host_sleep(&window_free))
			return -EINTR;
	if (off >= h->size)
		return -EIO;
	if (!ensure_window(h))
		return -ENOMEM;
	u64 at = off / HOST_CHUNK, last = (MIN(off + want, h->size) - 1) / HOST_CHUNK;
	if (at == h->next && (at || is_small(h)))
		last = MAX(last, at + SEQUENTIAL - 1);
	last = MIN(last, (h->size - 1) / HOST_CHUNK);
	h->next = last + 1;
	if (off < h->start || off - h->start >= h->pages * PAGE_SIZE) {
		h->start = at * HOST_CHUNK;
		memset(h->have, 0, sizeof(h->have));
	}
	u64 base = h->start / HOST_CHUNK, end = MIN(last + 1 - base, (h->pages + CHUNK_PAGES - 1) / CHUNK_PAGES);
	h->busy = true;
	r = fetch(h, at - base, end);
	h->busy = false;
	waitq_wake(&window_free, 0);
	return r;
}

static int need(struct tnode *t, u64 off, u64 want)
{
	int r = need_once(t->host, off, want);

	if (r == -ESTALE && !(r = look_again(t)))
		r = need_once(t->host, off, want);
	return r;
}

long host_run(struct tnode *t, u64 off, u64 want, const u8 **p)
{
	struct hnode *h = t->host;

	if (off >= h->size)
		return -EIO;
	if (t->low_ptr) {
		*p = t->low_ptr + off;
		return h->size - off;
	}
	u64 in = off - h->start, c = in / HOST_CHUNK;
	if (!h->buf || off < h->start || in >= h->pages * PAGE_SIZE || !have(h, c)) {
		int r = need(t, off, want);
		if (r)
			return r;
		in = off - h->start;
		c = in / HOST_CHUNK;
	}
	*p = h->buf + in;
	u64 end = c;
	while (end < ARRAY_SIZE(h->have) * 64 && have(h, end))
		end++;
	end *= HOST_CHUNK;
	if (is_whole(h) && end >= h->size)
		t->low_ptr = c ? NULL : h->buf;
	return MIN(end, h->size - h->start) - in;
}

static int ask_map(struct tnode *t, struct ufs_file_map *m)
{
	struct hnode *h = t->host;
	long r = host_ask(UFS_FILE_MAP, h, NULL, 0, 0, 0, m, sizeof(*m));

	if (r == -ESTALE) {
		r = look_again(t);
		if (!r)
			r = host_ask(UFS_FILE_MAP, h, NULL, 0, 0, 0, m, sizeof(*m));
	}
	if (r < 0)
		return r;
	u64 align = m->size >= HUGE_SIZE ? HUGE_SIZE : PAGE_SIZE;
	return r != sizeof(*m) || !m->size || m->size > UFS_FILES_MAX || m->offset > UFS_FILES_MAX - m->size || m->offset % align ? -EIO : 0;
}

static int map_file(struct tnode *t)
{
	struct hnode *h = t->host;
	struct ufs_file_map m;
	int r = ask_map(t, &m);

	if (r && r != -EINTR) { /* the area may be full */
		tent_each_idle(drop_mapping, NULL);
		r = ask_map(t, &m);
	}
	if (r)
		return r;
	if (h->mapped) { /* somebody was faster */
		if (m.offset != h->map_off)
			host_unmapped(m.offset);
		return 0;
	}
	r = mm_files_map(m.offset, m.size);
	if (r) {
		host_unmapped(m.offset);
		return r;
	}
	h->map_off = m.offset;
	h->map_len = m.size;
	h->mapped = true;
	return 0;
}

int host_prepare(struct tnode *t)
{
	struct hnode *h = t->host;
	int r;

	if (!h->size || t->low_ptr)
		return 0;
	if (h->mapped)
		return 1;
	while (h->busy)
		if (host_sleep(&window_free))
			return -EINTR;
	if (is_small(h) && h->buf && !is_whole(h))
		free_window(h); /* made when there was less room */
	if (is_small(h) && ensure_window(h) && is_whole(h)) {
		const u8 *p;
		r = need(t, 0, h->size);
		if (!r)
			host_run(t, 0, h->size, &p);
		return r ? r : t->low_ptr ? 0 : -EAGAIN;
	}
	r = map_file(t);
	return r == -EINTR ? r : r ? -EAGAIN : 1;
}

void *host_page(struct tnode *t, u64 off)
{
	struct hnode *h = t->host;

	if (t->low_ptr) {
		page_get((u8 *)t->low_ptr + off);
		return (u8 *)t->low_ptr + off;
	}
	if (h->mapped && off < h->map_len)
		return (u8 *)UFS_FILES_VA + h->map_off + off;
	return NULL;
}
