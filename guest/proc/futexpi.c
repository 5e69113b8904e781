/* SPDX-License-Identifier: Apache-2.0 */
/*
 * futexpi.c: futexes with an owner (PI). The word holds the owner's thread number, FUTEX_WAITERS and FUTEX_OWNER_DIED.
 *
 * Unlocking hands the word to the first waiter (by real-time priority, then by time), so a waiter that wakes up owns it already.
 * Meanwhile the owner has the first waiter's priority if that is higher than its own.
 */
#include "futex.h"

static int store(u32 *uaddr, u32 expect, u32 v)
{
	u32 seen;
	if (user_cmpxchg32(uaddr, expect, v, &seen))
		return -EFAULT;
	return seen == expect ? 0 : -EAGAIN;
}

/* Waits of others on the same word for the same owner: false if the word is used for something else as well. */
static bool waiters_agree(const struct fkey *key, bool *any)
{
	struct fwaiter *w = fwaiter_first(key);
	*any = w;
	return !w || w->pi;
}

/* Take the word, or note in it that somebody waits. 1: taken, 0: wait for *owner, negative errno. */
static int try_take(u32 *uaddr, bool may_wait, bool waiters, int *owner)
{
	u32 v, me = current()->tid;
	for (;;) {
		int r;
		if (user_load32(uaddr, &v))
			return -EFAULT;
		if ((v & FUTEX_TID_MASK) == me)
			return -EDEADLK;
		if (!(v & FUTEX_TID_MASK)) {
			r = store(uaddr, v, me | (v & FUTEX_OWNER_DIED) | (waiters ? FUTEX_WAITERS : 0));
			if (!r)
				return 1;
		} else {
			*owner = v & FUTEX_TID_MASK;
			if (!may_wait)
				return -EAGAIN;
			struct thread *t = thread_find(*owner);
			/* One that is ending leaves its mark in the word or is gone; either way this is over soon. */
			if (!t || (t->flags & TF_KTHREAD))
				return -ESRCH;
			r = v & FUTEX_WAITERS ? 0 : store(uaddr, v, v | FUTEX_WAITERS);
			if (!r)
				return 0;
		}
		if (r != -EAGAIN)
			return r;
	}
}

void futex_lend(struct thread *t)
{
	struct fwaiter *w = fwaiter_of_owner(t->tid);
	int prio = w ? MAX(w->thread->prio, t->rt_prio) : t->rt_prio;
	if (prio != t->prio)
		thread_set_prio(t, prio);
}

static void lend(int tid)
{
	struct thread *t = thread_find(tid);
	if (t)
		futex_lend(t);
}

long futex_lock_pi(u32 *uaddr, bool shared, u64 deadline, bool try)
{
	struct thread *t = current();
	struct fwaiter w = { .bitset = BITSET_ALL, .pi = true, .uaddr = uaddr, .mm = t->proc->mm };
	bool waiters;
	int r = fkey_get(uaddr, shared, false, &w.key, &w.by_page);
	if (r)
		return r;
	if (!waiters_agree(&w.key, &waiters))
		return -EINVAL;
	r = try_take(uaddr, !try, waiters, &w.owner);
	if (r)
		return r == 1 ? 0 : r;
	fwaiter_add(&w, t);
	lend(w.owner);
	r = fwaiter_sleep(&w, deadline);
	lend(w.owner);
	/* Unlike FUTEX_WAIT, a handler never ends the wait: the call goes on after it. */
	return r == -ERESTARTSYS ? -ERESTARTNOINTR : r;
}

/* Set the word in any address space. Nothing else runs meanwhile, so elsewhere a plain store will do. */
static int set_word(struct mm *mm, u32 *uaddr, u32 v)
{
	u32 old;
	if (mm != curproc()->mm)
		return mm_poke(mm, (u64)uaddr, &v, sizeof(v)) ? -EFAULT : 0;
	return user_load32(uaddr, &old) ? -EFAULT : store(uaddr, old, v);
}

/* Give the word to the thread that has waited longest. */
static int hand_over(struct mm *mm, u32 *uaddr, const struct fkey *key, u32 flags)
{
	struct fwaiter *w = fwaiter_first(key);
	struct thread *next = w->thread;
	fwaiter_remove(w);
	int r = set_word(mm, uaddr, next->tid | flags | (fwaiter_first(key) ? FUTEX_WAITERS : 0));
	if (r) { /* the word is gone */
		w->err = r;
		fwaiter_wake(w);
		return r;
	}
	list_for_each(l, fbucket(key)) {
		struct fwaiter *o = list_entry(l, struct fwaiter, link);
		if (fkey_equal(&o->key, key))
			o->owner = next->tid;
	}
	futex_lend(current());
	fwaiter_wake(w);
	return 0;
}

long futex_unlock_pi(u32 *uaddr, bool shared)
{
	struct fkey key;
	bool page, waiters;
	u32 v;
	int r = fkey_get(uaddr, shared, false, &key, &page);
	if (r)
		return r;
	if (user_load32(uaddr, &v))
		return -EFAULT;
	if ((int)(v & FUTEX_TID_MASK) != current()->tid)
		return -EPERM;
	if (!waiters_agree(&key, &waiters))
		return -EINVAL;
	return waiters ? hand_over(curproc()->mm, uaddr, &key, 0) : set_word(curproc()->mm, uaddr, 0);
}

/* t ends and owns words that others wait for: each goes to its first waiter, marked. */
void futex_pi_owner_died(struct thread *t)
{
	struct fwaiter *w;
	while ((w = fwaiter_of_owner(t->tid))) {
		struct fkey key = w->key;
		hand_over(w->mm, w->uaddr, &key, FUTEX_OWNER_DIED);
	}
}
