/* SPDX-License-Identifier: Apache-2.0 */
/* uaccess.c: copies from and to the program's memory. A bad address gives -EFAULT, never a crash. */
#include "mm.h"
#include "errno.h"
#include "uaccess.h"

int copy_from_user(void *dst, const void *usrc, size_t n)
{
	return access_ok(usrc, n) && !uaccess_copy(dst, usrc, n) ? 0 : -EFAULT;
}

int copy_to_user(void *udst, const void *src, size_t n)
{
	return access_ok(udst, n) && !uaccess_copy(udst, src, n) ? 0 : -EFAULT;
}

int clear_user(void *udst, size_t n)
{
	return access_ok(udst, n) && !uaccess_zero(udst, n) ? 0 : -EFAULT;
}

/* Copies piece by piece, never across a page border in one go: the string may end just before an unmapped page. */
long strncpy_from_user(char *dst, const char *usrc, size_t n)
{
	size_t done = 0;
	while (done < n) {
		u64 at = (u64)usrc + done;
		size_t k = MIN(MIN(n - done, PAGE_SIZE - (at & (PAGE_SIZE - 1))), (size_t)64);
		if (copy_from_user(dst + done, (const void *)at, k))
			return -EFAULT;
		const char *nul = memchr(dst + done, 0, k);
		if (nul)
			return nul - dst;
		done += k;
	}
	if (n)
		dst[n - 1] = 0;
	return -ENAMETOOLONG;
}

int user_load32(u32 *uaddr, u32 *val)
{
	return copy_from_user(val, uaddr, sizeof(*val)); /* four bytes are one load */
}

int user_cmpxchg32(u32 *uaddr, u32 expect, u32 desired, u32 *old)
{
	return access_ok(uaddr, sizeof(*uaddr)) && !uaccess_cmpxchg32(uaddr, expect, desired, old) ? 0 : -EFAULT;
}
