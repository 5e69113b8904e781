/* SPDX-License-Identifier: Apache-2.0 */
/* strace.h: `unifaas run --strace`. */
#ifndef UFS_STRACE_H
#define UFS_STRACE_H
#include "proc.h"
void strace_enter(const struct regs *r);
void strace_leave(const struct regs *r, long ret);
#endif
