/* SPDX-License-Identifier: Apache-2.0 */
/* namei.c: making, removing and renaming names. */
#include "vfs.h"

#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4

/* What Linux says where a file system cannot make or remove names. */
static int no_op(const struct inode *dir) { return dir->dev == DEV_SYSFS ? -EROFS : -EPERM; }

static int may_change(struct inode *dir) { return inode_may(dir, MAY_WRITE | MAY_EXEC); }

/* The place for a new name: w->dir and w->name. dir: a trailing slash is fine. */
static int new_name(struct walk **w, int dfd, const char *upath, bool dir)
{
	struct inode *ino;
	int r = walk_user(w, dfd, upath, W_PARENT);

	if (r)
		return r;
	if ((*w)->last == LAST_NORM) {
		ino = (*w)->dir->ops->lookup((*w)->dir, (*w)->name, (*w)->len);
		r = IS_ERR(ino) ? (int)PTR_ERR(ino) : -EEXIST;
		if (!IS_ERR(ino))
			inode_put(ino);
		if (r == -ENOENT && (*w)->dir->dev != DEV_PROC) /* there a missing name cannot even be looked up for making it */
			r = (*w)->slash && !dir ? -ENOENT : may_change((*w)->dir);
	} else {
		r = -EEXIST;
	}
	if (r)
		walk_put(*w);
	return r;
}

static long make_node(int dfd, u64 upath, u32 mode, u64 rdev)
{
	struct walk *w;
	struct inode *made;
	int r = new_name(&w, dfd, (const char *)upath, S_ISDIR(mode));

	if (r)
		return r;
	r = w->dir->ops->create ? 0 : no_op(w->dir);
	if (!r) {
		made = w->dir->ops->create(w->dir, w->name, w->len, mode & ~curproc()->fs->umask, rdev);
		if (IS_ERR(made))
			r = PTR_ERR(made);
		else
			inode_put(made);
		if (!r)
			notify_name(w->dir, IN_CREATE, S_ISDIR(mode), w->name, w->len);
	}
	walk_put(w);
	return r;
}

SYSCALL(mkdir) { return make_node(AT_FDCWD, a, S_IFDIR | (b & 01777), 0); }
SYSCALL(mkdirat) { return make_node(IN_USER(a), b, S_IFDIR | (c & 01777), 0); }

static long mknod_at(int dfd, u64 upath, u32 mode, u64 dev)
{
	u32 type = mode & S_IFMT;

	if (!type)
		type = S_IFREG;
	switch (type) {
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK: dev = 0; break;
	case S_IFCHR:
	case S_IFBLK: /* what no driver answers to cannot be opened */
		if (!capable(CAP_MKNOD) && !(type == S_IFCHR && !dev))
			return -EPERM;
		break;
	case S_IFDIR: return -EPERM;
	default: return -EINVAL;
	}
	return make_node(dfd, upath, type | (mode & S_IALL), (u32)dev);
}

SYSCALL(mknod) { return mknod_at(AT_FDCWD, a, b, c); }
SYSCALL(mknodat) { return mknod_at(IN_USER(a), b, c, d); }

static long symlink_at(u64 utarget, int dfd, u64 upath)
{
	char *target = kmalloc(PATH_MAX);
	struct walk *w;
	long r;

	if (!target)
		return -ENOMEM;
	r = strncpy_from_user(target, (const char *)utarget, PATH_MAX);
	if (r > 0)
		r = new_name(&w, dfd, (const char *)upath, false);
	else if (r == 0)
		r = -ENOENT;
	if (!r) {
		r = w->dir->ops->symlink ? w->dir->ops->symlink(w->dir, w->name, w->len, target) : no_op(w->dir);
		if (!r)
			notify_name(w->dir, IN_CREATE, false, w->name, w->len);
		walk_put(w);
	}
	kfree(target);
	return r;
}

SYSCALL(symlink) { return symlink_at(a, AT_FDCWD, b); }
SYSCALL(symlinkat) { return symlink_at(a, IN_USER(b), c); }

