/* SPDX-License-Identifier: Apache-2.0 */
/* itimer.c: alarm, getitimer, setitimer. */
#include "internal.h"
#include "mm.h"
#include "syscall.h"

/* ITIMER_REAL counts on the monotonic clock, _VIRTUAL and _PROF on the CPU time of the process. */
struct itimer {
	struct ktimer real;
	struct cputimer cpu;
	struct process *p;
	int which;
	u64 expiry, interval;   /* expiry 0: not armed */
};

#define CPU_LIMIT 3 /* after the three that programs set */

static const u8 itimer_signo[3] = { SIGALRM, SIGVTALRM, SIGPROF };

static u64 itimer_now(const struct itimer *it)
{
	return it->which ? process_cpu_ns(it->p) : now_ns();
}

static void itimer_arm(struct itimer *it, u64 expiry)
{
	it->expiry = expiry;
	if (it->which && expiry)
		cputimer_set(&it->cpu, expiry);
	else if (it->which)
		cputimer_cancel(&it->cpu);
	else if (expiry)
		timer_set(&it->real, expiry);
	else
		timer_cancel(&it->real);
}

/* RLIMIT_CPU: SIGXCPU each second from the soft limit on, SIGKILL at the hard one. */
static void limit_fire(struct itimer *it)
{
	const struct rlimit_k *l = &it->p->rlim[0];
	u64 secs = itimer_now(it) / NSEC;
	bool end = secs >= l->max;
	struct ksiginfo si = { .signo = end ? SIGKILL : SIGXCPU, .code = SI_KERNEL };
	itimer_arm(it, end ? 0 : MIN(secs + 1, l->max) * NSEC);
	signal_send_process(it->p, &si);
}

static void itimer_fire(struct itimer *it)
{
	u64 missed;
	if (it->which == CPU_LIMIT)
		return limit_fire(it);
	struct ksiginfo si = { .signo = itimer_signo[it->which], .code = SI_KERNEL };
	itimer_arm(it, it->interval ? next_period(it->expiry, it->interval, itimer_now(it), &missed) : 0);
	signal_send_process(it->p, &si);
}

static void real_due(struct ktimer *kt) { itimer_fire(container_of(kt, struct itimer, real)); }
static void cpu_due(struct cputimer *c) { itimer_fire(container_of(c, struct itimer, cpu)); }

static struct itimer *itimer_get(struct process *p, int which, bool make)
{
	if (p->itimer[which])
		return container_of(p->itimer[which], struct itimer, real);
	struct itimer *it = make ? kzalloc(sizeof(*it)) : NULL;
	if (!it)
		return NULL;
	it->p = p;
	it->which = which;
	it->real.fn = real_due;
	cputimer_init(&it->cpu, (struct cpuclock){ p, NULL }, cpu_due);
	p->itimer[which] = &it->real;
	return it;
}

void cpu_limit_arm(struct process *p)
{
	u64 secs = MAX(p->rlim[0].cur, 1UL); /* Linux takes 0 for 1 */
	struct itimer *it = itimer_get(p, CPU_LIMIT, secs < KTIME_MAX / NSEC);
	if (it)
		itimer_arm(it, secs < KTIME_MAX / NSEC ? secs * NSEC : 0);
}

void itimers_free(struct process *p)
{
	for (int i = 0; i <= CPU_LIMIT; i++) {
		if (!p->itimer[i])
			continue;
		struct itimer *it = container_of(p->itimer[i], struct itimer, real);
		itimer_arm(it, 0);
		p->itimer[i] = NULL;
		kfree(it);
	}
}

/* What is left until expiry; an armed timer never reads as 0. */
static u64 itimer_left(const struct itimer *it)
{
	if (!it || !it->expiry)
		return 0;
	u64 now = itimer_now(it);
	return it->expiry > now + 1000 ? it->expiry - now : 1000;
}

static struct ktv ns_to_tv(u64 ns) { return (struct ktv){ ns / NSEC, ns % NSEC / 1000 }; }

struct kitimerval { struct ktv interval, value; };

SYSCALL(getitimer)
{
	if (a > 2)
		return -EINVAL;
	struct itimer *it = itimer_get(curproc(), a, false);
	struct kitimerval v = { ns_to_tv(it ? it->interval : 0), ns_to_tv(itimer_left(it)) };
	return copy_to_user((void *)b, &v, sizeof(v));
}

static bool tv_bad(const struct ktv *tv)
{
	return tv->sec < 0 || (u64)tv->usec >= 1000000;
}

static long itimer_set(int which, u64 value, u64 interval)
{
	if (!value && !which)
		interval = 0; /* the others keep it, as Linux has it */
	struct itimer *it = itimer_get(curproc(), which, value | interval);
	if (!it)
		return value | interval ? -ENOMEM : 0;
	u64 now = itimer_now(it);
	it->interval = interval;
	itimer_arm(it, value ? MIN(now + value, KTIME_MAX) : 0);
	return 0;
}

SYSCALL(setitimer)
{
	struct kitimerval v = { 0 }, old;
	if (a > 2)
		return -EINVAL;
	if (b && copy_from_user(&v, (void *)b, sizeof(v)))
		return -EFAULT;
	if (tv_bad(&v.interval) || tv_bad(&v.value))
		return -EINVAL;
	struct itimer *it = itimer_get(curproc(), a, false);
	old = (struct kitimerval){ ns_to_tv(it ? it->interval : 0), ns_to_tv(itimer_left(it)) };
	long r = itimer_set(a, tv_to_ns(&v.value), tv_to_ns(&v.interval));
	if (!r && c && copy_to_user((void *)c, &old, sizeof(old)))
		r = -EFAULT;
	return r;
}

SYSCALL(alarm)
{
	u64 left = itimer_left(itimer_get(curproc(), 0, false));
	u32 secs = left / NSEC;
	if (left % NSEC >= NSEC / 2 || (left && !secs))
		secs++;
	long r = itimer_set(0, (u64)(u32)a * NSEC, 0);
	return r ? r : (long)secs;
}
