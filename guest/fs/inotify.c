/* SPDX-License-Identifier: Apache-2.0 */
/* inotify.c: telling programs what happens to files they watch. */
#include "poll.h"
#include "tmpfs.h"
#include <asm/ioctls.h>

#define INSTANCES_MAX 128
#define WATCHES_MAX 65536
#define EVENTS_MAX 16384

#define IN_ALL_BITS (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | \
		     IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | IN_ONESHOT)

struct inotify {
	struct waitq wq;
	struct list events, watches;
	u32 nevents, bytes, nwatches;
	int last_wd;
};

/*
 * A watch on a file in memory holds no reference: the file's name does (tnode_dirty), so that its end is seen. Inodes
 * of other file systems are made at each look-up; they are held.
 */
struct watch {
	struct watch *next; /* of the inode */
	struct list link;   /* of the instance */
	struct inode *ino;
	struct inotify *in;
	u32 mask;
	int wd;
	bool holds;
};

struct in_event { struct list link; int wd; u32 mask, cookie, len; char name[]; }; /* from wd on as the program reads it */
#define EVENT_HEAD 16U

u32 watch_count;
static u32 instances;

static void queue(struct inotify *in, int wd, u32 mask, u32 cookie, const char *name, u32 len)
{
	u32 room = len ? ALIGN_UP(len + 1, EVENT_HEAD) : 0;
	struct in_event *e, *last = list_empty(&in->events) ? NULL : list_entry(in->events.prev, struct in_event, link);

	if (last && last->mask == mask && last->wd == wd && last->len == room && !(mask & IN_IGNORED) &&
	    (!len || (!memcmp(last->name, name, len) && !last->name[len])))
		return;
	e = in->nevents < EVENTS_MAX ? kzalloc(sizeof(*e) + room) : NULL;
	if (!e) { /* the first that is lost is told */
		if (last && last->mask == IN_Q_OVERFLOW)
			return;
		e = kzalloc(sizeof(*e));
		if (!e)
			return;
		wd = -1;
		mask = IN_Q_OVERFLOW;
		cookie = len = room = 0;
	}
	e->wd = wd;
	e->mask = mask;
	e->cookie = cookie;
	e->len = room;
	memcpy(e->name, name, len);
	list_add_tail(&e->link, &in->events);
	in->nevents++;
	in->bytes += EVENT_HEAD + room;
	waitq_wake(&in->wq, POLL_IN);
}

static void remove(struct watch *w)
{
	struct watch **p = &w->ino->watches;
	struct inode *ino = w->ino;
	bool holds = w->holds;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	list_del(&w->link);
	w->in->nwatches--;
	watch_count--;
	kfree(w);
	if (holds)
		inode_put(ino);
}

static void end(struct watch *w)
{
	queue(w->in, w->wd, IN_IGNORED, 0, NULL, 0);
	remove(w);
}

void notify_watches(struct inode *ino, u32 mask, u32 cookie, const char *name, u32 len)
{
	if (mask & (IN_MOVE_SELF | IN_DELETE_SELF))
		mask &= ~IN_ISDIR;
	for (struct watch *w = ino->watches, *nx; w; w = nx) {
		nx = w->next;
		if (!(w->mask & mask & IN_ALL_EVENTS))
			continue;
		queue(w->in, w->wd, mask, cookie, name, len);
		if (w->mask & IN_ONESHOT)
			end(w);
	}
}

void notify_inode(struct inode *ino, u32 mask)
{
	struct tent *e = tnode_is(ino) ? tnode_of(ino)->ent : NULL;

	mask |= S_ISDIR(ino->mode) ? IN_ISDIR : 0;
	if (e)
		notify_watches(&e->dir->i, mask, 0, e->name, e->len);
	notify_watches(ino, mask, 0, NULL, 0);
}

void notify_gone(struct inode *ino)
{
	ino->refs = 1; /* its watches' ends do not end it again */
	if (!ino->nlink)
		notify_watches(ino, IN_DELETE_SELF, 0, NULL, 0);
	while (ino->watches)
		end(ino->watches);
	ino->refs = 0;
}

void notify_moved(const struct moved *m)
{
	static u32 cookie;
	u32 dir = S_ISDIR(m->ino->mode) ? IN_ISDIR : 0;

	cookie = cookie == ~0U ? 1 : cookie + 1;
	notify_watches(m->from, IN_MOVED_FROM | dir, cookie, m->old, m->oldlen);
	notify_watches(m->to, IN_MOVED_TO | dir, cookie, m->new, m->newlen);
	if (m->replaced)
		notify_watches(m->replaced, IN_ATTRIB | (S_ISDIR(m->replaced->mode) ? IN_ISDIR : 0), 0, NULL, 0);
	notify_watches(m->ino, IN_MOVE_SELF, 0, NULL, 0);
}

/* ---- the file ---- */

