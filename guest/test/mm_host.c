/* SPDX-License-Identifier: Apache-2.0 */
/* mm_host.c: the part of the fake machine that needs the host's headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mm_fake.h"

static void map_fixed(unsigned long at, unsigned long len)
{
	if (mmap((void *)at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != (void *)at) {
		perror("mm_host: mmap");
		exit(1);
	}
}

void host_memory(unsigned long ram)
{
	map_fixed(UFS_PHYS_VA, ram);
	map_fixed(UFS_IMAGE_VA, FAKE_IMAGE_SIZE);
	map_fixed(UFS_SHARED_VA, UFS_SHARED_SIZE);
}

int host_run(void (*fn)(unsigned long), unsigned long arg)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		fn(arg);
		fflush(stdout);
		_exit(0);
	}
	int st = 0;
	waitpid(pid, &st, 0);
	return st;
}

static jmp_buf panic_jump;
static int panic_expected;

int expect_panic(void (*fn)(void *), void *arg)
{
	panic_expected = 1;
	int r = setjmp(panic_jump);
	if (!r)
		fn(arg);
	panic_expected = 0;
	return r;
}

void panic(const char *fmt, ...)
{
	if (panic_expected)
		longjmp(panic_jump, 1);
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "panic: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	abort();
}

void klog(const char *fmt, ...)
{
}
