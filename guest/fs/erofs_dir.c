/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_dir.c: EROFS directories: blocks of sorted entries, names behind them. */
#include "erofs.h"

#define DIRENT 12 /* nid 8, name offset 2, type 1, reserved 1 */
#define NAME_MAX 255

struct block { const u8 *p; u32 len, count; };
struct name { const char *s; u32 len; u64 nid; u8 type; };

static u16 le16(const u8 *p) { u16 v; memcpy(&v, p, 2); return v; }

static int get_block(const struct enode *dir, u64 index, struct block *b)
{
	u64 off = index << dir->fs->blkbits, blk = 1UL << dir->fs->blkbits;
	long run = erofs_map(dir, off, &b->p);
	u32 first;

	if (run < 0 || !b->p)
		return -EUCLEAN;
	b->len = MIN(blk, dir->size - off);
	if ((u64)run < b->len || b->len < DIRENT)
		return -EUCLEAN;
	first = le16(b->p + 8);
	if (first < DIRENT || first >= b->len || first % DIRENT)
		return -EUCLEAN;
	b->count = first / DIRENT;
	return 0;
}

static int get_name(const struct block *b, u32 i, struct name *n)
{
	const u8 *e = b->p + i * DIRENT;
	u32 start = le16(e + 8), end = i + 1 < b->count ? le16(e + DIRENT + 8) : b->len;

	if (start < b->count * DIRENT || start >= end || end > b->len)
		return -EUCLEAN;
	n->s = (const char *)b->p + start;
	n->len = strnlen(n->s, end - start);
	memcpy(&n->nid, e, 8);
	n->type = e[10];
	if (!n->len || n->len > NAME_MAX || memchr(n->s, '/', n->len))
		return -EUCLEAN;
	return 0;
}

static int compare(const char *a, size_t alen, const struct name *b)
{
	int c = memcmp(a, b->s, MIN(alen, (size_t)b->len));
	return c ? c : alen < b->len ? -1 : alen > b->len;
}

int erofs_lookup(const struct enode *dir, const char *name, size_t len, u64 *nid)
{
	u64 lo = 0, hi = (dir->size + (1UL << dir->fs->blkbits) - 1) >> dir->fs->blkbits;
	struct block b, found = { 0 };
	struct name n;
	u32 l, h;

	/* The last block whose first name is not above the wanted one. */
	while (lo < hi) {
		u64 mid = lo + (hi - lo) / 2;
		int c;
		if (get_block(dir, mid, &b) || get_name(&b, 0, &n))
			return -EUCLEAN;
		c = compare(name, len, &n);
		if (!c) {
			*nid = n.nid;
			return 0;
		}
		if (c < 0) {
			hi = mid;
		} else {
			found = b;
			lo = mid + 1;
		}
	}
	if (!found.p)
		return -ENOENT;
	for (l = 1, h = found.count; l < h;) {
		u32 mid = l + (h - l) / 2;
		int c;
		if (get_name(&found, mid, &n))
			return -EUCLEAN;
		c = compare(name, len, &n);
		if (!c) {
			*nid = n.nid;
			return 0;
		}
		if (c < 0)
			h = mid;
		else
			l = mid + 1;
	}
	return -ENOENT;
}

int erofs_readdir(const struct enode *dir, u64 *pos, bool (*emit)(void *, const char *, size_t, u64, u8, u64), void *arg)
{
	u64 blk = 1UL << dir->fs->blkbits;

	while (*pos < dir->size) {
		u64 start = *pos & ~(blk - 1);
		u32 i = ((*pos & (blk - 1)) + DIRENT - 1) / DIRENT;
		struct block b;
		struct name n;

		if (get_block(dir, start >> dir->fs->blkbits, &b))
			return -EUCLEAN;
		for (; i < b.count; i++) {
			u64 next = i + 1 < b.count ? start + (i + 1) * DIRENT : start + blk;
			if (get_name(&b, i, &n))
				return -EUCLEAN;
			if (!emit(arg, n.s, n.len, n.nid, n.type, next))
				return 0;
			*pos = next;
		}
		*pos = start + blk;
	}
	return 0;
}
