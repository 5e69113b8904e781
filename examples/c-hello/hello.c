/* SPDX-License-Identifier: Apache-2.0 */
/* hello.c: a small HTTP/1.1 server on $PORT, one thread, many connections with keep-alive. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 8192 /* longest request head that is taken */

struct conn {
	int fd;
	size_t used;      /* bytes in buf */
	size_t skip;      /* bytes of a request body still to be thrown away */
	char buf[HEAD_MAX];
};

static const char greeting[] = "Hello from a unikernel\n";
static unsigned long calls; /* answered so far: an instance that was parked goes on, one that is rewound begins again */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Sends all of it. The answers are short: a client that does not read them loses its connection. */
static int reply(int fd, const char *status, const char *body, int keep)
{
	char out[512], host[65] = "";
	int n;

	gethostname(host, sizeof(host) - 1);
	n = snprintf(out, sizeof(out), "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nX-Host: %s\r\nX-Calls: %lu\r\n%s\r\n%s",
		     status, strlen(body), host, ++calls, keep ? "" : "Connection: close\r\n", body);
	return send(fd, out, n, MSG_NOSIGNAL) == n ? 0 : -1;
}

/* The value of a header, or NULL. */
static const char *header(const char *head, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (!strncasecmp(line, name, n) && line[n] == ':')
			return line + n + 1 + strspn(line + n + 1, " \t");
	}
	return NULL;
}

/* Answers every whole request in the buffer. -1: close the connection. */
static int serve(struct conn *c)
{
	for (;;) {
		size_t drop = c->skip < c->used ? c->skip : c->used;
		char *end;

		c->used -= drop;
		c->skip -= drop;
		memmove(c->buf, c->buf + drop, c->used);
		c->buf[c->used] = 0;
		end = strstr(c->buf, "\r\n\r\n");
		if (c->skip || !end) {
			if (c->used < HEAD_MAX - 1)
				return 0; /* the rest is still to come */
			reply(c->fd, "431 Request Header Fields Too Large", "the request head is too long\n", 0);
			return -1;
		}
		end[2] = 0;

		const char *connection = header(c->buf, "Connection"), *length = header(c->buf, "Content-Length");
		int old = strstr(c->buf, " HTTP/1.0\r\n") != NULL;
		int keep = connection ? !strncasecmp(connection, "keep-alive", 10) || (!old && strncasecmp(connection, "close", 5)) : !old;

		if (header(c->buf, "Transfer-Encoding")) {
			reply(c->fd, "411 Length Required", "send a Content-Length\n", 0);
			return -1;
		}
		if (reply(c->fd, "200 OK", greeting, keep) || !keep)
			return -1;
		c->skip = (end + 4 - c->buf) + (length ? strtoul(length, NULL, 10) : 0);
	}
}

int main(void)
{
	const char *port = getenv("PORT");
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons(port ? atoi(port) : 8080) };
	struct sockaddr_in addr4 = { .sin_family = AF_INET, .sin_port = addr.sin6_port };
	struct epoll_event ev = { .events = EPOLLIN }, evs[64];
	int one = 1, ep = epoll_create1(EPOLL_CLOEXEC);
	int ls = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), v4 = ls < 0;

	if (v4)
		ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ls < 0 || ep < 0)
		die("socket");
	setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(ls, v4 ? (struct sockaddr *)&addr4 : (struct sockaddr *)&addr, v4 ? sizeof(addr4) : sizeof(addr)))
		die("bind");
	if (listen(ls, 128))
		die("listen");
	if (epoll_ctl(ep, EPOLL_CTL_ADD, ls, &ev))
		die("epoll_ctl");

	for (;;) {
		int n = epoll_wait(ep, evs, 64, -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;

			if (!c) {
				int fd = accept4(ls, NULL, NULL, SOCK_CLOEXEC);

				if (fd < 0)
					continue;
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				c = malloc(sizeof(*c));
				if (!c) {
					close(fd);
					continue;
				}
				c->fd = fd;
				c->used = c->skip = 0;
				ev.data.ptr = c;
				epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
				continue;
			}
			ssize_t got = read(c->fd, c->buf + c->used, HEAD_MAX - 1 - c->used);

			if (got < 0 && (errno == EINTR || errno == EAGAIN))
				continue;
			if (got > 0)
				c->used += got;
			if (got <= 0 || serve(c)) {
				close(c->fd); /* takes it out of the epoll set too */
				free(c);
			}
		}
	}
}
