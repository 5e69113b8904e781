/* SPDX-License-Identifier: Apache-2.0 */
/* time.h: clocks and timers. */
#ifndef UFS_TIME_H
#define UFS_TIME_H
#include "ufs.h"
struct kts { s64 sec; s64 nsec; };                  /* struct timespec */
struct ktv { s64 sec; s64 usec; };                  /* struct timeval */
#define NSEC 1000000000ULL
u64 now_ns(void);                                   /* CLOCK_MONOTONIC */
u64 real_ns(void);                                  /* CLOCK_REALTIME */
/* One-shot timer; fn runs in libos context with interrupts impossible, must not block. */
struct ktimer { u64 deadline; void (*fn)(struct ktimer *); u32 slot; /* 1 armed, 0 not */ u32 pad; struct ktimer *child, *next, *prev; };
void timer_set(struct ktimer *t, u64 deadline);     /* arms or moves */
void timer_cancel(struct ktimer *t);                /* harmless when not armed */
u64 timer_next(void);                               /* earliest deadline or ~0 */
void timers_run(void);                              /* fires all that are due */
/* struct timespec from user: 0, -EFAULT, -EINVAL. */
int get_timespec(const void *uts, struct kts *ts);
/* Nanoseconds, saturated at 2^63-1. */
u64 ts_to_ns(const struct kts *ts);
struct kts ns_to_ts(u64 ns);
/* A time on clock id (CLOCK_REALTIME, _MONOTONIC, _BOOTTIME, _TAI) as CLOCK_MONOTONIC deadline; in the past: 0. */
u64 clock_to_mono(int id, u64 ns);
/* Now on any clock of clock_gettime(); 0 or -EINVAL. */
int clock_read(int id, u64 *ns);
/* Relative user timespec (NULL: none) to absolute deadline; 0 or negative errno. */
int deadline_from_user(const void *uts, u64 *deadline);
#endif
