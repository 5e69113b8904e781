/* SPDX-License-Identifier: Apache-2.0 */
/* rlimit.c: limits and what was used: getrlimit, setrlimit, prlimit64, getrusage. */
#include "rusage.h"
#include "../time/internal.h"
#include "syscall.h"

#define NOFILE 7
#define NOFILE_MAX 1048576

static void fill(struct rusage_k *ru, u64 cpu_ns, u64 rss)
{
	memset(ru, 0, sizeof(*ru));
	/* All of it is user time: the libos is part of the program's address space. */
	ru->utime = (struct ktv){ cpu_ns / NSEC, cpu_ns % NSEC / 1000 };
	ru->maxrss = rss >> 10;
}

/* The highest so far: only looked at when asked for, so peaks in between are missed. */
static u64 maxrss(struct process *p)
{
	struct mmstat st;
	if (p->mm) {
		mm_stat(p->mm, &st);
		p->maxrss = MAX(p->maxrss, st.rss);
	}
	return p->maxrss;
}

void rusage_of(struct process *p, struct rusage_k *ru)
{
	fill(ru, process_cpu_ns(p) + p->cpu_ns_children, MAX(maxrss(p), p->maxrss_children));
}

SYSCALL(getrusage)
{
	struct process *p = curproc();
	struct rusage_k ru;
	switch ((int)a) {
	case 0: fill(&ru, process_cpu_ns(p), maxrss(p)); break;
	case -1: fill(&ru, p->cpu_ns_children, p->maxrss_children); break;
	case 1: fill(&ru, thread_cpu_ns(current()), maxrss(p)); break;
	default: return -EINVAL;
	}
	return copy_to_user((void *)b, &ru, sizeof(ru));
}

static long set_limit(struct process *p, u32 which, const struct rlimit_k *l)
{
	struct rlimit_k *old = &p->rlim[which];
	if (l->cur > l->max)
		return -EINVAL;
	if (which == NOFILE && l->max > NOFILE_MAX)
		return -EPERM;
	if (l->max > old->max && !(curproc()->cap_eff & CAP(24)))
		return -EPERM;
	*old = *l;
	if (which == 0)
		cpu_limit_arm(p);
	return 0;
}

static long limits(int pid, u32 which, const void *unew, void *uold)
{
	struct process *me = curproc(), *p = pid ? process_find(pid) : me;
	struct rlimit_k l, old;
	if (which >= ARRAY_SIZE(p->rlim))
		return -EINVAL;
	if (unew && copy_from_user(&l, unew, sizeof(l)))
		return -EFAULT;
	if (!p)
		return -ESRCH;
	if (p != me && !(me->cap_eff & CAP(24)) && (me->uid != p->uid || me->uid != p->euid || me->uid != p->suid))
		return -EPERM;
	old = p->rlim[which];
	long r = unew ? set_limit(p, which, &l) : 0;
	if (!r && uold && copy_to_user(uold, &old, sizeof(old)))
		r = -EFAULT;
	return r;
}

SYSCALL(prlimit64) { return limits((int)a, (u32)b, (void *)c, (void *)d); }
SYSCALL(getrlimit) { return b ? limits(0, (u32)a, NULL, (void *)b) : -EFAULT; }
SYSCALL(setrlimit) { return b ? limits(0, (u32)a, (void *)b, NULL) : -EFAULT; }
