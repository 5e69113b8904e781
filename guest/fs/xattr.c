/* SPDX-License-Identifier: Apache-2.0 */
/* xattr.c: extended attributes: no file has any, and none can be set. */
#include "vfs.h"

static long by_path(u64 upath, int flags, long r)
{
	struct inode *ino = walk_inode(AT_FDCWD, (const char *)upath, flags);

	if (IS_ERR(ino))
		return PTR_ERR(ino);
	inode_put(ino);
	return r;
}

static long by_fd(int fd, long r)
{
	struct file *f = fd_peek(fd);
	return f && !(f->flags & O_PATH) ? r : -EBADF;
}

#define XATTR(name, r) \
	SYSCALL(name##xattr) { return by_path(a, W_FOLLOW, r); } \
	SYSCALL(l##name##xattr) { return by_path(a, 0, r); } \
	SYSCALL(f##name##xattr) { return by_fd((int)a, r); }

XATTR(set, -EOPNOTSUPP)
XATTR(get, -EOPNOTSUPP)
XATTR(list, 0)
XATTR(remove, -EOPNOTSUPP)
