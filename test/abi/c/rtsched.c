/* SPDX-License-Identifier: Apache-2.0 */
/* rtsched.c: real-time scheduling: who may, what is reported, what a child has, and that the higher priority goes first. */
#include "check.h"
#include <stdbool.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* musl's own functions refuse. */
#define sched_setscheduler(pid, policy, sp) syscall(SYS_sched_setscheduler, pid, policy, sp)
#define sched_getscheduler(pid) (int)syscall(SYS_sched_getscheduler, pid)
#define sched_setparam(pid, sp) syscall(SYS_sched_setparam, pid, sp)
#define sched_getparam(pid, sp) syscall(SYS_sched_getparam, pid, sp)

static int order[8], n, cpu;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t go = PTHREAD_COND_INITIALIZER;
static int waiting, started;

static void *worker(void *arg)
{
	pthread_mutex_lock(&lock);
	waiting++;
	while (!started)
		pthread_cond_wait(&go, &lock);
	order[n++] = (int)(long)arg;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static pthread_t start_with(int policy, int prio)
{
	pthread_attr_t at;
	pthread_t t;
	struct sched_param sp = { prio };

	pthread_attr_init(&at);
	pthread_attr_setinheritsched(&at, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&at, policy);
	pthread_attr_setschedparam(&at, &sp);
	P("pthread_create", pthread_create(&t, &at, worker, (void *)(long)prio));
	return t;
}

static void in_child(void (*fn)(void))
{
	int st;

	fflush(stdout);
	pid_t p = fork();
	if (!p) {
		fn();
		fflush(stdout);
		_exit(0);
	}
	waitpid(p, &st, 0);
	V("child", st);
}

static void inherited(void)
{
	struct sched_param sp;

	V("policy of the child", sched_getscheduler(0));
	sched_getparam(0, &sp);
	V("priority of the child", sp.sched_priority);
}

static void unprivileged(void)
{
	struct sched_param sp = { 5 };

	setrlimit(RLIMIT_RTPRIO, &(struct rlimit){ 0, 0 });
	T("setuid", setuid(1000));
	T("without privilege", sched_setscheduler(0, SCHED_FIFO, &sp));
	T("of another's process", sched_setscheduler(getppid(), SCHED_OTHER, &(struct sched_param){ 0 }));
	T("batch", sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){ 0 }));
}

int main(void)
{
	struct sched_param sp = { 10 };
	struct timespec ts;
	cpu_set_t one;

	start();
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) { /* all threads on one processor, or priorities say nothing */
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (!sched_setaffinity(0, sizeof(one), &one))
			break;
	}
	T("fifo", sched_setscheduler(0, SCHED_FIFO, &sp));
	V("policy", sched_getscheduler(0));
	T("getparam", sched_getparam(0, &sp));
	V("priority", sp.sched_priority);
	T("interval", sched_rr_get_interval(0, &ts));
	OK("no interval", !ts.tv_sec && !ts.tv_nsec);
	in_child(inherited);
	sp.sched_priority = 20;
	T("setparam", sched_setparam(0, &sp));
	sched_getparam(0, &sp);
	V("priority", sp.sched_priority);
	T("round robin", sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &sp));
	OK("policy and flag", sched_getscheduler(0) == (SCHED_RR | SCHED_RESET_ON_FORK));
	sched_rr_get_interval(0, &ts);
	OK("an interval", ts.tv_sec || ts.tv_nsec);
	in_child(inherited);
	for (int i = 0; i < 3; i++) {
		sp.sched_priority = (int[]){ -1, 0, 100 }[i];
		T("bad priority", sched_setscheduler(0, SCHED_FIFO, &sp));
	}
	sp.sched_priority = 1;
	T("priority for other", sched_setscheduler(0, SCHED_OTHER, &sp));
	T("policy 4", sched_setscheduler(0, 4, &sp));
	sp.sched_priority = 0;
	T("other", sched_setscheduler(0, SCHED_OTHER, &sp));
	in_child(unprivileged);

	pthread_t t[3] = { start_with(SCHED_RR, 10), start_with(SCHED_FIFO, 30), start_with(SCHED_FIFO, 20) };
	for (bool all = false; !all;) {
		pthread_mutex_lock(&lock);
		all = waiting == 3;
		pthread_mutex_unlock(&lock);
		sched_yield();
	}
	sp.sched_priority = 50;
	sched_setscheduler(0, SCHED_FIFO, &sp);
	pthread_mutex_lock(&lock);
	started = 1;
	pthread_cond_broadcast(&go);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	printf("order: %d %d %d\n", order[0], order[1], order[2]);
	return 0;
}
