/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: lambda PROGRAM ARG0 [ARG…]: starts the runtime, serves it and the node until it ends, and ends as it did.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bridge.h"

struct conn *conns;
struct invocation *invocations;
bool initialised, init_reported;

static int api_fd = -1, node_fd = -1, node_port = 8080;
static pid_t child;
static volatile sig_atomic_t ended, stopping; /* a child has; the node wants us to */

enum { READ_SIZE = 64 << 10, LAST_READERS = 2000 /* ms that the node has to take the end of its streams */ };

/* say writes one line at once: other processes write to the same log. */
void say(const char *fmt, ...)
{
	static char line[16 << 10];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n] = '\n';
	for (int at = 0; at <= n;) {
		ssize_t w = write(2, line + at, n + 1 - at);
		if (w <= 0)
			return;
		at += w;
	}
}

void die(const char *what)
{
	say("{\"errorType\":\"Runtime.Bridge\",\"errorMessage\":\"the bridge to the Lambda runtime failed: %s: %s\"}", what, strerror(errno));
	exit(1);
}

static int listener(uint32_t address, int port, int backlog)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, backlog)) {
		say("{\"errorType\":\"Runtime.Bridge\",\"errorMessage\":\"cannot listen on port %d: %s\"}", port, strerror(errno));
		exit(1);
	}
	return fd;
}

void listen_for_node(void) { node_fd = listener(INADDR_ANY, node_port, 1024); }

static void take(int at, bool node)
{
	for (;;) {
		int one = 1, fd = accept4(at, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		struct conn *c = calloc(1, sizeof(*c));
		if (!c)
			die("memory");
		c->fd = fd;
		c->node = node;
		c->next = conns;
		conns = c;
	}
}

static void end(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	c->polling = false;
	on_close(c);
	close(c->fd);
}

static void bury(void)
{
	for (struct conn **at = &conns; *at;) {
		struct conn *c = *at;

		if (!c->dead) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		free(c->req.head);
		buf_free(&c->in);
		buf_free(&c->out);
		buf_free(&c->body);
		buf_free(&c->trailers);
		free(c);
	}
}

void on_head(struct conn *c) { c->node ? node_head(c) : api_head(c); }
void on_body(struct conn *c, const char *p, size_t n) { c->node ? node_body(c, p, n) : api_body(c, p, n); }
void on_end(struct conn *c) { c->node ? node_end(c) : api_end(c); }
void on_close(struct conn *c) { c->node ? node_close(c) : api_close(c); }
bool wants(struct conn *c) { return !c->dead && !c->closing && (c->node ? node_wants(c) : api_wants(c)); }

/* fill reads what has come, once. false: there is nothing more now. */
static bool fill(struct conn *c)
{
	ssize_t n = recv(c->fd, buf_room(&c->in, READ_SIZE), READ_SIZE, 0);

	if (n > 0) {
		c->in.len += n;
		http_feed(c);
		return !c->dead;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		if (!BUF_LEFT(&c->in))
			buf_free(&c->in);
		return false;
	}
	end(c);
	return false;
}

/* flush writes what there is to write. */
static void flush(struct conn *c)
{
	while (!c->dead && BUF_LEFT(&c->out)) {
		ssize_t n = send(c->fd, c->out.p + c->out.off, BUF_LEFT(&c->out), MSG_NOSIGNAL);

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				end(c);
			return;
		}
		buf_take(&c->out, n);
	}
	if (c->closing && !BUF_LEFT(&c->out)) {
		shutdown(c->fd, SHUT_WR);
		end(c);
	}
}

static short events(struct conn *c)
{
	short want = BUF_LEFT(&c->out) ? POLLOUT : 0;

	if (wants(c))
		want |= POLLIN;
	else if (c->node || c->polling)
		want |= POLLRDHUP; /* whoever waits there may leave */
	return want;
}

static void serve(struct conn *c, short got)
{
	if (got & POLLOUT)
		flush(c);
	if (c->dead)
		return;
	if (got & POLLIN && wants(c))
		fill(c);
	else if (got & (POLLERR | POLLHUP | POLLRDHUP | POLLNVAL) && !(got & POLLIN && wants(c)) && (c->node || c->polling || got & (POLLERR | POLLHUP | POLLNVAL)))
		end(c);
}

/* One round: waits, and does what there is to do. */
static void round_of(const sigset_t *while_waiting, const struct timespec *limit)
{
	static struct pollfd *polls;
	static size_t room;
	size_t n = 2;

	for (struct conn *c = conns; c; c = c->next)
		n++;
	if (n > room) {
		room = 2 * n;
		polls = realloc(polls, room * sizeof(*polls));
		if (!polls)
			die("memory");
	}
	polls[0] = (struct pollfd){api_fd, POLLIN, 0};
	polls[1] = (struct pollfd){node_fd, POLLIN, 0};
	n = 2;
	for (struct conn *c = conns; c; c = c->next)
		polls[n++] = (struct pollfd){c->fd, events(c), 0};
	int got = ppoll(polls, n, limit, while_waiting);
	if (got < 0 && errno != EINTR)
		die("poll");
	if (got > 0) {
		size_t at = 2;
		for (struct conn *c = conns; at < n; c = c->next, at++)
			if (polls[at].revents && !c->dead)
				serve(c, polls[at].revents);
		if (polls[0].revents)
			take(api_fd, false);
		if (node_fd >= 0 && polls[1].revents)
			take(node_fd, true);
	}
	for (struct conn *c = conns; c; c = c->next) {
		if (BUF_LEFT(&c->in) && wants(c))
			http_feed(c);
		if (!c->dead)
			flush(c);
	}
	bury();
}

