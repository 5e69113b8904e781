/* SPDX-License-Identifier: Apache-2.0 */
/* sched.c: policies and priorities, who may have which, and who runs first on one CPU. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static sem_t gate;
static pthread_mutex_t mutex;
static char order[8];
static volatile int ended;

static int policy(int pid, int policy, int prio)
{
	struct sched_param p = { prio };

	return syscall(SYS_sched_setscheduler, pid, policy, &p);
}

static int prio_of(int pid)
{
	struct sched_param p = { -1 };

	return syscall(SYS_sched_getparam, pid, &p) ? -1 : p.sched_priority;
}

static void *waits(void *arg)
{
	int prio = (long)arg;

	policy(0, SCHED_FIFO, prio);
	sem_wait(&gate);
	order[ended++] = '0' + prio;
	return NULL;
}

/* Woken in the order of their priorities, although they came in another. */
static void woken(void)
{
	static const int prio[] = { 2, 4, 3 };
	struct sched_param low = { 1 };
	pthread_t t[3];

	sem_init(&gate, 0, 0);
	policy(0, SCHED_FIFO, 10);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, waits, (void *)(long)prio[i]);
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &low); /* now they run up to their gate */
	policy(0, SCHED_FIFO, 10);
	for (int i = 0; i < 3; i++)
		sem_post(&gate);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	S("woken by priority", order);
}

static volatile int locked, done;

static void *owner(void *arg)
{
	policy(0, SCHED_FIFO, 2);
	pthread_mutex_lock(&mutex);
	locked = 1;
	sem_post(&gate);
	for (volatile int i = 0; i < 1000000; i++)
		;
	done = 1;
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void *middle(void *arg)
{
	policy(0, SCHED_FIFO, 5);
	sem_wait(&gate);
	while (!done) /* would go on for ever, had the owner not the priority of who waits for it */
		;
	return NULL;
}

static void inheritance(void)
{
	pthread_mutexattr_t a;
	pthread_t t[2];

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&mutex, &a);
	policy(0, SCHED_FIFO, 10);
	pthread_create(&t[0], NULL, owner, NULL);
	pthread_create(&t[1], NULL, middle, NULL);
	while (!locked)
		usleep(1000);
	sem_post(&gate);
	pthread_mutex_lock(&mutex);
	V("the owner ran first", done);
	pthread_mutex_unlock(&mutex);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
}

static void allowed(void)
{
	struct timespec ts;
	int st;

	T("fifo", policy(0, SCHED_FIFO, 7));
	V("policy", syscall(SYS_sched_getscheduler, 0));
	V("priority", prio_of(0));
	T("interval", sched_rr_get_interval(0, &ts));
	OK("no slices", !ts.tv_sec && !ts.tv_nsec);
	T("round robin, not inherited", policy(0, SCHED_RR | SCHED_RESET_ON_FORK, 9));
	V("policy", syscall(SYS_sched_getscheduler, 0));
	if (fork() == 0) {
		V("child's policy", syscall(SYS_sched_getscheduler, 0));
		V("child's priority", prio_of(0));
		_exit(0);
	}
	wait(&st);
	T("round robin", policy(0, SCHED_RR, 9));
	if (fork() == 0) {
		V("child's policy", syscall(SYS_sched_getscheduler, 0));
		V("child's priority", prio_of(0));
		_exit(0);
	}
	wait(&st);
	T("too high", policy(0, SCHED_FIFO, 100));
	T("too low", policy(0, SCHED_FIFO, 0));
	T("negative", policy(0, SCHED_FIFO, -1));
	T("ordinary with a priority", policy(0, SCHED_OTHER, 1));
	T("unknown", policy(0, 4, 0));
	T("nobody", policy(4000000, SCHED_OTHER, 0));
	T("ordinary", policy(0, SCHED_OTHER, 0));
	V("priority", prio_of(0));
}

static void forbidden(void)
{
	struct rlimit none = { 0, 0 };
	pid_t parent = getpid();

	setrlimit(RLIMIT_RTPRIO, &none);
	if (fork() == 0) {
		policy(0, SCHED_FIFO, 5);
		if (setgid(65534) || setuid(65534))
			_exit(1);
		T("lower", policy(0, SCHED_FIFO, 3));
		T("the same", policy(0, SCHED_FIFO, 3));
		T("higher", policy(0, SCHED_FIFO, 4));
		T("another policy", policy(0, SCHED_RR, 3));
		T("another's", policy(parent, SCHED_OTHER, 0));
		T("not inherited", policy(0, SCHED_FIFO | SCHED_RESET_ON_FORK, 3));
		T("inherited", policy(0, SCHED_FIFO, 3));
		T("ordinary", policy(0, SCHED_OTHER | SCHED_RESET_ON_FORK, 0));
		T("back", policy(0, SCHED_FIFO | SCHED_RESET_ON_FORK, 1));
		T("batch", policy(0, SCHED_BATCH | SCHED_RESET_ON_FORK, 0));
		_exit(0);
	}
	wait(NULL);
}

static void *stops(void *arg)
{
	struct timespec ts = { 0, 1000000 };

	nanosleep(&ts, NULL);
	ended = 1;
	return NULL;
}

/* One that never sleeps does not keep the ordinary ones from running for ever. */
static void starving(void)
{
	struct sched_param other = { 0 };
	pthread_attr_t a;
	pthread_t t;

	ended = 0;
	pthread_attr_init(&a);
	pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&a, SCHED_OTHER);
	pthread_attr_setschedparam(&a, &other);
	policy(0, SCHED_FIFO, 10);
	P("create", pthread_create(&t, &a, stops, NULL));
	while (!ended)
		;
	pthread_join(t, NULL);
	OK("an ordinary thread ran", ended);
}

int main(void)
{
	cpu_set_t one;

	start();
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	allowed();
	forbidden();
	woken();
	inheritance();
	starving();
	return 0;
}
