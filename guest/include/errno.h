/* SPDX-License-Identifier: Apache-2.0 */
/* errno.h: Linux's error numbers, from the kernel's own user header. */
#ifndef UFS_ERRNO_H
#define UFS_ERRNO_H
#include <asm/errno.h>
#define ERESTARTSYS 512           /* restart if the handler has SA_RESTART, else EINTR; never reaches the program */
#define ERESTARTNOHAND 514        /* restart only if no handler ran */
#endif
