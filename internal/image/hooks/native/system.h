/* SPDX-License-Identifier: Apache-2.0 */
/* system.h: the few system calls of these modules, which have no C library of their own and take none from whoever loads them. */
#pragma once
#include <stddef.h>
#include <stdint.h>

static inline long system_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
	long ret;
	asm volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return ret;
}

enum { NR_MMAP = 9, NR_MUNMAP = 11, NR_IOCTL = 16, NR_MADVISE = 28, NR_GETRANDOM = 318 };

/* Fills a buffer from the kernel's generator, which never says the same to two instances. 0 only where there is none. */
static inline int system_random(void *to, size_t n)
{
	for (char *p = to; n;) {
		long got = system_call(NR_GETRANDOM, (long)p, n < (1 << 20) ? n : 1 << 20, 0, 0, 0, 0);
		if (got == -4) /* EINTR */
			continue;
		if (got <= 0)
			return 0;
		p += got;
		n -= got;
	}
	return 1;
}

/*
 * A page that the kernel wipes in a child of fork and in an instance restored from a snapshot: whoever finds zeros in
 * it knows that another process has the same memory. NULL if there is none, on kernels before 4.14.
 */
static inline volatile uint64_t *wiped_page(void)
{
	long p = system_call(NR_MMAP, 0, 4096, 3 /* READ|WRITE */, 0x22 /* PRIVATE|ANONYMOUS */, -1, 0);
	if (p < 0 && p > -4096)
		return NULL;
	if (system_call(NR_MADVISE, p, 4096, 18 /* WIPEONFORK */, 0, 0, 0) < 0) {
		system_call(NR_MUNMAP, p, 4096, 0, 0, 0, 0);
		return NULL;
	}
	return (volatile uint64_t *)p;
}
