/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h: the byte rings of the guest ABI, arithmetic only.
 *
 *        tail                 head           index & (size-1) is the place; both count bytes for ever
 *         |                    |
 *   ......[hdr|payload|pad][hdr|...]......   a message takes 16 + payload, padded to 16: a header never wraps,
 *                                            a payload may, anywhere
 */
#ifndef UFS_RING_H
#define UFS_RING_H
#include "ufs.h"

#define RING_HDR ((u32)sizeof(struct ufs_msg))
static inline u32 ring_space(u32 len) { return RING_HDR + ALIGN_UP(len, (u32)UFS_MSG_ALIGN); }

/* Bytes in use, or -1 if no honest other side has such an index. */
static inline s64 ring_used(u32 size, u64 head, u64 tail)
{
	u64 used = head - tail;
	return used > size || used % UFS_MSG_ALIGN ? -1 : (s64)used;
}
/* How many of the n bytes from index on lie before the end of the buffer. */
static inline u32 ring_first(u32 size, u64 index, u32 n)
{
	u32 end = size - (u32)(index & (size - 1));
	return MIN(n, end);
}
void ring_write(u8 *buf, u32 size, u64 index, const void *src, u32 n);
void ring_read(const u8 *buf, u32 size, u64 index, void *dst, u32 n);
/* The header at tail: 1 there is a whole message, 0 the ring is empty, -1 corrupt. */
int ring_peek(const u8 *buf, u32 size, u64 head, u64 tail, struct ufs_msg *m);
#endif
