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
		if (unlikely(d->watches))
			notify_gone(d);
		if (d->ops->release)
			d->ops->release(d);
	}
	draining = false;
}

bool in_group(u32 gid)
{
	struct process *p = curproc();

	for (u32 i = 0; p->groups && i < p->groups->n; i++)
		if (p->groups->gid[i] == gid)
			return true;
	return (current()->flags & TF_AS_REAL ? p->gid : p->fsgid) == gid;
}

/* New files belong to the caller; in a set-group-id directory the group is the directory's. */
void inode_fill_owner(struct inode *ino, const struct inode *dir)
{
	struct thread *t = current();
	if (t && t->proc) {
		ino->uid = t->proc->fsuid;
		ino->gid = t->proc->fsgid;
	}
	if (dir && (dir->mode & S_ISGID)) {
		ino->gid = dir->gid;
		if (S_ISDIR(ino->mode))
			ino->mode |= S_ISGID;
		else if ((ino->mode & (S_ISGID | 010)) == (S_ISGID | 010) && !capable(CAP_FSETID) && !in_group(dir->gid))
			ino->mode &= ~S_ISGID;
	}
}

bool inode_owner(const struct inode *ino) { return curproc()->fsuid == ino->uid || capable(CAP_FOWNER); }

void inode_drop_setid(struct inode *ino, bool always)
{
	bool may = capable(CAP_FSETID);
	u32 drop = S_ISUID;

	if (!(ino->mode & (S_ISUID | S_ISGID)) || S_ISDIR(ino->mode) || (may && !always))
		return;
	if ((ino->mode & 010) || (!may && !in_group(ino->gid)))
		drop |= S_ISGID;
	ino->mode &= ~drop;
}

static int may(const struct inode *ino, int mask, u32 uid, u64 caps)
{
	u32 bits = ino->mode;

	if (uid == ino->uid)
		bits >>= 6;
	else if (((bits >> 3 ^ bits) & 7) && in_group(ino->gid)) /* which only matters when they differ */
		bits >>= 3;
	if (!(mask & ~bits & 7))
		return 0;
	if ((caps >> CAP_DAC_OVERRIDE & 1) && (!(mask & MAY_EXEC) || S_ISDIR(ino->mode) || (ino->mode & 0111)))
		return 0;
	if ((caps >> CAP_DAC_READ_SEARCH & 1) && (S_ISDIR(ino->mode) ? !(mask & MAY_WRITE) : mask == MAY_READ))
		return 0;
	return -EACCES;
}

int inode_may(struct inode *ino, int mask)
{
	struct thread *t = current();
	if (!t || !t->proc) /* boot */
		return 0;
	if (mask & MAY_WRITE && read_only_root(ino))
		return -EROFS;
	if (t->flags & TF_AS_REAL)
		return may(ino, mask, t->proc->uid, t->proc->uid ? 0 : t->proc->cap_perm);
	return may(ino, mask, t->proc->fsuid, t->proc->cap_eff);
}

static long access_at(int dfd, const char *path, int mode, int flags)
{
	struct thread *t = current();
	struct inode *ino;
	int r;

	if ((mode & ~7) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
		return -EINVAL;
	if ((flags & AT_EMPTY_PATH)) {
		struct file *f = fd_peek(dfd);
		char c;
		if (f && !f->ino && !get_user(c, path) && !c)
			return 0;
	}
	/* access() asks for the real user and group, which the walk to the file must see too. */
	if (!(flags & AT_EACCESS))
		t->flags |= TF_AS_REAL;
	ino = walk_inode(dfd, path, (flags & AT_SYMLINK_NOFOLLOW ? 0 : W_FOLLOW) | (flags & AT_EMPTY_PATH ? W_EMPTY : 0));
	if (IS_ERR(ino)) {
		r = PTR_ERR(ino);
	} else {
		r = mode ? inode_may(ino, mode) : 0;
		if (!r && (mode & MAY_WRITE) && (ino->dev == DEV_PROC || ino->dev == DEV_SYSFS) && !(ino->mode & 0222))
			r = ino->dev == DEV_SYSFS ? -EROFS : -EACCES;
		inode_put(ino);
	}
	t->flags &= ~TF_AS_REAL;
	return r;
}

SYSCALL(access) { return access_at(AT_FDCWD, (const char *)a, b, 0); }
SYSCALL(faccessat) { return access_at(IN_USER(a), (const char *)b, c, 0); }
SYSCALL(faccessat2) { return access_at(IN_USER(a), (const char *)b, c, d); }
