/* SPDX-License-Identifier: Apache-2.0 */
/* sockpoll.c: sockets under epoll: edges, one-shot, hang-ups, exclusive waiters, what is closed or registered twice. */
#include "check.h"
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static void events(const char *what, int ep, int timeout)
{
	struct epoll_event e[8];
	int n = epoll_wait(ep, e, 8, timeout);

	printf("%s: %d", what, n);
	for (int i = 0; i < n; i++)
		printf(" %d:%x", e[i].data.fd, e[i].events);
	printf("\n");
}

static int add(int ep, int op, int fd, unsigned events, int tag)
{
	struct epoll_event e = { .events = events, .data.fd = tag };

	return epoll_ctl(ep, op, fd, &e);
}

static void tcp_pair(int s[2])
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int ls = socket(AF_INET, SOCK_STREAM, 0);

	bind(ls, (struct sockaddr *)&sa, sizeof(sa));
	listen(ls, 1);
	getsockname(ls, (struct sockaddr *)&sa, &len);
	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	connect(s[0], (struct sockaddr *)&sa, sizeof(sa));
	s[1] = accept(ls, NULL, NULL);
	close(ls);
}

static void edges(int family)
{
	int s[2], ep = epoll_create1(0);
	char buf[100];
	static char big[65536];
	long n, sum = 0;

	printf("-- %s\n", family == AF_UNIX ? "unix" : "tcp");
	if (family == AF_UNIX)
		socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	else
		tcp_pair(s);
	fcntl(s[0], F_SETFL, O_NONBLOCK);
	fcntl(s[1], F_SETFL, O_NONBLOCK);
	T("add", add(ep, EPOLL_CTL_ADD, s[1], EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, 7));
	T("add again", add(ep, EPOLL_CTL_ADD, s[1], EPOLLIN, 8));
	events("first edge", ep, 1000);
	events("no edge", ep, 0);
	write(s[0], "a", 1);
	events("data", ep, 1000);
	events("same data", ep, 0);
	write(s[0], "b", 1);
	events("more data", ep, 1000);
	T("read one", read(s[1], buf, 1));
	events("one left", ep, 0);
	T("read rest", read(s[1], buf, 10));
	while ((n = write(s[1], big, sizeof(big))) > 0)
		sum += n;
	if (family == AF_UNIX)
		events("full", ep, 0);
	while (sum > 0) {
		struct pollfd p = { s[0], POLLIN, 0 };
		poll(&p, 1, 1000);
		if ((n = read(s[0], big, sizeof(big))) <= 0)
			break;
		sum -= n;
	}
	V("all read", sum);
	events("room again", ep, 1000);
	T("shutdown", shutdown(s[0], SHUT_WR));
	events("half closed", ep, 1000);
	events("no edge again", ep, 0);
	T("rearm", add(ep, EPOLL_CTL_MOD, s[1], EPOLLIN | EPOLLET | EPOLLRDHUP, 9));
	events("rearmed", ep, 0);
	T("close other", close(s[0]));
	if (family == AF_UNIX)
		events("hung up", ep, 1000);
	T("mod level", add(ep, EPOLL_CTL_MOD, s[1], 0, 9));
	if (family == AF_UNIX)
		events("only hang-up", ep, 1000);
	T("one shot", add(ep, EPOLL_CTL_MOD, s[1], EPOLLIN | EPOLLONESHOT, 10));
	events("shot", ep, 1000);
	events("disarmed", ep, 0);
	T("mod again", add(ep, EPOLL_CTL_MOD, s[1], EPOLLIN | EPOLLONESHOT, 11));
	events("shot again", ep, 1000);
	int d = dup(s[1]);
	T("add dup", add(ep, EPOLL_CTL_ADD, d, EPOLLIN, 12));
	close(s[1]);
	events("through dup", ep, 0);
	close(d);
	events("all closed", ep, 0);
	T("del closed", add(ep, EPOLL_CTL_DEL, d, 0, 0));
	close(ep);
}

static int ls, ready;

static void *waiter(void *arg)
{
	struct epoll_event e;
	int ep = epoll_create1(0);
	long n;

	add(ep, EPOLL_CTL_ADD, ls, EPOLLIN | EPOLLEXCLUSIVE, 1);
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	do {
		n = epoll_wait(ep, &e, 1, 20000);
	} while (n < 0 && errno == EINTR);
	int fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK);
	if (fd >= 0)
		close(fd);
	close(ep);
	return (void *)(long)(fd >= 0);
}

static void exclusive(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	pthread_t t[3];
	long got = 0;
	int ep = epoll_create1(0);

	ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	bind(ls, (struct sockaddr *)&sa, sizeof(sa));
	listen(ls, 10);
	getsockname(ls, (struct sockaddr *)&sa, &len);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, waiter, NULL);
	while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < 3)
		usleep(1000);
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		connect(fd, (struct sockaddr *)&sa, sizeof(sa));
		close(fd);
	}
	for (int i = 0; i < 3; i++) {
		void *r;
		pthread_join(t[i], &r);
		got += (long)r;
	}
	V("each accepted one", got);
	T("exclusive mod", (add(ep, EPOLL_CTL_ADD, ls, EPOLLIN | EPOLLEXCLUSIVE, 1), add(ep, EPOLL_CTL_MOD, ls, EPOLLIN, 1)));
	T("exclusive one shot", add(ep, EPOLL_CTL_ADD, eventfd(0, 0), EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 1));
	close(ep);
	close(ls);
}

static void others(void)
{
	int ep = epoll_create1(0), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), u = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1) };
	socklen_t len = sizeof(sa);
	char c;

	add(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLET, 1);
	events("unconnected", ep, 0);
	T("connect nobody", connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	events("refused", ep, 1000);
	close(fd);
	add(ep, EPOLL_CTL_ADD, u, EPOLLIN | EPOLLET, 2);
	sa.sin_port = 0;
	bind(u, (struct sockaddr *)&sa, sizeof(sa));
	getsockname(u, (struct sockaddr *)&sa, &len);
	events("no datagram", ep, 0);
	sendto(u, "1", 1, 0, (struct sockaddr *)&sa, sizeof(sa));
	events("datagram", ep, 1000);
	sendto(u, "2", 1, 0, (struct sockaddr *)&sa, sizeof(sa));
	events("second", ep, 1000);
	T("recv", recv(u, &c, 1, 0));
	events("one left", ep, 0);
	T("recv", recv(u, &c, 1, 0));
	close(u);
	/* A listener at the edge: once for each that comes while nobody accepts. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	sa.sin_port = 0;
	bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	listen(fd, 5);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	add(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, 3);
	for (int i = 0; i < 2; i++) {
		int c = socket(AF_INET, SOCK_STREAM, 0);
		connect(c, (struct sockaddr *)&sa, sizeof(sa));
		events("connection", ep, 1000);
	}
	close(accept(fd, NULL, NULL));
	events("after one accept", ep, 0);
	close(fd);
	close(ep);
}

int main(void)
{
	start();
	signal(SIGPIPE, SIG_IGN);
	edges(AF_UNIX);
	edges(AF_INET);
	exclusive();
	others();
	return 0;
}
