/* SPDX-License-Identifier: Apache-2.0 */
/* ahead.c: answers each line with how many connections were accepted before. What else it does with a connection says its first argument. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int accepted;

static int answer(int c)
{
	char b[100];
	int n = read(c, b, sizeof(b));
	if (n > 0)
		n = dprintf(c, "%d\n", accepted);
	return n;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8080) };
	struct pollfd p[100] = { { .fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN } };
	const char *mode = argc > 1 ? argv[1] : "";
	int n = 1;
	if (p[0].fd < 0 || bind(p[0].fd, (void *)&a, sizeof(a)) || listen(p[0].fd, 16))
		return 1;
	while (!strcmp(mode, "one")) { /* at a time */
		int c = accept(p[0].fd, NULL, NULL);
		accepted++;
		while (answer(c) > 0)
			;
		close(c);
	}
	while (poll(p, n, -1) > 0) {
		for (int i = n - 1; i > 0; i--)
			if (p[i].revents && answer(p[i].fd) <= 0) {
				close(p[i].fd);
				p[i] = p[--n];
			}
		if (!p[0].revents || n == 100)
			continue;
		int c = accept(p[0].fd, NULL, NULL);
		if (!strcmp(mode, "leaves") && !accepted++) {
			close(c);
			continue;
		}
		if (strcmp(mode, "leaves"))
			accepted++;
		if (!strcmp(mode, "greets") && dprintf(c, "hello\n") < 0)
			return 1;
		p[n++] = (struct pollfd){ .fd = c, .events = POLLIN };
	}
	return 1;
}