static void on_signal(int sig)
{
	if (sig == SIGCHLD)
		ended = 1;
	else
		stopping = 1;
}

/* reap reports whether the runtime has ended. */
static bool reap(int *status)
{
	pid_t pid;
	int s;
	bool over = false;

	ended = 0;
	while ((pid = waitpid(-1, &s, WNOHANG)) > 0) {
		if (pid == child) {
			*status = s;
			over = true;
		}
	}
	return over;
}

static void how(char *to, size_t n, int status)
{
	if (WIFSIGNALED(status))
		snprintf(to, n, "Runtime exited with error: signal: %s", strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		snprintf(to, n, "Runtime exited with error: exit status %d", WEXITSTATUS(status));
	else
		snprintf(to, n, "Runtime exited without providing a reason");
}

/* A request that the runtime will never see: the node gives it to another instance. */
static void unseen(struct conn *c)
{
	if (!c->closing && !BUF_LEFT(&c->out))
		buf_puts(&c->out, "HTTP/1.1 503 Service Unavailable\r\nUnifaas-Unseen: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	c->closing = true;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Stays until the node has closed all streams: only then has it taken what was sent, and what it still sends is refused. Who takes a long answer
 * slowly has the time that the node gives him. */
static void linger(void)
{
	int64_t until = now_ms() + LAST_READERS;
	bool sending = false;

	while (conns && (sending || now_ms() < until)) {
		struct pollfd p[64];
		int n = 0;

		for (struct conn *c = conns; c && n < 64; c = c->next)
			p[n++] = (struct pollfd){c->fd, POLLIN | (BUF_LEFT(&c->out) ? POLLOUT : 0), 0};
		poll(p, n, 100);
		sending = false;
		n = 0;
		for (struct conn *c = conns; c && n < 64; c = c->next, n++) {
			char rest[4096];

			if (p[n].revents & (POLLIN | POLLERR | POLLHUP)) {
				ssize_t r = recv(c->fd, rest, sizeof(rest), 0);
				if (r > 0)
					unseen(c);
				else if (!r || (errno != EAGAIN && errno != EINTR))
					end(c);
			}
			while (!c->dead && BUF_LEFT(&c->out)) {
				ssize_t w = send(c->fd, c->out.p + c->out.off, BUF_LEFT(&c->out), MSG_NOSIGNAL);
				if (w > 0) {
					buf_take(&c->out, w);
				} else {
					if (errno != EAGAIN && errno != EINTR)
						end(c);
					break;
				}
			}
			if (!c->dead && c->closing && !BUF_LEFT(&c->out))
				shutdown(c->fd, SHUT_WR);
			sending = sending || (!c->dead && BUF_LEFT(&c->out));
		}
		bury();
	}
}

/* The runtime has ended: what it still said is passed on, then the reason, then the node has to notice that all is over. */
static void finish(int status)
{
	char why[160], text[sizeof(why) + ID_MAX + 32];

	how(why, sizeof(why), status);
	for (struct conn *c = conns; c; c = c->next)
		while (!c->node && !c->dead && !c->closing && fill(c))
			;
	if (!initialised) {
		if (!init_reported)
			say("{\"errorType\":\"Runtime.ExitError\",\"errorMessage\":\"%s\"}", why);
		return;
	}
	say("%s", why);
	take(node_fd, true);
	close(node_fd);
	node_fd = -1;
	while (invocations) {
		snprintf(text, sizeof(text), "RequestId: %s Error: %s", invocations->id, why);
		if (invocations->node)
			invocations->node->req.keep = false;
		answer_error(invocations, "Runtime.ExitError", text);
	}
	for (struct conn *c = conns; c; c = c->next) {
		if (!c->node)
			end(c);
		else if (c->stage != HEAD || BUF_LEFT(&c->in))
			unseen(c);
	}
	bury();
	linger();
}

static void defaults(void)
{
	const char *port = getenv("PORT");
	char address[32];

	if (port) {
		node_port = atoi(port);
		unsetenv("PORT"); /* it is not the function that listens there */
	}
	snprintf(address, sizeof(address), "127.0.0.1:%d", API_PORT);
	setenv("AWS_LAMBDA_RUNTIME_API", address, 1);
	setenv("LAMBDA_TASK_ROOT", "/var/task", 0);
	setenv("LAMBDA_RUNTIME_DIR", "/var/runtime", 0);
	setenv("TZ", ":UTC", 0);
}

extern char **environ;

int main(int argc, char **argv)
{
	sigset_t blocked, before;
	struct sigaction act = {.sa_handler = on_signal};
	posix_spawnattr_t how_to;
	int status = 0, err;

	if (argc < 3) {
		fprintf(stderr, "usage: lambda PROGRAM ARG0 [ARG...]: the process that connects a node with a Lambda runtime\n");
		return 2;
	}
	defaults();
	api_fd = listener(INADDR_LOOPBACK, API_PORT, 128);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	sigaction(SIGCHLD, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	posix_spawnattr_init(&how_to);
	posix_spawnattr_setsigmask(&how_to, &before);
	posix_spawnattr_setflags(&how_to, POSIX_SPAWN_SETSIGMASK);
	if ((err = posix_spawn(&child, argv[1], NULL, &how_to, argv + 2, environ))) {
		say("{\"errorType\":\"Runtime.InvalidEntrypoint\",\"errorMessage\":\"cannot start %s: %s\"}", argv[1], strerror(err));
		return 1;
	}
	while (!(ended && reap(&status))) {
		if (stopping) {
			stopping = 0;
			kill(child, SIGTERM);
		}
		round_of(&before, NULL);
	}
	finish(status);
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status) || initialised ? WEXITSTATUS(status) : 1;
}
