/* SPDX-License-Identifier: Apache-2.0 */
/* file.c: open files: references, and the operations of regular files and directories. */
#include "vfs.h"

struct file *file_alloc(const struct file_ops *ops, u32 flags, void *priv)
{
	struct file *f = kzalloc(sizeof(*f));
	if (!f)
		return NULL;
	f->ops = ops;
	f->refs = 1;
	f->flags = flags;
	f->priv = priv;
	list_init(&f->epolls);
	return f;
}

void file_get(struct file *f) { f->refs++; }

void file_put(struct file *f)
{
	if (!f || --f->refs)
		return;
	if (!list_empty(&f->epolls))
		epoll_file_gone(f);
	if (f->async)
		async_gone(f);
	if (lock_count && f->ino)
		locks_drop(f->ino, f);
	if (unlikely(watch_count) && f->ino && !(f->flags & O_PATH))
		notify_inode(f->ino, file_writable(f) ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
	if (f->ops->release)
		f->ops->release(f);
	inode_put(f->ino);
	kfree(f->path);
	kfree(f);
}

long file_size_limit(u64 off, u64 n)
{
	u64 limit = MAX_FILE_SIZE;
	struct thread *t = current();

	if (t && t->proc && t->proc->rlim[RLIMIT_FSIZE].cur < limit) {
		limit = t->proc->rlim[RLIMIT_FSIZE].cur;
		if (off >= limit && n) {
			struct ksiginfo si = { .signo = SIGXFSZ, .code = SI_KERNEL };
			signal_send_thread(t, &si);
			return -EFBIG;
		}
	}
	if (off >= limit && n)
		return -EFBIG;
	return MIN(n, limit - off);
}

static long regular_read(struct file *f, struct iter *it, u64 *pos)
{
	const struct inode_ops *ops = f->ino->ops;
	long r;

	if (unlikely(!ops->read))
		return -EINVAL;
	r = ops->read(f->ino, it, *pos);
	if (r > 0)
		*pos += r;
	return r;
}

static long regular_write(struct file *f, struct iter *it, u64 *pos)
{
	struct inode *ino = f->ino;
	u64 off = f->flags & O_APPEND ? ino->size : *pos;
	long r;

	if (!ino->ops->write)
		return -EINVAL;
	if (!it->left)
		return 0;
	r = file_size_limit(off, it->left);
	if (r < 0)
		return r;
	it->left = r;
	if (unlikely(ino->mode & (S_ISUID | S_ISGID)))
		inode_drop_setid(ino, false);
	r = ino->ops->write(ino, it, off);
	if (r > 0)
		*pos = off + r;
	return r;
}

long generic_seek(struct file *f, s64 off, int whence)
{
	s64 size = f->ino ? f->ino->size : 0, base;

	switch (whence) {
	case 0: base = 0; break;
	case 1: base = f->pos; break;
	case 2: base = size; break;
	case 3: /* SEEK_DATA */
	case 4: /* SEEK_HOLE */
		if (off < 0 || off >= size)
			return -ENXIO;
		base = f->ino ? tmpfs_next(f->ino, off, whence == 3) : off;
		if (base >= 0)
			f->pos = base;
		return base;
	default: return -EINVAL;
	}
	if (__builtin_add_overflow(base, off, &base))
		return -EOVERFLOW;
	if (base < 0)
		return -EINVAL;
	f->pos = base;
	return base;
}

static long directory_seek(struct file *f, s64 off, int whence)
{
	s64 pos = whence == 1 ? (s64)f->pos + off : off;

	if (whence > 1 || whence < 0 || pos < 0)
		return -EINVAL;
	f->pos = pos;
	return pos;
}

static long directory_read(struct file *f, struct iter *it, u64 *pos) { return -EISDIR; }

static int directory_readdir(struct file *f, u64 *pos, bool (*emit)(void *, const char *, size_t, u64, u8, u64), void *arg)
{
	if (!f->ino->ops->readdir)
		return -ENOTDIR;
	return f->ino->ops->readdir(f->ino, pos, emit, arg);
}

const struct file_ops regular_fops = { .read = regular_read, .write = regular_write, .seek = generic_seek };
const struct file_ops directory_fops = { .read = directory_read, .seek = directory_seek, .readdir = directory_readdir };
const struct file_ops path_fops = { .name = NULL };

long file_read_kernel(struct file *f, void *buf, size_t n, u64 off)
{
	struct iter it;
	size_t done = 0;

	if (!f->ops->read)
		return -EINVAL;
	while (done < n) {
		u64 pos = off + done;
		iter_kernel(&it, (char *)buf + done, n - done);
		long r = f->ops->read(f, &it, &pos);
		if (r < 0)
			return done ? (long)done : r;
		if (!r)
			break;
		done += r;
	}
	return done;
}
