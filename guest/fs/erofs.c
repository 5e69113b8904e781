/* SPDX-License-Identifier: Apache-2.0 */
/* erofs.c: reader of uncompressed EROFS images: super block, inodes, where data lies. Every number in the image is hostile. */
#include "erofs.h"
#include <linux/stat.h>

#define SUPER_OFF 1024
#define SUPER_SIZE 128
#define MAGIC 0xE0F5E1E2u

/* Features that change the layout. Padding of compressed data and long xattr prefixes do not matter to this reader. */
#define INCOMPAT_PADDING 0x1u
#define INCOMPAT_CHUNKED 0x4u
#define INCOMPAT_XATTR_PREFIXES 0x40u
#define INCOMPAT_KNOWN (INCOMPAT_PADDING | INCOMPAT_CHUNKED | INCOMPAT_XATTR_PREFIXES)

enum { FLAT_PLAIN = 0, FLAT_INLINE = 2, CHUNK_BASED = 4 };
#define CHUNK_BITS_MASK 0x1f
#define CHUNK_INDEXES 0x20
#define NULL_BLOCK 0xffffffffu
#define LINK_MAX 4096

/* The image has no alignment that can be trusted. */
static u16 le16(const u8 *p) { u16 v; memcpy(&v, p, 2); return v; }
static u32 le32(const u8 *p) { u32 v; memcpy(&v, p, 4); return v; }
static u64 le64(const u8 *p) { u64 v; memcpy(&v, p, 8); return v; }

static bool inside(const struct erofs *fs, u64 off, u64 len) { return off <= fs->size && len <= fs->size - off; }

static const char *feature_name(u32 bit)
{
	switch (bit) {
	case 0x2: return "compression (big clusters or configurations)";
	case 0x8: return "several devices or a second compression head";
	case 0x10: return "compressed tail packing";
	case 0x20: return "fragments or deduplication";
	case 0x80: return "48-bit addresses";
	case 0x100: return "metadata compression";
	}
	return "unknown";
}

int erofs_open(struct erofs *fs, const void *base, u64 size, char *why, size_t n)
{
	const u8 *sb = (const u8 *)base + SUPER_OFF;
	struct enode root;
	u32 bad;
	int r;

	memset(fs, 0, sizeof(*fs));
	fs->base = base;
	fs->size = size;
	if (size < SUPER_OFF + SUPER_SIZE || le32(sb) != MAGIC) {
		snprintf(why, n, "no EROFS super block; make the image with unifaas build");
		return -EINVAL;
	}
	fs->blkbits = sb[12];
	if (fs->blkbits < 9 || fs->blkbits > 12) {
		snprintf(why, n, "EROFS block size 2^%u is not supported; use 4096 bytes", fs->blkbits);
		return -EOPNOTSUPP;
	}
	bad = le32(sb + 80) & ~INCOMPAT_KNOWN;
	if (bad) {
		bad &= -bad;
		snprintf(why, n, "EROFS feature 0x%x (%s) is not supported; make the image uncompressed", bad, feature_name(bad));
		return -EOPNOTSUPP;
	}
	if (le16(sb + 86) || sb[90]) {
		snprintf(why, n, "EROFS with extra devices or large directory blocks is not supported");
		return -EOPNOTSUPP;
	}
	fs->root_nid = le16(sb + 14);
	fs->inodes = le64(sb + 16);
	fs->build_ns = le64(sb + 24) * 1000000000ULL + le32(sb + 32);
	fs->blocks = le32(sb + 36);
	fs->meta = (u64)le32(sb + 40) << fs->blkbits;
	fs->xattrs = (u64)le32(sb + 44) << fs->blkbits;
	r = erofs_inode(fs, fs->root_nid, &root);
	if (!r && !S_ISDIR(root.mode))
		r = -EUCLEAN;
	if (r)
		snprintf(why, n, "EROFS root inode %lu is corrupt; build the image again", (unsigned long)fs->root_nid);
	return r;
}

/* i_u of a device inode: Linux's new encoding, which is also what stat shows. */
static int read_layout(const struct erofs *fs, struct enode *e, u64 body, u32 iu)
{
	u64 blk = 1UL << fs->blkbits, tail;

	switch (e->layout) {
	case FLAT_PLAIN:
	case FLAT_INLINE:
		e->data = (u64)iu << fs->blkbits;
		e->flat = e->size;
		if (!e->size) {
			e->data = 0;
			return 0;
		}
		if (e->layout == FLAT_INLINE) {
			e->flat = (e->size - 1) & ~(blk - 1);
			tail = e->size - e->flat;
			if ((body & (blk - 1)) + tail > blk || !inside(fs, body, tail))
				return -EUCLEAN;
		}
		if (!e->flat)
			e->data = 0;
		return inside(fs, e->data, e->flat) ? 0 : -EUCLEAN;
	case CHUNK_BASED:
		if (iu & 0xffff & ~(CHUNK_BITS_MASK | CHUNK_INDEXES))
			return -EOPNOTSUPP;
		e->chunk_unit = iu & CHUNK_INDEXES ? 8 : 4;
		e->chunkbits = fs->blkbits + (iu & CHUNK_BITS_MASK);
		e->aux = ALIGN_UP(body, (u64)e->chunk_unit);
		if (!e->size)
			return 0;
		tail = ((e->size - 1) >> e->chunkbits) + 1;
		return tail <= fs->size && inside(fs, e->aux, tail * e->chunk_unit) ? 0 : -EUCLEAN;
	}
	return -EOPNOTSUPP;
}

