/* SPDX-License-Identifier: Apache-2.0 */
/* cpulimit.c: RLIMIT_CPU, scheduling policies as reported, no file made when descriptors have run out. */
#include "check.h"
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct attr { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t prio; uint64_t runtime, deadline, period; uint32_t umin, umax; };
static volatile int xcpu;
static void on_xcpu(int n) { xcpu++; }

static void policies(void)
{
	struct sched_param sp = { 0 };
	struct attr at = { .size = sizeof(at), .policy = SCHED_BATCH, .nice = 3 };
	T("set idle", sched_setscheduler(0, SCHED_IDLE, &sp));
	T("get", syscall(SYS_sched_getscheduler, 0));
	T("set param keeps it", syscall(SYS_sched_setparam, 0, &sp));
	T("get again", syscall(SYS_sched_getscheduler, 0));
	T("setattr", syscall(SYS_sched_setattr, 0, &at, 0));
	memset(&at, 0, sizeof(at));
	T("getattr", syscall(SYS_sched_getattr, 0, &at, sizeof(at), 0));
	T("policy", at.policy);
	T("nice", at.nice);
	T("getattr too small", syscall(SYS_sched_getattr, 0, &at, 40, 0));
	at.size = 40;
	T("setattr too small", syscall(SYS_sched_setattr, 0, &at, 0));
	OK("size told", at.size >= 48);
	at.size = 0;
	at.policy = 99;
	T("setattr bad policy", syscall(SYS_sched_setattr, 0, &at, 0));
	T("setattr nobody", syscall(SYS_sched_setattr, 99999999, &at, 0));
	T("setattr flags", syscall(SYS_sched_setattr, 0, &at, 1));
	int pid = fork(), st;
	if (!pid)
		_exit(syscall(SYS_sched_getscheduler, 0));
	waitpid(pid, &st, 0);
	T("a child has it too", WEXITSTATUS(st));
}

int main(void)
{
	struct rlimit l;
	int st, fd, pid;
	policies();
	pid = fork();
	if (!pid) {
		l = (struct rlimit){ 1, 2 };
		signal(SIGXCPU, on_xcpu);
		setrlimit(RLIMIT_CPU, &l);
		while (!xcpu)
			;
		for (;;)
			;
	}
	waitpid(pid, &st, 0);
	T("hard limit of CPU time", WIFSIGNALED(st) ? WTERMSIG(st) : -2);
	pid = fork();
	if (!pid) {
		l = (struct rlimit){ 1, RLIM_INFINITY };
		setrlimit(RLIMIT_CPU, &l);
		if (fork()) {
			wait(&st);
			_exit(WIFSIGNALED(st) ? WTERMSIG(st) : 99);
		}
		for (;;)
			;
	}
	waitpid(pid, &st, 0);
	T("soft limit, inherited", WEXITSTATUS(st));

	mkdir("d", 0700);
	l = (struct rlimit){ 16, 16 };
	setrlimit(RLIMIT_NOFILE, &l);
	while ((fd = dup(0)) >= 0)
		;
	T("no descriptor left", open("d/f", O_CREAT | O_RDWR, 0600));
	T("nothing was made", rmdir("d"));
	return 0;
}
