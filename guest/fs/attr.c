/* SPDX-License-Identifier: Apache-2.0 */
/* attr.c: changing mode, owner, times and size. */
#include "vfs.h"
#include <linux/falloc.h>

#define UTIME_NOW 0x3fffffff
#define UTIME_OMIT 0x3ffffffe

/* The inode that (dfd, path) or, with path NULL, the descriptor dfd itself names; referenced. */
static struct inode *target(int dfd, u64 upath, int flags)
{
	struct file *f;

	if (upath)
		return walk_inode(dfd, (const char *)upath, flags);
	f = fd_peek(dfd);
	if (!f || (f->flags & O_PATH))
		return ERR_PTR(-EBADF);
	if (!f->ino)
		return ERR_PTR(-EOPNOTSUPP);
	inode_get(f->ino);
	return f->ino;
}

static int how(u32 at) { return (at & AT_SYMLINK_NOFOLLOW ? 0 : W_FOLLOW) | (at & AT_EMPTY_PATH ? W_EMPTY : 0); }

static int read_only(const struct inode *ino) { return ino->dev == DEV_SYSFS || read_only_root(ino) ? -EROFS : ino->dev == DEV_PROC ? -EPERM : 0; }

/* Consumes the reference. what: for those who watch. */
static long changed(struct inode *ino, int r, u32 what)
{
	if (!r && ino->ops->setattr)
		r = ino->ops->setattr(ino);
	if (!r && what)
		notify(ino, what);
	inode_put(ino);
	return r;
}

static long set_mode(struct inode *ino, u32 mode)
{
	int r;

	if (IS_ERR(ino))
		return PTR_ERR(ino);
	r = read_only(ino);
	if (!r && S_ISLNK(ino->mode))
		r = -EOPNOTSUPP;
	if (!r && !inode_owner(ino))
		r = -EPERM;
	if (!r) {
		if (!in_group(ino->gid) && !capable(CAP_FSETID))
			mode &= ~S_ISGID;
		ino->mode = (ino->mode & S_IFMT) | (mode & S_IALL);
		ino->ctime_ns = real_ns();
	}
	return changed(ino, r, IN_ATTRIB);
}