static long link_at(int odfd, u64 uold, int ndfd, u64 unew, u32 flags)
{
	struct inode *ino;
	struct walk *w;
	long r;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	ino = walk_inode(odfd, (const char *)uold, (flags & AT_SYMLINK_FOLLOW ? W_FOLLOW : 0) | (flags & AT_EMPTY_PATH ? W_EMPTY : 0));
	if (IS_ERR(ino))
		return PTR_ERR(ino);
	r = new_name(&w, ndfd, (const char *)unew, false);
	if (r)
		goto out;
	if (ino->dev != w->dir->dev)
		r = -EXDEV;
	else if (S_ISDIR(ino->mode) || !w->dir->ops->link)
		r = -EPERM;
	else
		r = w->dir->ops->link(w->dir, w->name, w->len, ino);
	if (!r && unlikely(watch_count)) {
		notify_watches(ino, IN_ATTRIB, 0, NULL, 0);
		notify_name(w->dir, IN_CREATE, false, w->name, w->len);
	}
	walk_put(w);
out:
	inode_put(ino);
	return r;
}

SYSCALL(link) { return link_at(AT_FDCWD, a, AT_FDCWD, b, 0); }
SYSCALL(linkat) { return link_at(IN_USER(a), b, IN_USER(c), d, e); }

static long remove_at(int dfd, u64 upath, bool isdir)
{
	struct walk *w;
	struct inode *ino;
	int r = walk_user(&w, dfd, (const char *)upath, W_PARENT);

	if (r)
		return r;
	if (w->last == LAST_DOT)
		r = isdir ? -EINVAL : -EISDIR;
	else if (w->last == LAST_DOTDOT)
		r = isdir ? -ENOTEMPTY : -EISDIR;
	else if (w->last != LAST_NORM)
		r = isdir ? -EBUSY : -EISDIR;
	if (r)
		goto out;
	ino = w->dir->ops->lookup(w->dir, w->name, w->len); /* that there is none comes before that it may not be removed */
	if (IS_ERR(ino)) {
		r = PTR_ERR(ino);
		goto out;
	}
	if (!isdir && w->slash)
		r = S_ISDIR(ino->mode) ? -EISDIR : -ENOTDIR;
	if (!r)
		r = may_change(w->dir);
	if (!r)
		r = w->dir->ops->unlink ? w->dir->ops->unlink(w->dir, w->name, w->len, isdir) : no_op(w->dir);
	if (!r && !isdir)
		notify_watches(ino, IN_ATTRIB, 0, NULL, 0);
	inode_put(ino); /* its last end is told before that of its name */
	if (!r)
		notify_name(w->dir, IN_DELETE, isdir, w->name, w->len);
out:
	walk_put(w);
	return r;
}

SYSCALL(rmdir) { return remove_at(AT_FDCWD, a, true); }
SYSCALL(unlink) { return remove_at(AT_FDCWD, a, false); }
SYSCALL(unlinkat) { return c & ~(u64)AT_REMOVEDIR ? -EINVAL : remove_at(IN_USER(a), b, c & AT_REMOVEDIR); }

/* What Linux checks first: that there is what must be there, then that a trailing slash asks for a directory. */
static int check_names(struct walk *o, struct walk *n, u32 flags)
{
	struct inode *from = o->dir->ops->lookup(o->dir, o->name, o->len), *to;
	bool fdir, tdir;

	if (IS_ERR(from))
		return PTR_ERR(from);
	o->ino = from; /* given back with the walks */
	fdir = S_ISDIR(from->mode);
	to = n->dir->ops->lookup(n->dir, n->name, n->len);
	if (IS_ERR(to) && (PTR_ERR(to) != -ENOENT || (flags & RENAME_EXCHANGE)))
		return PTR_ERR(to);
	if (!IS_ERR(to)) {
		n->ino = to;
		tdir = S_ISDIR(to->mode);
		if (flags & RENAME_NOREPLACE)
			return -EEXIST;
		if ((flags & RENAME_EXCHANGE) && !tdir && n->slash)
			return -ENOTDIR;
	}
	return !fdir && (o->slash || (n->slash && !(flags & RENAME_EXCHANGE))) ? -ENOTDIR : 0;
}

