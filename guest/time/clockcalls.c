/* SPDX-License-Identifier: Apache-2.0 */
/* clockcalls.c: system calls that read clocks; setting them is the monitor's. */
#include "internal.h"
#include "mm.h"
#include "platform.h"
#include "syscall.h"

static bool settable(int id)
{
	return id == C_REALTIME;
}

SYSCALL(clock_gettime)
{
	u64 ns;
	int r = clock_read((int)a, &ns);
	if (r)
		return r;
	struct kts ts = ns_to_ts(ns);
	return copy_to_user((void *)b, &ts, sizeof(ts));
}

SYSCALL(clock_getres)
{
	u64 ns;
	int id = (int)a, r = clock_read(id, &ns);
	if (r || !b)
		return r;
	struct kts ts = { 0, id == C_REALTIME_COARSE || id == C_MONOTONIC_COARSE ? COARSE_RES : 1 };
	return copy_to_user((void *)b, &ts, sizeof(ts));
}

SYSCALL(clock_settime)
{
	struct kts ts;
	u64 ns;
	int id = (int)a;
	if (clock_read(id, &ns) || (!settable(id) && id >= 0))
		return -EINVAL;
	if (copy_from_user(&ts, (void *)b, sizeof(ts)))
		return -EFAULT;
	return ts.sec < 0 || (u64)ts.nsec >= NSEC ? -EINVAL : -EPERM;
}

SYSCALL(gettimeofday)
{
	if (a) {
		u64 ns = real_ns();
		struct ktv tv = { ns / NSEC, ns % NSEC / 1000 };
		if (copy_to_user((void *)a, &tv, sizeof(tv)))
			return -EFAULT;
	}
	return b ? clear_user((void *)b, 8) : 0; /* time zone: UTC */
}

SYSCALL(settimeofday)
{
	struct ktv tv;
	if (a && copy_from_user(&tv, (void *)a, sizeof(tv)))
		return -EFAULT;
	if (a && (tv.sec < 0 || (u64)tv.usec >= 1000000))
		return -EINVAL;
	return -EPERM;
}

SYSCALL(time)
{
	s64 t = real_ns() / NSEC;
	if (a && put_user(t, (s64 *)a))
		return -EFAULT;
	return t;
}

SYSCALL(times)
{
	struct process *p = curproc();
	/* All CPU time is counted as user time: the libos is part of the program's address space. */
	u64 tick = NSEC / 100, t[4] = { process_cpu_ns(p) / tick, 0, p->cpu_ns_children / tick, 0 };
	if (a && copy_to_user((void *)a, t, sizeof(t)))
		return -EFAULT;
	return now_ns() / tick;
}

/* struct timex: mode word first, then what a clock that nobody disciplines reports. */
static long timex(void *utx)
{
	u64 tx[26];
	if (copy_from_user(tx, utx, sizeof(tx)))
		return -EFAULT;
	if ((u32)tx[0])
		return -EPERM;
	u64 ns = real_ns();
	memset(tx, 0, sizeof(tx));
	tx[3] = tx[4] = 16000000;          /* maxerror, esterror */
	tx[5] = 0x40;                      /* status: STA_UNSYNC */
	tx[7] = 1;                         /* precision */
	tx[8] = 32768000;                  /* tolerance */
	tx[9] = ns / NSEC;
	tx[10] = ns % NSEC / 1000;
	tx[11] = 10000;                    /* tick */
	return copy_to_user(utx, tx, sizeof(tx)) ? -EFAULT : 5; /* TIME_ERROR: not synchronised */
}

SYSCALL(adjtimex)
{
	return timex((void *)a);
}

SYSCALL(clock_adjtime)
{
	return (int)a == C_REALTIME ? timex((void *)b) : (int)a >= 0 && (int)a <= C_TAI ? -EOPNOTSUPP : -EINVAL;
}
