/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.c: what processes and threads cost.
 *
 * Everything runs on one CPU: the guest has only one, and it is what such tools do (lmbench's lat_ctx), so that what is measured is
 * the switch and not the wake-up of another core. context_switch hands a byte through pipes between two threads,
 * context_switch_process between two processes, context_switch_futex a turn between two threads through a futex; each
 * operation is one change of the one that runs.
 */
#include "bench.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int ping[2], pong[2];

static void reap(pid_t pid)
{
	int status;

	if (pid < 0)
		fail("fork");
	if (waitpid(pid, &status, 0) != pid || status)
		fail("waitpid");
}

/* A child that ends at once, and its end noticed. */
static void fork_batch(long n)
{
	while (n--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		reap(pid);
	}
}

static void exec_batch(long n)
{
	char *argv[] = { "proc", "exit", NULL }, *env[] = { NULL };

	while (n--) {
		pid_t pid = fork();

		if (!pid) {
			execve("/proc/self/exe", argv, env);
			_exit(1);
		}
		reap(pid);
	}
}

static void vfork_exec_batch(long n)
{
	char *argv[] = { "proc", "exit", NULL }, *env[] = { NULL };

	while (n--) {
		pid_t pid = vfork();

		if (!pid) {
			execve("/proc/self/exe", argv, env);
			_exit(1);
		}
		reap(pid);
	}
}

static void *nothing(void *arg)
{
	return arg;
}

static void thread_batch(long n)
{
	while (n--) {
		pthread_t t;

		if (pthread_create(&t, NULL, nothing, NULL))
			fail("pthread_create");
		pthread_join(t, NULL);
	}
}

static void *echo(void *arg)
{
	char c;

	while (read(ping[0], &c, 1) == 1)
		if (write(pong[1], &c, 1) != 1)
			fail("write pong");
	return arg;
}

/* There and back are two switches. */
static void switch_batch(long n)
{
	char c = 'x';

	for (; n > 0; n -= 2)
		if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
			fail("switch");
}

static _Atomic uint32_t turn;

static void turn_wait(uint32_t mine)
{
	uint32_t t;

	while ((t = atomic_load(&turn)) != mine && t != 2)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, t, NULL, NULL, 0);
}

static void turn_pass(uint32_t to)
{
	atomic_store(&turn, to);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *take_turns(void *arg)
{
	for (;;) {
		turn_wait(1);
		if (atomic_load(&turn) == 2)
			return arg;
		turn_pass(0);
	}
}

static void turns_batch(long n)
{
	for (; n > 0; n -= 2) {
		turn_pass(1);
		turn_wait(0);
	}
}

static void pipes(void)
{
	if (pipe(ping) || pipe(pong))
		fail("pipe");
}

static void switches(int k, long n)
{
	pthread_t t;

	pipes();
	if (pthread_create(&t, NULL, echo, NULL))
		fail("pthread_create");
	measure("context_switch", "us", k, n, switch_batch);
	close(ping[1]);
	pthread_join(t, NULL);
	close(ping[0]);
	close(pong[0]);
	close(pong[1]);

	pipes();
	pid_t pid = fork();
	if (!pid) {
		close(ping[1]);
		echo(NULL);
		_exit(0);
	}
	measure("context_switch_process", "us", k, n, switch_batch);
	close(ping[1]);
	reap(pid);

	if (pthread_create(&t, NULL, take_turns, NULL))
		fail("pthread_create");
	measure("context_switch_futex", "us", k, n, turns_batch);
	turn_pass(2);
	pthread_join(t, NULL);
}

int main(int argc, char **argv)
{
	int small = is_small(argc, argv), k = small ? 3 : 20;
	cpu_set_t one;

	if (argc > 1 && !strcmp(argv[1], "exit"))
		return 0;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		fail("sched_setaffinity");
	measure("fork", "us", k, small ? 3 : 20, fork_batch);
	measure("fork_exec_wait", "us", k, small ? 1 : 5, exec_batch);
	measure("vfork_exec_wait", "us", k, small ? 1 : 5, vfork_exec_batch);
	measure("thread_create", "us", k, small ? 10 : 100, thread_batch);
	switches(k, small ? 20 : 1000);
	return 0;
}
