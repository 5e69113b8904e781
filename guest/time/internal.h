/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of time/ share, and the hooks that proc/ calls. */
#ifndef UFS_TIME_INTERNAL_H
#define UFS_TIME_INTERNAL_H
#include "proc.h"
#include "time.h"

/* Linux's numbers; its own headers clash with ours. */
enum { C_REALTIME, C_MONOTONIC, C_PROCESS_CPU, C_THREAD_CPU, C_MONOTONIC_RAW, C_REALTIME_COARSE, C_MONOTONIC_COARSE,
       C_BOOTTIME, C_REALTIME_ALARM, C_BOOTTIME_ALARM, C_TAI = 11 };
#define TIMER_ABSTIME 1
#define KTIME_MAX 0x7fffffffffffffffULL
#define COARSE_RES 4000000 /* what a 250 Hz Linux says */

/* What a CPU-time clock measures: one thread, or a process. Both NULL: no such clock. */
struct cpuclock { struct process *p; struct thread *t; };
struct cpuclock cpuclock_of(int id);
u64 cpuclock_ns(struct cpuclock c);

/*
 * A timer on a CPU-time clock. While its owner runs it is an ordinary timer for the earliest moment at which the
 * clock can get there; when that comes and the owner is not running it is parked until the owner is switched to.
 */
struct cputimer {
	struct ktimer kt;
	struct cpuclock owner;
	u64 expiry;
	void (*fn)(struct cputimer *);
	struct list parked;
};
void cputimer_init(struct cputimer *c, struct cpuclock owner, void (*fn)(struct cputimer *));
void cputimer_set(struct cputimer *c, u64 expiry);
void cputimer_cancel(struct cputimer *c);
extern struct list cputimers_parked;
void cputimers_resume(struct thread *next);

u64 tv_to_ns(const struct ktv *tv);
/* A deadline that a periodic timer due at `at` gets next; counts the periods left out. */
u64 next_period(u64 at, u64 interval, u64 now, u64 *missed);

/* proc/ calls these: a signal of timer `id` is about to be seen; process or thread ends, or execs. */
void posix_timer_delivered(struct process *p, struct ksiginfo *si);
void posix_timers_free(struct process *p);
void itimers_free(struct process *p);
void cpu_limit_arm(struct process *p); /* after RLIMIT_CPU changed, or was inherited */
void thread_timers_free(struct thread *t);
#endif
