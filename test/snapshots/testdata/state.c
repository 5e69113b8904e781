/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c: an HTTP server on $PORT whose state can be seen from outside: what was random, what was written, what time it is.
 * Each path does one thing; most answer with lines "name: value". At its start it connects to $PEER, if there is one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <dirent.h>
#include <unistd.h>

static char answer[16384];
static size_t len;
static int counter, peer = -1, timer, snapshot;
static unsigned char *wiped; /* MADV_WIPEONFORK, all 0xaa at first */
static char *kept;           /* of /alloc */
static size_t kept_size;
static char global[256];
static char *heap;
static int64_t started;

static void say(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	len += vsnprintf(answer + len, sizeof(answer) - len, fmt, ap);
	va_end(ap);
	if (len >= sizeof(answer))
		abort();
}

static void say_hex(const char *name, const void *p, size_t n)
{
	say("%s: ", name);
	for (size_t i = 0; i < n; i++)
		say("%02x", ((const unsigned char *)p)[i]);
	say("\n");
}

static void say_file(const char *name, const char *path, size_t most)
{
	char text[128];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, most < sizeof(text) ? most : sizeof(text));

	int err = errno;
	close(fd);
	if (n < 0)
		say("%s: %s\n", name, strerror(err));
	else if (!strcmp(path, "/dev/urandom"))
		say_hex(name, text, n);
	else
		say("%s: %.*s\n", name, (int)(n && text[n - 1] == '\n' ? n - 1 : n), text);
}

static int64_t now(clockid_t c)
{
	struct timespec t;
	if (clock_gettime(c, &t))
		abort();
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int dial(const char *to)
{
	char host[64];
	const char *colon = strrchr(to, ':');
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(colon + 1)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(host, sizeof(host), "%.*s", (int)(colon - to), to);
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1 || connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		perror("connect");
		close(fd);
		return -1;
	}
	return fd;
}

static void random_values(void)
{
	unsigned char b[16];
	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		abort();
	say_hex("getrandom", b, sizeof(b));
	say_hex("at_random", (void *)getauxval(AT_RANDOM), 16);
	say_file("urandom", "/dev/urandom", 16);
	say_file("uuid", "/proc/sys/kernel/random/uuid", 64);
	int plain = 0;
	for (int i = 0; i < 4096; i++)
		plain += wiped[i] != 0;
	say("not wiped: %d\n", plain);
}

static void ids(void)
{
	char host[256] = "";
	uint64_t gen = 0;
	gethostname(host, sizeof(host));
	say("pid: %d\nhost: %s\n", getpid(), host);
	say_file("host file", "/proc/sys/kernel/hostname", 128);
	int err = ioctl(snapshot, 0x5501, &gen) ? errno : 0;
	say("generation: %s %llu\n", err ? strerror(err) : "ok", (unsigned long long)gen);
}

static void clocks(void)
{
	struct itimerspec left;
	timerfd_gettime(timer, &left);
	say("realtime: %lld\n", (long long)now(CLOCK_REALTIME));
	say("monotonic: %lld\n", (long long)now(CLOCK_MONOTONIC));
	say("boottime: %lld\nstarted: %lld\n", (long long)now(CLOCK_BOOTTIME), (long long)started);
	say("armed: %d\n", left.it_value.tv_sec || left.it_value.tv_nsec);
}

/* Arms the timer, to fire in so many ms. */
static void arm(int ms)
{
	struct itimerspec t = { .it_value = { ms / 1000, ms % 1000 * 1000000 + 1 } };
	if (timerfd_settime(timer, 0, &t, NULL))
		abort();
	say("due: %lld\n", (long long)now(CLOCK_MONOTONIC) + ms * 1000000ll);
}

/* Waits for it. */
static void expired(void)
{
	uint64_t n = 0;
	struct pollfd p = { timer, POLLIN, 0 };
	poll(&p, 1, -1);
	read(timer, &n, sizeof(n));
	say("expired: %llu\nmonotonic: %lld\n", (unsigned long long)n, (long long)now(CLOCK_MONOTONIC));
}

static void outbound(void)
{
	char c;
	ssize_t n = read(peer, &c, 1);
	say("peer: %s\n", peer < 0 ? "none" : n < 0 ? strerrorname_np(errno) : n ? "data" : "end");
}

static int children(void)
{
	int n = 0;
	DIR *d = opendir("/proc");
	for (struct dirent *e; (e = readdir(d));)
		n += atoi(e->d_name) > 0 && atoi(e->d_name) != getpid();
	closedir(d);
	return n;
}

