/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c: time from the shared clock page and the TSC, conversions. */
#include "internal.h"
#include "errno.h"
#include "mm.h"
#include "platform.h"

/* Kept so that a renewed clock page never lets time step back. */
static u64 mono_last;

static u64 clock_sample(u64 *real_off)
{
	u32 seq;
	u64 ns, off;
	do {
		while ((seq = CLOCK->seq) & 1)
			__asm__ volatile("pause");
		barrier();
		s64 d = rdtsc() - CLOCK->tsc_base;
		ns = CLOCK->mono_ns;
		if (d > 0)
			ns += (u64)((unsigned __int128)(u64)d * CLOCK->mult >> (CLOCK->shift & 63));
		off = CLOCK->real_off;
		barrier();
	} while (CLOCK->seq != seq);
	if (real_off)
		*real_off = off;
	if (ns < mono_last)
		return mono_last;
	return mono_last = ns;
}

u64 now_ns(void)
{
	return clock_sample(NULL);
}

u64 real_ns(void)
{
	u64 off, ns = clock_sample(&off);
	return ns + off;
}

u64 ts_to_ns(const struct kts *ts)
{
	if ((u64)ts->sec >= KTIME_MAX / NSEC)
		return KTIME_MAX;
	return ts->sec * NSEC + ts->nsec;
}

u64 tv_to_ns(const struct ktv *tv)
{
	struct kts ts = { tv->sec, tv->usec * 1000 };
	return ts_to_ns(&ts);
}

struct kts ns_to_ts(u64 ns)
{
	return (struct kts){ ns / NSEC, ns % NSEC };
}

int get_timespec(const void *uts, struct kts *ts)
{
	if (copy_from_user(ts, uts, sizeof(*ts)))
		return -EFAULT;
	return ts->sec < 0 || (u64)ts->nsec >= NSEC ? -EINVAL : 0;
}

int deadline_from_user(const void *uts, u64 *deadline)
{
	struct kts ts;
	*deadline = ~0ULL;
	if (!uts)
		return 0;
	int r = get_timespec(uts, &ts);
	if (r)
		return r;
	u64 ns = ts_to_ns(&ts), now = now_ns();
	*deadline = ns < KTIME_MAX - now ? now + ns : KTIME_MAX;
	return 0;
}

u64 clock_to_mono(int id, u64 ns)
{
	u64 off = 0;
	if (id == C_REALTIME || id == C_TAI || id == C_REALTIME_ALARM)
		clock_sample(&off);
	else if (id == C_BOOTTIME || id == C_BOOTTIME_ALARM)
		off = CLOCK->boot_off;
	return ns > off ? MIN(ns - off, KTIME_MAX) : 0;
}

u64 next_period(u64 at, u64 interval, u64 now, u64 *missed)
{
	*missed = now > at ? (now - at) / interval : 0;
	at += (*missed + 1) * interval;
	return at > KTIME_MAX ? KTIME_MAX : at;
}

u64 thread_cpu_ns(struct thread *t)
{
	return t->cpu_ns + (t->cpu_start != NOT_RUNNING ? now_ns() - t->cpu_start : 0);
}

u64 process_cpu_ns(struct process *p)
{
	u64 ns = p->cpu_ns_dead;
	list_for_each(l, &p->threads)
		ns += thread_cpu_ns(list_entry(l, struct thread, siblings));
	return ns;
}

/* The clock ids below zero are CPU clocks: ~id >> 3 is the thread or process, bit 2 says thread, bits 0 and 1 what is measured. */
struct cpuclock cpuclock_of(int id)
{
	struct cpuclock none = { NULL, NULL };
	if (id == C_PROCESS_CPU)
		return (struct cpuclock){ curproc(), NULL };
	if (id == C_THREAD_CPU)
		return (struct cpuclock){ curproc(), current() };
	if (id >= 0 || (id & 3) == 3)
		return none;
	int pid = ~(id >> 3);
	if (id & 4) {
		struct thread *t = pid ? thread_find(pid) : current();
		return t && t->proc == curproc() ? (struct cpuclock){ t->proc, t } : none;
	}
	return (struct cpuclock){ pid ? process_find(pid) : curproc(), NULL };
}

u64 cpuclock_ns(struct cpuclock c)
{
	return c.t ? thread_cpu_ns(c.t) : process_cpu_ns(c.p);
}

int clock_read(int id, u64 *ns)
{
	switch (id) {
	case C_REALTIME: case C_REALTIME_COARSE: case C_REALTIME_ALARM: case C_TAI:
		*ns = real_ns();
		return 0;
	case C_MONOTONIC: case C_MONOTONIC_COARSE: case C_MONOTONIC_RAW:
		*ns = now_ns();
		return 0;
	case C_BOOTTIME: case C_BOOTTIME_ALARM:
		*ns = now_ns() + CLOCK->boot_off;
		return 0;
	}
	struct cpuclock c = cpuclock_of(id);
	if (!c.p)
		return -EINVAL;
	*ns = cpuclock_ns(c);
	return 0;
}
