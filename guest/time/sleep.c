/* SPDX-License-Identifier: Apache-2.0 */
/* sleep.c: nanosleep and clock_nanosleep. */
#include "internal.h"
#include "mm.h"
#include "syscall.h"

/* A relative sleep that a stop interrupted goes on to its first deadline, however often the call is restarted. */
static long sleep_until(u64 deadline, bool relative, void *urem)
{
	struct thread *t = current();
	int r;
	if (relative && t->restart_deadline)
		deadline = t->restart_deadline;
	t->restart_deadline = 0;
	while ((r = thread_block(deadline, true)) == 0)
		;
	if (r == -ETIMEDOUT)
		return 0;
	if (!relative)
		return -ERESTARTNOHAND;
	u64 now = now_ns();
	if (now >= deadline)
		return 0;
	if (urem) {
		struct kts left = ns_to_ts(deadline - now);
		if (copy_to_user(urem, &left, sizeof(left)))
			return -EFAULT;
	}
	t->restart_deadline = deadline;
	return -ERESTARTNOHAND;
}

SYSCALL(nanosleep)
{
	u64 deadline;
	if (!a)
		return -EFAULT;
	int r = deadline_from_user((void *)a, &deadline);
	return r ? r : sleep_until(deadline, true, (void *)b);
}

/* CPU time passes only while the process runs, so a sleep on it is polled by a timer of the same kind. */
struct cpusleep { struct cputimer c; struct thread *t; bool done; };

static void cpusleep_done(struct cputimer *c)
{
	struct cpusleep *s = container_of(c, struct cpusleep, c);
	s->done = true;
	thread_wake(s->t);
}

static long sleep_cpu(struct cpuclock owner, u64 ns, bool absolute, void *urem)
{
	struct cpusleep s = { .t = current() };
	u64 now = cpuclock_ns(owner), expiry = absolute ? ns : MIN(now + ns, KTIME_MAX);
	int r = 0;
	if (expiry <= now)
		return 0;
	cputimer_init(&s.c, owner, cpusleep_done);
	cputimer_set(&s.c, expiry);
	while (!s.done && !r)
		r = thread_block(~0ULL, true);
	cputimer_cancel(&s.c);
	if (s.done)
		return 0;
	if (!absolute && urem) {
		struct kts left = ns_to_ts(expiry - MIN(expiry, cpuclock_ns(owner)));
		if (copy_to_user(urem, &left, sizeof(left)))
			return -EFAULT;
	}
	return absolute ? -ERESTARTNOHAND : -EINTR;
}

SYSCALL(clock_nanosleep)
{
	int id = (int)a;
	struct kts ts;
	u64 deadline;
	bool absolute = b & TIMER_ABSTIME;
	switch (id) {
	case C_REALTIME: case C_MONOTONIC: case C_BOOTTIME: case C_TAI: case C_PROCESS_CPU:
		break;
	case C_MONOTONIC_RAW: case C_REALTIME_COARSE: case C_MONOTONIC_COARSE: case C_REALTIME_ALARM: case C_BOOTTIME_ALARM:
		return -EOPNOTSUPP;
	default:
		if (id >= 0 || !cpuclock_of(id).p)
			return -EINVAL;
		if (cpuclock_of(id).t == current())
			return -EINVAL;
		/* Another owner could end meanwhile, and take its clock with it. */
		if (cpuclock_of(id).p != curproc() || cpuclock_of(id).t) {
			unsupported_once("clock_nanosleep on the CPU clock of another process or thread", id);
			return -EOPNOTSUPP;
		}
	}
	int r = get_timespec((void *)c, &ts);
	if (r)
		return r;
	if (id == C_PROCESS_CPU || id < 0)
		return sleep_cpu(cpuclock_of(id), ts_to_ns(&ts), absolute, (void *)d);
	if (absolute)
		return sleep_until(clock_to_mono(id, ts_to_ns(&ts)), false, NULL);
	r = deadline_from_user((void *)c, &deadline);
	return r ? r : sleep_until(deadline, true, (void *)d);
}
