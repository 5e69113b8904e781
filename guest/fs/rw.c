/* SPDX-License-Identifier: Apache-2.0 */
/* rw.c: reading, writing and seeking. */
#include "vfs.h"

#define IOV_MAX 1024
#define IOV_FAST 8

static long file_read(struct file *f, struct iter *it, u64 *pos)
{
	long r = unlikely(!file_readable(f)) ? -EBADF : likely(f->ops->read) ? f->ops->read(f, it, pos) : -EINVAL;
	if (r > 0)
		notify(f->ino, IN_ACCESS);
	file_put(f);
	return r;
}

static long file_write(struct file *f, struct iter *it, u64 *pos)
{
	long r = unlikely(!file_writable(f)) ? -EBADF : likely(f->ops->write) ? f->ops->write(f, it, pos) : -EINVAL;
	if (r > 0)
		notify(f->ino, IN_MODIFY);
	file_put(f);
	return r;
}

SYSCALL(read)
{
	struct file *file = fd_get((int)a);
	struct iter it;

	if (unlikely(!file))
		return -EBADF;
	iter_user(&it, (void *)b, MIN(c, MAX_RW_COUNT));
	return file_read(file, &it, &file->pos);
}

SYSCALL(write)
{
	struct file *file = fd_get((int)a);
	struct iter it;

	if (unlikely(!file))
		return -EBADF;
	iter_user(&it, (void *)b, MIN(c, MAX_RW_COUNT));
	return file_write(file, &it, &file->pos);
}

/* A descriptor for reading or writing at a position. */
static struct file *positioned(int fd, s64 pos)
{
	struct file *f;

	if (pos < 0)
		return ERR_PTR(-EINVAL);
	f = fd_get(fd);
	if (!f)
		return ERR_PTR(-EBADF);
	if (f->ops->seek && f->ino)
		return f;
	pos = f->flags & O_PATH ? -EBADF : -ESPIPE;
	file_put(f);
	return ERR_PTR(pos);
}

SYSCALL(pread64)
{
	struct file *file = positioned((int)a, d);
	struct iter it;
	u64 pos = d;

	if (IS_ERR(file))
		return PTR_ERR(file);
	iter_user(&it, (void *)b, MIN(c, MAX_RW_COUNT));
	return file_read(file, &it, &pos);
}

SYSCALL(pwrite64)
{
	struct file *file = positioned((int)a, d);
	struct iter it;
	u64 pos = d;

	if (IS_ERR(file))
		return PTR_ERR(file);
	iter_user(&it, (void *)b, MIN(c, MAX_RW_COUNT));
	return file_write(file, &it, &pos);
}

/* One vectored transfer; pos NULL: the file's own. Consumes f. */
static long vectored(struct file *f, const struct iovec *uiov, u64 n, u64 *pos, bool write)
{
	struct iovec fast[IOV_FAST], *iov = fast;
	struct iter it;
	long r = -EINVAL;

	if (!(write ? file_writable(f) : file_readable(f)))
		r = -EBADF;
	if (r == -EBADF || n > IOV_MAX || !(write ? (void *)f->ops->write : (void *)f->ops->read))
		goto out;
	if (n > IOV_FAST && !(iov = kmalloc(n * sizeof(*iov)))) {
		r = -ENOMEM;
		goto out;
	}
	r = copy_from_user(iov, uiov, n * sizeof(*iov)) ? -EFAULT : 0;
	if (!r)
		r = iter_iov(&it, iov, n);
	if (r) {
		if (iov != fast)
			kfree(iov);
		goto out;
	}
	it.left = MIN(it.left, MAX_RW_COUNT);
	if (!pos)
		pos = &f->pos;
	r = write ? file_write(f, &it, pos) : file_read(f, &it, pos);
	if (iov != fast)
		kfree(iov);
	return r;
out:
	file_put(f);
	return r;
}

static long at_own(u64 fd, u64 iov, u64 n, bool write)
{
	struct file *file = fd_get((int)fd);
	return file ? vectored(file, (void *)iov, n, NULL, write) : -EBADF;
}

static long at_pos(u64 fd, u64 iov, u64 n, u64 pos, bool write)
{
	struct file *file = positioned((int)fd, pos);
	return IS_ERR(file) ? PTR_ERR(file) : vectored(file, (void *)iov, n, &pos, write);
}

SYSCALL(readv) { return at_own(a, b, c, false); }
SYSCALL(writev) { return at_own(a, b, c, true); }
SYSCALL(preadv) { return at_pos(a, b, c, d, false); }
SYSCALL(pwritev) { return at_pos(a, b, c, d, true); }

