/* SPDX-License-Identifier: Apache-2.0 */
/* client.c: a client of servers outside: connect, echo, many, udp, resolve. Each says in a line how it went. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_storage to;
static socklen_t to_len;

static void die(const char *what)
{
	printf("%s: errno %d\n", what, errno);
	exit(1);
}

static void parse(const char *ip, const char *port)
{
	struct sockaddr_in *a4 = (void *)&to;
	struct sockaddr_in6 *a6 = (void *)&to;

	if (inet_pton(AF_INET, ip, &a4->sin_addr) == 1) {
		a4->sin_family = AF_INET;
		a4->sin_port = htons(atoi(port));
		to_len = sizeof(*a4);
	} else if (inet_pton(AF_INET6, ip, &a6->sin6_addr) == 1) {
		a6->sin6_family = AF_INET6;
		a6->sin6_port = htons(atoi(port));
		to_len = sizeof(*a6);
	} else {
		die(ip);
	}
}

/* begin starts to connect without waiting. */
static int begin(void)
{
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, (void *)&to, to_len) < 0 && errno != EINPROGRESS)
		die("connect");
	return fd;
}

static unsigned char at(long i) { return i * 31 + (i >> 8); }

/* exchange sends n bytes and their end, and compares what comes back meanwhile. */
static void exchange(int fd, long n)
{
	static unsigned char buf[1 << 17];
	long sent = 0, got = 0;
	int ended = 0, shut = 0;

	while (!ended) {
		struct pollfd p = { .fd = fd, .events = POLLIN | (shut ? 0 : POLLOUT) };

		if (poll(&p, 1, 60000) != 1)
			die("poll");
		if (p.revents & POLLOUT && !shut) {
			long k = n - sent < (long)sizeof(buf) ? n - sent : (long)sizeof(buf);

			for (long i = 0; i < k; i++)
				buf[i] = at(sent + i);
			k = k ? send(fd, buf, k, MSG_NOSIGNAL) : 0;
			if (k < 0 && errno != EAGAIN)
				die("send");
			sent += k > 0 ? k : 0;
			if (sent == n) {
				shut = 1;
				if (shutdown(fd, SHUT_WR) < 0)
					die("shutdown");
			}
		}
		if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
			long k = recv(fd, buf, sizeof(buf), 0);

			if (k < 0 && errno != EAGAIN)
				die("recv");
			for (long i = 0; i < k; i++, got++) {
				if (buf[i] != at(got)) {
					printf("byte %ld differs\n", got);
					exit(1);
				}
			}
			ended = k == 0;
		}
	}
	if (got != n) {
		printf("%ld of %ld bytes\n", got, n);
		exit(1);
	}
	close(fd);
}

static void datagrams(void)
{
	static char out[65507], in[65536];
	int sizes[] = { 1, 0, 1400, 9000, 65507, 3 }, fd = socket(to.ss_family, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, (void *)&to, to_len) < 0)
		die("connect");
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		memset(out, 'a' + i, sizes[i]);
		if (send(fd, out, sizes[i], 0) != sizes[i])
			die("send");
		if (poll(&p, 1, 60000) != 1)
			die("poll");
		n = recv(fd, in, sizeof(in), 0);
		if (n < 0)
			die("recv");
		if (n != sizes[i] || memcmp(in, out, n)) {
			printf("datagram of %d bytes: %zd came back\n", sizes[i], n);
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "resolve") && argc == 3) {
		struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *l;
		int r = getaddrinfo(argv[2], NULL, &hints, &l);
		char s[64];

		printf("%d", r);
		for (; !r && l; l = l->ai_next)
			if (!getnameinfo(l->ai_addr, l->ai_addrlen, s, sizeof(s), NULL, 0, NI_NUMERICHOST))
				printf(" %s", s);
		printf("\n");
		return 0;
	}
	if (argc < 4)
		return 2;
	parse(argv[2], argv[3]);
	if (!strcmp(what, "connect")) {
		int fd = socket(to.ss_family, SOCK_STREAM, 0);

		printf("tcp %d", fd < 0 || connect(fd, (void *)&to, to_len) < 0 ? errno : 0);
		fd = socket(to.ss_family, SOCK_DGRAM, 0);
		if (connect(fd, (void *)&to, to_len) < 0 || send(fd, "x", 1, 0) < 0) {
			printf(" udp %d\n", errno);
		} else { /* the refusal comes as an ICMP error would */
			struct pollfd p = { .fd = fd, .events = POLLIN };
			int e = 0;
			socklen_t len = sizeof(e);

			if (poll(&p, 1, 60000) == 1 && p.revents & POLLERR)
				getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
			printf(" udp %d\n", e);
		}
	} else if (!strcmp(what, "echo")) {
		exchange(begin(), atol(argv[4]));
		printf("same\n");
	} else if (!strcmp(what, "many")) {
		int n = atoi(argv[4]), *fds = calloc(n, sizeof(*fds));

		for (int i = 0; i < n; i++)
			fds[i] = begin();
		for (int i = 0; i < n; i++)
			exchange(fds[i], 1000 + i);
		printf("%d same\n", n);
	} else if (!strcmp(what, "udp")) {
		datagrams();
		printf("same\n");
	} else {
		return 2;
	}
	return 0;
}