SYSCALL(chmod) { return set_mode(walk_inode(AT_FDCWD, (const char *)a, W_FOLLOW), b); }
SYSCALL(fchmod) { return set_mode(target((int)a, 0, 0), b); }
SYSCALL(fchmodat) { return set_mode(walk_inode(IN_USER(a), (const char *)b, W_FOLLOW), c); }
SYSCALL(fchmodat2)
{
	if (d & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return set_mode(walk_inode(IN_USER(a), (const char *)b, how(d)), c);
}

static long set_owner(struct inode *ino, u32 uid, u32 gid)
{
	struct process *p = curproc();
	int r;

	if (IS_ERR(ino))
		return PTR_ERR(ino);
	r = read_only(ino);
	if (!r && uid != ~0U && !(p->fsuid == ino->uid && uid == ino->uid) && !capable(CAP_CHOWN))
		r = -EPERM;
	if (!r && gid != ~0U && !(p->fsuid == ino->uid && (gid == ino->gid || in_group(gid))) && !capable(CAP_CHOWN))
		r = -EPERM;
	if (!r) {
		ino->uid = uid != ~0U ? uid : ino->uid;
		ino->gid = gid != ~0U ? gid : ino->gid;
		inode_drop_setid(ino, true);
		ino->ctime_ns = real_ns();
	}
	return changed(ino, r, uid != ~0U || gid != ~0U ? IN_ATTRIB : 0);
}

SYSCALL(chown) { return set_owner(walk_inode(AT_FDCWD, (const char *)a, W_FOLLOW), b, c); }
SYSCALL(lchown) { return set_owner(walk_inode(AT_FDCWD, (const char *)a, 0), b, c); }
SYSCALL(fchown) { return set_owner(target((int)a, 0, 0), b, c); }
SYSCALL(fchownat)
{
	if (e & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return set_owner(walk_inode(IN_USER(a), (const char *)b, how(e)), c, d);
}

/* ts: access and modification time, NULL for now. Consumes the reference. */
static long set_times(struct inode *ino, const struct kts *ts)
{
	bool now = !ts || (ts[0].nsec == UTIME_NOW && ts[1].nsec == UTIME_NOW);
	u64 *at[2], t = real_ns();
	int r;

	if (IS_ERR(ino))
		return PTR_ERR(ino);
	r = 0;
	for (int i = 0; i < 2 && ts; i++)
		if (ts[i].nsec != UTIME_NOW && ts[i].nsec != UTIME_OMIT && (u64)ts[i].nsec >= NSEC)
			r = -EINVAL;
	if (!r)
		r = read_only(ino);
	if (!r && !inode_owner(ino))
		r = now ? inode_may(ino, MAY_WRITE) : -EPERM;
	if (r) {
		inode_put(ino);
		return r;
	}
	at[0] = &ino->atime_ns;
	at[1] = &ino->mtime_ns;
	for (int i = 0; i < 2; i++) {
		if (now || ts[i].nsec == UTIME_NOW)
			*at[i] = t;
		else if (ts[i].nsec != UTIME_OMIT)
			*at[i] = (u64)ts[i].sec * NSEC + ts[i].nsec;
	}
	ino->ctime_ns = t;
	if (!now && (ts[0].nsec == UTIME_OMIT || ts[1].nsec == UTIME_OMIT))
		return changed(ino, 0, ts[0].nsec == UTIME_OMIT ? IN_MODIFY : IN_ACCESS);
	return changed(ino, 0, IN_ATTRIB);
}

SYSCALL(utimensat)
{
	struct kts ts[2];

	if (d & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (c) {
		if (copy_from_user(ts, (void *)c, sizeof(ts)))
			return -EFAULT;
		if (ts[0].nsec == UTIME_OMIT && ts[1].nsec == UTIME_OMIT)
			return 0;
	}
	if (!b && IN_USER(a) == AT_FDCWD)
		return -EFAULT;
	if (!b && d)
		return -EINVAL;
	return set_times(target(IN_USER(a), b, how(d)), c ? ts : NULL);
}

static long with_timevals(int dfd, u64 upath, u64 utv)
{
	struct ktv tv[2];
	struct kts ts[2];

	if (utv) {
		if (copy_from_user(tv, (void *)utv, sizeof(tv)))
			return -EFAULT;
		for (int i = 0; i < 2; i++) {
			if ((u64)tv[i].usec >= 1000000)
				return -EINVAL;
			ts[i] = (struct kts){ tv[i].sec, tv[i].usec * 1000 };
		}
	}
	if (!upath && dfd == AT_FDCWD)
		return -EFAULT;
	return set_times(target(dfd, upath, W_FOLLOW), utv ? ts : NULL);
}

SYSCALL(utimes) { return with_timevals(AT_FDCWD, a, b); }
SYSCALL(futimesat) { return with_timevals(IN_USER(a), b, c); }

SYSCALL(utime)
{
	s64 t[2];
	struct kts ts[2];

	if (b && copy_from_user(t, (void *)b, sizeof(t)))
		return -EFAULT;
	for (int i = 0; i < 2 && b; i++)
		ts[i] = (struct kts){ t[i], 0 };
	return set_times(walk_inode(AT_FDCWD, (const char *)a, W_FOLLOW), b ? ts : NULL);
}

static int set_size(struct inode *ino, u64 size)
{
	int r;

	if (size > ino->size) {
		long n = file_size_limit(size - 1, 1);
		if (n < 0)
			return n;
	}
	if (!ino->ops->truncate)
		return -EINVAL;
	inode_drop_setid(ino, false);
	r = ino->ops->truncate(ino, size);
	if (!r)
		notify(ino, IN_MODIFY);
	return r;
}

SYSCALL(truncate)
{
	struct inode *ino;
	int r;

	if ((s64)b < 0)
		return -EINVAL;
	ino = walk_inode(AT_FDCWD, (const char *)a, W_FOLLOW);
	if (IS_ERR(ino))
		return PTR_ERR(ino);
	r = S_ISDIR(ino->mode) ? -EISDIR : !S_ISREG(ino->mode) ? -EINVAL : inode_may(ino, MAY_WRITE);
	if (!r && inode_running(ino))
		r = -ETXTBSY;
	if (!r && !ino->ops->truncate)
		r = ino->dev == DEV_SYSFS ? -EROFS : -EACCES;
	if (!r)
		r = set_size(ino, b);
	inode_put(ino);
	return r;
}

SYSCALL(ftruncate)
{
	struct file *file = fd_peek((int)a);

	if ((s64)b < 0)
		return -EINVAL;
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if (!file_writable(file) || !file->ino || !S_ISREG(file->ino->mode))
		return -EINVAL;
	return set_size(file->ino, b);
}

SYSCALL(fallocate)
{
	struct file *file = fd_peek((int)a);
	long r;

	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if ((s64)c < 0 || (s64)d <= 0)
		return -EINVAL;
	if ((b & ~0x7fUL) || ((b & FALLOC_FL_PUNCH_HOLE) && !(b & FALLOC_FL_KEEP_SIZE)))
		return -EOPNOTSUPP;
	if (!file_writable(file))
		return -EBADF;
	if (file->ino && S_ISFIFO(file->ino->mode))
		return -ESPIPE;
	if (file->ino && S_ISDIR(file->ino->mode))
		return -EISDIR;
	if (!file->ino || !S_ISREG(file->ino->mode))
		return -ENODEV;
	if ((s64)(c + d) < 0 || c + d > MAX_FILE_SIZE)
		return -EFBIG;
	if (!(b & FALLOC_FL_KEEP_SIZE) && c + d > file->ino->size) {
		r = file_size_limit(c + d - 1, 1);
		if (r < 0)
			return r;
	}
	file_get(file); /* the edges of a hole may have to be read from the host */
	r = tmpfs_fallocate(file->ino, b, c, d);
	if (!r)
		notify(file->ino, IN_MODIFY);
	file_put(file);
	return r;
}
