/* SPDX-License-Identifier: Apache-2.0 */
/* futex.c: the futex call itself. */
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>

static long fx(uint32_t *u, int op, uint32_t val, const void *ts, uint32_t *u2, uint32_t val3)
{
	return syscall(SYS_futex, u, op, val, ts, u2, val3);
}

static uint32_t a, b;
static volatile int woken, ready;

static void *waiter(void *arg)
{
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	long r = fx(&a, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return (void *)r;
}

static void *bit_waiter(void *arg)
{
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	fx(&a, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (uint32_t)(long)arg);
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void launch(pthread_t *t, int n, void *(*fn)(void *), void *arg)
{
	ready = woken = 0;
	for (int i = 0; i < n; i++)
		pthread_create(&t[i], NULL, fn, arg);
	while (ready < n)
		sched_yield();
	msleep(20);
}

static void join(pthread_t *t, int n)
{
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

static void on_alarm(int s) {}

int main(void)
{
	pthread_t t[5];
	struct timespec ts = { 0, 10000000 };

	start();
	T("wait wrong value", fx(&a, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0));
	T("wait timeout", fx(&a, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0));
	T("wake nobody", fx(&a, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	T("wait bad address", fx(BAD, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0));
	T("wait unaligned", fx((uint32_t *)((char *)&a + 1), FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0));
	T("wait bad timeout", fx(&a, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){ 0, 2000000000 }, NULL, 0));
	T("wait negative timeout", fx(&a, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){ -1, 0 }, NULL, 0));
	T("wait timeout pointer", fx(&a, FUTEX_WAIT_PRIVATE, 0, BAD, NULL, 0));
	T("bad op", fx(&a, 99, 0, NULL, NULL, 0));
	T("wait bitset zero", fx(&a, FUTEX_WAIT_BITSET_PRIVATE, 0, &ts, NULL, 0));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 10000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	T("wait bitset absolute", fx(&a, FUTEX_WAIT_BITSET_PRIVATE, 0, &ts, NULL, ~0u));
	T("wait bitset past", fx(&a, FUTEX_WAIT_BITSET_PRIVATE, 0, &ts, NULL, ~0u));
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec = 0;
	T("wait bitset realtime past", fx(&a, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &ts, NULL, ~0u));

	launch(t, 5, waiter, NULL);
	T("wake 2", fx(&a, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
	msleep(20);
	V("woken", woken);
	T("wake rest", fx(&a, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
	join(t, 5);
	V("woken", woken);

	launch(t, 4, waiter, NULL);
	T("requeue wrong value", fx(&a, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)100L, &b, 7));
	T("requeue", fx(&a, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2L, &b, 0));
	msleep(20);
	V("woken", woken);
	T("wake requeued", fx(&b, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
	T("wake left", fx(&a, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
	join(t, 4);

	launch(t, 2, bit_waiter, (void *)1L);
	T("wake other bit", fx(&a, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 2));
	T("wake bit", fx(&a, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 3));
	join(t, 2);

	b = 5;
	launch(t, 2, waiter, NULL);
	T("wake op", fx(&a, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1L, &b, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)));
	V("wake op result", b);
	T("wake rest", fx(&a, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
	join(t, 2);

	struct sigaction sa = { .sa_handler = on_alarm };
	sigaction(SIGALRM, &sa, NULL);
	ualarm(20000, 0);
	T("wait interrupted", fx(&a, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));

	/* Shared futex in two mappings of one page. */
	int fd = syscall(SYS_memfd_create, "f", 0);
	ftruncate(fd, 4096);
	uint32_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint32_t *q = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ts = (struct timespec){ 0, 1000000 };
	T("shared wait timeout", fx(p, FUTEX_WAIT, 0, &ts, NULL, 0));
	T("shared wake nobody", fx(q, FUTEX_WAKE, 1, NULL, NULL, 0));
	T("set_robust_list bad size", syscall(SYS_set_robust_list, p, 5));
	/* Priority inheritance, uncontended. */
	uint32_t pi = 0;
	T("lock pi", fx(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
	OK("owner", (pi & FUTEX_TID_MASK) == (uint32_t)syscall(SYS_gettid));
	T("unlock pi", fx(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
	V("free", pi);
	return 0;
}
