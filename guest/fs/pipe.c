/* SPDX-License-Identifier: Apache-2.0 */
/* pipe.c: pipes and fifos: a ring of bytes that grows to its capacity as it is used. */
#include "poll.h"
#include "vfs.h"
#include <asm/ioctls.h>

#define PIPE_BUF 4096U
#define PIPE_CAP 65536U
#define PIPE_CAP_MAX (1U << 20)

struct pipe {
	struct inode i;        /* of an anonymous pipe: the files refer to it */
	struct inode *fifo;    /* of a fifo: the name's inode, NULL for an anonymous pipe */
	struct list link;      /* fifos */
	struct waitq rq, wq;   /* waiting for data, for room */
	u8 *buf;
	u32 size, cap;         /* of buf (a power of two), what it may grow to */
	u32 head, tail;        /* bytes put in, taken out, modulo 2^32 */
	u32 readers, writers, users;
	u32 opened_read, opened_write; /* counted up: what a fifo's open waits for */
};

static struct list fifos = LIST_INIT(fifos);
static const struct file_ops pipe_fops;

bool file_is_pipe(const struct file *f) { return f->ops == &pipe_fops; }
static u32 used(const struct pipe *p) { return p->head - p->tail; }
static u32 room(const struct pipe *p) { return used(p) < p->cap ? p->cap - used(p) : 0; }
static void wake(struct waitq *q, u32 events)
{
	if (!list_empty(&q->waiters))
		waitq_wake(q, events);
}

static bool grow(struct pipe *p, u32 want)
{
	u32 n = p->size ? p->size : PIPE_BUF, have = used(p), at, first;
	u8 *b;

	while (n < want)
		n *= 2;
	if (n <= p->size)
		return true;
	b = kmalloc(n);
	if (!b)
		return false;
	if (have) {
		at = p->tail & (p->size - 1);
		first = MIN(have, p->size - at);
		memcpy(b, p->buf + at, first);
		memcpy(b + first, p->buf, have - first);
	}
	kfree(p->buf);
	p->buf = b;
	p->size = n;
	p->tail = 0;
	p->head = have;
	return true;
}

static long take(struct pipe *p, struct iter *it)
{
	long done = 0;

	while (it->left && used(p)) {
		u32 at = p->tail & (p->size - 1);
		u32 n = MIN(MIN((u64)used(p), it->left), p->size - at);
		long r = iter_put(it, p->buf + at, n);
		if (r <= 0)
			return done ? done : r;
		p->tail += r;
		done += r;
	}
	return done;
}

static long put(struct pipe *p, struct iter *it, u64 n)
{
	long done = 0;

	if (used(p) + n > p->size && !grow(p, used(p) + n)) {
		if (used(p) == p->size)
			return -ENOMEM;
		n = p->size - used(p);
	}
	while (n) {
		u32 at = p->head & (p->size - 1);
		long r = iter_get(it, p->buf + at, MIN(n, (u64)(p->size - at)));
		if (r <= 0)
			return done ? done : r;
		p->head += r;
		done += r;
		n -= r;
	}
	return done;
}

static long pipe_read(struct file *f, struct iter *it, u64 *pos)
{
	struct pipe *p = f->priv;
	bool full;
	long r;

	if (!it->left)
		return 0;
	while (!used(p)) {
		if (!p->writers)
			return 0;
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		r = wait_on(&p->rq, used(p) || !p->writers, ~0UL);
		if (r)
			return r;
	}
	full = room(p) < PIPE_BUF; /* else no writer waits */
	r = take(p, it);
	if (full)
		wake(&p->wq, POLL_OUT);
	return r;
}

static long broken(void)
{
	struct ksiginfo si = { .signo = SIGPIPE, .code = SI_USER, .pid = curproc()->pid, .uid = curproc()->uid };
	signal_send_thread(current(), &si);
	return -EPIPE;
}