static long rename_at(int odfd, u64 uold, int ndfd, u64 unew, u32 flags)
{
	struct walk *o, *n;
	int r;

	if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) || (flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)) == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	r = walk_user(&o, odfd, (const char *)uold, W_PARENT);
	if (r)
		return r;
	r = walk_user(&n, ndfd, (const char *)unew, W_PARENT);
	if (r) {
		walk_put(o);
		return r;
	}
	if (o->last != LAST_NORM || n->last != LAST_NORM)
		r = n->last != LAST_NORM && o->last == LAST_NORM && (flags & RENAME_NOREPLACE) ? -EEXIST : -EBUSY;
	else if (o->dir->dev != n->dir->dev)
		r = -EXDEV;
	else if (!o->dir->ops->rename)
		r = no_op(o->dir);
	else
		r = check_names(o, n, flags);
	if (!r)
		r = may_change(o->dir);
	if (!r)
		r = may_change(n->dir);
	if (!r && o->dir != n->dir) /* a directory that moves gets another ".." */
		r = S_ISDIR(o->ino->mode) ? inode_may(o->ino, MAY_WRITE) : 0;
	if (!r && o->dir != n->dir && (flags & RENAME_EXCHANGE) && S_ISDIR(n->ino->mode))
		r = inode_may(n->ino, MAY_WRITE);
	if (!r)
		r = o->dir->ops->rename(o->dir, o->name, o->len, n->dir, n->name, n->len, flags);
	if (!r && unlikely(watch_count) && o->ino != n->ino) {
		struct inode *to = n->ino;
		notify_moved(&(struct moved){ o->ino, o->dir, n->dir, flags & RENAME_EXCHANGE ? NULL : to, o->name, n->name, o->len, n->len });
		if (flags & RENAME_EXCHANGE)
			notify_moved(&(struct moved){ to, n->dir, o->dir, NULL, n->name, o->name, n->len, o->len });
	}
	walk_put(n);
	walk_put(o);
	return r;
}

SYSCALL(rename) { return rename_at(AT_FDCWD, a, AT_FDCWD, b, 0); }
SYSCALL(renameat) { return rename_at(IN_USER(a), b, IN_USER(c), d, 0); }
SYSCALL(renameat2) { return rename_at(IN_USER(a), b, IN_USER(c), d, e); }

static long readlink_at(int dfd, u64 upath, u64 ubuf, int size)
{
	struct inode *ino;
	char *buf;
	long r;

	if (size <= 0)
		return -EINVAL;
	ino = walk_inode(dfd, (const char *)upath, W_EMPTY);
	if (IS_ERR(ino))
		return PTR_ERR(ino);
	r = S_ISLNK(ino->mode) ? 0 : -EINVAL;
	buf = r ? NULL : kmalloc(PATH_MAX);
	if (!r && !buf)
		r = -ENOMEM;
	if (!r) {
		r = ino->ops->readlink(ino, buf, PATH_MAX - 1);
		if (r > size)
			r = size;
		if (r > 0 && copy_to_user((void *)ubuf, buf, r))
			r = -EFAULT;
	}
	kfree(buf);
	inode_put(ino);
	return r;
}

static bool path_is_empty(u64 upath)
{
	char c;
	return !get_user(c, upath) && !c;
}

SYSCALL(readlink) { return (int)c > 0 && path_is_empty(a) ? -ENOENT : readlink_at(AT_FDCWD, a, b, (int)c); }
SYSCALL(readlinkat)
{
	long r = readlink_at(IN_USER(a), b, c, (int)d);
	return r == -EINVAL && (int)d > 0 && path_is_empty(b) ? -ENOENT : r;
}
