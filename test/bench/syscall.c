/* SPDX-License-Identifier: Apache-2.0 */
/* syscall.c: what single system calls cost. */
#include "bench.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static int rfd, wfd, ping[2], pong[2];
static char page[4096];

static void getpid_batch(long n)
{
	while (n--)
		syscall(SYS_getpid);
}

/* A page of a file that is in memory already: the program's own. */
static void read_batch(long n)
{
	while (n--)
		if (pread(rfd, page, sizeof(page), 0) != sizeof(page))
			fail("pread");
}

static void write_batch(long n)
{
	while (n--)
		if (pwrite(wfd, page, sizeof(page), 0) != sizeof(page))
			fail("pwrite");
}

static void futex_batch(long n)
{
	static uint32_t word;

	while (n--)
		syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *echo(void *unused)
{
	char c;

	(void)unused;
	while (read(ping[0], &c, 1) == 1)
		if (write(pong[1], &c, 1) != 1)
			fail("write pong");
	return NULL;
}

/* One operation is there and back: two wake-ups of a thread. */
static void pingpong_batch(long n)
{
	char c = 'x';

	while (n--)
		if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
			fail("pingpong");
}

/* One operation is one page of 4 MiB fresh memory, mapping and unmapping included. */
static void touch_batch(long n)
{
	const size_t size = 4 << 20;

	for (long done = 0; done < n; done += size / 4096) {
		volatile char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			fail("mmap");
		for (size_t i = 0; i < size; i += 4096)
			p[i] = 1;
		munmap((void *)p, size);
	}
}

static void clock_batch(long n)
{
	struct timespec ts;

	while (n--)
		clock_gettime(CLOCK_MONOTONIC, &ts);
}

int main(int argc, char **argv)
{
	int small = is_small(argc, argv), k = small ? 3 : 10;
	char name[] = "/tmp/bench-XXXXXX";
	pthread_t t;

	rfd = open("/proc/self/exe", O_RDONLY);
	wfd = mkstemp(name);
	if (rfd < 0 || wfd < 0)
		fail("open");
	unlink(name);
	if (pipe(ping) || pipe(pong))
		fail("pipe");
	measure("getpid", "ns", k, small ? 1000 : 10000, getpid_batch);
	measure("read", "ns", k, small ? 500 : 5000, read_batch);
	measure("write", "ns", k, small ? 500 : 5000, write_batch);
	measure("futex", "ns", k, small ? 1000 : 10000, futex_batch);
	if (pthread_create(&t, NULL, echo, NULL))
		fail("pthread_create");
	measure("pipe_pingpong", "ns", k, small ? 100 : 500, pingpong_batch);
	close(ping[1]);
	pthread_join(t, NULL);
	measure("mmap_touch", "ns", k, small ? 1024 : 2048, touch_batch);
	measure("clock_gettime", "ns", k, small ? 1000 : 20000, clock_batch);
	return 0;
}
