/* SPDX-License-Identifier: Apache-2.0 */
/* fork.c: processes: fork, vfork, wait, exit status, orphans, process groups, shared and private memory. */
#include "check.h"
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void status(const char *name, int st)
{
	if (WIFEXITED(st))
		printf("%s: exit %d\n", name, WEXITSTATUS(st));
	else if (WIFSIGNALED(st))
		printf("%s: signal %d\n", name, WTERMSIG(st));
	else if (WIFSTOPPED(st))
		printf("%s: stopped %d\n", name, WSTOPSIG(st));
	else if (WIFCONTINUED(st))
		printf("%s: continued\n", name);
}

static volatile int chld, chld_code, chld_status;
static void on_chld(int s, siginfo_t *si, void *uc)
{
	chld++;
	chld_code = si->si_code;
	chld_status = si->si_status;
}

static int share_mem(void *arg)
{
	*(int *)arg = 77;
	return 5;
}

int main(void)
{
	int st, p[2], local = 1;
	pid_t pid, first = 0;
	char buf[100];
	volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	volatile int *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	siginfo_t si;

	scratch();
	setvbuf(stdout, NULL, _IONBF, 0);
	T("wait no child", wait(&st));
	if (!(pid = fork())) {
		local = 2;
		_exit(local + 5);
	}
	OK("fork", pid > 0);
	OK("wait", wait(&st) == pid);
	status("child", st);
	V("local", local);
	if (!(pid = fork()))
		abort();
	waitpid(pid, &st, 0);
	status("aborted", st);
	if (!(pid = fork()))
		for (;;)
			pause();
	T("waitpid nohang", waitpid(pid, &st, WNOHANG));
	T("kill", kill(pid, SIGTERM));
	waitpid(pid, &st, 0);
	status("killed", st);
	T("kill dead", kill(pid, 0));
	T("waitpid gone", waitpid(pid, &st, 0));
	T("waitpid bad options", waitpid(-1, &st, 0x1000000));

	*private = 1;
	if (!(pid = fork())) {
		*private = 2;
		*shared = 2;
		_exit(*private);
	}
	waitpid(pid, &st, 0);
	printf("private %d shared %d\n", *private, *shared);

	pipe(p);
	if (!(pid = fork())) {
		close(p[0]);
		for (int i = 0; i < 10000; i++)
			write(p[1], "0123456789", 10);
		_exit(0);
	}
	close(p[1]);
	long n, sum = 0;
	while ((n = read(p[0], buf, sizeof(buf))) > 0)
		sum += n;
	waitpid(pid, &st, 0);
	V("through the pipe", sum);
	close(p[0]);

	/* File position is shared, descriptor table is not. */
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	if (!(pid = fork())) {
		write(fd, "abc", 3);
		close(fd);
		_exit(0);
	}
	waitpid(pid, &st, 0);
	T("position", lseek(fd, 0, SEEK_CUR));
	T("still open", write(fd, "d", 1));
	close(fd);

	struct sigaction sa = { .sa_sigaction = on_chld, .sa_flags = SA_SIGINFO };
	sigaction(SIGCHLD, &sa, NULL);
	if (!(pid = fork()))
		_exit(9);
	while (!chld)
		msleep(1);
	printf("SIGCHLD code %d status %d\n", chld_code, chld_status);
	T("waitid nowait", waitid(P_PID, pid, &si, WEXITED | WNOWAIT));
	printf("waitid code %d status %d\n", si.si_code, si.si_status);
	T("waitid", waitid(P_ALL, 0, &si, WEXITED));
	T("waitid none", waitid(P_ALL, 0, &si, WEXITED));
	T("waitid bad", waitid(P_ALL, 0, &si, 0));
	signal(SIGCHLD, SIG_IGN);
	if (!fork())
		_exit(1);
	T("ignored children leave none", wait(&st));
	signal(SIGCHLD, SIG_DFL);

	int go[2];
	if (pipe(go) || !(pid = fork())) {
		raise(SIGSTOP);
		_exit(read(go[0], &st, 1) == 1 ? 3 : 4); /* not before "continued" was seen */
	}
	waitpid(pid, &st, WUNTRACED);
	status("stopped", st);
	kill(pid, SIGCONT);
	waitpid(pid, &st, WCONTINUED);
	status("continued", st);
	T("let it end", write(go[1], "x", 1));
	close(go[0]);
	close(go[1]);
	waitpid(pid, &st, 0);
	status("ended", st);

	/* Many children at once, any order. */
	int seen = 0;
	for (int i = 0; i < 10; i++)
		if (!fork())
			_exit(i);
	while (wait(&st) > 0)
		seen += 1 << WEXITSTATUS(st);
	V("all ended", seen);

	/* A grandchild outlives its parent. */
	pipe(p);
	if (!(pid = fork())) {
		if (!fork()) {
			msleep(50);
			write(p[1], getppid() != first ? "orphan" : "ORPHAN", 6);
			_exit(0);
		}
		_exit(0);
	}
	waitpid(pid, &st, 0);
	close(p[1]);
	T("orphan", read(p[0], buf, 6));
	close(p[0]);

	/* Process groups and sessions. */
	if (!(pid = fork())) {
		int ok = getpgrp() == getpgid(getppid());
		ok = ok * 10 + (setpgid(0, 0) == 0 && getpgrp() == getpid());
		if (!fork())
			_exit(setsid() == getpid() && getsid(0) == getpid());
		wait(&st);
		ok = ok * 10 + WEXITSTATUS(st);
		_exit(ok);
	}
	waitpid(pid, &st, 0);
	status("groups", st);
	if (!(pid = fork())) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	setpgid(pid, pid);
	T("kill group", kill(-pid, SIGKILL));
	T("wait group", waitpid(-pid, &st, 0) == pid);
	status("group member", st);
	T("getpgid nobody", getpgid(999999));

	if (!(pid = vfork())) {
		local = 50;
		_exit(6);
	}
	waitpid(pid, &st, 0);
	status("vfork", st);
	static char stack[65536] __attribute__((aligned(16)));
	int mem = 0;
	pid = clone(share_mem, stack + sizeof(stack), CLONE_VM | SIGCHLD, &mem);
	waitpid(pid, &st, 0);
	status("clone vm", st);
	V("memory shared", mem);
	T("clone thread without vm", syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
	T("clone sighand without vm", syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
	prctl(PR_SET_PDEATHSIG, 0);
	/* A page of a file that the child touches first, and both write. */
	volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, open("/proc/self/exe", O_RDONLY), 0);
	pipe(p);
	if (!(pid = fork())) {
		page[1] = page[0] + 1;
		page[0] = 'c';
		write(p[1], "", 1);
		_exit(page[0] == 'c' && page[2] == 'L');
	}
	read(p[0], buf, 1);
	V("page read in a child first", page[0] == 0x7f && page[1] == 'E');
	page[2] = 'P';
	waitpid(pid, &st, 0);
	status("its writer", st);
	V("page after the child", page[0] == 0x7f && page[2] == 'P');
	struct rusage ru;
	if (!(pid = fork()))
		_exit(0);
	T("wait4", wait4(pid, &st, 0, &ru) == pid);
	int s = system("exit 3");
	OK("system needs a shell", s == -1 || WIFEXITED(s));
	return 0;
}
