/* SPDX-License-Identifier: Apache-2.0 */
/* schedcalls.c: sched_* and priorities. There is one vCPU. */
#include "internal.h"
#include "syscall.h"

enum { S_OTHER, S_FIFO, S_RR, S_BATCH, S_IDLE = 5, S_DEADLINE = 6 }; /* S_FIFO is SCHED_FIFO */
#define RESET_ON_FORK 0x40000000

SYSCALL(sched_yield)
{
	thread_requeue();
	return 0;
}

static struct thread *find(int pid)
{
	return pid ? thread_find(pid) : current();
}

SYSCALL(sched_getaffinity)
{
	u64 mask = 1;
	if ((u32)b < sizeof(mask) || (b & 7))
		return -EINVAL;
	if ((int)a < 0 || !find((int)a))
		return -ESRCH;
	return copy_to_user((void *)c, &mask, sizeof(mask)) ? -EFAULT : (long)sizeof(mask);
}

SYSCALL(sched_setaffinity)
{
	u64 mask = 0;
	if (copy_from_user(&mask, (void *)c, MIN((u32)b, sizeof(mask))))
		return -EFAULT;
	if ((int)a < 0 || !find((int)a))
		return -ESRCH;
	return mask & 1 ? 0 : -EINVAL;
}

SYSCALL(getcpu)
{
	u32 zero = 0;
	if ((a && put_user(zero, (u32 *)a)) || (b && put_user(zero, (u32 *)b)))
		return -EFAULT;
	return 0;
}

static bool realtime(int policy) { return policy == S_FIFO || policy == S_RR; }

/* Of the policies that are not for real time, SCHED_IDLE is the one that differs. */
static long set_policy(int pid, int policy, u32 prio, bool keep)
{
	struct thread *t = find(pid);
	struct process *p = curproc();
	bool reset = policy & RESET_ON_FORK;
	if (!t)
		return -ESRCH;
	if (keep)
		reset = t->reset_on_fork;
	policy = keep ? t->policy : policy & ~RESET_ON_FORK;
	if ((!realtime(policy) && policy != S_OTHER && policy != S_BATCH && policy != S_IDLE) || prio > 99 || realtime(policy) != !!prio)
		return -EINVAL;
	u64 most = t->proc->rlim[14].cur; /* RLIMIT_RTPRIO */
	if (!(p->cap_eff & CAP(23)) &&
	    ((prio && ((policy != t->policy && !most) || (prio > t->rt_prio && prio > most))) || (t->reset_on_fork && !reset) ||
	     (p->euid != t->proc->euid && p->euid != t->proc->uid)))
		return -EPERM;
	t->policy = policy;
	t->reset_on_fork = reset;
	t->rt_prio = prio;
	thread_set_prio(t, prio);
	futex_lend(t);
	return 0;
}

static long from_user(int pid, int policy, u64 uparam, bool keep)
{
	int prio;
	if (pid < 0 || !uparam || policy < 0)
		return -EINVAL;
	return get_user(prio, uparam) ? -EFAULT : set_policy(pid, policy, prio, keep);
}

SYSCALL(sched_setparam) { return from_user((int)a, 0, b, true); }
SYSCALL(sched_setscheduler) { return from_user((int)a, (int)b, c, false); }

struct attr { u32 size, policy; u64 flags; s32 nice; u32 prio; u64 runtime, deadline, period; u32 util_min, util_max; };
#define ATTR_MIN 48
#define FLAGS_KNOWN 0x7f
#define KEEP_POLICY 8
#define KEEP_PARAMS 0x10

