/* SPDX-License-Identifier: Apache-2.0 */
/* hostdir.c: names of the host's folder: looking up, listing, links. What the host answers is checked here. */
#include "hostfs.h"

/* So many names looked up in a directory one by one, and it is listed: that brings what is known of all its files. */
#define LIST_AFTER 4

struct hchunk { struct hchunk *next; u8 data[]; };

static struct list listed = LIST_INIT(listed);
static u64 listed_bytes;

static int check_stat(struct ufs_file_stat *st)
{
	static const u16 types = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 12;

	if (st->mode > 0177777 || !(types >> (st->mode >> 12) & 1) || st->size > MAX_FILE_SIZE)
		return -EIO;
	st->nlink = MAX(st->nlink, 1U);
	return 0;
}

static int ask_stat(const struct hnode *h, const char *name, size_t len, struct ufs_file_stat *st)
{
	long r = host_ask(UFS_FILE_STAT, h, name, len, 0, 0, st, sizeof(*st));
	return r < 0 ? (int)r : r != sizeof(*st) ? -EIO : check_stat(st);
}

struct hnode *hnode_new(const struct hnode *dir, const char *name, size_t len, const struct ufs_file_stat *st)
{
	u32 above = dir ? dir->len : 0, n = above + (above > 0) + len;
	struct hnode *h;

	if (n > UFS_FILE_PATH)
		return ERR_PTR(-ENAMETOOLONG);
	h = kzalloc(sizeof(*h) + n + 1);
	if (!h)
		return ERR_PTR(-ENOMEM);
	h->inode = st->inode;
	h->size = st->size;
	list_init(&h->listed);
	h->len = n;
	if (above) {
		memcpy(h->path, dir->path, above);
		h->path[above] = '/';
	}
	memcpy(h->path + n - len, name, len);
	return h;
}

static void free_chunks(struct hchunk *c)
{
	while (c) {
		struct hchunk *next = c->next;
		kfree(c);
		c = next;
	}
}

static void free_listing(struct hnode *h)
{
	free_chunks(h->chunks);
	kfree(h->list);
	list_del(&h->listed);
	listed_bytes -= h->list_bytes;
	h->chunks = NULL;
	h->list = NULL;
	h->nlist = h->list_bytes = 0;
}

void hnode_free(struct hnode *h)
{
	if (!h)
		return;
	hdata_free(h);
	free_listing(h);
	kfree(h);
}

int host_refresh(struct tnode *t)
{
	struct hnode *h = t->host;
	struct ufs_file_stat st;
	int r = ask_stat(h, NULL, 0, &st);

	if (r || !S_ISREG(st.mode) || t->root || (t->flags & TN_PINNED)) /* no file any more, or written meanwhile */
		return r ? r : -ESTALE;
	h->inode = st.inode;
	h->size = t->i.size = t->low_end = st.size;
	t->i.mtime_ns = st.mtime_ns;
	return 0;
}

/* ---- listing ---- */

static int compare(const char *a, size_t alen, const char *b, size_t blen)
{
	int c = memcmp(a, b, MIN(alen, blen));
	return c ? c : alen < blen ? -1 : alen > blen;
}

static const char *name_of(const struct ufs_file_entry *e) { return (const char *)(e + 1); }
static bool less(const struct ufs_file_entry *a, const struct ufs_file_entry *b)
{
	return compare(name_of(a), a->name_len, name_of(b), b->name_len) < 0;
}

static void sift(struct ufs_file_entry **v, u32 i, u32 n)
{
	struct ufs_file_entry *e = v[i];

	for (u32 k; (k = 2 * i + 1) < n; i = k) {
		if (k + 1 < n && less(v[k], v[k + 1]))
			k++;
		if (!less(e, v[k]))
			break;
		v[i] = v[k];
	}
	v[i] = e;
}

static u32 sort_unique(struct ufs_file_entry **v, u32 n)
{
	u32 out = 0;

	for (u32 i = n / 2; i--;)
		sift(v, i, n);
	for (u32 i = n; i-- > 1;) {
		struct ufs_file_entry *e = v[0];
		v[0] = v[i];
		v[i] = e;
		sift(v, 0, i);
	}
	for (u32 i = 0; i < n; i++)
		if (!out || less(v[out - 1], v[i]))
			v[out++] = v[i];
	return out;
}

struct listing { struct hchunk *chunks; struct ufs_file_entry **v; u32 n, cap; u64 bytes; };

