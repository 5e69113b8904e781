/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c: copying to and from a byte ring, and the check of what the other side put in. */
#include "ring.h"

void ring_write(u8 *buf, u32 size, u64 index, const void *src, u32 n)
{
	u32 first = ring_first(size, index, n);
	memcpy(buf + (index & (size - 1)), src, first);
	memcpy(buf, (const u8 *)src + first, n - first);
}

void ring_read(const u8 *buf, u32 size, u64 index, void *dst, u32 n)
{
	u32 first = ring_first(size, index, n);
	memcpy(dst, buf + (index & (size - 1)), first);
	memcpy((u8 *)dst + first, buf, n - first);
}

int ring_peek(const u8 *buf, u32 size, u64 head, u64 tail, struct ufs_msg *m)
{
	s64 used = ring_used(size, head, tail);
	if (used <= 0)
		return (int)used;
	ring_read(buf, size, tail, m, RING_HDR);
	if (m->len > UFS_MSG_MAX || ring_space(m->len) > (u64)used)
		return -1;
	return 1;
}
