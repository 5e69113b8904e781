/* SPDX-License-Identifier: Apache-2.0 */
/* sbuf.h: bytes on their way, in pages taken as they come and given back as they are read. */
#ifndef UFS_SBUF_H
#define UFS_SBUF_H
#include "ufs.h"
struct iter;
struct chunk;
struct sbuf { struct chunk *first, *last; u32 len; };
/* Appends up to n bytes of it: how many, or -ENOMEM, -EFAULT if none. */
long sbuf_put(struct sbuf *b, struct iter *it, size_t n);
/* Appends all n bytes, or some and -ENOMEM. */
int sbuf_add(struct sbuf *b, const void *p, size_t n);
/* Copies up to n bytes from the start to it; they stay if keep. How many, or -EFAULT if none. */
long sbuf_get(struct sbuf *b, struct iter *it, size_t n, bool keep);
void sbuf_drop(struct sbuf *b, size_t n);
#endif