SYSCALL(sched_setattr)
{
	struct attr at = { 0 };
	u32 size, full = sizeof(at);
	u64 more;
	if ((int)a < 0 || !b || (u32)c)
		return -EINVAL;
	if (get_user(size, b))
		return -EFAULT;
	size = size ? size : ATTR_MIN;
	bool big = size < ATTR_MIN || size > PAGE_SIZE;
	for (u64 i = full; !big && i < size; i += 8) {
		more = 0;
		if (copy_from_user(&more, (u8 *)b + i, MIN(8, size - i)))
			return -EFAULT;
		big = more;
	}
	if (big)
		return put_user(full, b) ? -EFAULT : -E2BIG;
	if (copy_from_user(&at, (void *)b, MIN(size, full)))
		return -EFAULT;
	if ((s32)at.policy < 0 || at.flags & ~(u64)FLAGS_KNOWN)
		return -EINVAL;
	bool keep = at.flags & KEEP_POLICY, params = !(at.flags & KEEP_PARAMS);
	long r = set_policy((int)a, at.policy | (at.flags & 1 ? RESET_ON_FORK : 0), params ? at.prio : 0, keep);
	if (!r && params && find((int)a)->policy != S_IDLE)
		find((int)a)->proc->nice = MAX(MIN(at.nice, 19), -20);
	return r;
}

SYSCALL(sched_getattr)
{
	struct attr at = { .size = MIN((u32)c, sizeof(at)), .util_max = 1024 };
	if ((int)a < 0 || !b || (u32)c < ATTR_MIN || (u32)c > PAGE_SIZE || (u32)d)
		return -EINVAL;
	struct thread *t = find((int)a);
	if (!t)
		return -ESRCH;
	at.policy = t->policy;
	at.flags = t->reset_on_fork;
	at.prio = t->rt_prio;
	at.nice = t->proc->nice;
	return copy_to_user((void *)b, &at, at.size);
}

SYSCALL(sched_getscheduler)
{
	struct thread *t = (int)a < 0 ? NULL : find((int)a);
	return t ? (t->reset_on_fork ? RESET_ON_FORK : 0) | t->policy : (int)a < 0 ? -EINVAL : -ESRCH;
}

SYSCALL(sched_getparam)
{
	if ((int)a < 0 || !b)
		return -EINVAL;
	struct thread *t = find((int)a);
	int prio = t ? t->rt_prio : 0;
	return t ? put_user(prio, (int *)b) : -ESRCH;
}

static long priority_limit(int policy, int realtime)
{
	switch (policy) {
	case S_FIFO: case S_RR: return realtime;
	case S_OTHER: case S_BATCH: case S_IDLE: case S_DEADLINE: return 0;
	}
	return -EINVAL;
}

SYSCALL(sched_get_priority_max) { return priority_limit((int)a, 99); }
SYSCALL(sched_get_priority_min) { return priority_limit((int)a, 1); }

SYSCALL(sched_rr_get_interval)
{
	struct thread *t = (int)a < 0 ? NULL : find((int)a);
	if ((int)a < 0)
		return -EINVAL;
	struct kts ts = ns_to_ts(t && t->policy == S_FIFO ? 0 : SLICE_NS);
	return t ? copy_to_user((void *)b, &ts, sizeof(ts)) : -ESRCH;
}

/* ---- nice values: of a process, not of a thread ---- */

enum { PRIO_PROCESS, PRIO_PGRP, PRIO_USER };

static bool in_group(const struct process *p, int which, int who)
{
	const struct process *me = curproc();
	switch (which) {
	case PRIO_PROCESS: return who ? p->pid == who : p == me;
	case PRIO_PGRP: return p->pgid == (who ? who : me->pgid);
	}
	return p->uid == (who ? (u32)who : me->uid);
}

SYSCALL(getpriority)
{
	int best = -ESRCH;
	if ((u32)a > PRIO_USER)
		return -EINVAL;
	list_for_each(l, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		if (!p->zombie && in_group(p, (int)a, (int)b))
			best = MAX(best, 20 - p->nice);
	}
	struct thread *t = (int)a == PRIO_PROCESS && (int)b ? thread_find((int)b) : NULL;
	return best == -ESRCH && t ? 20 - t->proc->nice : best;
}

SYSCALL(setpriority)
{
	int nice = MAX(-20, MIN(19, (int)c)), r = -ESRCH;
	if ((u32)a > PRIO_USER)
		return -EINVAL;
	list_for_each(l, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		if (p->zombie || !in_group(p, (int)a, (int)b))
			continue;
		if (nice < p->nice && !(curproc()->cap_eff & CAP(23)) && 20 - nice > (s64)p->rlim[13].cur) {
			r = -EACCES;
			continue;
		}
		p->nice = nice;
		if (r == -ESRCH)
			r = 0;
	}
	return r;
}
