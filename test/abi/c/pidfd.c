/* SPDX-License-Identifier: Apache-2.0 */
/* pidfd.c: descriptors of processes: open, poll, signals, waitid, clone, descriptors of others. */
#include "check.h"
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define OPEN 434
#define SEND 424
#define GETFD 438

static int ready(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r = poll(&p, 1, ms);
	return r > 0 ? p.revents : r;
}

static int child_that_waits(int *w)
{
	int p[2];
	char c;
	pipe(p);
	int pid = fork();
	if (!pid) {
		close(p[1]);
		read(p[0], &c, 1);
		_exit(7);
	}
	close(p[0]);
	*w = p[1];
	return pid;
}

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

int main(void)
{
	int w, fd, null = open("/dev/null", O_RDONLY);
	siginfo_t si;
	T("open pid 0", syscall(OPEN, 0, 0));
	T("open negative", syscall(OPEN, -1, 0));
	T("open nobody", syscall(OPEN, 99999999, 0));
	T("open bad flags", syscall(OPEN, getpid(), 1));
	int pid = child_that_waits(&w);
	W("open", fd = syscall(OPEN, pid, 0));
	OK("close on exec", fcntl(fd, F_GETFD) == FD_CLOEXEC);
	OK("not ready", ready(fd, 0) == 0);
	char dir[32];
	snprintf(dir, sizeof(dir), "/proc/%d", pid);
	int pd = open(dir, O_RDONLY | O_DIRECTORY), root = open("/proc", O_RDONLY | O_DIRECTORY);
	T("signal by folder of the process", syscall(SYS_pidfd_send_signal, pd, 0, NULL, 0));
	T("signal by folder, bad signal", syscall(SYS_pidfd_send_signal, pd, 99, NULL, 0));
	T("signal by another folder", syscall(SYS_pidfd_send_signal, root, 0, NULL, 0));
	T("signal by a file", syscall(SYS_pidfd_send_signal, null, 0, NULL, 0));
	close(pd);
	close(root);
	T("read", read(fd, &si, sizeof(si)));
	T("signal 0", syscall(SEND, fd, 0, NULL, 0));
	T("bad signal", syscall(SEND, fd, 100, NULL, 0));
	T("bad flags", syscall(SEND, fd, 0, NULL, 9));
	T("signal to another descriptor", syscall(SEND, null, 0, NULL, 0));
	T("signal to no descriptor", syscall(SEND, -1, 0, NULL, 0));
	memset(&si, 0, sizeof(si));
	T("waitid, nothing yet", waitid(P_PIDFD, fd, &si, WEXITED | WNOHANG));
	OK("nothing", si.si_pid == 0);
	T("waitid of another descriptor", waitid(P_PIDFD, null, &si, WEXITED));
	T("getfd bad", syscall(GETFD, fd, 999, 0));
	T("getfd bad flags", syscall(GETFD, fd, 0, 1));
	int other = syscall(GETFD, fd, null, 0);
	OK("getfd", other > 0 && fcntl(other, F_GETFD) == FD_CLOEXEC);
	close(w);
	OK("ready at the end", ready(fd, -1) & POLLIN);
	T("signal to a zombie", syscall(SEND, fd, 0, NULL, 0));
	T("waitid", waitid(P_PIDFD, fd, &si, WEXITED));
	OK("its number", si.si_pid == pid);
	T("its status", si.si_status);
	T("signal when reaped", syscall(SEND, fd, 0, NULL, 0));
	OK("still ready", ready(fd, 0) & POLLIN);
	T("waitid again", waitid(P_PIDFD, fd, &si, WEXITED));
	close(fd);

	pid = child_that_waits(&w);
	W("open nonblock", fd = syscall(OPEN, pid, O_NONBLOCK));
	T("waitid would block", waitid(P_PIDFD, fd, &si, WEXITED));
	T("kill", syscall(SEND, fd, SIGKILL, NULL, 0));
	ready(fd, -1);
	T("waitid after kill", waitid(P_PIDFD, fd, &si, WEXITED));
	T("killed", si.si_code == CLD_KILLED && si.si_status == SIGKILL);
	close(fd);
	close(w);

	int pfd = -1;
	pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pfd, NULL, NULL);
	if (!pid)
		_exit(fcntl(pfd, F_GETFD) == -1 ? 3 : 4);
	OK("clone with CLONE_PIDFD", pfd > 2);
	T("waitid of it", waitid(P_PIDFD, pfd, &si, WEXITED));
	T("status: the child has no copy", si.si_status);
	return 0;
}