static int add_entry(struct listing *l, struct ufs_file_entry *e)
{
	const char *name = name_of(e);

	if (check_stat(&e->stat) || memchr(name, '/', e->name_len) || memchr(name, 0, e->name_len))
		return -EIO;
	if (name[0] == '.' && (e->name_len == 1 || (e->name_len == 2 && name[1] == '.')))
		return 0;
	if (l->n == l->cap) {
		u32 cap = l->cap ? l->cap * 2 : 32;
		struct ufs_file_entry **v = krealloc(l->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = e;
	return 0;
}

/* One answer to LIST: the cookie of what follows, 0 at the end. */
static int add_answer(struct listing *l, const u8 *data, u32 len, u64 *next)
{
	struct hchunk *c;
	u32 at = sizeof(u64);

	if (len < at)
		return -EIO;
	memcpy(next, data, at);
	l->bytes += len;
	if (l->bytes > page_total_bytes() / 4 || page_free_bytes() < page_total_bytes() / 8)
		return -ENOMEM;
	c = kmalloc(sizeof(*c) + len);
	if (!c)
		return -ENOMEM;
	memcpy(c->data, data, len);
	c->next = l->chunks;
	l->chunks = c;
	while (at < len) {
		struct ufs_file_entry *e = (void *)(c->data + at);
		u32 space;
		int r;

		if (len - at < sizeof(*e))
			return -EIO;
		space = sizeof(*e) + ALIGN_UP(MIN(e->name_len, 256U), 8U);
		if (!e->name_len || e->name_len > NAME_MAX || len - at < sizeof(*e) + e->name_len)
			return -EIO;
		r = add_entry(l, e);
		if (r)
			return r;
		at += MIN(space, len - at);
	}
	return *next && len == sizeof(u64) ? -EIO : 0; /* that would never end */
}

int host_list(struct hnode *dir)
{
	struct listing l = { 0 };
	u64 cookie = 0;
	u8 *buf;
	int r;

	if (dir->list)
		return 0;
	buf = page_alloc(4, 0);
	if (!buf)
		return -ENOMEM;
	do {
		long n = host_ask(UFS_FILE_LIST, dir, NULL, 0, cookie, 0, buf, UFS_MSG_MAX);
		r = n < 0 ? (int)n : add_answer(&l, buf, n, &cookie);
	} while (!r && cookie);
	page_put(buf);
	if (dir->unsure && (r == -ENOENT || r == -ENOTDIR || r == -ELOOP))
		r = 0; /* the host has none, or something else of that name */
	if (!r && !l.v && !(l.v = kmalloc(sizeof(*l.v))))
		r = -ENOMEM;
	if (r || dir->list) { /* or somebody was faster */
		free_chunks(l.chunks);
		kfree(l.v);
		return r;
	}
	dir->nlist = sort_unique(l.v, l.n);
	dir->list = l.v;
	dir->chunks = l.chunks;
	dir->list_bytes = l.bytes + l.cap * sizeof(*l.v);
	list_add(&dir->listed, &listed);
	listed_bytes += dir->list_bytes;
	/* The oldest go. That is noticed by nobody: who goes on reading one lists it again and finds the same order. */
	while (listed_bytes > page_total_bytes() / 32 && listed.prev != &dir->listed)
		free_listing(list_entry(listed.prev, struct hnode, listed));
	return 0;
}

const struct ufs_file_entry *host_entry(const struct hnode *dir, u64 index) { return index < dir->nlist ? dir->list[index] : NULL; }

static const struct ufs_file_entry *search(const struct hnode *dir, const char *name, size_t len)
{
	u32 lo = 0, hi = dir->nlist;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;
		const struct ufs_file_entry *e = dir->list[mid];
		int c = compare(name, len, name_of(e), e->name_len);
		if (!c)
			return e;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

bool host_may_have(const struct hnode *dir, const char *name, size_t len) { return !dir->list || search(dir, name, len); }

int host_lookup(struct hnode *dir, const char *name, size_t len, struct ufs_file_stat *st)
{
	const struct ufs_file_entry *e;

	if (!dir->list && ++dir->asked > LIST_AFTER) {
		dir->asked = 0;
		if (host_list(dir) == -EINTR)
			return -EINTR;
	}
	if (!dir->list) {
		int r = ask_stat(dir, name, len, st);
		return dir->unsure && (r == -ENOTDIR || r == -ELOOP) ? -ENOENT : r;
	}
	e = search(dir, name, len);
	if (e)
		*st = e->stat;
	return e ? 0 : -ENOENT;
}

struct hnode *host_root(struct ufs_file_stat *st, bool unsure)
{
	struct ufs_file_stat none = { 0 };
	struct hnode *h = hnode_new(NULL, NULL, 0, &none);
	int r;

	if (IS_ERR(h))
		return h;
	h->unsure = unsure;
	r = mm_files_init() ? -ENOMEM : 0;
	if (!r && unsure)
		return h;
	if (!r)
		r = ask_stat(h, NULL, 0, st);
	if (!r && !S_ISDIR(st->mode))
		r = -ENOTDIR;
	if (!r)
		r = host_list(h); /* the mount points and all that paths begin with */
	if (!r)
		return h;
	hnode_free(h);
	return ERR_PTR(r);
}

int host_readlink(struct tnode *t)
{
	char *buf = t->target ? NULL : kmalloc(PATH_MAX);
	long n;

	if (t->target)
		return 0;
	if (!buf)
		return -ENOMEM;
	n = host_ask(UFS_FILE_LINK, t->host, NULL, 0, 0, 0, buf, PATH_MAX - 1);
	if (n >= 0 && (!n || memchr(buf, 0, n)))
		n = -EIO;
	if (n > 0 && !t->target) {
		buf[n] = 0;
		t->target = krealloc(buf, n + 1);
		if (t->target)
			return 0;
		t->target = buf;
		return 0;
	}
	kfree(buf);
	return n < 0 ? (int)n : 0;
}
