/* SPDX-License-Identifier: Apache-2.0 */
/* vdso.h: the small shared object that the libos maps into each program (vdso(7)). */
#ifndef UFS_VDSO_H
#define UFS_VDSO_H
#include "mm.h"
/* Maps it; its address, 0 if that failed (programs then use system calls). */
u64 vdso_map(struct mm *mm);
#endif