static long pipe_write(struct file *f, struct iter *it, u64 *pos)
{
	struct pipe *p = f->priv;
	long done = 0, r = 0;

	if (!it->left)
		return 0;
	while (it->left) {
		u32 need = done ? 1 : MIN(it->left, PIPE_BUF); /* up to PIPE_BUF bytes go in together */
		u32 was;

		if (!p->readers) {
			r = broken();
			break;
		}
		if (room(p) < need && !(it->left > PIPE_BUF && !done && room(p))) {
			r = -EAGAIN;
			if (!(f->flags & O_NONBLOCK))
				r = wait_on(&p->wq, room(p) >= need || !p->readers, ~0UL);
			if (r)
				break;
			continue;
		}
		was = p->head;
		r = put(p, it, MIN(it->left, (u64)room(p)));
		if (p->head != was)
			wake(&p->rq, POLL_IN);
		if (r <= 0)
			break;
		done += r;
	}
	return done ? done : r;
}

static u32 pipe_poll(struct file *f, struct poll_table *pt)
{
	struct pipe *p = f->priv;
	u32 bits = 0;

	if (file_readable(f)) {
		poll_wait(pt, &p->rq);
		bits |= used(p) ? POLL_IN : 0;
		/* A fifo's reader that came before any writer has not been hung up on. */
		bits |= !p->writers && (u32)f->pos != p->opened_write ? POLLHUP : 0;
	}
	if (file_writable(f)) {
		poll_wait(pt, &p->wq);
		bits |= room(p) >= PIPE_BUF ? POLL_OUT : 0;
		bits |= !p->readers ? POLLERR : 0;
	}
	return bits;
}

static long pipe_ioctl(struct file *f, u64 cmd, u64 arg)
{
	struct pipe *p = f->priv;
	return cmd == FIONREAD ? put_user((int)used(p), arg) : -ENOTTY;
}

static void pipe_free(struct pipe *p)
{
	list_del(&p->link);
	kfree(p->buf);
	kfree(p);
}

static void pipe_release(struct file *f)
{
	struct pipe *p = f->priv;

	if (file_readable(f) && !--p->readers)
		wake(&p->wq, POLL_OUT | POLLERR);
	if (file_writable(f) && !--p->writers)
		wake(&p->rq, POLL_IN | POLLHUP);
	if (!--p->users && p->fifo)
		pipe_free(p); /* an anonymous one goes with its inode */
}

static const struct file_ops pipe_fops = {
	.read = pipe_read, .write = pipe_write, .poll = pipe_poll, .ioctl = pipe_ioctl, .release = pipe_release, .name = "pipe",
};

static void pipe_inode_release(struct inode *ino) { pipe_free(container_of(ino, struct pipe, i)); }
static const struct inode_ops pipe_inode_ops = { .release = pipe_inode_release };

static struct pipe *pipe_create(void)
{
	struct pipe *p = kzalloc(sizeof(*p));

	if (!p)
		return NULL;
	inode_init(&p->i, &pipe_inode_ops, S_IFIFO | 0600, DEV_PIPE);
	inode_fill_owner(&p->i, NULL);
	list_init(&p->link);
	waitq_init(&p->rq);
	waitq_init(&p->wq);
	p->cap = PIPE_CAP;
	return p;
}

static void attach(struct pipe *p, struct file *f)
{
	f->ops = &pipe_fops;
	f->priv = p;
	f->pos = ~0UL;
	p->users++;
	if (file_readable(f))
		p->readers++, p->opened_read++;
	if (file_writable(f))
		p->writers++, p->opened_write++;
}

static struct pipe *fifo_pipe(struct inode *ino)
{
	struct pipe *p;

	if (ino->ops == &pipe_inode_ops) /* /proc/PID/fd of an anonymous pipe */
		return container_of(ino, struct pipe, i);
	list_for_each(l, &fifos) {
		p = list_entry(l, struct pipe, link);
		if (p->fifo == ino)
			return p;
	}
	p = pipe_create();
	if (p) {
		p->fifo = ino;
		list_add(&p->link, &fifos);
	}
	return p;
}

/* f refers to ino already. Waits for the other side as Linux does. */
int fifo_open(struct inode *ino, struct file *f)
{
	struct pipe *p;
	u32 mode = f->flags & O_ACCMODE, seen;

	if (mode == O_ACCMODE)
		return -EINVAL;
	p = fifo_pipe(ino);
	if (!p)
		return -ENOMEM;
	if (mode == O_WRONLY && (f->flags & O_NONBLOCK) && !p->readers) {
		if (!p->users && p->fifo)
			pipe_free(p);
		return -ENXIO;
	}
	attach(p, f);
	if (mode == O_RDONLY) {
		wake(&p->wq, POLL_OUT);
		if (p->writers || !p->fifo)
			return 0;
		seen = p->opened_write;
		if (f->flags & O_NONBLOCK) {
			f->pos = seen;
			return 0;
		}
		return wait_on(&p->rq, p->opened_write != seen, ~0UL);
	}
	wake(&p->rq, POLL_IN);
	if (p->readers || !p->fifo)
		return 0;
	seen = p->opened_read;
	return wait_on(&p->wq, p->opened_read != seen, ~0UL);
}

