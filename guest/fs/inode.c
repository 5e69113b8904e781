/* SPDX-License-Identifier: Apache-2.0 */
/* inode.c: inode references, numbers and permissions. */
#include "vfs.h"

/* Numbers above those that an image can have (nid: a 32-byte unit of at most UFS_IMAGE_MAX). */
static u64 next_number = 1UL << 30;

u64 inode_new_number(void) { return next_number++; }

void inode_init(struct inode *ino, const struct inode_ops *ops, u32 mode, u32 dev)
{
	ino->ops = ops;
	ino->refs = 1;
	ino->mode = mode;
	ino->nlink = 1;
	ino->dev = dev;
	ino->ino = inode_new_number();
	ino->atime_ns = ino->mtime_ns = ino->ctime_ns = real_ns();
}

void inode_get(struct inode *ino) { ino->refs++; }

/* A release may put the parent, and so on up a chain of removed directories of any length: a list, not recursion. */
void inode_put(struct inode *ino)
{
	static struct inode *dead;
	static bool draining;

	if (!ino || --ino->refs)
		return;
	ino->next_dead = dead;
	dead = ino;
	if (draining)
		return;
	draining = true;
	while (dead) {
		struct inode *d = dead;
		dead = d->next_dead;
		if (d->ops->release)
			d->ops->release(d);
	}
	draining = false;
}

/* New files belong to the caller; in a set-group-id directory the group is the directory's. */
void inode_fill_owner(struct inode *ino, const struct inode *dir)
{
	struct thread *t = current();
	if (t && t->proc) {
		ino->uid = t->proc->euid;
		ino->gid = t->proc->egid;
	}
	if (dir && (dir->mode & S_ISGID)) {
		ino->gid = dir->gid;
		if (S_ISDIR(ino->mode))
			ino->mode |= S_ISGID;
	}
}

bool inode_owner(const struct inode *ino)
{
	struct process *p = curproc();
	return p->euid == 0 || p->euid == ino->uid;
}

static int may(const struct inode *ino, int mask, u32 uid, u32 gid)
{
	u32 bits = ino->mode;

	if (uid == 0) {
		if ((mask & MAY_EXEC) && !S_ISDIR(bits) && !(bits & 0111))
			return -EACCES;
		return 0;
	}
	if (uid == ino->uid)
		bits >>= 6;
	else if (gid == ino->gid)
		bits >>= 3;
	return (mask & ~bits & 7) ? -EACCES : 0;
}

int inode_may(struct inode *ino, int mask)
{
	struct thread *t = current();
	if (!t || !t->proc) /* boot */
		return 0;
	return may(ino, mask, t->proc->euid, t->proc->egid);
}

static long access_at(int dfd, const char *path, int mode, int flags)
{
	struct process *p = curproc();
	struct inode *ino;
	int r = 0;

	if ((mode & ~7) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
		return -EINVAL;
	if ((flags & AT_EMPTY_PATH)) {
		struct file *f = fd_peek(dfd);
		char c;
		if (f && !f->ino && !get_user(c, path) && !c)
			return 0;
	}
	ino = walk_inode(dfd, path, (flags & AT_SYMLINK_NOFOLLOW ? 0 : W_FOLLOW) | (flags & AT_EMPTY_PATH ? W_EMPTY : 0));
	if (IS_ERR(ino))
		return PTR_ERR(ino);
	if (mode) {
		bool eff = flags & AT_EACCESS;
		r = may(ino, mode, eff ? p->euid : p->uid, eff ? p->egid : p->gid);
		if (!r && (mode & MAY_WRITE) && (ino->dev == DEV_PROC || ino->dev == DEV_SYSFS) && !(ino->mode & 0222))
			r = ino->dev == DEV_SYSFS ? -EROFS : -EACCES;
	}
	inode_put(ino);
	return r;
}

SYSCALL(access) { return access_at(AT_FDCWD, (const char *)a, b, 0); }
SYSCALL(faccessat) { return access_at(IN_USER(a), (const char *)b, c, 0); }
SYSCALL(faccessat2) { return access_at(IN_USER(a), (const char *)b, c, d); }
