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
struct ktimer { u64 deadline; void (*fn)(struct ktimer *); u32 slot; /* heap index + 1, 0 = not armed */ };
void timer_set(struct ktimer *t, u64 deadline);     /* arms or moves */
void timer_cancel(struct ktimer *t);                /* harmless when not armed */
u64 timer_next(void);                               /* earliest deadline or ~0 */
void timers_run(void);                              /* fires all that are due */
/* struct timespec from user: 0, -EFAULT, -EINVAL. */
int get_timespec(const void *uts, struct kts *ts);
/* Relative user timespec (NULL: none) to absolute deadline; 0 or negative errno. */
int deadline_from_user(const void *uts, u64 *deadline);
#endif
