/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll.c: epoll instances.
 *
 * An item stands on the wait queues of its file; a wake-up puts it on the ready list, so epoll_wait looks only at
 * what may be ready and asks each file again. An item is found through its file's list, which is short; it holds no
 * reference on the file: the last file_put() removes it.
 */
#include "poll.h"
#include "syscall.h"
#include "net.h"
#include "time.h"
#include "snapshot.h"
#include <asm/fcntl.h>
#include <linux/eventpoll.h>

struct epoll {
	struct waitq wq;         /* epoll_wait sleepers */
	struct waitq pollers;    /* those who poll the instance itself */
	struct list items, ready;
	struct file *file;
	u32 visit, depth;        /* nesting check */
};

struct epitem;
struct epwaiter { struct waiter w; struct epitem *it; struct epwaiter *next; };
struct epitem {
	struct list in_ep, in_file, in_ready;
	struct epoll *ep;
	struct file *f;
	int fd;
	u32 events;              /* EPOLL*; only flags left: disarmed by EPOLLONESHOT */
	u64 data;
	bool nomem;
	struct epwaiter *waiters, first; /* nearly all files have one queue */
};
struct ep_table { struct poll_table pt; struct epitem *it; };

#define EP_FLAGS (EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE)
#define EP_EXCLUSIVE_OK (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
#define EP_MAX_NESTS 4

static const struct file_ops epoll_ops;
static struct epoll *file_epoll(struct file *f) { return f->ops == &epoll_ops ? f->priv : NULL; }

static void ep_make_ready(struct epitem *it)
{
	struct epoll *ep = it->ep;
	if (list_empty(&it->in_ready))
		list_add_tail(&it->in_ready, &ep->ready);
	waitq_wake_one(&ep->wq, POLL_IN);
	waitq_wake(&ep->pollers, POLL_IN);
}

static void ep_wake(struct waiter *w, u32 events)
{
	struct epitem *it = container_of(w, struct epwaiter, w)->it;
	if (!(it->events & ~EP_FLAGS) || (events && !(events & it->events)))
		return;
	ep_make_ready(it);
}

static void ep_queue(struct poll_table *pt, struct waitq *q)
{
	struct epitem *it = container_of(pt, struct ep_table, pt)->it;
	struct epwaiter *w = it->waiters ? kmalloc(sizeof(*w)) : &it->first;
	if (!w) {
		it->nomem = true;
		return;
	}
	waiter_init(&w->w);
	w->w.wake = ep_wake;
	w->it = it;
	w->next = it->waiters;
	it->waiters = w;
	waitq_add(q, &w->w);
}

static u32 item_poll(struct epitem *it, struct poll_table *pt)
{
	u32 bits = file_poll(it->f, pt);
	bits |= (bits & POLLIN ? POLLRDNORM : 0) | (bits & POLLOUT ? POLLWRNORM : 0);
	return bits & it->events & ~EP_FLAGS;
}

static void item_free(struct epitem *it)
{
	for (struct epwaiter *w = it->waiters, *next; w; w = next) {
		next = w->next;
		waitq_remove(&w->w);
		if (w != &it->first)
			kfree(w);
	}
	list_del(&it->in_ep);
	list_del(&it->in_file);
	list_del(&it->in_ready);
	kfree(it);
}

void epoll_file_gone(struct file *f)
{
	while (!list_empty(&f->epolls))
		item_free(list_first(&f->epolls, struct epitem, in_file));
}

bool waitq_awaited(struct waitq *q)
{
	list_for_each(l, &q->waiters) {
		struct waiter *w = list_entry(l, struct waiter, link);
		if (w->wake != ep_wake)
			return true;
		struct epitem *it = container_of(w, struct epwaiter, w)->it;
		/* An instance may be watched by others, never in a circle. */
		if (it->events & EPOLLIN && (!list_empty(&it->ep->wq.waiters) || waitq_awaited(&it->ep->pollers)))
			return true;
	}
	return false;
}

/* ---- the instance as a file ---- */

static u32 epoll_poll(struct file *f, struct poll_table *pt)
{
	struct epoll *ep = f->priv;
	poll_wait(pt, &ep->pollers);
	list_for_each_safe(l, nx, &ep->ready) {
		struct epitem *it = list_entry(l, struct epitem, in_ready);
		if (item_poll(it, NULL))
			return POLL_IN;
		list_del(&it->in_ready);
	}
	return 0;
}

static void epoll_release(struct file *f)
{
	struct epoll *ep = f->priv;
	while (!list_empty(&ep->items))
		item_free(list_first(&ep->items, struct epitem, in_ep));
	kfree(ep);
}

