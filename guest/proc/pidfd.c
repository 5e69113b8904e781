/* SPDX-License-Identifier: Apache-2.0 */
/* pidfd.c: descriptors that stand for processes. */
#include "internal.h"
#include "fs.h"
#include "poll.h"
#include "syscall.h"

#define O_NONBLOCK 04000

/* Woken whenever a process ends, whichever it is. */
struct waitq pidfd_waitq = WAITQ_INIT(pidfd_waitq);

/* Numbers are used again; a start time with them is not. */
struct pidfd { int pid; u64 start_ns; };

/* The process, a zombie too; NULL: it is gone. */
static struct process *process_of(const struct pidfd *d)
{
	struct process *p = process_find(d->pid);
	return p && p->start_ns == d->start_ns ? p : NULL;
}

static u32 pidfd_poll(struct file *f, struct poll_table *pt)
{
	struct process *p = process_of(f->priv);
	poll_wait(pt, &pidfd_waitq);
	return !p || p->zombie ? POLL_IN : 0;
}

static void pidfd_release(struct file *f) { kfree(f->priv); }

static const struct file_ops pidfd_ops = { .poll = pidfd_poll, .release = pidfd_release, .seek = noop_seek, .name = "[pidfd]" };

long pidfd_new(struct process *p, bool nonblock)
{
	struct pidfd *d = kmalloc(sizeof(*d));
	struct file *f = d ? file_alloc(&pidfd_ops, 2 | (nonblock ? O_NONBLOCK : 0), d) : NULL;
	if (!f) {
		kfree(d);
		return -ENOMEM;
	}
	*d = (struct pidfd){ p->pid, p->start_ns };
	long r = fd_install(f, 0, true);
	if (r < 0)
		file_put(f);
	return r;
}

int pidfd_pid(int fd, bool *nonblock)
{
	struct file *f = fd_get(fd);
	int pid = -EBADF;
	if (f && f->ops == &pidfd_ops) {
		struct process *p = process_of(f->priv);
		pid = p ? p->pid : 0;
		*nonblock = f->flags & O_NONBLOCK;
	}
	file_put(f);
	return pid;
}

int pidfd_pid_or_folder(int fd)
{
	bool nonblock;
	int pid = pidfd_pid(fd, &nonblock);
	struct file *f = pid == -EBADF ? fd_get(fd) : NULL;
	if (f)
		pid = procfs_pid(f);
	file_put(f);
	return pid;
}

SYSCALL(pidfd_open)
{
	if ((int)a <= 0 || ((u32)b & ~O_NONBLOCK))
		return -EINVAL;
	struct process *p = process_find((int)a);
	if (!p)
		return thread_find((int)a) ? -EINVAL : -ESRCH;
	return pidfd_new(p, b & O_NONBLOCK);
}

SYSCALL(pidfd_getfd)
{
	bool nonblock;
	if ((u32)c)
		return -EINVAL;
	int pid = pidfd_pid((int)a, &nonblock);
	struct process *p = pid > 0 ? process_find(pid) : NULL, *me = curproc();
	if (!p || !p->files)
		return pid < 0 ? pid : -ESRCH;
	if (p != me && !(me->cap_eff & CAP(19)) && (me->uid != p->uid || me->uid != p->euid || me->uid != p->suid || !p->dumpable))
		return -EPERM;
	struct file *file = fd_get_from(p->files, (int)b);
	if (!file)
		return -EBADF;
	long r = fd_install(file, 0, true);
	if (r < 0)
		file_put(file);
	return r;
}
