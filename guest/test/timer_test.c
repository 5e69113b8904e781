/* SPDX-License-Identifier: Apache-2.0 */
/* timer_test.c: the timer heap against a plain list, clocks, sleeps, interval timers. */
#include "proc_fake.h"

static u32 seed = 1;
static u32 rnd(u32 n) { seed = seed * 1664525 + 1013904223; return (seed >> 8) % n; }

#define N 300
static struct ktimer timers[N];
static bool armed[N];
static u64 last_fired;
static int fired;

static void fire(struct ktimer *t)
{
	u32 i = t - timers;
	CHECK(armed[i] && !t->slot);
	CHECK(t->deadline <= now_ns() && t->deadline >= last_fired);
	last_fired = t->deadline;
	armed[i] = false;
	fired++;
	if (rnd(4) == 0) { /* again, from its own function */
		armed[i] = true;
		timer_set(t, now_ns() + 1 + rnd(50));
	}
}

static u64 earliest(void)
{
	u64 at = ~0ULL;
	for (int i = 0; i < N; i++)
		if (armed[i])
			at = MIN(at, timers[i].deadline);
	return at;
}

static void test_heap(void)
{
	for (int i = 0; i < N; i++)
		timers[i].fn = fire;
	for (int step = 0; step < 200000; step++) {
		u32 i = rnd(N);
		switch (rnd(8)) {
		case 0: case 1: case 2: case 3:
			armed[i] = true;
			timer_set(&timers[i], now_ns() + rnd(1000));
			break;
		case 4: case 5:
			armed[i] = false;
			timer_cancel(&timers[i]);
			break;
		case 6:
			fake_advance(rnd(20));
			break;
		case 7:
			last_fired = 0;
			timers_run();
			CHECK(earliest() > now_ns());
			break;
		}
		CHECK_EQ(timer_next(), earliest());
		CHECK_EQ(CTL->next_timer, earliest());
	}
	CHECK(fired > 1000);
	for (int i = 0; i < N; i++)
		timer_cancel(&timers[i]);
	CHECK_EQ(timer_next(), ~0ULL);
}

static void forever(struct ktimer *t) { timer_set(t, 0); }

static void test_clock(void)
{
	volatile struct ufs_clock *c = (volatile struct ufs_clock *)CLOCK;
	u64 t = now_ns(), ns;
	c->mono_ns -= 500;
	CHECK_EQ(now_ns(), t); /* never back */
	c->mono_ns += 500;
	CHECK_EQ(real_ns() - now_ns(), 1700000000 * NSEC);
	c->shift = 31;
	c->mult = 1;
	c->tsc_base = ~0ULL; /* a TSC behind the page's */
	CHECK(now_ns() - t < 1000000);
	c->mult = 0;
	CHECK_EQ(clock_read(C_BOOTTIME, &ns), 0);
	CHECK_EQ(clock_read(C_TAI, &ns), 0);
	CHECK_EQ(clock_read(10, &ns), -EINVAL);
	CHECK_EQ(clock_read(99, &ns), -EINVAL);
	CHECK_EQ(clock_read(~(1 << 3) | 2, &ns) , -EINVAL); /* bits 0 and 1 both set by the complement */
	CHECK_EQ(clock_read((int)((~1U) << 3) | 2, &ns), 0);
	CHECK_EQ(clock_read((int)((~4242U) << 3) | 2, &ns), -EINVAL);
	struct kts big = { 0x7fffffffffffffff, 999999999 };
	CHECK_EQ(ts_to_ns(&big), KTIME_MAX);
	CHECK_EQ(clock_to_mono(C_REALTIME, 5), 0);
	struct ktimer bad = { .fn = forever };
	timer_set(&bad, 0);
	timers_run(); /* comes back although the timer never stops */
	timer_cancel(&bad);
	u64 missed;
	CHECK_EQ(next_period(100, 10, 135, &missed), 140);
	CHECK_EQ(missed, 3);
	CHECK_EQ(next_period(100, KTIME_MAX, 135, &missed), KTIME_MAX);
}

static void test_sleep(void)
{
	struct kts ts = { 0, 5000 }, rem = { 9, 9 };
	u64 t = now_ns();
	CHECK_EQ(CALL(nanosleep, &ts, &rem), 0);
	CHECK_EQ(now_ns() - t, 5000);
	ts.nsec = 1000000000;
	CHECK_EQ(CALL(nanosleep, &ts, &rem), -EINVAL);
	CHECK_EQ(CALL(nanosleep, 0, 0), -EFAULT);
	struct kts at = ns_to_ts(now_ns() + 700);
	t = now_ns();
	CHECK_EQ(CALL(clock_nanosleep, C_MONOTONIC, 1, &at, 0), 0);
	CHECK_EQ(now_ns() - t, 700);
	CHECK_EQ(CALL(clock_nanosleep, C_MONOTONIC, 1, &at, 0), 0);
	at = ns_to_ts(real_ns() + 300);
	CHECK_EQ(CALL(clock_nanosleep, C_REALTIME, 1, &at, 0), 0);
	CHECK_EQ(now_ns() - t, 1000);
	CHECK_EQ(CALL(clock_nanosleep, C_THREAD_CPU, 0, &at, 0), -EINVAL);
	CHECK_EQ(CALL(clock_nanosleep, C_MONOTONIC_RAW, 0, &at, 0), -EOPNOTSUPP);
}

