/* SPDX-License-Identifier: Apache-2.0 */
/* lock.c: advisory locks: records of a process (POSIX) or of an open file (OFD), and flock. */
#include "vfs.h"

#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8
#define TO_END 0x7fffffffffffffffUL /* last byte a lock can cover */

enum kind { RECORD, FLOCK };

/* The inode is not referenced: a lock goes with the descriptor or open file that holds it. */
struct lock {
	struct list link;
	const struct inode *ino;
	const void *owner;     /* descriptor table (POSIX), open file (OFD, flock) */
	u64 start, end;        /* both included */
	int pid;               /* -1: OFD */
	u8 type, kind;
};

struct blocked { struct list link; const void *owner, *by; };

u32 lock_count;
static struct list locks = LIST_INIT(locks), blocked = LIST_INIT(blocked);
static struct waitq released = WAITQ_INIT(released);

static void lock_free(struct lock *l)
{
	list_del(&l->link);
	kfree(l);
	lock_count--;
	waitq_wake(&released, 0);
}

void locks_drop(struct inode *ino, const void *owner)
{
	list_for_each_safe(l, nx, &locks) {
		struct lock *k = list_entry(l, struct lock, link);
		if (k->ino == ino && k->owner == owner)
			lock_free(k);
	}
}

static struct lock *conflict(const struct lock *w)
{
	list_for_each(l, &locks) {
		struct lock *k = list_entry(l, struct lock, link);
		if (k->ino == w->ino && k->kind == w->kind && k->owner != w->owner && k->start <= w->end && k->end >= w->start &&
		    (k->type == F_WRLCK || w->type == F_WRLCK))
			return k;
	}
	return NULL;
}

/* Would owner, waiting for by, wait for itself? */
static bool deadlock(const void *owner, const void *by)
{
	for (int depth = 0; depth < 64; depth++) {
		const void *next = NULL;
		if (by == owner)
			return true;
		list_for_each(l, &blocked) {
			struct blocked *b = list_entry(l, struct blocked, link);
			if (b->owner == by)
				next = b->by;
		}
		if (!next)
			return false;
		by = next;
	}
	return false;
}

/* Waits until nothing is in the way of w. */
static int wait_for(const struct lock *w, bool posix)
{
	struct lock *k;

	while ((k = conflict(w))) {
		struct blocked b = { .owner = w->owner, .by = k->owner };
		int r;
		if (posix && deadlock(w->owner, k->owner))
			return -EDEADLK;
		if (posix)
			list_add(&b.link, &blocked);
		r = wait_on(&released, !conflict(w), ~0UL);
		if (posix)
			list_del(&b.link);
		if (r)
			return r;
	}
	return 0;
}

static void lock_insert(struct lock *n, const struct lock *from)
{
	*n = *from;
	list_add(&n->link, &locks);
	lock_count++;
}

/* Gives the owner's range w->start..w->end the type, F_UNLCK for none. */
static int set_range(const struct lock *w)
{
	struct lock *new = kmalloc(sizeof(*new)), *split = kmalloc(sizeof(*split));
	struct lock want = *w;

	if (!new || !split) {
		kfree(new);
		kfree(split);
		return -ENOLCK;
	}
	list_for_each_safe(l, nx, &locks) {
		struct lock *k = list_entry(l, struct lock, link);
		bool same = k->type == want.type;
		u64 reach = same ? 1 : 0; /* ranges of one type that touch become one */

		if (k->ino != w->ino || k->owner != w->owner || k->kind != w->kind)
			continue;
		if (k->end + reach < want.start || k->start > want.end + reach)
			continue;
		if (same) {
			want.start = MIN(want.start, k->start);
			want.end = MAX(want.end, k->end);
			lock_free(k);
		} else if (k->start < w->start && k->end > w->end) {
			struct lock upper = *k;
			upper.start = w->end + 1;
			k->end = w->start - 1;
			lock_insert(split, &upper);
			split = NULL;
		} else if (k->start < w->start) {
			k->end = w->start - 1;
		} else if (k->end > w->end) {
			k->start = w->end + 1;
		} else {
			lock_free(k);
		}
	}
	if (want.type != F_UNLCK) {
		lock_insert(new, &want);
		new = NULL;
	}
	kfree(new);
	kfree(split);
	waitq_wake(&released, 0);
	return 0;
}

