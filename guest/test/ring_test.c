/* SPDX-License-Identifier: Apache-2.0 */
/* ring_test.c: the byte rings: whatever is put in comes out, and no index or header of a liar leads out of the buffer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ring.h"

#define CHECK(c) do { if (!(c)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #c); abort(); } } while (0)

static u64 seed = 88172645463325252ULL;
static u32 rnd(u32 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return n ? (u32)(seed >> 20) % n : 0;
}

static void pass_through(u32 size, u64 start)
{
	u8 *buf = malloc(size); /* of its own, so that a byte outside is noticed */
	u64 head = start, tail = start;
	u32 in = 0, out = 0;
	u8 msg[4096], got[4096];
	for (int i = 0; i < 20000; i++) {
		if (rnd(2)) {
			u32 len = rnd(MIN(size, 4096U) - 16);
			if (size - ring_used(size, head, tail) < ring_space(len))
				continue;
			struct ufs_msg m = { .len = len, .type = 1, .conn = in, .arg = ~in };
			memset(msg, in++, sizeof(msg));
			ring_write(buf, size, head, &m, RING_HDR);
			ring_write(buf, size, head + RING_HDR, msg, len);
			head += ring_space(len);
		} else {
			struct ufs_msg m;
			int r = ring_peek(buf, size, head, tail, &m);
			CHECK(r == (head != tail));
			if (!r)
				continue;
			CHECK(m.conn == out && m.arg == ~out);
			ring_read(buf, size, tail + RING_HDR, got, m.len);
			memset(msg, out++, sizeof(msg));
			CHECK(!memcmp(got, msg, m.len));
			tail += ring_space(m.len);
		}
	}
	free(buf);
}

static void hostile(void)
{
	u32 size = 4096;
	u8 *buf = malloc(size), *out = malloc(UFS_MSG_MAX);
	struct ufs_msg m;
	CHECK(ring_used(size, 0, 16) == -1);
	CHECK(ring_used(size, 4096, 0) == 4096);
	CHECK(ring_used(size, 4112, 0) == -1);
	CHECK(ring_used(size, 8, 0) == -1);
	CHECK(ring_used(size, 0, ~15ULL) == 16); /* the count wrapped */
	CHECK(ring_used(size, 1ULL << 63, 0) == -1);
	for (int i = 0; i < 300000; i++) {
		for (u32 k = 0; k < size; k += 4)
			if (!rnd(64) || i == 0)
				*(u32 *)(buf + k) = rnd(4) ? rnd(5000) : (u32)seed;
		u64 tail = (u64)rnd(~0U) * 16, head = rnd(2) ? tail + rnd(300) * 16 : seed;
		int r = ring_peek(buf, size, head, tail, &m);
		u64 used = head - tail;
		if (used > size || used % 16)
			CHECK(r == -1);
		else if (!used)
			CHECK(r == 0);
		if (r == 1) {
			CHECK(m.len <= UFS_MSG_MAX && ring_space(m.len) <= used);
			ring_read(buf, size, tail + RING_HDR, out, m.len);
		}
	}
	free(buf);
	free(out);
}

int main(void)
{
	pass_through(4096, 0);
	pass_through(4096, ~0ULL - 4095 * 16 - 15);
	pass_through(65536, 1ULL << 40);
	hostile();
	return 0;
}