#define RWF_HIPRI 1
#define RWF_DSYNC 2
#define RWF_SYNC 4
#define RWF_NOWAIT 8
#define RWF_APPEND 16

/* Files in memory are as synced as they get; NOWAIT stands for O_NONBLOCK in this call. */
static long with_flags(u64 fd, u64 iov, u64 n, u64 pos, u64 rwf, bool write)
{
	struct file *file = (s64)pos == -1 ? fd_get((int)fd) : positioned((int)fd, pos);
	bool no_seek;
	u32 set;
	long r;

	if (!file || IS_ERR(file))
		return file ? PTR_ERR(file) : -EBADF;
	if (!(write ? file_writable(file) : file_readable(file))) {
		file_put(file);
		return -EBADF;
	}
	if (rwf & ~(u64)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)) {
		file_put(file);
		return -EOPNOTSUPP;
	}
	no_seek = (s64)pos == -1;
	set = ((rwf & RWF_NOWAIT ? O_NONBLOCK : 0) | (rwf & RWF_APPEND && write ? O_APPEND : 0)) & ~file->flags;
	file_get(file);
	file->flags |= set;
	r = vectored(file, (void *)iov, n, no_seek ? NULL : &pos, write);
	file->flags &= ~set;
	file_put(file);
	return r;
}

SYSCALL(preadv2) { return with_flags(a, b, c, d, f, false); }
SYSCALL(pwritev2) { return with_flags(a, b, c, d, f, true); }

#define SPLICE_F_NONBLOCK 2

/* Into a pipe goes what fits, after a wait for the first room; out of one comes what is there. */
SYSCALL(vmsplice)
{
	struct file *file = fd_get((int)a);
	struct iovec first;
	bool write;
	u32 set;
	long r;

	if (!file)
		return -EBADF;
	write = file_writable(file);
	r = d & ~15UL ? -EINVAL : !c ? 0 : !file_is_pipe(file) ? -EBADF : c > IOV_MAX ? -EINVAL : 0;
	if (!r && c && copy_from_user(&first, (void *)b, sizeof(first))) /* before the wait */
		r = -EFAULT;
	if (!r && c && write)
		r = pipe_wait_room(file, (d & SPLICE_F_NONBLOCK) || (file->flags & O_NONBLOCK));
	if (r < 0 || !c) {
		file_put(file);
		return r < 0 ? r : 0;
	}
	set = (write || (d & SPLICE_F_NONBLOCK) ? O_NONBLOCK : 0) & ~file->flags;
	file_get(file);
	file->flags |= set;
	r = vectored(file, (void *)b, c, NULL, write);
	file->flags &= ~set;
	file_put(file);
	return r;
}

SYSCALL(lseek)
{
	struct file *file = fd_peek((int)a);

	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if ((u32)c > 4)
		return -EINVAL;
	if (!file->ops->seek)
		return -ESPIPE;
	return file->ops->seek(file, b, (int)c);
}

/* Nothing is behind memory: what was written is where it stays. */
static long synced(int fd)
{
	struct file *file = fd_peek(fd);

	if (!file || (file->flags & O_PATH))
		return -EBADF;
	return file->ino && (S_ISREG(file->ino->mode) || S_ISDIR(file->ino->mode)) && file->ino->dev != DEV_PROC ? 0 : -EINVAL;
}

SYSCALL(fsync) { return synced((int)a); }
SYSCALL(fdatasync) { return synced((int)a); }
SYSCALL(sync) { return 0; }

SYSCALL(syncfs)
{
	struct file *file = fd_peek((int)a);
	return file && !(file->flags & O_PATH) ? 0 : -EBADF;
}

SYSCALL(sync_file_range)
{
	struct file *file = fd_peek((int)a);

	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if ((d & ~7UL) || (s64)b < 0 || (s64)c < 0 || (s64)(b + c) < 0)
		return -EINVAL;
	return file->ino && (S_ISREG(file->ino->mode) || S_ISDIR(file->ino->mode)) ? 0 : -ESPIPE;
}

SYSCALL(readahead)
{
	struct file *file = fd_peek((int)a);

	if (!file || !file_readable(file))
		return -EBADF;
	return file->ino && S_ISREG(file->ino->mode) ? 0 : -EINVAL;
}

SYSCALL(fadvise64)
{
	struct file *file = fd_peek((int)a);

	if (!file || (file->flags & O_PATH))
		return -EBADF;
	if (file->ino && S_ISFIFO(file->ino->mode))
		return -ESPIPE;
	return d > 5 || (s64)c < 0 ? -EINVAL : 0;
}