/* struct flock's range to start and end. */
static int get_range(const struct file *f, const struct flock *fl, struct lock *w)
{
	s64 base = fl->l_whence == 0 ? 0 : fl->l_whence == 1 ? (s64)f->pos : fl->l_whence == 2 ? (s64)f->ino->size : -1, start, end;

	if (base < 0)
		return -EINVAL;
	if (__builtin_add_overflow(base, fl->l_start, &start))
		return -EOVERFLOW;
	if (start < 0)
		return -EINVAL;
	if (fl->l_len > 0) {
		if (__builtin_add_overflow(start, fl->l_len - 1, &end))
			return -EOVERFLOW;
	} else if (fl->l_len < 0) {
		end = start - 1;
		if (__builtin_add_overflow(start, fl->l_len, &start) || start < 0)
			return -EINVAL;
	} else {
		end = TO_END;
	}
	w->start = start;
	w->end = end;
	return 0;
}

static long get_lock(struct lock *w, struct flock *fl, u64 arg)
{
	struct lock *k;

	if (fl->l_type != F_RDLCK && fl->l_type != F_WRLCK)
		return -EINVAL;
	k = conflict(w);
	if (!k) {
		fl->l_type = F_UNLCK;
	} else {
		fl->l_type = k->type;
		fl->l_whence = 0;
		fl->l_start = k->start;
		fl->l_len = k->end == TO_END ? 0 : k->end - k->start + 1;
		fl->l_pid = k->pid;
	}
	return copy_to_user((void *)arg, fl, sizeof(*fl));
}

long lock_fcntl(int fd, struct file *f, int cmd, u64 arg)
{
	bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
	struct fdtable *t = curproc()->files;
	struct flock fl;
	struct lock w = { .ino = f->ino, .kind = RECORD };
	int r;

	if (copy_from_user(&fl, (void *)arg, sizeof(fl)))
		return -EFAULT;
	if (ofd && fl.l_pid)
		return -EINVAL;
	if (!f->ino)
		return -EBADF;
	w.owner = ofd ? (void *)f : (void *)t;
	w.pid = ofd ? -1 : curproc()->pid;
	w.type = fl.l_type;
	r = get_range(f, &fl, &w);
	if (r)
		return r;
	if (cmd == F_GETLK || cmd == F_OFD_GETLK)
		return get_lock(&w, &fl, arg);
	switch (fl.l_type) {
	case F_RDLCK:
		if (!file_readable(f))
			return -EBADF;
		break;
	case F_WRLCK:
		if (!file_writable(f))
			return -EBADF;
		break;
	case F_UNLCK: break;
	default: return -EINVAL;
	}
	if (w.type != F_UNLCK) {
		if (cmd == F_SETLK || cmd == F_OFD_SETLK)
			r = conflict(&w) ? -EAGAIN : 0;
		else
			r = wait_for(&w, !ofd);
		if (r)
			return r;
	}
	r = set_range(&w);
	/* Closed by another thread while this one waited: nobody would drop the lock any more. */
	if (!r && !ofd && fd_peek(fd) != f)
		locks_drop(f->ino, t);
	return r;
}

SYSCALL(flock)
{
	struct file *file = fd_get((int)a);
	struct lock w = { .kind = FLOCK, .end = TO_END, .pid = -1, .owner = file };
	long r = 0;

	switch ((int)b & ~LOCK_NB) {
	case LOCK_SH: w.type = F_RDLCK; break;
	case LOCK_EX: w.type = F_WRLCK; break;
	case LOCK_UN: w.type = F_UNLCK; break;
	default: r = -EINVAL;
	}
	if (!file)
		return r ? r : -EBADF;
	w.ino = file->ino;
	if (!r && !file->ino)
		r = -EBADF;
	if (!r && w.type != F_UNLCK && conflict(&w)) {
		if (b & LOCK_NB) {
			r = -EAGAIN;
		} else {
			struct lock none = w;
			none.type = F_UNLCK; /* a conversion gives up the old lock while it waits */
			r = set_range(&none);
			if (!r)
				r = wait_for(&w, false);
		}
	}
	if (!r)
		r = set_range(&w);
	file_put(file);
	return r;
}
