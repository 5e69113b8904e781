/* SPDX-License-Identifier: Apache-2.0 */
/* robust.c: what a thread leaves in futex words when it ends: the robust list, PI words, clear_child_tid. */
#include "futex.h"
#include "syscall.h"

#define LIST_LIMIT 2048 /* entries followed, so that a circle ends */

struct robust_head { u64 next; s64 offset; u64 pending; };

SYSCALL(set_robust_list)
{
	if (b != sizeof(struct robust_head))
		return -EINVAL;
	current()->robust_list = (void *)a;
	current()->robust_len = b;
	return 0;
}

SYSCALL(get_robust_list)
{
	struct thread *t = (int)a ? thread_find((int)a) : current();
	if (!t)
		return -ESRCH;
	if (t->proc != curproc() && !(curproc()->cap_eff & CAP(19)))
		return -EPERM;
	u64 head = (u64)t->robust_list, len = sizeof(struct robust_head);
	if (put_user(len, (u64 *)c) || put_user(head, (u64 *)b))
		return -EFAULT;
	return 0;
}

/* The word of one list entry that t still holds is marked, and one waiter told. */
static bool owner_died(struct thread *t, u32 *uaddr, bool pi, bool pending)
{
	u32 v, seen;
	if ((u64)uaddr & 3)
		return false;
	do {
		if (!access_ok(uaddr, sizeof(*uaddr)) || user_load32(uaddr, &v))
			return false;
		/* Unlocked already, but the thread ended before it could wake the next one. */
		if (pending && !pi && !v) {
			futex_wake_addr(uaddr, 1);
			return true;
		}
		if ((int)(v & FUTEX_TID_MASK) != t->tid)
			return true;
		if (user_cmpxchg32(uaddr, v, (v & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &seen))
			return false;
	} while (seen != v);
	/* Robust locks always wait on the shared form of the word. */
	if (!pi && (v & FUTEX_WAITERS))
		futex_wake_addr(uaddr, 1);
	return true;
}

static void robust_walk(struct thread *t)
{
	struct robust_head h;
	u64 head = (u64)t->robust_list, entry, next;
	if (copy_from_user(&h, (void *)head, sizeof(h)))
		return;
	u64 pending = h.pending & ~1ULL;
	entry = h.next;
	for (int n = 0; n < LIST_LIMIT && (entry & ~1ULL) != head; n++, entry = next) {
		/* Read on first: once marked, the entry may be reused. */
		bool ok = !get_user(next, entry & ~1ULL);
		if ((entry & ~1ULL) != pending && !owner_died(t, (u32 *)((entry & ~1ULL) + h.offset), entry & 1, false))
			return;
		if (!ok)
			break;
	}
	if (pending)
		owner_died(t, (u32 *)(pending + h.offset), h.pending & 1, true);
}

void futex_thread_exit(struct thread *t)
{
	struct process *p = t->proc;
	if (!p->mm)
		return;
	/* PI words with waiters change hands before the list marks the rest. */
	futex_pi_owner_died(t);
	if (t->robust_list)
		robust_walk(t);
	/* With the last thread the address space goes: nobody could read the word. */
	if (t->clear_child_tid && (p->nthreads > 1 || p->vm_shared)) {
		u32 zero = 0;
		if (!put_user(zero, t->clear_child_tid))
			futex_wake_addr(t->clear_child_tid, 1);
	}
	t->clear_child_tid = NULL;
	t->robust_list = NULL;
}
