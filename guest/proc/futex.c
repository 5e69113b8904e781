/* SPDX-License-Identifier: Apache-2.0 */
/* futex.c: futex(2). */
#include "futex.h"
#include "syscall.h"
#include "../time/internal.h"

enum { F_WAIT, F_WAKE, F_FD, F_REQUEUE, F_CMP_REQUEUE, F_WAKE_OP, F_LOCK_PI, F_UNLOCK_PI, F_TRYLOCK_PI, F_WAIT_BITSET,
       F_WAKE_BITSET, F_WAIT_REQUEUE_PI, F_CMP_REQUEUE_PI, F_LOCK_PI2 };
#define F_PRIVATE 128
#define F_CLOCK_REALTIME 256

static long wait(u32 *uaddr, bool shared, u32 expect, u64 deadline, u32 bitset, bool relative)
{
	struct thread *t = current();
	struct fwaiter w = { .bitset = bitset };
	u32 v;
	if (!bitset)
		return -EINVAL;
	/* A restart of a relative wait goes on to the deadline of the first try. */
	if (relative && t->restart_deadline)
		deadline = t->restart_deadline;
	t->restart_deadline = 0;
	int r = fkey_get(uaddr, shared, false, &w.key, &w.by_page);
	if (r)
		return r;
	if (user_load32(uaddr, &v))
		return -EFAULT;
	if (v != expect)
		return -EAGAIN;
	fwaiter_add(&w, t);
	r = fwaiter_sleep(&w, deadline);
	if (r != -ERESTARTSYS || deadline == ~0ULL)
		return r;
	/* With a time-out, a handler means EINTR even under SA_RESTART. */
	if (relative)
		t->restart_deadline = deadline;
	return -ERESTARTNOHAND;
}

static long wake(u32 *uaddr, bool shared, int n, u32 bitset)
{
	struct fkey key;
	bool by_page;
	int done = 0;
	if (!bitset)
		return -EINVAL;
	int r = fkey_get(uaddr, shared, true, &key, &by_page);
	if (r)
		return r;
	list_for_each_safe(l, next, fbucket(&key)) {
		struct fwaiter *w = list_entry(l, struct fwaiter, link);
		if (!fkey_equal(&w->key, &key) || !(w->bitset & bitset))
			continue;
		if (w->pi)
			return -EINVAL;
		fwaiter_wake(w);
		if (++done >= n)
			break;
	}
	return done;
}

long futex_wake_addr(u32 *uaddr, int n)
{
	return wake(uaddr, true, n, BITSET_ALL);
}

static long requeue(u32 *from, u32 *to, bool shared, int nwake, int nmove, const u32 *expect)
{
	struct fkey k1, k2;
	bool page1, page2;
	u32 v;
	int done = 0, moved = 0;
	if (nwake < 0 || nmove < 0)
		return -EINVAL;
	int r = fkey_get(from, shared, true, &k1, &page1);
	if (!r)
		r = fkey_get(to, shared, false, &k2, &page2);
	if (r)
		return r;
	if (expect) {
		if (user_load32(from, &v))
			return -EFAULT;
		if (v != *expect)
			return -EAGAIN;
	}
	list_for_each_safe(l, next, fbucket(&k1)) {
		struct fwaiter *w = list_entry(l, struct fwaiter, link);
		if (!fkey_equal(&w->key, &k1))
			continue;
		if (w->pi)
			return -EINVAL;
		if (done < nwake) {
			fwaiter_wake(w);
			done++;
			continue;
		}
		if (moved >= nmove)
			break;
		moved++;
		if (fkey_equal(&k1, &k2))
			continue;
		fwaiter_remove(w);
		w->key = k2;
		w->by_page = page2;
		fwaiter_add(w, w->thread);
	}
	return expect ? done + moved : done;
}

static s32 sext12(u32 v) { return (s32)(v << 20) >> 20; }

