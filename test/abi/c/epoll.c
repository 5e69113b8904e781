/* SPDX-License-Identifier: Apache-2.0 */
/* epoll.c: epoll over pipes, eventfds and sockets: level, edge, one-shot, nesting. */
#include "check.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static int efd;
static void *later(void *arg)
{
	msleep(30);
	eventfd_write(efd, 1);
	return NULL;
}
static void *closer(void *arg)
{
	msleep(30);
	close((int)(long)arg);
	return NULL;
}
static void on(int s) {}

static void wait_show(const char *name, int ep, int ms)
{
	struct epoll_event ev[8];
	int n = epoll_wait(ep, ev, 8, ms);

	printf("%s: %d%s%s", name, n, n < 0 ? " " : "", n < 0 ? ename(errno) : "");
	for (int i = 0; i < n; i++)
		printf(" %x/%d", ev[i].events, ev[i].data.fd);
	printf("\n");
}

int main(void)
{
	int ep, p[2], sp[2];
	struct epoll_event ev = { .events = EPOLLIN };
	pthread_t t;
	char c;

	scratch();
	T("create", ep = epoll_create1(EPOLL_CLOEXEC));
	T("create bad flags", epoll_create1(5));
	T("create size zero", epoll_create(0));
	pipe(p);
	ev.data.fd = 100;
	T("add", epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	T("add again", epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	T("add bad fd", epoll_ctl(ep, EPOLL_CTL_ADD, 99, &ev));
	T("add self", epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev));
	T("add to a pipe", epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &ev));
	put("file", "x");
	T("add file", epoll_ctl(ep, EPOLL_CTL_ADD, open("file", O_RDONLY), &ev));
	T("add bad pointer", epoll_ctl(ep, EPOLL_CTL_ADD, p[1], BAD));
	T("mod missing", epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &ev));
	T("del missing", epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL));
	T("bad op", epoll_ctl(ep, 9, p[0], &ev));
	wait_show("nothing", ep, 0);
	wait_show("timeout", ep, 20);
	write(p[1], "ab", 2);
	wait_show("level", ep, 1000);
	read(p[0], &c, 1);
	wait_show("level again", ep, 1000);
	read(p[0], &c, 1);
	wait_show("empty", ep, 0);
	T("wait zero events", epoll_wait(ep, &ev, 0, 0));
	T("wait negative events", epoll_wait(ep, &ev, -1, 0));
	T("wait bad fd", epoll_wait(99, &ev, 1, 0));
	T("wait other fd", epoll_wait(p[0], &ev, 1, 0));
	ev = (struct epoll_event){ .events = EPOLLIN | EPOLLET, .data.fd = 101 };
	T("mod edge", epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	write(p[1], "abc", 3);
	wait_show("edge", ep, 1000);
	wait_show("edge again", ep, 0);
	read(p[0], &c, 1);
	wait_show("edge after part read", ep, 0);
	write(p[1], "d", 1);
	wait_show("edge after write", ep, 1000);
	ev = (struct epoll_event){ .events = EPOLLIN | EPOLLONESHOT, .data.fd = 102 };
	T("mod oneshot", epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	wait_show("oneshot", ep, 1000);
	wait_show("oneshot again", ep, 0);
	T("rearm", epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	wait_show("rearmed", ep, 1000);
	T("del", epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	wait_show("deleted", ep, 0);

	ev = (struct epoll_event){ .events = EPOLLOUT, .data.fd = 103 };
	epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &ev);
	wait_show("writable", ep, 1000);
	close(p[0]);
	wait_show("reader gone", ep, 1000);
	close(p[1]);
	wait_show("closed fd leaves", ep, 0);

	socketpair(AF_UNIX, SOCK_STREAM, 0, sp);
	ev = (struct epoll_event){ .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.fd = 104 };
	epoll_ctl(ep, EPOLL_CTL_ADD, sp[0], &ev);
	wait_show("socket", ep, 1000);
	write(sp[1], "x", 1);
	wait_show("socket data", ep, 1000);
	shutdown(sp[1], SHUT_WR);
	wait_show("socket half closed", ep, 1000);
	close(sp[1]);
	wait_show("socket closed", ep, 1000);
	epoll_ctl(ep, EPOLL_CTL_DEL, sp[0], NULL);

	efd = eventfd(0, EFD_NONBLOCK);
	ev = (struct epoll_event){ .events = EPOLLIN, .data.fd = 105 };
	epoll_ctl(ep, EPOLL_CTL_ADD, efd, &ev);
	pthread_create(&t, NULL, later, NULL);
	wait_show("woken", ep, 5000);
	pthread_join(t, NULL);
	eventfd_t v;
	eventfd_read(efd, &v);

	/* Nested. */
	int outer = epoll_create1(0);
	ev = (struct epoll_event){ .events = EPOLLIN, .data.fd = 106 };
	T("nest", epoll_ctl(outer, EPOLL_CTL_ADD, ep, &ev));
	T("nest loop", epoll_ctl(ep, EPOLL_CTL_ADD, outer, &ev));
	wait_show("nested nothing", outer, 0);
	eventfd_write(efd, 1);
	wait_show("nested", outer, 1000);
	/* A duplicate keeps the registration. */
	int d = dup(efd);
	close(efd);
	wait_show("duplicate left", ep, 0);
	close(d);
	wait_show("all closed", ep, 0);

	pipe(p);
	ev = (struct epoll_event){ .events = EPOLLIN, .data.fd = 107 };
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev);
	pthread_create(&t, NULL, closer, (void *)(long)p[1]);
	wait_show("hang up", ep, 5000);
	pthread_join(t, NULL);
	epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL);

	struct sigaction sa = { .sa_handler = on, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &sa, NULL);
	ualarm(20000, 0);
	wait_show("interrupted", ep, 5000);
	sigset_t m;
	sigfillset(&m);
	ualarm(10000, 0);
	T("pwait masked", epoll_pwait(ep, &ev, 1, 40, &m));
	alarm(0);
	/* Many descriptors, fair turns. */
	int n = 0, seen[50] = { 0 }, fds[50];
	for (int i = 0; i < 50; i++) {
		fds[i] = eventfd(1, 0);
		ev = (struct epoll_event){ .events = EPOLLIN, .data.fd = i };
		epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ev);
	}
	for (int i = 0; i < 10; i++) {
		struct epoll_event evs[10];
		int k = epoll_wait(ep, evs, 10, 0);
		for (int j = 0; j < k; j++)
			seen[evs[j].data.fd]++;
	}
	for (int i = 0; i < 50; i++)
		n += seen[i] == 2;
	V("fair turns", n);
	return 0;
}
