/* SPDX-License-Identifier: Apache-2.0 */
/* fcntl.c: fcntl and ioctl: what holds for every kind of file; the rest goes to the file's operations. */
#include "vfs.h"
#include <asm/ioctls.h>
#include <asm/sockios.h>

#define SETFL_MASK (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)
#define FIGETBSZ 2
#define F_DUPFD_QUERY 1027

static long dup_from(struct file *f, u64 min, bool cloexec)
{
	u64 limit = curproc()->rlim[RLIMIT_NOFILE].cur;
	int fd;

	if ((u32)min >= MIN(limit, 1UL << 20))
		return -EINVAL;
	file_get(f);
	fd = fd_install(f, min, cloexec);
	if (fd < 0)
		file_put(f);
	return fd;
}

static long set_flags(struct file *f, int fd, u32 flags)
{
	if ((flags & O_NOATIME) && !(f->flags & O_NOATIME) && f->ino && !inode_owner(f->ino))
		return -EPERM;
	if ((flags & O_DIRECT) && !(f->ino && S_ISREG(f->ino->mode)))
		return -EINVAL;
	if ((f->flags ^ flags) & FASYNC) {
		long r = async_set(f, fd, flags & FASYNC);
		if (r && r != -ENOTTY) /* other kinds of file do not mind */
			return r;
	}
	f->flags = (f->flags & ~SETFL_MASK) | (flags & SETFL_MASK);
	return 0;
}

static long control(int fd, struct file *f, u32 cmd, u64 arg)
{
	switch (cmd) {
	case F_DUPFD: return dup_from(f, arg, false);
	case F_DUPFD_CLOEXEC: return dup_from(f, arg, true);
	case F_GETFD: return fd_is_cloexec(fd) ? FD_CLOEXEC : 0;
	case F_SETFD: return fd_set_cloexec(fd, arg & FD_CLOEXEC);
	case F_GETFL: return f->flags;
	case F_DUPFD_QUERY: return !fd_peek((int)arg) ? -EBADF : fd_peek((int)arg) == f;
	}
	if (f->flags & O_PATH)
		return -EBADF;
	switch (cmd) {
	case F_SETFL: return set_flags(f, fd, arg);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW: return lock_fcntl(fd, f, cmd, arg);
	case F_GETOWN:
	case F_SETOWN: return async_owner(f, cmd == F_SETOWN, arg);
	case F_GETOWN_EX:
	case F_SETOWN_EX: return async_owner_ex(f, cmd == F_SETOWN_EX, arg);
	case F_GETSIG:
	case F_SETSIG: return async_signal(f, cmd == F_SETSIG, arg);
	case F_GETLEASE: return F_UNLCK;
	case F_SETPIPE_SZ: return pipe_size(f, true, arg);
	case F_GETPIPE_SZ: return pipe_size(f, false, 0);
	case F_ADD_SEALS:
		if (!file_writable(f))
			return -EPERM;
		return tmpfs_seals(f->ino, true, arg);
	case F_GET_SEALS: return tmpfs_seals(f->ino, false, 0);
	}
	return -EINVAL;
}

SYSCALL(fcntl)
{
	struct file *file = fd_get_any((int)a);
	long r;

	if (!file)
		return -EBADF;
	r = control((int)a, file, b, c);
	file_put(file);
	return r;
}

static long control_io(int fd, struct file *f, u32 cmd, u64 arg)
{
	int on;

	if (f->flags & O_PATH)
		return -EBADF;
	switch (cmd) {
	case FIOCLEX: return fd_set_cloexec(fd, true);
	case FIONCLEX: return fd_set_cloexec(fd, false);
	case FIONBIO:
		if (get_user(on, arg))
			return -EFAULT;
		f->flags = on ? f->flags | O_NONBLOCK : f->flags & ~(u32)O_NONBLOCK;
		return 0;
	case FIOASYNC:
		if (get_user(on, arg))
			return -EFAULT;
		return !on == !(f->flags & FASYNC) ? 0 : async_set(f, fd, on);
	case FIOSETOWN:
	case SIOCSPGRP:
	case FIOGETOWN:
	case SIOCGPGRP:
		if (!f->ino || !S_ISSOCK(f->ino->mode))
			break;
		if (cmd == FIOGETOWN || cmd == SIOCGPGRP)
			return put_user((int)async_owner(f, false, 0), arg);
		return get_user(on, arg) ? -EFAULT : async_owner(f, true, on);
	}
	if (f->ops->ioctl)
		return f->ops->ioctl(f, cmd, arg);
	if (f->ino && S_ISREG(f->ino->mode)) {
		switch (cmd) {
		case FIONREAD: return put_user((int)(f->ino->size - f->pos), arg);
		case FIGETBSZ: return put_user((int)PAGE_SIZE, arg);
		case FIOQSIZE: return put_user(f->ino->size, arg);
		}
	}
	return -ENOTTY;
}

SYSCALL(ioctl)
{
	struct file *file = fd_get((int)a);
	long r;

	if (!file)
		return -EBADF;
	r = control_io((int)a, file, b, c);
	file_put(file);
	return r;
}
