/* SPDX-License-Identifier: Apache-2.0 */
/* schedcalls.c: sched_* and priorities. There is one vCPU and one policy that matters, SCHED_OTHER. */
#include "internal.h"
#include "syscall.h"

enum { S_OTHER, S_FIFO, S_RR, S_BATCH, S_IDLE = 5, S_DEADLINE = 6 };
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

/* Real-time policies need a privilege that nobody has here; the others differ in nothing that can be seen. */
static long set_policy(int pid, int policy, u64 uparam)
{
	int prio;
	if (pid < 0 || !uparam)
		return -EINVAL;
	if (get_user(prio, uparam))
		return -EFAULT;
	if (!find(pid))
		return -ESRCH;
	switch (policy) {
	case S_OTHER: case S_BATCH: case S_IDLE: return prio ? -EINVAL : 0;
	case S_FIFO: case S_RR: return prio < 1 || prio > 99 ? -EINVAL : -EPERM;
	}
	return -EINVAL;
}

SYSCALL(sched_setparam) { return set_policy((int)a, S_OTHER, b); }
SYSCALL(sched_setscheduler) { return (int)b < 0 ? -EINVAL : set_policy((int)a, (int)b & ~RESET_ON_FORK, c); }

SYSCALL(sched_getscheduler)
{
	return (int)a < 0 ? -EINVAL : find((int)a) ? S_OTHER : -ESRCH;
}

SYSCALL(sched_getparam)
{
	int prio = 0;
	if ((int)a < 0 || !b)
		return -EINVAL;
	return find((int)a) ? put_user(prio, (int *)b) : -ESRCH;
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
	struct kts ts = ns_to_ts(SLICE_NS);
	if ((int)a < 0)
		return -EINVAL;
	return find((int)a) ? copy_to_user((void *)b, &ts, sizeof(ts)) : -ESRCH;
}

/* ---- nice values: kept and reported, without effect ---- */

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
