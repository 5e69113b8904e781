/* SPDX-License-Identifier: Apache-2.0 */
/* stat.c: what stat, statx and statfs tell about a file. */
#include "vfs.h"

void stat_inode(const struct inode *i, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_dev = i->dev;
	st->st_ino = i->ino;
	st->st_nlink = i->nlink;
	st->st_mode = i->mode;
	st->st_uid = i->uid;
	st->st_gid = i->gid;
	st->st_rdev = i->rdev;
	st->st_size = i->size;
	st->st_blksize = PAGE_SIZE;
	st->st_blocks = i->blocks;
	ktime_from_ns(i->atime_ns, &st->st_atime, &st->st_atime_nsec);
	ktime_from_ns(i->mtime_ns, &st->st_mtime, &st->st_mtime_nsec);
	ktime_from_ns(i->ctime_ns, &st->st_ctime, &st->st_ctime_nsec);
}

/* Number that stands for an open file without an inode. */
static u64 anon_number(const struct file *f) { return (u64)f >> 4 & 0xffffffff; }

void stat_file(struct file *f, struct stat *st)
{
	bool sock = f->ops->name && !strcmp(f->ops->name, "socket");

	if (f->ino) {
		stat_inode(f->ino, st);
		return;
	}
	memset(st, 0, sizeof(*st));
	st->st_dev = DEV_ANON;
	st->st_ino = sock ? anon_number(f) : 1;
	st->st_nlink = 1;
	st->st_mode = sock ? S_IFSOCK | 0777 : 0600;
	st->st_uid = curproc()->euid;
	st->st_gid = curproc()->egid;
	st->st_blksize = PAGE_SIZE;
}

const char *anon_name(const struct file *f, char *buf, size_t n)
{
	const char *name = f->ops->name ? f->ops->name : "anon";

	if (f->ino && S_ISCHR(f->ino->mode))
		snprintf(buf, n, "/dev/console");
	else if (!strcmp(name, "socket") || !strcmp(name, "pipe"))
		snprintf(buf, n, "%s:[%lu]", name, (unsigned long)(f->ino ? f->ino->ino : anon_number(f)));
	else
		snprintf(buf, n, "anon_inode:%s", name);
	return buf;
}

static bool empty_path(const char *upath)
{
	char c;
	return !get_user(c, upath) && !c;
}

/* Fills *st for (dfd, path, AT_* flags). */
static long stat_at(int dfd, const char *upath, u32 flags, struct stat *st)
{
	struct walk *w;
	int r;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	if ((flags & AT_EMPTY_PATH) && dfd != AT_FDCWD && empty_path(upath)) {
		struct file *f = fd_peek(dfd);
		if (!f)
			return -EBADF;
		stat_file(f, st);
		return 0;
	}
	r = walk_user(&w, dfd, upath, (flags & AT_SYMLINK_NOFOLLOW ? 0 : W_FOLLOW) | (flags & AT_EMPTY_PATH ? W_EMPTY : 0));
	if (r)
		return r;
	if (w->ino)
		stat_inode(w->ino, st);
	else
		stat_file(w->magic, st);
	walk_put(w);
	return 0;
}

static long stat_out(int dfd, u64 path, u32 flags, u64 ust)
{
	struct stat st;
	long r = stat_at(dfd, (const char *)path, flags, &st);

	return r ? r : copy_to_user((void *)ust, &st, sizeof(st));
}

SYSCALL(stat) { return stat_out(AT_FDCWD, a, 0, b); }
SYSCALL(lstat) { return stat_out(AT_FDCWD, a, AT_SYMLINK_NOFOLLOW, b); }