static struct ksiginfo got;
static int take(int signo)
{
	fake_user_work();
	return signal_dequeue(SIGBIT(signo), &got);
}

static void test_itimer(void)
{
	s64 v[4] = { 0, 10, 0, 20 }, old[4];
	signal_set_mask(~0ULL);
	CHECK_EQ(CALL(setitimer, 0, v, 0), 0);
	fake_advance(20000);
	CHECK_EQ(take(SIGALRM), SIGALRM);
	fake_advance(35000); /* three periods: one signal */
	CHECK_EQ(take(SIGALRM), SIGALRM);
	CHECK_EQ(take(SIGALRM), 0);
	CHECK_EQ(CALL(getitimer, 0, old), 0);
	CHECK_EQ(old[1], 10);
	CHECK(old[3] > 0 && old[3] <= 10);
	memset(v, 0, sizeof(v));
	CHECK_EQ(CALL(setitimer, 0, v, old), 0);
	CHECK_EQ(timer_next(), ~0ULL);
	v[3] = 1000000;
	CHECK_EQ(CALL(setitimer, 0, v, 0), -EINVAL);
	CHECK_EQ(CALL(alarm, 3), 0);
	CHECK_EQ(CALL(alarm, 0), 3);
	/* CPU time: does not pass in sleep, and costs no timer meanwhile */
	v[3] = 50;
	CHECK_EQ(CALL(setitimer, 2, v, 0), 0);
	struct kts ts = { 1, 0 };
	CALL(nanosleep, &ts, 0);
	CHECK_EQ(take(SIGPROF), 0);
	fake_advance(49000);
	CHECK_EQ(take(SIGPROF), 0);
	fake_advance(1000);
	CHECK_EQ(take(SIGPROF), SIGPROF);
}

static void test_posix(void)
{
	struct { u64 value; s32 signo, notify, tid; u32 pad[11]; } ev = { 77, SIGUSR1, 0, 0, { 0 } };
	struct { struct kts interval, value; } v = { { 0, 100 }, { 0, 1000 } }, cur;
	int id = -1, id2 = -1;
	CHECK_EQ(CALL(timer_create, C_MONOTONIC, &ev, &id), 0);
	CHECK_EQ(CALL(timer_settime, id, 0, &v, 0), 0);
	fake_advance(999);
	CHECK_EQ(take(SIGUSR1), 0);
	fake_advance(1);
	fake_user_work();
	fake_advance(250);
	fake_user_work();
	CHECK_EQ(take(SIGUSR1), SIGUSR1);
	CHECK_EQ(got.code, SI_TIMER);
	CHECK_EQ(got.value, 77);
	CHECK_EQ(got.overrun, 2);
	CHECK_EQ(CALL(timer_getoverrun, id), 2);
	CHECK_EQ(take(SIGUSR1), 0);
	CHECK_EQ(CALL(timer_gettime, id, &cur), 0);
	CHECK_EQ(cur.value.nsec, 50);
	CHECK_EQ(cur.interval.nsec, 100);
	ev.notify = 1; /* SIGEV_NONE */
	CHECK_EQ(CALL(timer_create, C_PROCESS_CPU, &ev, &id2), 0);
	CHECK(id2 != id);
	ev.notify = 4; /* SIGEV_THREAD_ID */
	ev.tid = 4242;
	CHECK_EQ(CALL(timer_create, C_MONOTONIC, &ev, &id2), -EINVAL);
	CHECK_EQ(CALL(timer_create, 77, 0, &id2), -EINVAL);
	CHECK_EQ(CALL(timer_delete, id), 0);
	CHECK_EQ(CALL(timer_delete, id), -EINVAL);
	v.value.nsec = 0;
	v.interval.nsec = 1000000000;
	CHECK_EQ(CALL(timer_settime, id2, 0, &v, 0), -EINVAL);
	CHECK_EQ(timer_next(), ~0ULL);
	signal_set_mask(0);
}

static void all(void *arg)
{
	test_heap();
	test_clock();
	test_sleep();
	test_itimer();
	test_posix();
	process_exit(0);
}

int main(void)
{
	fake_boot(all);
}
