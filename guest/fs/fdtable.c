/* SPDX-License-Identifier: Apache-2.0 */
/* fdtable.c: descriptors of a process. */
#include "vfs.h"

#define FD_CAP_MAX (1U << 20)

struct fdtable *fdtable_create(void)
{
	struct fdtable *t = kzalloc(sizeof(*t));
	if (t)
		t->refs = 1;
	return t;
}

static int grow(struct fdtable *t, u32 want)
{
	u32 cap = t->cap ? t->cap : 64;
	struct file **f;
	u64 *c;

	while (cap < want)
		cap *= 2;
	if (cap == t->cap)
		return 0;
	f = kzalloc(cap * sizeof(*f));
	c = kzalloc(cap / 8);
	if (!f || !c) {
		kfree(f);
		kfree(c);
		return -ENOMEM;
	}
	memcpy(f, t->f, t->cap * sizeof(*f));
	memcpy(c, t->cloexec, t->cap / 8);
	kfree(t->f);
	kfree(t->cloexec);
	t->f = f;
	t->cloexec = c;
	t->cap = cap;
	return 0;
}

struct fdtable *fdtable_copy(struct fdtable *t)
{
	struct fdtable *n = fdtable_create();

	if (!n)
		return NULL;
	if (t->cap && grow(n, t->cap)) {
		kfree(n);
		return NULL;
	}
	memcpy(n->cloexec, t->cloexec, t->cap / 8);
	n->hint = t->hint;
	for (u32 i = 0; i < t->cap; i++)
		if ((n->f[i] = t->f[i]))
			file_get(n->f[i]);
	return n;
}

void fdtable_get(struct fdtable *t) { t->refs++; }

void fdtable_put(struct fdtable *t)
{
	if (!t || --t->refs)
		return;
	for (u32 i = 0; i < t->cap; i++)
		if (t->f[i])
			fd_close(t, i);
	kfree(t->f);
	kfree(t->cloexec);
	kfree(t);
}

static void mark_cloexec(struct fdtable *t, u32 fd, bool on)
{
	u64 bit = 1UL << (fd % 64);
	if (on)
		t->cloexec[fd / 64] |= bit;
	else
		t->cloexec[fd / 64] &= ~bit;
}

void fdtable_cloexec(struct fdtable *t)
{
	for (u32 w = 0; w < t->cap / 64; w++)
		for (u64 bits = t->cloexec[w]; bits; bits &= bits - 1)
			fd_close(t, w * 64 + __builtin_ctzl(bits));
}

struct file *fd_get(int fd)
{
	struct file *f = fd_peek(fd);
	if (unlikely(!f || (f->flags & O_PATH)))
		return NULL;
	f->refs++;
	return f;
}

struct file *fd_get_any(int fd)
{
	struct file *f = fd_peek(fd);
	if (f)
		f->refs++;
	return f;
}

struct file *fd_get_from(struct fdtable *t, int fd)
{
	struct file *f = (u32)fd < t->cap ? t->f[fd] : NULL;
	if (f)
		f->refs++;
	return f;
}

static u64 nofile_limit(void)
{
	u64 lim = curproc()->rlim[RLIMIT_NOFILE].cur;
	return MIN(lim, FD_CAP_MAX);
}

int fd_room(void)
{
	struct fdtable *t = curproc()->files;
	u32 fd = t->hint;

	while (fd < t->cap && t->f[fd])
		fd++;
	t->hint = fd;
	return fd < nofile_limit() ? 0 : -EMFILE;
}

int fd_install(struct file *f, int min, bool cloexec)
{
	struct fdtable *t = curproc()->files;
	u64 limit = nofile_limit();
	u32 fd = MAX((u32)min, t->hint);

	while (fd < t->cap && t->f[fd])
		fd++;
	if (fd >= limit)
		return -EMFILE;
	if (fd >= t->cap && grow(t, fd + 1))
		return -ENOMEM;
	if ((u32)min <= t->hint)
		t->hint = fd + 1;
	t->f[fd] = f;
	mark_cloexec(t, fd, cloexec);
	return fd;
}

