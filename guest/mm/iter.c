/* SPDX-License-Identifier: Apache-2.0 */
/* iter.c: one form of buffer for read, readv, preadv and the libos's own use. */
#include "mm.h"
#include "errno.h"
#include "uaccess.h"

#define IO_MAX 0x7ffff000UL /* more than this is cut, as in Linux */

/* niov 0 means the buffer in `one`, so that an iterator can be copied. */
static void iter_one(struct iter *it, void *buf, size_t n, bool kernel)
{
	if (!kernel && !access_ok(buf, n))
		buf = (void *)UFS_WINDOW_VA; /* as a whole, even if only its end is bad */
	*it = (struct iter){ .left = kernel ? n : MIN(n, IO_MAX), .kernel = kernel, .one = { buf, n } };
}

void iter_user(struct iter *it, void *ubuf, size_t n)
{
	iter_one(it, ubuf, n, false);
}

void iter_kernel(struct iter *it, void *buf, size_t n)
{
	iter_one(it, buf, n, true);
}

int iter_iov(struct iter *it, const struct iovec *iov, size_t niov)
{
	size_t sum = 0;
	for (size_t i = 0; i < niov; i++) {
		if ((ssize_t)iov[i].iov_len < 0 || (ssize_t)(sum + iov[i].iov_len) < 0)
			return -EINVAL;
		if (!access_ok(iov[i].iov_base, iov[i].iov_len))
			return -EFAULT;
		sum += iov[i].iov_len;
	}
	*it = (struct iter){ .iov = iov, .niov = niov, .left = niov ? MIN(sum, IO_MAX) : 0 };
	return 0;
}

/* The rest of the current buffer. Precondition: it->left is not 0. */
static struct iovec piece(struct iter *it)
{
	if (!it->niov)
		return (struct iovec){ (char *)it->one.iov_base + it->off, it->left };
	while (it->off >= it->iov->iov_len) {
		it->iov++;
		it->niov--;
		it->off = 0;
	}
	return (struct iovec){ (char *)it->iov->iov_base + it->off, MIN(it->iov->iov_len - it->off, it->left) };
}

enum op { OP_PUT, OP_GET, OP_ZERO };

/* Bytes not done. */
static size_t transfer(bool kernel, enum op op, char *at, char *mem, size_t n)
{
	if (!kernel && !access_ok(at, n))
		return n;
	if (kernel) {
		if (op == OP_ZERO)
			memset(at, 0, n);
		else
			memcpy(op == OP_PUT ? at : mem, op == OP_PUT ? mem : at, n);
		return 0;
	}
	if (op == OP_ZERO)
		return uaccess_zero(at, n);
	return op == OP_PUT ? uaccess_copy(at, mem, n) : uaccess_copy(mem, at, n);
}

static long run(struct iter *it, enum op op, char *mem, size_t n)
{
	size_t done = 0, left = 0;
	n = MIN(n, it->left);
	while (done < n && !left) {
		struct iovec p = piece(it);
		size_t k = MIN(p.iov_len, n - done);
		left = transfer(it->kernel, op, p.iov_base, op == OP_ZERO ? NULL : mem + done, k);
		k -= left;
		it->off += k;
		it->left -= k;
		done += k;
	}
	return done || !n ? (long)done : -EFAULT;
}

long iter_put(struct iter *it, const void *src, size_t n)
{
	return run(it, OP_PUT, (char *)src, n);
}

long iter_get(struct iter *it, void *dst, size_t n)
{
	return run(it, OP_GET, dst, n);
}

long iter_zero(struct iter *it, size_t n)
{
	return run(it, OP_ZERO, NULL, n);
}

void iter_touch(struct iter it, size_t n)
{
	n = MIN(n, it.left);
	while (n && !it.kernel) {
		struct iovec p = piece(&it);
		size_t k = MIN(MIN(p.iov_len, n), PAGE_SIZE);
		char c, *at = p.iov_base;
		if (transfer(false, OP_GET, at, &c, 1) || transfer(false, OP_GET, at + k - 1, &c, 1))
			return; /* the copy will tell */
		it.off += k;
		it.left -= k;
		n -= k;
	}
}
