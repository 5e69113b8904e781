/* SPDX-License-Identifier: Apache-2.0 */
/* state.c: a server on port 8080 with state, for tests of snapshots; one command a line, one line of answer. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int count;
static char *big;
static char kept[256];

static void hex(char *out, size_t room)
{
	unsigned char b[16];

	if (getrandom(b, sizeof b, 0) != sizeof b)
		exit(3);
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, room - 2 * i, "%02x", b[i]);
}

static int command(int c, char *line)
{
	char out[512] = "?";
	struct timespec ts;

	if (!strcmp(line, "count")) {
		snprintf(out, sizeof out, "%d", ++count);
	} else if (!strcmp(line, "random")) {
		hex(out, sizeof out);
	} else if (!strcmp(line, "host")) {
		gethostname(out, sizeof out);
	} else if (!strcmp(line, "mono")) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		snprintf(out, sizeof out, "%lld", ts.tv_sec * 1000000000LL + ts.tv_nsec);
	} else if (!strncmp(line, "keep ", 5)) {
		int n;
		FILE *f = fopen("/tmp/kept", "a+");

		snprintf(kept, sizeof kept, "%s", line + 5);
		fprintf(f, "%s\n", kept);
		rewind(f);
		n = fread(out, 1, sizeof out - 1, f);
		out[n > 0 ? n - 1 : 0] = 0;
		fclose(f);
		for (char *p = out; *p; p++)
			if (*p == '\n')
				*p = ',';
		puts(kept);
		fflush(stdout);
	} else if (!strncmp(line, "quiet ", 6)) {
		char *p = strdup(line);
		FILE *f = fopen("/tmp/quiet", "w");

		snprintf(kept, sizeof kept, "%s", line + 6);
		fputs(p, f);
		fclose(f);
		snprintf(out, sizeof out, "%s", kept);
	} else if (!strncmp(line, "mutter ", 7)) {
		fputs(line + 7, stdout);
		fflush(stdout);
	} else if (!strcmp(line, "grow")) {
		size_t n = 24 << 20;

		big = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(big, 'x', n);
		snprintf(out, sizeof out, "grown");
	} else if (!strcmp(line, "shrink")) {
		munmap(big, 24 << 20);
		snprintf(out, sizeof out, "shrunk");
	} else if (!strcmp(line, "spin")) {
		for (volatile int i = 0;; i++)
			;
	} else if (!strcmp(line, "crash")) {
		abort();
	} else if (!strcmp(line, "sleep")) {
		sleep(3600);
	}
	dprintf(c, "%s\n", out);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8080) };
	int s = socket(AF_INET, SOCK_STREAM, 0), c;
	char line[256];

	if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 128))
		return 1;
	if (argc > 1 && !strcmp(argv[1], "busy")) { /* not at rest before somebody comes */
		fcntl(s, F_SETFL, O_NONBLOCK);
		while ((c = accept(s, 0, 0)) < 0)
			;
		close(c);
		fcntl(s, F_SETFL, 0);
	}
	while ((c = accept(s, 0, 0)) >= 0) {
		FILE *f = fdopen(c, "r");

		while (fgets(line, sizeof line, f)) {
			line[strcspn(line, "\n")] = 0;
			command(c, line);
		}
		fclose(f);
	}
	return 2;
}
