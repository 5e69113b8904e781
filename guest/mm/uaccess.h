/* SPDX-License-Identifier: Apache-2.0 */
/* uaccess.h: the routines of uaccess.S. They check no range; what they return is what could not be done. */
#ifndef UFS_MM_UACCESS_H
#define UFS_MM_UACCESS_H
#include "ufs.h"
u64 uaccess_copy(void *dst, const void *src, u64 n);
u64 uaccess_zero(void *dst, u64 n);
u64 uaccess_cmpxchg32(u32 *uaddr, u32 expect, u32 desired, u32 *old);
#endif
