/* SPDX-License-Identifier: Apache-2.0 */
/* signalfd.c: pending signals as a file. */
#include "poll.h"
#include "syscall.h"
#include <asm/fcntl.h>
#include <linux/signalfd.h>

static u64 *sigset(struct file *f) { return (u64 *)&f->priv; }

/* Like Linux, a reader takes its own signals, whoever made the descriptor. */
static long signalfd_read(struct file *f, struct iter *it, u64 *pos)
{
	struct ksiginfo si;
	long done = 0;
	if (it->left < sizeof(struct signalfd_siginfo))
		return -EINVAL;
	while (it->left >= sizeof(struct signalfd_siginfo)) {
		if (!signal_dequeue(*sigset(f), &si)) {
			if (done)
				break;
			if (f->flags & O_NONBLOCK)
				return -EAGAIN;
			int r = wait_on(&signal_arrived, signal_pending_set() & *sigset(f), ~0ULL);
			if (r)
				return r;
			continue;
		}
		struct signalfd_siginfo out = {
			.ssi_signo = si.signo, .ssi_errno = si.err, .ssi_code = si.code, .ssi_pid = si.pid, .ssi_uid = si.uid,
			.ssi_tid = si.timerid, .ssi_overrun = si.overrun, .ssi_status = si.status, .ssi_addr = si.addr,
			.ssi_int = (int)si.value, .ssi_ptr = (u64)si.value,
		};
		if (iter_put(it, &out, sizeof(out)) != sizeof(out))
			return done ? done : -EFAULT;
		done += sizeof(out);
	}
	return done;
}

static u32 signalfd_poll(struct file *f, struct poll_table *pt)
{
	poll_wait(pt, &signal_arrived);
	return signal_pending_set() & *sigset(f) ? POLL_IN : 0;
}

static const struct file_ops signalfd_ops = { .read = signalfd_read, .poll = signalfd_poll, .seek = noop_seek, .name = "[signalfd]" };

static long signalfd_do(int fd, const void *uset, u64 size, u32 flags)
{
	u64 set;
	struct file *f;
	if (flags & ~(u32)(O_NONBLOCK | O_CLOEXEC) || size != sizeof(set))
		return -EINVAL;
	if (get_user(set, uset))
		return -EFAULT;
	set &= ~(SIGBIT(SIGKILL) | SIGBIT(SIGSTOP));
	if (fd == -1) {
		f = file_alloc(&signalfd_ops, O_RDWR | (flags & O_NONBLOCK), (void *)set);
		if (!f)
			return -ENOMEM;
		fd = fd_install(f, 0, flags & O_CLOEXEC);
		if (fd < 0)
			file_put(f);
		return fd;
	}
	f = fd_get(fd);
	if (!f)
		return -EBADF;
	if (f->ops == &signalfd_ops) {
		*sigset(f) = set;
		waitq_wake(&signal_arrived, POLL_IN);
	} else {
		fd = -EINVAL;
	}
	file_put(f);
	return fd;
}

SYSCALL(signalfd) { return signalfd_do((int)a, (void *)b, c, 0); }
SYSCALL(signalfd4) { return signalfd_do((int)a, (void *)b, c, d); }
