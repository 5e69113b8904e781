/* SPDX-License-Identifier: Apache-2.0 */
/* mm_uaccess_test.c: uaccess.S, uaccess.c and iter.c, with the host's SIGSEGV in place of the trap handler. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <ucontext.h>
#include <sys/mman.h>
#include "../include/mm.h"
#include "../include/errno.h"
#include "../mm/uaccess.h"
#include "mm_fake.h"

extern char uaccess_start[], uaccess_end[], uaccess_fixup[];

static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	greg_t *rip = &((ucontext_t *)ctx)->uc_mcontext.gregs[REG_RIP];
	if (*rip < (greg_t)uaccess_start || *rip >= (greg_t)uaccess_end)
		_Exit(99);
	*rip = (greg_t)uaccess_fixup;
}

static char *two_pages; /* the second one is not accessible */

static void test_copy(void)
{
	char buf[64], *end = two_pages + PAGE_SIZE;
	for (size_t n = 0; n <= 40; n++)
		for (size_t over = 0; over <= n; over++) {
			char *u = end - n + over;
			int want = over ? -EFAULT : 0;
			for (size_t i = 0; i < n - over; i++)
				u[i] = i + 1;
			memset(buf, 0, sizeof(buf));
			CHECK(copy_from_user(buf, u, n) == want);
			CHECK(over || !n || buf[n - 1] == (char)n);
			memset(buf, 7, sizeof(buf));
			CHECK(copy_to_user(u, buf, n) == want);
			CHECK(over || !n || u[n - 1] == 7);
			CHECK(clear_user(u, n) == want);
			CHECK(over || !n || u[n - 1] == 0);
		}
	CHECK(copy_from_user(buf, (void *)UFS_WINDOW_VA, 8) == -EFAULT);
	CHECK(copy_from_user(buf, (void *)(UFS_WINDOW_VA - 4), 8) == -EFAULT);
	CHECK(copy_from_user(buf, (void *)~7UL, 16) == -EFAULT);
	CHECK(copy_to_user((void *)(UFS_USER_END - 4), buf, 8) == -EFAULT);
	CHECK(copy_from_user(buf, (void *)8, 0) == 0);
	u32 v32 = 5;
	CHECK(get_user(v32, end) == -EFAULT && v32 == 5 && put_user(v32, (u32 *)(end - 4)) == 0 && get_user(v32, end - 4) == 0);
}

static void test_strings(void)
{
	char buf[300], *end = two_pages + PAGE_SIZE;
	strcpy(end - 6, "hello");
	CHECK(strncpy_from_user(buf, end - 6, sizeof(buf)) == 5 && !strcmp(buf, "hello"));
	CHECK(strncpy_from_user(buf, end - 6, 6) == 5);
	CHECK(strncpy_from_user(buf, end - 6, 5) == -ENAMETOOLONG && !strcmp(buf, "hell"));
	CHECK(strncpy_from_user(buf, end - 5, 1) == -ENAMETOOLONG && buf[0] == 0);
	memset(end - 200, 'x', 200);
	CHECK(strncpy_from_user(buf, end - 200, sizeof(buf)) == -EFAULT);
	end[-1] = 0;
	CHECK(strncpy_from_user(buf, end - 200, sizeof(buf)) == 199);
	CHECK(strncpy_from_user(buf, end, 1) == -EFAULT);
}

static void test_atomics(void)
{
	u32 *u = (u32 *)(two_pages + PAGE_SIZE) - 1, old = 0, v = 0;
	*u = 5;
	CHECK(user_cmpxchg32(u, 5, 9, &old) == 0 && old == 5 && *u == 9);
	CHECK(user_cmpxchg32(u, 5, 1, &old) == 0 && old == 9 && *u == 9);
	CHECK(user_load32(u, &v) == 0 && v == 9);
	CHECK(user_cmpxchg32(u + 1, 5, 1, &old) == -EFAULT && user_load32(u + 1, &v) == -EFAULT);
	CHECK(user_cmpxchg32((u32 *)UFS_WINDOW_VA, 5, 1, &old) == -EFAULT);
}

static void test_iter(void)
{
	char *end = two_pages + PAGE_SIZE, buf[100], out[100];
	struct iter it;
	iter_kernel(&it, out, 10);
	CHECK(iter_put(&it, "abcdef", 6) == 6 && it.left == 4);
	struct iter copy = it;
	CHECK(iter_put(&copy, "ghijkl", 6) == 4 && copy.left == 0 && iter_put(&copy, "z", 1) == 0);
	CHECK(iter_zero(&it, 2) == 2 && !memcmp(out, "abcdef\0\0ij", 10));
	/* A fault in the middle: what came before counts, then the error. */
	iter_user(&it, end - 5, 20);
	CHECK(iter_put(&it, "0123456789", 10) == 5 && it.left == 15 && !memcmp(end - 5, "01234", 5));
	CHECK(iter_put(&it, "x", 1) == -EFAULT && it.left == 15);
	iter_user(&it, end - 3, 20);
	CHECK(iter_get(&it, buf, 20) == 3 && !memcmp(buf, "234", 3));
	iter_user(&it, end - 3, 20);
	CHECK(iter_zero(&it, 20) == 3 && end[-1] == 0);
	/* Several buffers, empty ones among them. */
	struct iovec v[] = { { NULL, 0 }, { end - 10, 3 }, { (void *)1, 0 }, { end - 20, 4 }, { end - 1, 0 } };
	CHECK(iter_iov(&it, v, 5) == 0 && it.left == 7);
	CHECK(iter_put(&it, "AB", 2) == 2 && iter_put(&it, "CDEFGH", 6) == 5 && it.left == 0);
	CHECK(!memcmp(end - 10, "ABC", 3) && !memcmp(end - 20, "DEFG", 4));
	CHECK(iter_iov(&it, v, 5) == 0 && iter_get(&it, buf, 100) == 7 && !memcmp(buf, "ABCDEFG", 7));
	struct iovec bad = { (void *)UFS_WINDOW_VA, 1 }, neg = { end, (size_t)-1 }, sum[] = { { end, ~0UL >> 1 }, { end, ~0UL >> 1 } };
	CHECK(iter_iov(&it, &bad, 1) == -EFAULT && iter_iov(&it, &neg, 1) == -EINVAL && iter_iov(&it, sum, 2) < 0);
	CHECK(iter_iov(&it, NULL, 0) == 0 && it.left == 0 && iter_put(&it, "a", 1) == 0);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	sigaction(SIGSEGV, &sa, NULL);
	two_pages = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(two_pages + PAGE_SIZE, PAGE_SIZE, PROT_NONE);
	test_copy();
	test_strings();
	test_atomics();
	test_iter();
	return 0;
}
