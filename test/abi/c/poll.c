/* SPDX-License-Identifier: Apache-2.0 */
/* poll.c: poll, ppoll, select, pselect. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/select.h>

static int p[2];
static void *later(void *arg)
{
	msleep(20);
	write(p[1], "x", 1);
	return NULL;
}
static void on(int s) {}

int main(void)
{
	struct pollfd f[3];
	struct timeval tv = { 0, 20000 };
	struct timespec ts = { 0, 20000000 };
	fd_set rd, wr, ex;
	pthread_t t;
	uint64_t t0;
	char c;
	sigset_t m;

	scratch();
	pipe(p);
	f[0] = (struct pollfd){ p[0], POLLIN, 0 };
	f[1] = (struct pollfd){ p[1], POLLOUT | POLLIN, 0 };
	f[2] = (struct pollfd){ -1, POLLIN, 99 };
	T("poll", poll(f, 3, 0));
	printf("events %x %x %x\n", f[0].revents, f[1].revents, f[2].revents);
	f[2].fd = 88;
	T("poll bad fd", poll(f, 3, 0));
	printf("events %x %x %x\n", f[0].revents, f[1].revents, f[2].revents);
	t0 = mono_ns();
	T("poll timeout", poll(f, 1, 20));
	OK("waited", mono_ns() - t0 >= 20000000);
	T("poll none", poll(NULL, 0, 10));
	T("poll bad pointer", poll(BAD, 1, 0));
	T("poll too many", poll(f, 100000000, 0));
	put("file", "x");
	f[2].fd = open("file", O_RDWR);
	f[2].events = POLLIN | POLLOUT;
	T("poll file", poll(&f[2], 1, -1));
	printf("events %x\n", f[2].revents);
	f[2].fd = open("/dev/null", O_RDWR);
	T("poll null", poll(&f[2], 1, -1));
	printf("events %x\n", f[2].revents);
	pthread_create(&t, NULL, later, NULL);
	T("poll woken", poll(f, 1, 5000));
	pthread_join(t, NULL);
	T("poll duplicate", poll((struct pollfd[]){ { p[0], POLLIN }, { p[0], POLLIN } }, 2, 0));
	read(p[0], &c, 1);

	FD_ZERO(&rd); FD_ZERO(&wr); FD_ZERO(&ex);
	FD_SET(p[0], &rd);
	FD_SET(p[1], &wr);
	FD_SET(p[0], &ex);
	T("select", select(20, &rd, &wr, &ex, NULL));
	printf("sets %d %d %d\n", FD_ISSET(p[0], &rd), FD_ISSET(p[1], &wr), FD_ISSET(p[0], &ex));
	FD_ZERO(&rd);
	FD_SET(p[0], &rd);
	T("select timeout", select(20, &rd, NULL, NULL, &tv));
	printf("left %ld %ld set %d\n", (long)tv.tv_sec, (long)tv.tv_usec, FD_ISSET(p[0], &rd));
	pthread_create(&t, NULL, later, NULL);
	FD_SET(p[0], &rd);
	tv.tv_sec = 5;
	T("select woken", select(20, &rd, NULL, NULL, &tv));
	OK("time left", tv.tv_sec == 4);
	pthread_join(t, NULL);
	read(p[0], &c, 1);
	FD_ZERO(&rd);
	FD_SET(57, &rd); /* Linux ignores those past the table, which has 64 at least */
	tv.tv_sec = tv.tv_usec = 0;
	T("select bad fd", select(58, &rd, NULL, NULL, &tv));
	T("select negative", select(-1, NULL, NULL, NULL, &tv));
	tv.tv_usec = -1;
	T("select bad time", select(0, NULL, NULL, NULL, &tv));
	T("select nothing", select(0, NULL, NULL, NULL, &(struct timeval){ 0, 1000 }));

	struct sigaction sa = { .sa_handler = on };
	sigaction(SIGALRM, &sa, NULL);
	ualarm(20000, 0);
	T("poll interrupted", poll(f, 1, 5000));
	ualarm(20000, 0);
	FD_ZERO(&rd);
	FD_SET(p[0], &rd);
	T("select interrupted", select(20, &rd, NULL, NULL, NULL));
	sigemptyset(&m);
	sigaddset(&m, SIGALRM);
	ualarm(5000, 0);
	T("ppoll masked", ppoll(f, 1, &ts, &m));
	sigprocmask(SIG_BLOCK, &m, NULL);
	ualarm(5000, 0);
	msleep(20);
	sigemptyset(&m);
	T("ppoll unmasks", ppoll(f, 1, &ts, &m));
	ualarm(5000, 0);
	msleep(20);
	T("pselect unmasks", pselect(20, &rd, NULL, NULL, &ts, &m));
	sigprocmask(SIG_BLOCK, NULL, &m);
	OK("mask back", sigismember(&m, SIGALRM));
	T("ppoll bad time", ppoll(f, 1, &(struct timespec){ 0, 1000000000 }, NULL));
	T("ppoll timeout", ppoll(f, 1, &(struct timespec){ 0, 1000000 }, NULL));
	return 0;
}
