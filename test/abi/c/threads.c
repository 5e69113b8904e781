/* SPDX-License-Identifier: Apache-2.0 */
/* threads.c: POSIX threads: creation, mutexes, conditions, thread-local data, cancellation, scheduling. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/wait.h>

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER;
static int counter, turn;
static __thread int tls = 5;

static void *add(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&mu);
		counter++;
		pthread_mutex_unlock(&mu);
		if (i % 100 == 0)
			sched_yield();
	}
	return (void *)((long)arg * 2);
}

static void *pingpong(void *arg)
{
	long me = (long)arg;

	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&mu);
		while (turn != me)
			pthread_cond_wait(&cv, &mu);
		turn = !me;
		pthread_cond_signal(&cv);
		pthread_mutex_unlock(&mu);
	}
	return NULL;
}

static void *use_tls(void *arg)
{
	tls += (long)arg;
	sched_yield();
	return (void *)(long)tls;
}

/* Never gives up the CPU by itself: the others run only if it is preempted. */
static volatile int stop;
static int spinning;
static void *spin(void *arg)
{
	unsigned long n = 0;

	__atomic_add_fetch(&spinning, 1, __ATOMIC_SEQ_CST);
	while (!stop)
		n++;
	return (void *)1;
}

static void *wait_for_cancel(void *arg)
{
	for (;;)
		sleep(100);
	return NULL;
}

static void *deep(void *arg)
{
	volatile char a[200000];

	memset((void *)a, 1, sizeof(a));
	return (void *)(long)a[199999];
}

static pthread_key_t key;
static int destroyed;
static void destroy(void *p) { destroyed += (int)(long)p; }
static void *use_key(void *arg)
{
	pthread_setspecific(key, arg);
	return NULL;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int onces;
static void once_fn(void) { onces++; }
static pthread_barrier_t bar;
static void *at_barrier(void *arg)
{
	pthread_once(&once, once_fn);
	return (void *)(long)(pthread_barrier_wait(&bar) == PTHREAD_BARRIER_SERIAL_THREAD);
}

static sem_t sem;
static void *post(void *arg)
{
	msleep(20);
	sem_post(&sem);
	return NULL;
}

static void *floats(void *arg)
{
	double x = (long)arg, y = 0;

	for (int i = 0; i < 200000; i++)
		y += x / (i + 1);
	return (void *)(long)(y * 1000);
}

static pid_t main_tid;
static void *ids(void *arg)
{
	return (void *)(long)((getpid() == main_tid) && (syscall(SYS_gettid) != main_tid));
}

int main(void)
{
	pthread_t t[20];
	void *r;
	long sum = 0;
	struct timespec ts;

	start();
	for (long i = 0; i < 8; i++)
		P("create", pthread_create(&t[i], NULL, add, (void *)i));
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], &r);
		sum += (long)r;
	}
	V("results", sum);
	V("counter", counter);

	pthread_create(&t[0], NULL, pingpong, (void *)0L);
	pthread_create(&t[1], NULL, pingpong, (void *)1L);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	V("turn", turn);

	for (long i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, use_tls, (void *)i);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		printf("tls %d: %ld\n", i, (long)r);
	}
	V("tls main", tls);

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, spin, NULL);
	while (__atomic_load_n(&spinning, __ATOMIC_SEQ_CST) < 3)
		msleep(1);
	stop = 1;
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &r);
		OK("spinner ran", r != NULL);
	}

	for (long i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, floats, (void *)(i + 1));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		printf("floats %d: %ld\n", i, (long)r);
	}

	pthread_create(&t[0], NULL, wait_for_cancel, NULL);
	msleep(5);
	P("cancel", pthread_cancel(t[0]));
	pthread_join(t[0], &r);
	OK("was cancelled", r == PTHREAD_CANCELED);

	pthread_attr_t at;
	pthread_attr_init(&at);
	P("stack size", pthread_attr_setstacksize(&at, 1 << 20));
	pthread_create(&t[0], &at, deep, NULL);
	pthread_join(t[0], &r);
	V("deep stack", (long)r);

	pthread_key_create(&key, destroy);
	for (long i = 1; i <= 3; i++) {
		pthread_create(&t[i], NULL, use_key, (void *)i);
		pthread_join(t[i], NULL);
	}
	V("destructors", destroyed);

	pthread_barrier_init(&bar, NULL, 5);
	for (int i = 0; i < 5; i++)
		pthread_create(&t[i], NULL, at_barrier, NULL);
	sum = 0;
	for (int i = 0; i < 5; i++) {
		pthread_join(t[i], &r);
		sum += (long)r;
	}
	V("serial threads", sum);
	V("once", onces);

	sem_init(&sem, 0, 0);
	pthread_create(&t[0], NULL, post, NULL);
	T("sem_wait", sem_wait(&sem));
	pthread_join(t[0], NULL);
	T("sem_trywait", sem_trywait(&sem));
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 20000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	T("sem_timedwait", sem_timedwait(&sem, &ts));
	pthread_mutex_lock(&mu);
	P("cond_timedwait", pthread_cond_timedwait(&cv, &mu, &ts));
	P("trylock own", pthread_mutex_trylock(&mu));
	pthread_mutex_unlock(&mu);

	pthread_mutexattr_t ma;
	pthread_mutex_t rec, err, rob;
	pthread_mutexattr_init(&ma);
	pthread_mutexattr_settype(&ma, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&rec, &ma);
	pthread_mutex_lock(&rec);
	P("recursive", pthread_mutex_lock(&rec));
	pthread_mutexattr_settype(&ma, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&err, &ma);
	pthread_mutex_lock(&err);
	P("errorcheck", pthread_mutex_lock(&err));
	pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&rob, &ma);
	pthread_create(&t[0], NULL, (void *(*)(void *))pthread_mutex_lock, &rob);
	pthread_join(t[0], NULL);
	P("robust mutex of a dead thread", pthread_mutex_lock(&rob));

	main_tid = getpid();
	OK("main tid is pid", syscall(SYS_gettid) == main_tid);
	pthread_create(&t[0], NULL, ids, NULL);
	pthread_join(t[0], &r);
	V("thread ids", (long)r);
	P("kill 0", pthread_kill(pthread_self(), 0));
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 20; i++)
			pthread_create(&t[i], NULL, ids, NULL);
		for (int i = 0; i < 20; i++)
			pthread_join(t[i], NULL);
	}
	V("400 threads", 400);
	return 0;
}