/* The operation that FUTEX_WAKE_OP packs into one word, done atomically; true as *hit if its comparison held. */
static int wake_op_apply(u32 op, u32 *uaddr, bool *hit)
{
	u32 old, now, seen;
	s32 arg = sext12(op >> 12 & 0xfff), cmparg = sext12(op & 0xfff);
	if (op >> 28 & 8) {
		if ((u32)arg > 31)
			arg &= 31;
		arg = (s32)(1U << arg);
	}
	do {
		if (user_load32(uaddr, &old))
			return -EFAULT;
		switch (op >> 28 & 7) {
		case 0: now = arg; break;
		case 1: now = old + arg; break;
		case 2: now = old | arg; break;
		case 3: now = old & ~arg; break;
		case 4: now = old ^ arg; break;
		default: return -ENOSYS;
		}
		if (user_cmpxchg32(uaddr, old, now, &seen))
			return -EFAULT;
	} while (seen != old);
	s32 v = old;
	switch (op >> 24 & 15) {
	case 0: *hit = v == cmparg; return 0;
	case 1: *hit = v != cmparg; return 0;
	case 2: *hit = v < cmparg; return 0;
	case 3: *hit = v <= cmparg; return 0;
	case 4: *hit = v > cmparg; return 0;
	case 5: *hit = v >= cmparg; return 0;
	}
	return -ENOSYS;
}

static long wake_op(u32 *u1, u32 *u2, bool shared, int n1, int n2, u32 op)
{
	bool hit = false, page;
	struct fkey key;
	int r = fkey_get(u1, shared, true, &key, &page);
	if (!r)
		r = fkey_get(u2, shared, true, &key, &page);
	if (!r)
		r = wake_op_apply(op, u2, &hit);
	if (r)
		return r;
	long done = wake(u1, shared, n1, BITSET_ALL);
	if (done < 0 || !hit)
		return done;
	long more = wake(u2, shared, n2, BITSET_ALL);
	return more < 0 ? more : done + more;
}

/* The time-out of a call that sleeps; relative only for FUTEX_WAIT. */
static int deadline_of(u64 uts, int cmd, bool realtime, u64 *deadline)
{
	struct kts ts;
	if (!uts || cmd == F_WAIT)
		return deadline_from_user((void *)uts, deadline);
	int r = get_timespec((void *)uts, &ts);
	if (!r)
		*deadline = clock_to_mono(realtime ? C_REALTIME : C_MONOTONIC, ts_to_ns(&ts));
	return r;
}

SYSCALL(futex)
{
	u32 *uaddr = (u32 *)a, *uaddr2 = (u32 *)e, val = (u32)c, val3 = (u32)f;
	int cmd = (int)b & ~(F_PRIVATE | F_CLOCK_REALTIME), r;
	bool shared = !(b & F_PRIVATE), realtime = b & F_CLOCK_REALTIME;
	u64 deadline = ~0ULL;
	if (realtime && cmd != F_WAIT && cmd != F_WAIT_BITSET && cmd != F_LOCK_PI2 && cmd != F_WAIT_REQUEUE_PI)
		return -ENOSYS;
	if (cmd == F_WAIT || cmd == F_WAIT_BITSET || cmd == F_LOCK_PI || cmd == F_LOCK_PI2) {
		r = deadline_of(d, cmd, realtime || cmd == F_LOCK_PI, &deadline);
		if (r)
			return r;
	}
	switch (cmd) {
	case F_WAIT: return wait(uaddr, shared, val, deadline, BITSET_ALL, true);
	case F_WAIT_BITSET: return wait(uaddr, shared, val, deadline, val3, false);
	case F_WAKE: return wake(uaddr, shared, (int)val, BITSET_ALL);
	case F_WAKE_BITSET: return wake(uaddr, shared, (int)val, val3);
	case F_REQUEUE: return requeue(uaddr, uaddr2, shared, (int)val, (int)d, NULL);
	case F_CMP_REQUEUE: return requeue(uaddr, uaddr2, shared, (int)val, (int)d, &val3);
	case F_WAKE_OP: return wake_op(uaddr, uaddr2, shared, (int)val, (int)d, val3);
	case F_LOCK_PI: case F_LOCK_PI2: return futex_lock_pi(uaddr, shared, deadline, false);
	case F_TRYLOCK_PI: return futex_lock_pi(uaddr, shared, 0, true);
	case F_UNLOCK_PI: return futex_unlock_pi(uaddr, shared);
	}
	unsupported_once("futex operation", b);
	return -ENOSYS;
}