int erofs_inode(const struct erofs *fs, u64 nid, struct enode *e)
{
	const u8 *p;
	u64 off, isize, body;
	u32 format, icount, iu;
	int r;

	if (nid > fs->size / 32)
		return -EUCLEAN;
	off = fs->meta + nid * 32;
	if (!inside(fs, off, 32))
		return -EUCLEAN;
	p = fs->base + off;
	memset(e, 0, sizeof(*e));
	e->fs = fs;
	e->nid = nid;
	format = le16(p);
	icount = le16(p + 2);
	e->layout = format >> 1 & 7;
	if (format >> 4)
		return -EOPNOTSUPP;
	e->mode = le16(p + 4);
	iu = le32(p + 16);
	isize = format & 1 ? 64 : 32;
	if (format & 1) {
		if (!inside(fs, off, 64))
			return -EUCLEAN;
		e->size = le64(p + 8);
		e->uid = le32(p + 24);
		e->gid = le32(p + 28);
		e->mtime_ns = le64(p + 32) * 1000000000ULL + le32(p + 40);
		e->nlink = le32(p + 44);
	} else {
		e->nlink = le16(p + 6);
		e->size = le32(p + 8);
		e->uid = le16(p + 24);
		e->gid = le16(p + 26);
		e->mtime_ns = fs->build_ns;
	}
	if (!e->nlink || e->size > 0x7ffffffffffff000UL)
		return -EUCLEAN;
	e->xattr = off + isize;
	e->xattr_len = icount ? 12 + 4 * (icount - 1) : 0;
	body = e->xattr + e->xattr_len;
	switch (e->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
		e->aux = body;
		r = read_layout(fs, e, body, iu);
		if (r)
			return r;
		if (S_ISLNK(e->mode) && (!e->size || e->size >= LINK_MAX))
			return -EUCLEAN;
		return 0;
	case S_IFCHR:
	case S_IFBLK:
		e->rdev = iu;
		/* fall through */
	case S_IFIFO:
	case S_IFSOCK:
		e->size = 0;
		return 0;
	}
	return -EUCLEAN;
}

static long map_chunk(const struct enode *e, u64 off, const u8 **p)
{
	const struct erofs *fs = e->fs;
	u64 index = off >> e->chunkbits, in = off & ((1UL << e->chunkbits) - 1), at;
	u64 run = MIN((1UL << e->chunkbits) - in, e->size - off);
	const u8 *t = fs->base + e->aux + index * e->chunk_unit;
	u32 block;

	if (e->chunk_unit == 8) {
		if (le16(t) || le16(t + 2)) /* high bits of the address, device */
			return le32(t + 4) == NULL_BLOCK ? (*p = NULL, (long)run) : -EUCLEAN;
		t += 4;
	}
	block = le32(t);
	if (block == NULL_BLOCK) {
		*p = NULL;
		return run;
	}
	at = ((u64)block << fs->blkbits) + in;
	if (!inside(fs, at, run))
		return -EUCLEAN;
	*p = fs->base + at;
	return run;
}

long erofs_map(const struct enode *e, u64 off, const u8 **p)
{
	if (off >= e->size)
		return -EUCLEAN;
	if (e->layout == CHUNK_BASED)
		return map_chunk(e, off, p);
	if (off < e->flat) {
		*p = e->fs->base + e->data + off;
		return e->flat - off;
	}
	*p = e->fs->base + e->aux + (off - e->flat);
	return e->size - off;
}

long erofs_readlink(const struct enode *e, char *buf, size_t n)
{
	u64 done = 0, len = MIN(n, e->size);

	while (done < len) {
		const u8 *p;
		long run = erofs_map(e, done, &p);
		if (run < 0 || !p)
			return -EUCLEAN;
		run = MIN((u64)run, len - done);
		memcpy(buf + done, p, run);
		done += run;
	}
	return memchr(buf, 0, len) ? -EUCLEAN : (long)len;
}

#define XATTR_HEADER 12
#define XATTR_USER 1
#define XATTR_TRUSTED 4

/* Is the attribute at off, of which n bytes may be looked at, the mark? *step: how many it takes. */
static bool is_opaque(const struct erofs *fs, u64 off, u64 n, u64 *step)
{
	static const char want[] = "overlay.opaque";
	const u8 *p = fs->base + off;

	*step = n;
	if (n < 4 || !inside(fs, off, 4))
		return false;
	u64 len = 4 + (u64)p[0] + le16(p + 2);
	if (len > n || !inside(fs, off, len))
		return false;
	*step = ALIGN_UP(len, 4UL);
	return p[0] == sizeof(want) - 1 && (p[1] == XATTR_USER || p[1] == XATTR_TRUSTED) && le16(p + 2) == 1 && p[len - 1] == 'y' &&
	       !memcmp(p + 4, want, sizeof(want) - 1);
}

bool erofs_opaque(const struct enode *e)
{
	const struct erofs *fs = e->fs;
	u64 at = e->xattr + XATTR_HEADER, end = e->xattr + e->xattr_len, step;

	if (!e->xattr_len || !inside(fs, e->xattr, e->xattr_len))
		return false;
	for (u32 i = fs->base[e->xattr + 4]; i && end - at >= 4; i--, at += 4)
		if (is_opaque(fs, MIN(fs->xattrs + 4 * (u64)le32(fs->base + at), fs->size), 4 + 255 + 1, &step))
			return true;
	for (; at < end; at += MIN(step, end - at))
		if (is_opaque(fs, at, end - at, &step))
			return true;
	return false;
}
