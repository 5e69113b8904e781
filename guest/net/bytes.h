/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.h: bytes on their way, in pages taken as they come and given back as they are read. */
#ifndef UFS_BYTES_H
#define UFS_BYTES_H
#include "ufs.h"
struct iter;
struct chunk;
struct bytes { struct chunk *first, *last; u32 len; };
/* Appends up to n bytes of it: how many, or -ENOMEM, -EFAULT if none. */
long bytes_put(struct bytes *b, struct iter *it, size_t n);
/* Appends all n bytes, or some and -ENOMEM. */
int bytes_add(struct bytes *b, const void *p, size_t n);
/* Copies up to n bytes from the start to it; they stay if keep. How many, or -EFAULT if none. */
long bytes_get(struct bytes *b, struct iter *it, size_t n, bool keep);
void bytes_drop(struct bytes *b, size_t n);
#endif