SYSCALL(newfstatat)
{
	if (d & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return -EINVAL;
	return stat_out(IN_USER(a), b, d, c);
}

SYSCALL(fstat)
{
	struct file *file = fd_peek((int)a);
	struct stat st;

	if (!file)
		return -EBADF;
	stat_file(file, &st);
	return copy_to_user((void *)b, &st, sizeof(st));
}

static void split_dev(u64 dev, __u32 *major, __u32 *minor)
{
	*major = (dev >> 8 & 0xfff) | (dev >> 32 & 0xfffff000);
	*minor = (dev & 0xff) | (dev >> 12 & 0xffffff00);
}

SYSCALL(statx)
{
	struct stat st;
	struct statx sx;
	long r;

	if ((d & STATX__RESERVED) || (c & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	r = stat_at(IN_USER(a), (const char *)b, c, &st);
	if (r)
		return r;
	memset(&sx, 0, sizeof(sx));
	sx.stx_mask = STATX_BASIC_STATS;
	sx.stx_blksize = st.st_blksize;
	sx.stx_nlink = st.st_nlink;
	sx.stx_uid = st.st_uid;
	sx.stx_gid = st.st_gid;
	sx.stx_mode = st.st_mode;
	sx.stx_ino = st.st_ino;
	sx.stx_size = st.st_size;
	sx.stx_blocks = st.st_blocks;
	sx.stx_atime.tv_sec = st.st_atime;
	sx.stx_atime.tv_nsec = st.st_atime_nsec;
	sx.stx_mtime.tv_sec = st.st_mtime;
	sx.stx_mtime.tv_nsec = st.st_mtime_nsec;
	sx.stx_ctime.tv_sec = st.st_ctime;
	sx.stx_ctime.tv_nsec = st.st_ctime_nsec;
	split_dev(st.st_rdev, &sx.stx_rdev_major, &sx.stx_rdev_minor);
	split_dev(st.st_dev, &sx.stx_dev_major, &sx.stx_dev_minor);
	return copy_to_user((void *)e, &sx, sizeof(sx));
}

#define TMPFS_MAGIC 0x01021994
#define PROC_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define OVERLAY_MAGIC 0x794c7630
#define PIPEFS_MAGIC 0x50495045
#define ANON_MAGIC 0x09041934
#define SOCKFS_MAGIC 0x534f434b

static long statfs_out(const struct inode *ino, const struct file *f, u64 ubuf)
{
	struct statfs s;
	u64 limit, used;

	memset(&s, 0, sizeof(s));
	s.f_bsize = s.f_frsize = PAGE_SIZE;
	s.f_namelen = NAME_MAX;
	s.f_flags = 0x20 | (ino && read_only_root(ino)); /* ST_VALID, ST_RDONLY */
	if (!ino) {
		s.f_type = f->ops->name && !strcmp(f->ops->name, "socket") ? SOCKFS_MAGIC : ANON_MAGIC;
	} else if (tmpfs_usage(ino, &limit, &used)) {
		limit = MIN(limit, page_total_bytes());
		s.f_type = ino->dev == DEV_ROOT && has_lower_root() ? OVERLAY_MAGIC : TMPFS_MAGIC;
		s.f_blocks = limit / PAGE_SIZE;
		s.f_bfree = s.f_bavail = MIN(limit - MIN(used, limit), page_free_bytes()) / PAGE_SIZE;
		s.f_files = limit / 512;
		s.f_ffree = s.f_bfree * 8;
	} else {
		s.f_type = ino->dev == DEV_PROC ? PROC_MAGIC : ino->dev == DEV_SYSFS ? SYSFS_MAGIC : ino->dev == DEV_PIPE ? PIPEFS_MAGIC : ANON_MAGIC;
	}
	if (ino)
		s.f_fsid.val[0] = ino->dev;
	return copy_to_user((void *)ubuf, &s, sizeof(s));
}

SYSCALL(statfs)
{
	struct inode *ino = walk_inode(AT_FDCWD, (const char *)a, W_FOLLOW);
	long r;

	if (IS_ERR(ino))
		return PTR_ERR(ino);
	r = statfs_out(ino, NULL, b);
	inode_put(ino);
	return r;
}

SYSCALL(fstatfs)
{
	struct file *file = fd_peek((int)a);
	return file ? statfs_out(file->ino, file, b) : -EBADF;
}
