/* SPDX-License-Identifier: Apache-2.0 */
/* xattr.c: extended attributes of files in memory: user.*, trusted.*, security.*; other file systems have none. */
#include "tmpfs.h"
#include <linux/limits.h>
#include <linux/xattr.h>

struct xattr { struct xattr *next; u32 size; u8 len; char name[]; }; /* name, its NUL, value */

/* What a call is about: the name, and for setting the value, copied in once. */
struct xcall { char name[XATTR_NAME_MAX + 2]; u32 size, flags; void *value; };

#define VALUE(x) ((u8 *)(x)->name + (x)->len + 1)

static bool starts(const char *s, const char *with) { return !strncmp(s, with, strlen(with)); }
static u64 charge_of(u32 len, u32 size) { return ALIGN_UP(sizeof(struct xattr) + len + 1 + size, 64UL); }

/* May current see (or change) what has this name? */
static int permitted(struct inode *ino, const char *name, bool write)
{
	bool user = starts(name, XATTR_USER_PREFIX);

	if (starts(name, XATTR_TRUSTED_PREFIX)) {
		if (!capable(CAP_SYS_ADMIN))
			return write ? -EPERM : -ENODATA;
	} else if (user) {
		if (!S_ISREG(ino->mode) && !S_ISDIR(ino->mode))
			return write ? -EPERM : -ENODATA;
		if (S_ISDIR(ino->mode) && (ino->mode & S_ISVTX) && write && !inode_owner(ino))
			return -EPERM;
	} else if (!starts(name, XATTR_SECURITY_PREFIX)) {
		return inode_may(ino, write ? MAY_WRITE : MAY_READ) ? -EACCES : -EOPNOTSUPP;
	} else if (write && !capable(strcmp(name, "security.capability") ? CAP_SYS_ADMIN : CAP_SETFCAP)) {
		return -EPERM;
	}
	if (user) {
		int r = inode_may(ino, write ? MAY_WRITE : MAY_READ);
		if (r)
			return r;
	}
	if (!tnode_is(ino))
		return -EOPNOTSUPP;
	return strchr(name, '.')[1] ? 0 : -EINVAL;
}

static struct xattr **find(struct tnode *t, const char *name)
{
	struct xattr **p = &t->xattrs;

	while (*p && strcmp((*p)->name, name))
		p = &(*p)->next;
	return p;
}

static void drop(struct tnode *t, struct xattr **at)
{
	struct xattr *x = *at;

	*at = x->next;
	tfs_uncharge(tfs_of(t), charge_of(x->len, x->size));
	kfree(x);
}

void xattrs_free(struct tnode *t)
{
	while (t->xattrs)
		drop(t, &t->xattrs);
}

static long set(struct inode *ino, struct xcall *c, u64 u, u64 n)
{
	struct tnode *t = tnode_of(ino);
	struct xattr **at, *x;
	u32 len = strlen(c->name);
	int r = permitted(ino, c->name, true);

	if (r)
		return r;
	at = find(t, c->name);
	if (*at ? c->flags & XATTR_CREATE : c->flags & XATTR_REPLACE)
		return *at ? -EEXIST : -ENODATA;
	if (!tfs_charge(tfs_of(t), charge_of(len, c->size)))
		return -ENOSPC;
	x = kmalloc(sizeof(*x) + len + 1 + c->size);
	if (!x) {
		tfs_uncharge(tfs_of(t), charge_of(len, c->size));
		return -ENOMEM;
	}
	x->size = c->size;
	x->len = len;
	memcpy(x->name, c->name, len + 1);
	memcpy(VALUE(x), c->value, c->size);
	if (*at)
		drop(t, at);
	x->next = t->xattrs;
	t->xattrs = x;
	tnode_dirty(t);
	ino->ctime_ns = real_ns();
	notify(ino, IN_ATTRIB);
	return 0;
}

