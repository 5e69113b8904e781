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
	/* LFENCE keeps the read after the seq load and after what the program did before. */
	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (ufs_u64)hi << 32 | lo;
}

static inline ufs_u64 now(int real)
{
	ufs_u32 seq;
	ufs_u64 ns;
	do {
		while ((seq = CLOCK->seq) & 1)
			__builtin_ia32_pause();
		__asm__ volatile("" : : : "memory");
		ns = CLOCK->mono_ns + (real ? CLOCK->real_off : 0);
		ufs_u64 delta = tsc() - CLOCK->tsc_base;
		if ((long)delta > 0)
			ns += (ufs_u64)((unsigned __int128)delta * CLOCK->mult >> CLOCK->shift);
		__asm__ volatile("" : : : "memory");
	} while (CLOCK->seq != seq);
	return ns;
}

static long call(long nr, long a, void *b)
{
	long ret;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return ret;
}

static inline void split(ufs_u64 ns, struct ts *t)
{
	t->sec = ns / NSEC;
	t->nsec = ns % NSEC;
}

int __vdso_clock_gettime(int id, struct ts *t)
{
	switch (id) {
	case 0: case 5: /* REALTIME, REALTIME_COARSE */
		split(now(1), t);
		return 0;
	case 1: case 4: case 6: /* MONOTONIC, _RAW, _COARSE */
		split(now(0), t);
		return 0;
	case 7: /* BOOTTIME */
		split(now(0) + CLOCK->boot_off, t);
		return 0;
	default:
		return call(228, id, t);
	}
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
		ufs_u64 ns = now(1);
		tv->sec = ns / NSEC;
		tv->usec = ns % NSEC / 1000;
	}
	return 0;
}

long __vdso_time(long *t)
{
	long s = now(1) / NSEC;
	if (t)
		*t = s;
	return s;
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