/* Puts bytes back in front, that were just read. They fit unless a writer was faster; then the rest is lost. */
long pipe_unread(struct file *f, const void *data, size_t n)
{
	struct pipe *p = f->priv;

	if (used(p) + n > p->size && !grow(p, used(p) + n))
		return -ENOMEM;
	for (size_t i = n; i--;)
		p->buf[--p->tail & (p->size - 1)] = ((const u8 *)data)[i];
	wake(&p->rq, POLL_IN);
	return 0;
}

long pipe_wait_data(struct file *f, bool nonblock)
{
	struct pipe *p = f->priv;
	int r = used(p) || !p->writers ? 0 : nonblock ? -EAGAIN : wait_on(&p->rq, used(p) || !p->writers, ~0UL);
	return r ? r : (long)used(p);
}

long pipe_wait_room(struct file *f, bool nonblock)
{
	struct pipe *p = f->priv;
	int r = 0;

	if (!room(p) && p->readers)
		r = nonblock ? -EAGAIN : wait_on(&p->wq, room(p) || !p->readers, ~0UL);
	return r ? r : !p->readers ? broken() : (long)room(p);
}

long pipe_tee(struct file *in, struct file *out, u64 n)
{
	struct pipe *p = in->priv, *o = out->priv;
	u32 from = p->tail;
	long done = 0;

	n = MIN(n, MIN(used(p), room(o)));
	while (n) {
		u32 at = from & (p->size - 1);
		struct iter it;
		long r;
		iter_kernel(&it, p->buf + at, MIN(n, (u64)(p->size - at)));
		r = put(o, &it, it.left);
		if (r <= 0)
			break;
		from += r;
		done += r;
		n -= r;
	}
	if (done)
		wake(&o->rq, POLL_IN);
	return done;
}

long pipe_size(struct file *f, bool set, u64 n)
{
	struct pipe *p = f->priv;
	u32 cap = PIPE_BUF;

	if (!file_is_pipe(f))
		return -EBADF;
	if (!set)
		return p->cap;
	if (n > PIPE_CAP_MAX)
		return n > 1UL << 31 ? -EINVAL : -EPERM;
	while (cap < n)
		cap *= 2;
	if (cap < used(p))
		return -EBUSY;
	p->cap = cap;
	wake(&p->wq, POLL_OUT);
	return cap;
}

int pipe_pair(struct file **r, struct file **w, u32 flags)
{
	struct pipe *p = pipe_create();

	*r = p ? file_alloc(&pipe_fops, O_RDONLY | flags, p) : NULL;
	*w = *r ? file_alloc(&pipe_fops, O_WRONLY | flags, p) : NULL;
	if (!*w) {
		kfree(*r);
		kfree(p);
		return -ENOMEM;
	}
	(*r)->ino = (*w)->ino = &p->i;
	inode_get(&p->i);
	attach(p, *r);
	attach(p, *w);
	return 0;
}

static long make_pipe(int *ufds, u32 flags)
{
	struct file *r, *w;
	int fds[2];
	bool cloexec = flags & O_CLOEXEC;

	if (flags & ~(u32)(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (pipe_pair(&r, &w, flags & O_NONBLOCK))
		return -ENOMEM;
	fds[0] = fd_install(r, 0, cloexec);
	if (fds[0] < 0) {
		file_put(r);
		file_put(w);
		return fds[0];
	}
	fds[1] = fd_install(w, 0, cloexec);
	if (fds[1] < 0) {
		file_put(w);
		fd_close(curproc()->files, fds[0]);
		return fds[1];
	}
	if (copy_to_user(ufds, fds, sizeof(fds))) {
		fd_close(curproc()->files, fds[0]);
		fd_close(curproc()->files, fds[1]);
		return -EFAULT;
	}
	return 0;
}

SYSCALL(pipe) { return make_pipe((int *)a, 0); }
SYSCALL(pipe2) { return make_pipe((int *)a, b); }
