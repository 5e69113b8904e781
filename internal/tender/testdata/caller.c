/* SPDX-License-Identifier: Apache-2.0 */
/* caller.c: listens on port 8080 and asks the server at $TO a question meanwhile, on a connection that it keeps. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int out = -1, resets;
static char last[128];

static void ask(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	char *to = strdup(getenv("TO")), *port = strchr(to, ':');

	*port++ = 0;
	a.sin_port = htons(atoi(port));
	inet_pton(AF_INET, to, &a.sin_addr);
	free(to);
	if (out < 0) {
		out = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(out, (void *)&a, sizeof a))
			exit(2);
	}
	if (write(out, "question\n", 9) != 9)
		exit(3);
}

/* What came, or that the connection is gone. */
static void answer(void)
{
	int n = read(out, last, sizeof last - 1);

	if (n > 0) {
		last[strcspn(last, "\n")] = 0;
		return;
	}
	resets += n < 0 && errno == ECONNRESET;
	close(out);
	out = -1;
}

int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8080) };
	int s = socket(AF_INET, SOCK_STREAM, 0);
	char line[64], reply[256];

	if (bind(s, (void *)&a, sizeof a) || listen(s, 16))
		return 1;
	ask();
	for (;;) {
		struct pollfd p[2] = { { s, POLLIN, 0 }, { out, POLLIN, 0 } };

		poll(p, 2, -1);
		if (p[1].revents)
			answer();
		if (!p[0].revents)
			continue;
		int c = accept(s, 0, 0), n = read(c, line, sizeof line - 1);

		line[n > 0 ? n : 0] = 0;
		if (!strncmp(line, "ask", 3)) {
			last[0] = 0;
			ask();
			while (!last[0])
				answer();
		}
		n = snprintf(reply, sizeof reply, "%s, %d resets\n", last, resets);
		write(c, reply, n);
		close(c);
	}
}