static long get(struct inode *ino, struct xcall *c, u64 u, u64 n)
{
	struct xattr *x;
	int r = permitted(ino, c->name, false);

	if (r)
		return r;
	x = *find(tnode_of(ino), c->name);
	if (!x)
		return -ENODATA;
	if (n && n < x->size)
		return -ERANGE;
	return n && copy_to_user((void *)u, VALUE(x), x->size) ? -EFAULT : (long)x->size;
}

static long list(struct inode *ino, struct xcall *c, u64 u, u64 n)
{
	long total = 0;

	if (!tnode_is(ino))
		return 0;
	for (struct xattr *x = tnode_of(ino)->xattrs; x; x = x->next) {
		if (starts(x->name, XATTR_TRUSTED_PREFIX) && !capable(CAP_SYS_ADMIN))
			continue;
		if (n && total + x->len + 1UL > n)
			return -ERANGE;
		if (n && copy_to_user((void *)(u + total), x->name, x->len + 1))
			return -EFAULT;
		total += x->len + 1;
	}
	return total > XATTR_LIST_MAX ? -E2BIG : total;
}

static long drop_one(struct inode *ino, struct xcall *c, u64 u, u64 n)
{
	struct xattr **at;
	int r = permitted(ino, c->name, true);

	if (r)
		return r;
	at = find(tnode_of(ino), c->name);
	if (!*at)
		return -ENODATA;
	drop(tnode_of(ino), at);
	ino->ctime_ns = real_ns();
	notify(ino, IN_ATTRIB);
	return 0;
}

typedef long (*xop)(struct inode *ino, struct xcall *c, u64 u, u64 n);
enum { BY_PATH, BY_LINK, BY_FD };

static long run(struct xcall *c, u64 what, int by, xop op, u64 uname, u64 u, u64 n, u64 flags)
{
	struct inode *ino;
	struct file *f;
	long r;

	if (op != list) {
		if (flags & ~(u64)(XATTR_CREATE | XATTR_REPLACE))
			return -EINVAL;
		r = strncpy_from_user(c->name, (const char *)uname, XATTR_NAME_MAX + 1);
		if (r <= 0)
			return r == 0 || r == -ENAMETOOLONG ? -ERANGE : r;
	}
	if (op == set) {
		if (n > XATTR_SIZE_MAX)
			return -E2BIG;
		c->size = n;
		c->flags = flags;
		c->value = n ? kmalloc(n) : NULL;
		if (n && !c->value)
			return -ENOMEM;
		if (n && copy_from_user(c->value, (void *)u, n))
			return -EFAULT;
	}
	if (by == BY_FD) {
		f = fd_peek((int)what);
		if (!f || (f->flags & O_PATH))
			return -EBADF;
		ino = f->ino;
		if (!ino)
			return op == list ? 0 : op == get ? -ENODATA : -EPERM;
		inode_get(ino);
	} else {
		ino = walk_inode(AT_FDCWD, (const char *)what, by == BY_PATH ? W_FOLLOW : 0);
		if (IS_ERR(ino))
			return PTR_ERR(ino);
	}
	r = op(ino, c, u, n);
	inode_put(ino);
	return r;
}

static long call(u64 what, int by, xop op, u64 uname, u64 u, u64 n, u64 flags)
{
	struct xcall *c = kzalloc(sizeof(*c));
	long r = c ? run(c, what, by, op, uname, u, n, flags) : -ENOMEM;

	if (c)
		kfree(c->value);
	kfree(c);
	return r;
}

#define XATTR(prefix, by) \
	SYSCALL(prefix##setxattr) { return call(a, by, set, b, c, d, (u32)e); } \
	SYSCALL(prefix##getxattr) { return call(a, by, get, b, c, d, 0); } \
	SYSCALL(prefix##listxattr) { return call(a, by, list, 0, b, c, 0); } \
	SYSCALL(prefix##removexattr) { return call(a, by, drop_one, b, 0, 0, 0); }

XATTR(, BY_PATH)
XATTR(l, BY_LINK)
XATTR(f, BY_FD)