static long inotify_read(struct file *f, struct iter *it, u64 *pos)
{
	struct inotify *in = f->priv;
	long done = 0;

	while (list_empty(&in->events)) {
		int r = f->flags & O_NONBLOCK ? -EAGAIN : wait_on(&in->wq, !list_empty(&in->events), ~0UL);
		if (r)
			return r;
	}
	while (!list_empty(&in->events)) {
		struct in_event *e = list_first(&in->events, struct in_event, link);
		u32 n = EVENT_HEAD + e->len;

		if (n > it->left)
			return done ? done : -EINVAL;
		if (iter_put(it, &e->wd, n) != (long)n)
			return done ? done : -EFAULT;
		list_del(&e->link);
		kfree(e);
		in->nevents--;
		in->bytes -= n;
		done += n;
	}
	return done;
}

static u32 inotify_poll(struct file *f, struct poll_table *pt)
{
	struct inotify *in = f->priv;

	poll_wait(pt, &in->wq);
	return list_empty(&in->events) ? 0 : POLL_IN;
}

static long inotify_ioctl(struct file *f, u64 cmd, u64 arg)
{
	return cmd == FIONREAD ? put_user((int)((struct inotify *)f->priv)->bytes, arg) : -ENOTTY;
}

static void inotify_release(struct file *f)
{
	struct inotify *in = f->priv;

	while (!list_empty(&in->watches))
		remove(list_first(&in->watches, struct watch, link));
	while (!list_empty(&in->events)) {
		struct in_event *e = list_first(&in->events, struct in_event, link);
		list_del(&e->link);
		kfree(e);
	}
	kfree(in);
	instances--;
}

static const struct file_ops inotify_fops = {
	.read = inotify_read, .poll = inotify_poll, .ioctl = inotify_ioctl, .release = inotify_release, .seek = noop_seek, .name = "inotify",
};

static long inotify_new(u32 flags)
{
	struct inotify *in;
	struct file *f;
	int fd;

	if (flags & ~(u32)(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (instances >= INSTANCES_MAX)
		return -EMFILE;
	in = kzalloc(sizeof(*in));
	f = in ? file_alloc(&inotify_fops, O_RDONLY | (flags & O_NONBLOCK), in) : NULL;
	if (!f) {
		kfree(in);
		return -ENOMEM;
	}
	instances++;
	waitq_init(&in->wq);
	list_init(&in->events);
	list_init(&in->watches);
	fd = fd_install(f, 0, flags & O_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

SYSCALL(inotify_init) { return inotify_new(0); }
SYSCALL(inotify_init1) { return inotify_new(a); }

static struct inotify *instance(int fd, long *r)
{
	struct file *f = fd_peek(fd);

	*r = !f || (f->flags & O_PATH) ? -EBADF : f->ops != &inotify_fops ? -EINVAL : 0;
	return *r ? NULL : f->priv;
}

static long add(struct inotify *in, struct inode *ino, u32 mask)
{
	struct watch *w = ino->watches;

	while (w && w->in != in)
		w = w->next;
	if (w) {
		if (mask & IN_MASK_CREATE)
			return -EEXIST;
		w->mask = (mask & IN_MASK_ADD ? w->mask : 0) | (mask & (IN_ALL_EVENTS | IN_ONESHOT));
		return w->wd;
	}
	if (watch_count >= WATCHES_MAX)
		return -ENOSPC;
	w = kzalloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->ino = ino;
	w->in = in;
	w->mask = mask & (IN_ALL_EVENTS | IN_ONESHOT);
	in->last_wd = in->last_wd == 0x7fffffff ? 1 : in->last_wd + 1;
	w->wd = in->last_wd;
	w->next = ino->watches;
	ino->watches = w;
	list_add_tail(&w->link, &in->watches);
	in->nwatches++;
	watch_count++;
	if (tnode_is(ino)) {
		tnode_dirty(tnode_of(ino));
	} else {
		w->holds = true;
		inode_get(ino);
	}
	return w->wd;
}

SYSCALL(inotify_add_watch)
{
	u32 mask = c;
	long r;
	struct inotify *in;
	struct inode *ino;

	if (!(mask & IN_ALL_BITS))
		return -EINVAL;
	in = instance((int)a, &r);
	if (r == -EBADF)
		return r;
	if ((mask & (IN_MASK_ADD | IN_MASK_CREATE)) == (IN_MASK_ADD | IN_MASK_CREATE) || r)
		return -EINVAL;
	ino = walk_inode(AT_FDCWD, (const char *)b, (mask & IN_DONT_FOLLOW ? 0 : W_FOLLOW) | (mask & IN_ONLYDIR ? W_DIRECTORY : 0));
	if (IS_ERR(ino))
		return PTR_ERR(ino);
	r = inode_may(ino, MAY_READ);
	if (!r)
		r = add(in, ino, mask);
	inode_put(ino);
	return r;
}

SYSCALL(inotify_rm_watch)
{
	long r;
	struct inotify *in = instance((int)a, &r);

	if (r)
		return r;
	list_for_each(l, &in->watches) {
		struct watch *w = list_entry(l, struct watch, link);
		if (w->wd != (int)b)
			continue;
		end(w);
		return 0;
	}
	return -EINVAL;
}
