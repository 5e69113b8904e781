/* SPDX-License-Identifier: Apache-2.0 */
/* sigio.c: signal-driven I/O: O_ASYNC, owners, F_SETSIG. */
#define _GNU_SOURCE
#include "check.h"
#include <stdbool.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define NEVER 999999

static volatile int got, code, fd_of;

static void on_signal(int n, siginfo_t *si, void *uc)
{
	got = n;
	code = si->si_code;
	fd_of = si->si_fd;
}

/* Waits for signo, which is blocked; 0 if none is pending. */
static int pending(int signo, bool wait)
{
	sigset_t set;
	siginfo_t si;
	struct timespec none = { 0 };
	sigemptyset(&set);
	sigaddset(&set, signo);
	int r = wait ? sigwaitinfo(&set, &si) : sigtimedwait(&set, &si, &none);
	return r < 0 ? 0 : r;
}

int main(void)
{
	int s[2], p[2], on = 1, off = 0, own = 0;
	char c;
	sigset_t set;
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	T("getown at first", fcntl(s[0], F_GETOWN));
	T("setown of nobody", fcntl(s[0], F_SETOWN, NEVER));
	T("setown", fcntl(s[0], F_SETOWN, getpid()));
	OK("getown is me", fcntl(s[0], F_GETOWN) == getpid());
	T("write without O_ASYNC", write(s[1], "x", 1));
	OK("no signal", !pending(SIGIO, false));
	T("FIOASYNC", ioctl(s[0], FIOASYNC, &on));
	OK("O_ASYNC reads back", !!(fcntl(s[0], F_GETFL) & O_ASYNC));
	T("write", write(s[1], "x", 1));
	OK("signal", pending(SIGIO, true) == SIGIO);
	read(s[0], &c, 1);
	read(s[0], &c, 1);
	pending(SIGIO, false);
	T("FIOASYNC off", ioctl(s[0], FIOASYNC, &off));
	T("write when off", write(s[1], "x", 1));
	OK("no signal when off", !pending(SIGIO, false));
	read(s[0], &c, 1);
	T("setsig bad", fcntl(s[0], F_SETSIG, 100));
	T("setsig", fcntl(s[0], F_SETSIG, SIGUSR1));
	OK("getsig", fcntl(s[0], F_GETSIG) == SIGUSR1);
	sigaction(SIGUSR1, &sa, NULL);
	T("F_SETFL O_ASYNC", fcntl(s[0], F_SETFL, O_ASYNC));
	T("write to the handler", write(s[1], "x", 1));
	OK("handler", got == SIGUSR1);
	OK("si_code POLL_IN", code == POLL_IN);
	OK("si_fd", fd_of == s[0]);
	T("F_SETFL off", fcntl(s[0], F_SETFL, 0));
	OK("O_ASYNC is off", !!(fcntl(s[0], F_GETFL) & O_ASYNC));
	T("SIOCSPGRP", ioctl(s[0], FIOSETOWN, &own));
	T("SIOCGPGRP", ioctl(s[0], FIOGETOWN, &own));
	OK("nobody", !own);
	pipe(p);
	T("pipe setown", fcntl(p[0], F_SETOWN, getpid()));
	T("pipe O_ASYNC", fcntl(p[0], F_SETFL, O_ASYNC));
	T("pipe write", write(p[1], "x", 1));
	OK("pipe signal", pending(SIGIO, true) == SIGIO);
	/* The open file outlives this descriptor in a child; the signals still come here. */
	pid_t child = fork();
	if (!child) {
		read(p[0], &c, 1);
		_exit(write(p[1], "y", 1) != 1);
	}
	waitpid(child, NULL, 0);
	OK("signal from the child's write", pending(SIGIO, true) == SIGIO);
	close(p[0]);
	close(p[1]);
	int f = open("regular", O_CREAT | O_RDWR, 0600);
	T("regular file F_SETFL O_ASYNC", fcntl(f, F_SETFL, O_ASYNC));
	OK("has it", !!(fcntl(f, F_GETFL) & O_ASYNC));
	T("regular file FIOASYNC", ioctl(f, FIOASYNC, &on));
	return 0;
}