static const struct file_ops epoll_ops = { .poll = epoll_poll, .release = epoll_release, .seek = noop_seek, .name = "[eventpoll]" };

static long epoll_new(bool cloexec)
{
	struct epoll *ep = kzalloc(sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	waitq_init(&ep->wq);
	waitq_init(&ep->pollers);
	list_init(&ep->items);
	list_init(&ep->ready);
	struct file *f = ep->file = file_alloc(&epoll_ops, O_RDWR, ep);
	if (!f) {
		kfree(ep);
		return -ENOMEM;
	}
	int fd = fd_install(f, 0, cloexec);
	if (fd < 0)
		file_put(f);
	return fd;
}

SYSCALL(epoll_create)
{
	return (int)a <= 0 ? -EINVAL : epoll_new(false);
}

SYSCALL(epoll_create1)
{
	return a & ~(u64)EPOLL_CLOEXEC ? -EINVAL : epoll_new(a & EPOLL_CLOEXEC);
}

/* ---- nesting: an instance may watch others, at most EP_MAX_NESTS deep and never in a circle ---- */

static u32 visit;

/* Longest chain of instances from ep downwards; over EP_MAX_NESTS if there is `goal` in it. */
static u32 depth_down(struct epoll *ep, struct epoll *goal, u32 level)
{
	if (ep == goal || level > EP_MAX_NESTS)
		return EP_MAX_NESTS + 1;
	if (ep->visit == visit)
		return ep->depth;
	u32 max = 0;
	list_for_each(l, &ep->items) {
		struct epoll *sub = file_epoll(list_entry(l, struct epitem, in_ep)->f);
		if (sub)
			max = MAX(max, 1 + depth_down(sub, goal, level + 1));
		if (max > EP_MAX_NESTS)
			return max;
	}
	ep->visit = visit;
	return ep->depth = max;
}

static u32 depth_up(struct epoll *ep, u32 level)
{
	u32 max = 0;
	if (level > EP_MAX_NESTS)
		return level;
	if (ep->visit == visit)
		return ep->depth;
	list_for_each(l, &ep->file->epolls)
		max = MAX(max, 1 + depth_up(list_entry(l, struct epitem, in_file)->ep, level + 1));
	ep->visit = visit;
	return ep->depth = max;
}

static bool nesting_ok(struct epoll *ep, struct epoll *target)
{
	visit++;
	u32 down = depth_down(target, ep, 0);
	visit++;
	return down <= EP_MAX_NESTS && 1 + down + depth_up(ep, 0) <= EP_MAX_NESTS;
}

/* ---- epoll_ctl ---- */

/* Registers (first) and looks whether it is ready now. */
static void item_check(struct epitem *it, bool first)
{
	struct ep_table t = { .pt = { .queue = ep_queue }, .it = it };
	if (item_poll(it, first ? &t.pt : NULL))
		ep_make_ready(it);
}

static long ep_add(struct epoll *ep, struct file *f, int fd, const struct epoll_event *ev)
{
	struct epitem *it = kzalloc(sizeof(*it));
	if (!it)
		return -ENOMEM;
	*it = (struct epitem){ .ep = ep, .f = f, .fd = fd, .events = ev->events | EPOLLERR | EPOLLHUP, .data = ev->data };
	list_init(&it->in_ready);
	list_add_tail(&it->in_ep, &ep->items);
	list_add_tail(&it->in_file, &f->epolls);
	item_check(it, true);
	if (it->nomem) {
		item_free(it);
		return -ENOMEM;
	}
	return 0;
}

static long ep_ctl(struct file *epf, int op, int fd, struct file *f, struct epoll_event *ev)
{
	struct epoll *ep = file_epoll(epf), *target = file_epoll(f);
	struct epitem *it = NULL;
	if (!f->ops->poll)
		return -EPERM;
	if (epf == f || !ep)
		return -EINVAL;
	if (op != EPOLL_CTL_DEL && ev->events & EPOLLEXCLUSIVE &&
	    (op == EPOLL_CTL_MOD || target || ev->events & ~EP_EXCLUSIVE_OK))
		return -EINVAL;
	if (op == EPOLL_CTL_ADD && target && !nesting_ok(ep, target))
		return -ELOOP;
	list_for_each(l, &f->epolls) {
		struct epitem *i = list_entry(l, struct epitem, in_file);
		if (i->ep == ep && i->fd == fd)
			it = i;
	}
	switch (op) {
	case EPOLL_CTL_ADD:
		return it ? -EEXIST : ep_add(ep, f, fd, ev);
	case EPOLL_CTL_DEL:
		if (!it)
			return -ENOENT;
		item_free(it);
		return 0;
	case EPOLL_CTL_MOD:
		if (!it)
			return -ENOENT;
		if (it->events & EPOLLEXCLUSIVE)
			return -EINVAL;
		it->events = ev->events | EPOLLERR | EPOLLHUP;
		it->data = ev->data;
		item_check(it, false);
		return 0;
	}
	return -EINVAL;
}

SYSCALL(epoll_ctl)
{
	struct epoll_event ev = { 0 };
	if ((int)b != EPOLL_CTL_DEL && copy_from_user(&ev, (void *)d, sizeof(ev)))
		return -EFAULT;
	struct file *epf = fd_get((int)a), *file = epf ? fd_get((int)c) : NULL;
	long r = file ? ep_ctl(epf, (int)b, (int)c, file, &ev) : -EBADF;
	if (file)
		file_put(file);
	if (epf)
		file_put(epf);
	return r;
}

/* ---- epoll_wait ---- */

/* Hands out events of the items on the ready list that are ready indeed; each is looked at once. */
static long ep_collect(struct epoll *ep, struct epoll_event *uev, int max)
{
	struct list todo;
	long n = 0;
	if (list_empty(&ep->ready))
		return 0;
	/* Items can go away meanwhile: take the first each time. */
	list_insert(&todo, ep->ready.prev, &ep->ready);
	list_del(&ep->ready);
	while (!list_empty(&todo) && n < max) {
		struct epitem *it = list_first(&todo, struct epitem, in_ready);
		list_del(&it->in_ready);
		struct epoll_event ev = { .events = item_poll(it, NULL), .data = it->data };
		if (!ev.events)
			continue;
		if (copy_to_user(&uev[n], &ev, sizeof(ev))) {
			list_add(&it->in_ready, &todo);
			if (!n)
				n = -EFAULT;
			break;
		}
		n++;
		if (it->events & EPOLLONESHOT)
			it->events &= EP_FLAGS;
		else if (!(it->events & EPOLLET) && list_empty(&it->in_ready))
			list_add_tail(&it->in_ready, &ep->ready);
	}
	/* What was not looked at goes first the next time. */
	while (!list_empty(&todo)) {
		struct list *l = todo.prev;
		list_del(l);
		list_add(l, &ep->ready);
	}
	return n;
}

static long do_wait(int epfd, struct epoll_event *uev, int max, u64 deadline)
{
	if (max <= 0 || (u64)max > 0x7fffffff / sizeof(*uev))
		return -EINVAL;
	if (!access_ok(uev, max * sizeof(*uev)))
		return -EFAULT;
	struct file *f = fd_get(epfd);
	if (!f)
		return -EBADF;
	struct epoll *ep = file_epoll(f);
	long r = ep ? 0 : -EINVAL;
	if (ep) {
		if (list_empty(&ep->ready))
			queue_poll();
		r = ep_collect(ep, uev, max);
	}
	if (!r && deadline) {
		struct waiter w;
		int blocked = 0;
		waiter_init(&w);
		w.exclusive = 1;
		waitq_add(&ep->wq, &w);
		while (!r && !blocked) {
			if (list_empty(&ep->ready))
				blocked = thread_block(deadline, true);
			r = ep_collect(ep, uev, max);
		}
		waitq_remove(&w);
		if (!r && blocked == -ERESTARTSYS)
			r = -EINTR;
	}
	/* A wake-up goes to one sleeper: what it leaves is for the next. */
	if (ep && !list_empty(&ep->ready))
		waitq_wake_one(&ep->wq, POLL_IN);
	file_put(f);
	return r;
}

static u64 ms_deadline(int ms)
{
	return ms < 0 ? ~0ULL : ms ? now_ns() + ms * 1000000ULL : 0;
}

SYSCALL(epoll_wait)
{
	return do_wait((int)a, (void *)b, (int)c, ms_deadline((int)d));
}

SYSCALL(epoll_pwait)
{
	long r = signal_mask_push((void *)e, f);
	if (r)
		return r;
	return signal_mask_pop(do_wait((int)a, (void *)b, (int)c, ms_deadline((int)d)));
}

SYSCALL(epoll_pwait2)
{
	u64 deadline;
	long r = poll_deadline((void *)d, &deadline);
	if (!r)
		r = signal_mask_push((void *)e, f);
	if (r)
		return r;
	return signal_mask_pop(do_wait((int)a, (void *)b, (int)c, deadline));
}
