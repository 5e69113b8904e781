/* SPDX-License-Identifier: Apache-2.0 */
/* misbehave.c: an HTTP server on $PORT that does what its path says: /crash /exit /spin /oom /hang /half /env /connect/PORT, else "ok". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int is(const char *req, const char *path)
{
	const char *p = strchr(req, ' ');

	return p && !strncmp(p + 1, path, strlen(path));
}

static void answer(int fd, const char *body)
{
	char out[4096];
	int n = snprintf(out, sizeof(out), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", strlen(body), body);

	if (write(fd, out, n) != n)
		perror("write");
}

/* note appends the id of a request to a file of the host, where there is one, before the answer. */
static void note(const char *req, const char *file)
{
	const char *id = strstr(req, "X-Call-Id: "), *end = id ? strchr(id, '\r') : NULL;
	char line[200];
	int fd, n;

	if (!end)
		return;
	id += 11;
	n = snprintf(line, sizeof(line), "%.*s\n", (int)(end - id), id);
	fd = open(file, O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (fd < 0 || write(fd, line, n) != n || close(fd))
		perror(file);
}

int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT") ? getenv("PORT") : "8080")) };
	int ls = socket(AF_INET, SOCK_STREAM, 0), served = 0;
	char req[4096], text[100];

	if (bind(ls, (struct sockaddr *)&a, sizeof(a)) || listen(ls, 64)) {
		perror("listen");
		return 1;
	}
	fprintf(stderr, "misbehave listens\n");
	for (;;) {
		int fd = accept(ls, NULL, NULL);
		long n = read(fd, req, sizeof(req) - 1);

		req[n > 0 ? n : 0] = 0;
		if (getenv("HOLD"))
			for (;;)
				pause();
		if (getenv("NOTE"))
			note(req, getenv("NOTE"));
		if (is(req, "/crash")) {
			fprintf(stderr, "about to crash\n");
			*(volatile int *)0x1234 = 1;
		} else if (is(req, "/exit")) {
			exit(3);
		} else if (is(req, "/spin")) {
			for (volatile long i = 0;; i++)
				;
		} else if (is(req, "/oom")) {
			for (;;)
				memset(malloc(1 << 20), 1, 1 << 20);
		} else if (is(req, "/hang")) {
			sleep(1000);
		} else if (is(req, "/half")) {
			static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part";
			if (write(fd, half, sizeof(half) - 1) > 0)
				_exit(0);
		} else if (is(req, "/env")) {
			answer(fd, getenv("GREETING") ? getenv("GREETING") : "unset");
		} else if (is(req, "/connect/")) {
			struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
			int out = socket(AF_INET, SOCK_STREAM, 0);

			to.sin_port = htons(atoi(strstr(req, "/connect/") + 9));
			snprintf(text, sizeof(text), "errno %d", connect(out, (struct sockaddr *)&to, sizeof(to)) ? errno : 0);
			close(out);
			answer(fd, text);
		} else if (is(req, "/count")) {
			snprintf(text, sizeof(text), "%d", ++served);
			answer(fd, text);
		} else {
			answer(fd, "ok");
		}
		close(fd);
	}
}