int fd_install_at(struct fdtable *t, int fd, struct file *f, bool cloexec)
{
	struct file *old;

	if (fd < 0 || (u32)fd >= FD_CAP_MAX)
		return -EBADF;
	if ((u32)fd >= t->cap && grow(t, fd + 1))
		return -ENOMEM;
	old = t->f[fd];
	t->f[fd] = f;
	mark_cloexec(t, fd, cloexec);
	if (old) {
		if (lock_count && old->ino)
			locks_drop(old->ino, t);
		file_put(old);
	}
	return fd;
}

/* POSIX: closing any descriptor of a file drops the process's record locks on it. */
int fd_close(struct fdtable *t, int fd)
{
	struct file *f;

	if ((u32)fd >= t->cap || !(f = t->f[fd]))
		return -EBADF;
	t->f[fd] = NULL;
	mark_cloexec(t, fd, false);
	if ((u32)fd < t->hint)
		t->hint = fd;
	if (lock_count && f->ino)
		locks_drop(f->ino, t);
	file_put(f);
	return 0;
}

int fd_set_cloexec(int fd, bool on)
{
	if (!fd_peek(fd))
		return -EBADF;
	mark_cloexec(curproc()->files, fd, on);
	return 0;
}

bool fd_is_cloexec(int fd) { return curproc()->files->cloexec[fd / 64] >> (fd % 64) & 1; }

void fd_each(struct fdtable *t, bool (*fn)(int fd, struct file *f, void *arg), void *arg)
{
	for (u32 i = 0; i < t->cap; i++)
		if (t->f[i] && !fn(i, t->f[i], arg))
			return;
}

SYSCALL(close) { return fd_close(curproc()->files, (int)a); }

SYSCALL(dup)
{
	struct file *file = fd_get_any((int)a);
	int fd;

	if (!file)
		return -EBADF;
	fd = fd_install(file, 0, false);
	if (fd < 0)
		file_put(file);
	return fd;
}

static long dup_to(int oldfd, int newfd, bool cloexec)
{
	struct file *f = fd_peek(oldfd);
	int r;

	if (!f || newfd < 0 || (u64)newfd >= nofile_limit())
		return -EBADF;
	file_get(f);
	r = fd_install_at(curproc()->files, newfd, f, cloexec);
	if (r < 0)
		file_put(f);
	return r;
}

SYSCALL(dup2)
{
	if ((int)a == (int)b)
		return fd_peek((int)a) ? (int)a : -EBADF;
	return dup_to((int)a, (int)b, false);
}

SYSCALL(dup3)
{
	if ((c & ~(u64)O_CLOEXEC) || (int)a == (int)b)
		return -EINVAL;
	return dup_to((int)a, (int)b, c & O_CLOEXEC);
}

#define CLOSE_RANGE_UNSHARE 2
#define CLOSE_RANGE_CLOEXEC 4
SYSCALL(close_range)
{
	struct process *p = curproc();
	struct fdtable *t = p->files;
	u32 first = a, last = b;

	if ((c & ~(u64)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
		return -EINVAL;
	if ((c & CLOSE_RANGE_UNSHARE) && p->nthreads > 1)
		return -EINVAL;
	if ((c & CLOSE_RANGE_UNSHARE) && t->refs > 1) {
		struct fdtable *n = fdtable_copy(t);
		if (!n)
			return -ENOMEM;
		p->files = n;
		fdtable_put(t);
		t = n;
	}
	for (u32 i = first; i < t->cap && i <= last; i++) {
		if (!t->f[i])
			continue;
		if (c & CLOSE_RANGE_CLOEXEC)
			mark_cloexec(t, i, true);
		else
			fd_close(t, i);
	}
	return 0;
}
