/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of platform/ share and no other folder uses. */
#ifndef UFS_PLATFORM_INTERNAL_H
#define UFS_PLATFORM_INTERNAL_H
#include "mm.h"
#include "proc.h"
#include "platform.h"
extern u64 trap_count;
void platform_init(void);
void cpuid_execute(u32 leaf, u32 sub, u32 r[4]);
const u32 *cpuid_lookup(u32 leaf, u32 sub);
_Noreturn void report_oom(void);
void report_trap(const struct regs *r, u64 vector, u64 error, u64 cr2);
#endif
