/* SPDX-License-Identifier: Apache-2.0 */
/* async.c: signal-driven I/O: O_ASYNC, F_SETOWN, F_SETSIG and the ioctls that say the same. */
#include "vfs.h"
#include "poll.h"

#define QUEUES_MAX 2 /* no kind of file that can do this announces its changes on more */

struct async {
	struct poll_table pt;
	struct waiter w[QUEUES_MAX];
	u32 n;                   /* waiters that are registered */
	int owner, sig, fd;      /* owner: process, thread, or group if negative */
	bool thread;
	u32 uid, euid;           /* who named the owner */
};

static void tell(struct process *p, struct thread *t, const struct async *as, const struct ksiginfo *si)
{
	if (!as->euid || as->euid == p->suid || as->euid == p->uid || as->uid == p->suid || as->uid == p->uid)
		t ? signal_send_thread(t, si) : signal_send_process(p, si);
}

static void async_wake(struct waiter *w, u32 events)
{
	struct file *f = (struct file *)w->thread; /* not a thread's waiter: this slot is free */
	const struct async *as = f->async;
	struct ksiginfo si = { .signo = as->sig ? as->sig : SIGIO, .code = SI_KERNEL };
	if (as->sig) {
		u32 bits = events ? events : POLL_IN;
		si.code = bits & POLLHUP ? 6 : bits & POLLERR ? 4 : bits & POLLIN ? 1 : 2;
		si.pid = bits;
		si.value = as->fd;
	}
	struct thread *t = as->thread ? thread_find(as->owner) : NULL;
	struct process *one = t ? t->proc : as->owner > 0 && !as->thread ? process_find(as->owner) : NULL;
	if (one)
		tell(one, t, as, &si);
	else if (as->owner < 0)
		list_for_each(l, &process_list) {
			struct process *p = list_entry(l, struct process, all);
			if (p->pgid == -as->owner && !p->zombie)
				tell(p, NULL, as, &si);
		}
}

static void async_queue(struct poll_table *pt, struct waitq *q)
{
	struct async *as = (struct async *)pt;
	if (as->n < QUEUES_MAX)
		waitq_add(q, &as->w[as->n++]);
}

static struct async *async_of(struct file *f)
{
	struct async *as = f->async;
	if (as || !(as = kzalloc(sizeof(*as))))
		return as;
	as->pt.queue = async_queue;
	for (int i = 0; i < QUEUES_MAX; i++) {
		list_init(&as->w[i].link);
		as->w[i].wake = async_wake;
		as->w[i].thread = (struct thread *)f;
	}
	return f->async = as;
}

long async_set(struct file *f, int fd, bool on)
{
	if (!f->ops->poll || !f->ino || !(S_ISSOCK(f->ino->mode) || S_ISFIFO(f->ino->mode) || S_ISCHR(f->ino->mode)))
		return -ENOTTY;
	struct async *as = f->async;
	if (on && !(as = async_of(f)))
		return -ENOMEM;
	if (on && !as->n) {
		as->fd = fd;
		f->ops->poll(f, &as->pt);
	}
	while (!on && as && as->n)
		waitq_remove(&as->w[--as->n]);
	f->flags = on ? f->flags | FASYNC : f->flags & ~(u32)FASYNC;
	return 0;
}

static long set_owner(struct file *f, int owner, bool thread)
{
	bool found = !owner || (owner > 0 && (thread ? !!thread_find(owner) : !!process_find(owner)));
	list_for_each(l, &process_list)
		found |= owner < 0 && list_entry(l, struct process, all)->pgid == -owner;
	if (!found)
		return -ESRCH;
	struct async *as = async_of(f);
	if (!as)
		return -ENOMEM;
	as->owner = owner;
	as->thread = thread;
	as->uid = curproc()->uid;
	as->euid = curproc()->euid;
	return 0;
}

long async_owner(struct file *f, bool set, int owner)
{
	if (set)
		return owner == -0x7fffffff - 1 ? -EINVAL : set_owner(f, owner, false);
	return f->async ? f->async->owner : 0;
}

long async_owner_ex(struct file *f, bool set, u64 arg)
{
	const struct async *as = f->async;
	struct f_owner_ex o = { F_OWNER_PID, as ? as->owner : 0 };
	if (!set) {
		if (as && as->thread)
			o.type = F_OWNER_TID;
		if (o.pid < 0)
			o = (struct f_owner_ex){ F_OWNER_PGRP, -o.pid };
		return copy_to_user((void *)arg, &o, sizeof(o));
	}
	if (copy_from_user(&o, (void *)arg, sizeof(o)))
		return -EFAULT;
	if ((u32)o.type > F_OWNER_PGRP || o.pid < 0)
		return -EINVAL;
	return set_owner(f, o.type == F_OWNER_PGRP ? -o.pid : o.pid, o.type == F_OWNER_TID);
}

long async_signal(struct file *f, bool set, u64 signo)
{
	struct async *as = f->async;
	if (!set)
		return as ? as->sig : 0;
	if (signo > NSIG)
		return -EINVAL;
	as = async_of(f);
	if (!as)
		return -ENOMEM;
	as->sig = signo;
	return 0;
}

void async_gone(struct file *f)
{
	while (f->async->n)
		waitq_remove(&f->async->w[--f->async->n]);
	kfree(f->async);
}
