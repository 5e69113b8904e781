// SPDX-License-Identifier: Apache-2.0
// unique.c: an HTTP server that tells of itself what copies of one instance may not share, and what they must. So does a child of it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SNAP_GENERATION 0x5501
#define SNAP_SIGNAL 0x5502

static char out[8192];
static volatile sig_atomic_t signals;
static char *wiped, *kept, *shared;
static int dev;

static void say(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	size_t n = strlen(out);
	vsnprintf(out + n, sizeof(out) - n, format, ap);
	va_end(ap);
}

static void hex(const char *who, const char *what, const void *p, int n)
{
	say("%s%s: ", who, what);
	for (int i = 0; i < n; i++)
		say("%02x", ((const uint8_t *)p)[i]);
	say("\n");
}

static void need(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void first_line(const char *what, const char *path, const char *start)
{
	char line[256];
	FILE *f = fopen(path, "r");
	need(f != NULL, path);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, start, strlen(start)))
			say("%s: %s", what, line);
	fclose(f);
}

/* What each process has of its own. */
static void tell(const char *who)
{
	char random[16], zero = 0;
	need(getrandom(random, sizeof(random), 0) == sizeof(random), "getrandom");
	hex(who, "random", random, sizeof(random));
	hex(who, "auxv", (void *)getauxval(AT_RANDOM), 16);
	for (int i = 0; i < 3 * 4096; i++)
		zero |= wiped[i];
	say("%swiped: %d\n%skept: %s\n%sshared: %s\n%ssignals: %d\n", who, !zero, who, kept, who, shared, who, (int)signals);
}

static void on_signal(int sig) { signals++; }

static void tell_generation(void)
{
	uint64_t gen = ~0ULL;
	char text[64] = "";
	need(ioctl(dev, SNAP_GENERATION, &gen) == 0, "ioctl");
	ssize_t n = read(dev, text, sizeof(text));
	if (n < 0)
		snprintf(text, sizeof(text), "%s\n", strerror(errno));
	say("generation: %llu\nread: %s", (unsigned long long)gen, text);
}

/* Answers with what it has to say whenever a byte comes. */
static void child(int fd)
{
	char c;
	kept[0] = 'K'; /* its own copy */
	while (read(fd, &c, 1) == 1) {
		out[0] = 0;
		tell("child ");
		need(write(fd, out, sizeof(out)) == sizeof(out), "write");
	}
	exit(0);
}

int main(void)
{
	int pair[2], one = 1;
	wiped = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	kept = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(wiped != MAP_FAILED && kept != MAP_FAILED && shared != MAP_FAILED, "mmap");
	strcpy(kept, "kept");
	strcpy(shared, "shared");
	dev = open("/dev/snapshot", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	need(dev >= 0, "/dev/snapshot");
	signal(SIGUSR1, on_signal);
	need(ioctl(dev, SNAP_SIGNAL, SIGUSR1) == 0, "ioctl");
	need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	if (!fork()) {
		close(pair[0]);
		need(madvise(wiped, 3 * 4096, MADV_WIPEONFORK) == 0, "madvise");
		memset(wiped, 'c', 3 * 4096);
		child(pair[1]);
	}
	close(pair[1]);
	need(madvise(wiped, 3 * 4096, MADV_WIPEONFORK) == 0, "madvise");
	memset(wiped, 'p', 3 * 4096);
	first_line("before", "/etc/hosts", "10."); /* made now */
	out[0] = 0;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT"))) };
	int ls = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	need(bind(ls, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(ls, 16) == 0, "listen");
	for (int calls = 1;; calls++) {
		static char request[65536], theirs[sizeof(out)], head[256];
		int fd = accept(ls, NULL, NULL);
		if (fd < 0 && errno == EINTR) {
			calls--;
			continue;
		}
		need(fd >= 0, "accept");
		while (read(fd, request, sizeof(request)) > 0)
			;
		struct utsname u;
		struct timespec cpu;
		out[0] = 0;
		tell("");
		tell_generation();
		uname(&u);
		say("uname: %s\n", u.nodename);
		first_line("hostname", "/etc/hostname", "");
		first_line("hosts", "/etc/hosts", "10.");
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
		say("cpu: %lld\n", (long long)cpu.tv_sec);
		need(write(pair[0], "x", 1) == 1, "write");
		for (size_t n = 0; n < sizeof(theirs);) {
			ssize_t r = read(pair[0], theirs + n, sizeof(theirs) - n);
			need(r > 0, "read");
			n += r;
		}
		int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nX-Calls: %d\r\nContent-Length: %zu\r\n\r\n", calls, strlen(out) + strlen(theirs));
		need(write(fd, head, n) == n && write(fd, out, strlen(out)) == (ssize_t)strlen(out), "write");
		need(write(fd, theirs, strlen(theirs)) == (ssize_t)strlen(theirs), "write");
		close(fd);
	}
}
