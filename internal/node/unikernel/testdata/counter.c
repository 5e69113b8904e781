/* SPDX-License-Identifier: Apache-2.0 */
/* counter.c: an HTTP server that says which request of its life each is, and is no model of manners. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static int requests;
static char block[65536];

static void answer(int c, const char *status, int length, const char *body)
{
	dprintf(c, "HTTP/1.1 %s\r\nX-Request: %d\r\n", status, requests);
	if (length >= 0)
		dprintf(c, "Content-Length: %d\r\n", length);
	dprintf(c, "\r\n%s", body);
}

static void serve(int c)
{
	char head[8192], *end = 0, *length;
	int got = 0, n;

	while (!end && got < (int)sizeof head - 1 && (n = read(c, head + got, sizeof head - 1 - got)) > 0) {
		got += n;
		head[got] = 0;
		end = strstr(head, "\r\n\r\n");
	}
	if (!end)
		return;
	requests++;
	if (!strncmp(head, "POST /early ", 12)) { /* before it has read the body, which it never does */
		answer(c, "413 Too Large", 1, "x");
		return;
	}
	if (strcasestr(head, "100-continue"))
		dprintf(c, "HTTP/1.1 100 Continue\r\n\r\n");
	if (!strncmp(head, "GET /endless ", 13)) {
		answer(c, "200 OK", -1, "");
		while (write(c, block, sizeof block) > 0)
			;
	} else if (!strncmp(head, "GET /after ", 11)) { /* goes on when it has answered */
		answer(c, "200 OK", 1, "x");
		for (requests += 1000;; requests++)
			if (write(c, "junk", 4) < 0)
				break;
	} else if (!strncmp(head, "HEAD ", 5)) {
		answer(c, "200 OK", 100, "");
	} else {
		length = strcasestr(head, "content-length:");
		for (long left = (length ? atol(length + 15) : 0) - (got - (end + 4 - head)); left > 0; left -= n)
			if ((n = read(c, block, sizeof block)) <= 0)
				break;
		answer(c, "200 OK", 1, "x");
	}
}

int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT"))) };
	int s = socket(AF_INET, SOCK_STREAM, 0), c;

	if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 16))
		return 1;
	while ((c = accept(s, 0, 0)) >= 0) {
		serve(c);
		close(c);
	}
	return 2;
}