static int files(void)
{
	int n = 0;
	DIR *d = opendir("/tmp");
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static int descriptors(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

static __attribute__((noinline)) void on_stack(const char *secret)
{
	char far[8192];
	strcpy(far, secret);
	asm volatile("" ::"r"(far) : "memory");
}

/* Leaves a secret everywhere where a program can. */
static void spread(const char *secret)
{
	int p[2], s[2], m;

	strcpy(global, secret);
	heap = strdup(secret);
	on_stack(secret);
	setenv("SECRET", secret, 1);
	put("/tmp/secret", secret);
	mkdir("/tmp/dir", 0700);
	chdir("/tmp/dir");
	put("relative", secret);
	if (symlink(secret, "/tmp/link") || pipe(p) || write(p[1], secret, strlen(secret)) < 0)
		abort();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) || write(s[0], secret, strlen(secret)) < 0)
		abort();
	m = memfd_create("m", 0);
	if (write(m, secret, strlen(secret)) < 0)
		abort();
	int shared = open("/tmp/mapped", O_CREAT | O_RDWR, 0600);
	ftruncate(shared, 4096);
	strcpy(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0), secret);
	strcpy(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), secret);
	char large[1 << 16]; /* a file of many pages, part of which is removed again */
	for (size_t i = 0; i < sizeof(large) - 64; i += 64)
		snprintf(large + i, 64, "%s", secret);
	int f = open("/tmp/large", O_CREAT | O_RDWR, 0600);
	for (int i = 0; i < 8; i++)
		write(f, large, sizeof(large));
	ftruncate(f, 100);
	unlink("/tmp/large"); /* open still */
	/* A child that holds it in memory of its own, and one that ended. */
	for (int i = 0; i < 2; i++) {
		int go[2];
		pipe(go);
		pid_t c = fork();
		if (!c) {
			char *copy = malloc(1 << 20);
			for (size_t at = 0; at + 64 < 1 << 20; at += 4096)
				strcpy(copy + at, secret);
			write(go[1], "", 1);
			if (i)
				for (;;)
					pause();
			_exit(0);
		}
		char c1;
		read(go[0], &c1, 1);
		if (!i)
			waitpid(c, NULL, 0);
	}
	/* To a program of its own, in arguments and environment. */
	pid_t c = vfork();
	if (!c) {
		execl("/proc/self/exe", "state", "sleep", secret, NULL);
		_exit(1);
	}
	fprintf(stderr, "log %s\n", secret); /* the tender passes it on */
	/* To another machine: held until that one closes. */
	const char *to = getenv("HOLD");
	int fd = to ? dial(to) : -1;
	if (fd >= 0) {
		char b[64];
		write(fd, secret, strlen(secret));
		while (read(fd, b, sizeof(b)) > 0)
			;
		/* Stays open. */
	}
	say("%s\n", secret);
}

/* Answers with so many KiB of a secret, and prints some. */
static void flood(int fd, const char *secret, int kib)
{
	char block[1024], head[128];
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = secret[i % strlen(secret)];
	int h = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", kib * 1024);
	write(fd, head, h);
	for (int i = 0; i < kib; i++) {
		for (size_t at = 0; at < sizeof(block);) {
			ssize_t n = write(fd, block + at, sizeof(block) - at);
			if (n <= 0)
				return;
			at += n;
		}
		if (i % 16 == 0)
			fprintf(stderr, "%.*s\n", 900, block);
	}
}

static void serve(int fd)
{
	char req[8192], head[256];
	size_t have = 0;
	char *body = NULL;

	for (;;) {
		ssize_t n = read(fd, req + have, sizeof(req) - 1 - have);
		if (n <= 0)
			return;
		have += n;
		req[have] = 0;
		if ((body = strstr(req, "\r\n\r\n"))) {
			char *l = strcasestr(req, "\r\nContent-Length:");
			if (!l || l > body || (size_t)atoi(l + 17) <= have - (body + 4 - req))
				break;
		}
		if (have == sizeof(req) - 1)
			return;
	}
	body += 4;
	char *path = strchr(req, ' ') + 1, *arg;
	*strchr(path, ' ') = 0;
	if ((arg = strchr(path, '?')))
		*arg++ = 0;
	int n = arg ? atoi(arg) : 0;
	len = 0;
	answer[0] = 0;
	counter++;
	if (!strcmp(path, "/random"))
		random_values();
	else if (!strcmp(path, "/ids"))
		ids();
	else if (!strcmp(path, "/clocks"))
		clocks();
	else if (!strcmp(path, "/arm"))
		arm(n);
	else if (!strcmp(path, "/expired"))
		expired();
	else if (!strcmp(path, "/outbound"))
		outbound();
	else if (!strcmp(path, "/spread"))
		spread(body);
	else if (!strcmp(path, "/alloc")) {
		kept_size = (size_t)n << 20;
		kept = mmap(NULL, kept_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(kept, 1, kept_size);
	} else if (!strcmp(path, "/free")) {
		munmap(kept, kept_size);
	} else if (!strcmp(path, "/put")) {
		put("/tmp/kept", body);
	} else if (!strcmp(path, "/fork")) {
		if (!fork()) {
			close(fd); /* or the connection stays open */
			for (;;)
				pause();
		}
	} else if (!strcmp(path, "/ready")) {
		say("wrote: %zd\n", write(snapshot, "ready\n", 6));
	}
	if (!strcmp(path, "/flood")) {
		flood(fd, body, n);
		return;
	}
	if (strcmp(path, "/spread")) {
		say("counter: %d\nchildren: %d\nfiles: %d\ndescriptors: %d\n", counter, children(), files(), descriptors());
		say_file("kept", "/tmp/kept", 128);
	}
	int h = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", len);
	if (write(fd, head, h) != h || write(fd, answer, len) != (ssize_t)len)
		perror("write");
}

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1]) { /* a program of its own, that keeps what it was told */
		for (;;)
			pause();
	}
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT") ? getenv("PORT") : "8080")) };
	int ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	started = now(CLOCK_MONOTONIC);
	wiped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(wiped, 0xaa, 4096);
	if (madvise(wiped, 4096, MADV_WIPEONFORK))
		perror("madvise");
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	snapshot = open("/dev/snapshot", O_RDWR | O_CLOEXEC);
	if (getenv("PEER"))
		peer = dial(getenv("PEER"));
	if (getenv("ARM"))
		arm(atoi(getenv("ARM")));
	if (bind(ls, (struct sockaddr *)&a, sizeof(a)) || listen(ls, 64)) {
		perror("listen");
		return 1;
	}
	for (;;) {
		int fd = accept4(ls, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			serve(fd);
		close(fd);
	}
}
