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
static inline __attribute__((always_inline)) void now(int real, struct ts *t)
{
	const volatile struct ufs_clock *c = CLOCK;
	ufs_u32 seq;
	ufs_u64 delta, mult, ns, sec;
	__asm__("" : "+r"(c)); /* keep the address in a register: as a constant it costs ten bytes a load */
	do {
		seq = c->seq;
		delta = tsc() - c->tsc_base;
		mult = c->mult;
		sec = real ? c->real_sec : c->mono_sec;
		ns = real ? c->real_nsec : c->mono_nsec;
		if (__builtin_expect(delta >> 32 == 0, 1))
			ns += delta * mult >> c->shift;
		else if ((long)delta > 0)
			ns += (ufs_u64)((unsigned __int128)delta * mult >> c->shift);
	} while (__builtin_expect((seq & 1) || c->seq != seq, 0));
	if (__builtin_expect(ns >= 4 * NSEC, 0)) {
		sec += ns / NSEC;
		ns %= NSEC;
	}
	for (; __builtin_expect(ns >= NSEC, 0); ns -= NSEC)
		sec++;
	t->sec = sec;
	t->nsec = ns;
}

/* Straight into the libos, whose entry stands in the padding of the ELF header (platform/vdso_blob.S): trapping costs a hundred times
 * as much. The instruction is never run here; it is what a call's return address has before it. */
static long call(long nr, long a, void *b)
{
	long ret;
	__asm__ volatile("leaq 1f(%%rip), %%rcx; jmpq *8+__ehdr_start(%%rip); syscall; 1:"
			 : "=a"(ret) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return ret;
}

#define BIT(id) (1u << (id))
#define REAL (BIT(0) | BIT(5))          /* REALTIME, REALTIME_COARSE */
#define MONO (BIT(1) | BIT(4) | BIT(6)) /* MONOTONIC, _RAW, _COARSE */

int __vdso_clock_gettime(int id, struct ts *t)
{
	/* BOOTTIME and the rest are rare: they take the call. */
	ufs_u32 bit = (unsigned)id < 8 ? BIT(id) : 0;
	if (__builtin_expect(bit & MONO, 1))
		now(0, t);
	else if (bit & REAL)
		now(1, t);
	else
		return call(228, id, t);
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
