/* SPDX-License-Identifier: Apache-2.0 */
/* vdso.c: clock_gettime and friends without entering the libos, from the clock page (vdso(7)). */
#include "../../abi/unifaas_abi.h"

#define CLOCK ((const volatile struct ufs_clock *)(UFS_SHARED_VA + UFS_CLOCK_OFF))
#define NSEC 1000000000ULL

struct ts { long sec, nsec; };
struct tv { long sec, usec; };

static inline ufs_u64 tsc(void)
{
	unsigned lo, hi;
	/* RDTSCP waits for what stands before it, so that time does not run backwards; LFENCE and RDTSC take 2 ns longer. */
	__asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi) : : "rcx", "memory");
	return (ufs_u64)hi << 32 | lo;
}

/* The time at the base, as the caller wants it, and what has passed since. A division would cost as much as all the rest; the
 * monitor renews the base about once a second, so the loop hardly ever runs. */
static inline void now(int real, struct ts *t)
{
	ufs_u32 seq;
	ufs_u64 delta, mult, ns, sec;
	do {
		seq = CLOCK->seq;
		delta = tsc() - CLOCK->tsc_base;
		mult = CLOCK->mult;
		sec = real ? CLOCK->real_sec : CLOCK->mono_sec;
		ns = real ? CLOCK->real_nsec : CLOCK->mono_nsec;
		if (__builtin_expect(delta >> 32 == 0, 1))
			ns += delta * mult >> CLOCK->shift;
		else if ((long)delta > 0)
			ns += (ufs_u64)((unsigned __int128)delta * mult >> CLOCK->shift);
	} while (__builtin_expect((seq & 1) || CLOCK->seq != seq, 0));
	if (__builtin_expect(ns >> 33 != 0, 0)) {
		sec += ns / NSEC;
		ns %= NSEC;
	}
	for (; ns >= NSEC; ns -= NSEC)
		sec++;
	t->sec = sec;
	t->nsec = ns;
}

static long call(long nr, long a, void *b)
{
	long ret;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return ret;
}

#define BIT(id) (1u << (id))
#define REAL (BIT(0) | BIT(5))          /* REALTIME, REALTIME_COARSE */
#define MONO (BIT(1) | BIT(4) | BIT(6)) /* MONOTONIC, _RAW, _COARSE */

int __vdso_clock_gettime(int id, struct ts *t)
{
	/* BOOTTIME and the rest are rare: they take the call. */
	if (__builtin_expect((unsigned)id > 6 || !((REAL | MONO) >> id & 1), 0))
		return call(228, id, t);
	now(REAL >> id & 1, t);
	return 0;
}

int __vdso_clock_getres(int id, struct ts *t)
{
	return call(229, id, t);
}

int __vdso_gettimeofday(struct tv *tv, void *tz)
{
	if (tz)
		return call(96, (long)tv, tz);
	if (tv) {
		struct ts t;
		now(1, &t);
		tv->sec = t.sec;
		tv->usec = t.nsec / 1000;
	}
	return 0;
}

long __vdso_time(long *t)
{
	struct ts now_ts;
	now(1, &now_ts);
	if (t)
		*t = now_ts.sec;
	return now_ts.sec;
}

long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused __attribute__((unused)))
{
	if (cpu)
		*cpu = 0;
	if (node)
		*node = 0;
	return 0;
}

#define WEAK(name) __attribute__((weak, alias("__vdso_" #name)))
int clock_gettime(int id, struct ts *t) WEAK(clock_gettime);
int clock_getres(int id, struct ts *t) WEAK(clock_getres);
int gettimeofday(struct tv *tv, void *tz) WEAK(gettimeofday);
long time(long *t) WEAK(time);
long getcpu(unsigned *cpu, unsigned *node, void *unused) WEAK(getcpu);
