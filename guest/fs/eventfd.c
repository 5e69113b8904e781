/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd.c: a counter as a file. */
#include "poll.h"
#include "syscall.h"
#include <asm/fcntl.h>

#define EFD_SEMAPHORE 1
#define COUNT_MAX (~0ULL - 1)

struct eventfd { struct waitq wq; u64 count; bool semaphore; };

static long eventfd_read(struct file *f, struct iter *it, u64 *pos)
{
	struct eventfd *e = f->priv;
	if (it->left < 8)
		return -EINVAL;
	while (!e->count) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		int r = wait_on(&e->wq, e->count, ~0ULL);
		if (r)
			return r;
	}
	u64 v = e->semaphore ? 1 : e->count;
	e->count -= v;
	waitq_wake(&e->wq, POLL_OUT);
	return iter_put(it, &v, 8) == 8 ? 8 : -EFAULT;
}

static long eventfd_write(struct file *f, struct iter *it, u64 *pos)
{
	struct eventfd *e = f->priv;
	u64 v;
	if (it->left < 8)
		return -EINVAL;
	if (iter_get(it, &v, 8) != 8)
		return -EFAULT;
	if (v > COUNT_MAX)
		return -EINVAL;
	while (v > COUNT_MAX - e->count) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		int r = wait_on(&e->wq, v <= COUNT_MAX - e->count, ~0ULL);
		if (r)
			return r;
	}
	e->count += v;
	waitq_wake(&e->wq, POLL_IN);
	return 8;
}

static u32 eventfd_poll(struct file *f, struct poll_table *pt)
{
	struct eventfd *e = f->priv;
	poll_wait(pt, &e->wq);
	return (e->count ? POLL_IN : 0) | (e->count < COUNT_MAX ? POLL_OUT : 0);
}

static void eventfd_release(struct file *f) { kfree(f->priv); }

static const struct file_ops eventfd_ops = {
	.read = eventfd_read, .write = eventfd_write, .poll = eventfd_poll, .release = eventfd_release, .seek = noop_seek, .name = "[eventfd]",
};

static long eventfd_new(u32 count, u32 flags)
{
	if (flags & ~(u32)(EFD_SEMAPHORE | O_NONBLOCK | O_CLOEXEC))
		return -EINVAL;
	struct eventfd *e = kzalloc(sizeof(*e));
	struct file *f = e ? file_alloc(&eventfd_ops, O_RDWR | (flags & O_NONBLOCK), e) : NULL;
	if (!f) {
		kfree(e);
		return -ENOMEM;
	}
	waitq_init(&e->wq);
	e->count = count;
	e->semaphore = flags & EFD_SEMAPHORE;
	int fd = fd_install(f, 0, flags & O_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

SYSCALL(eventfd) { return eventfd_new(a, 0); }
SYSCALL(eventfd2) { return eventfd_new(a, b); }
