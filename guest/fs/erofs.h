/* SPDX-License-Identifier: Apache-2.0 */
/* erofs.h: reader of uncompressed EROFS images that stand in memory. Knows nothing of inodes or mounts. */
#ifndef UFS_EROFS_H
#define UFS_EROFS_H
#include "ufs.h"
#include "errno.h"

struct erofs {
	const u8 *base;
	u64 size;         /* bytes of the image */
	u64 meta;         /* byte offset of the inode area */
	u64 xattrs;       /* of the attributes that inodes share */
	u64 root_nid;
	u64 build_ns;
	u64 inodes, blocks;
	u8 blkbits;
};

/* One inode, checked when it is read: [inline_off, inline_off + tail) and the chunk table lie in the image. */
struct enode {
	const struct erofs *fs;
	u64 nid, size, mtime_ns, rdev;
	u32 mode, nlink, uid, gid;
	u8 layout, chunkbits, chunk_unit;
	u64 data;         /* flat: byte offset of the blocks */
	u64 flat;         /* flat: bytes there, the rest is inline */
	u64 aux;          /* byte offset of the inline tail or of the chunk table */
	u64 xattr;        /* byte offset of the inode's extended attributes */
	u32 xattr_len;
};

/* 0, or -EINVAL / -EUCLEAN / -EOPNOTSUPP with one line in why (n bytes). */
int erofs_open(struct erofs *fs, const void *base, u64 size, char *why, size_t n);
int erofs_inode(const struct erofs *fs, u64 nid, struct enode *e);
/* The run of bytes at off < size: *p its address, NULL for a hole; returns its length (> 0) or a negative errno. */
long erofs_map(const struct enode *e, u64 off, const u8 **p);
/* 0 and *nid, or -ENOENT. */
int erofs_lookup(const struct enode *dir, const char *name, size_t len, u64 *nid);
/* Calls emit for the entries from byte position *pos on, which it moves; emit false: stop before that entry. */
int erofs_readdir(const struct enode *dir, u64 *pos, bool (*emit)(void *arg, const char *name, size_t len, u64 nid, u8 type, u64 next), void *arg);
long erofs_readlink(const struct enode *e, char *buf, size_t n);
/* A directory that hides those of lower layers (trusted.overlay.opaque or user.overlay.opaque is y). */
bool erofs_opaque(const struct enode *e);
#endif
