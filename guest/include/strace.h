/* SPDX-License-Identifier: Apache-2.0 */
/* strace.h: `unifaas run --strace`. */
#ifndef UFS_STRACE_H
#define UFS_STRACE_H
#include "proc.h"
#define strace_on() unlikely(BOOT->flags & UFS_BOOT_STRACE)
void strace_enter(const struct regs *r);
void strace_leave(const struct regs *r, u64 nr, long ret);
/* Another thread goes on, or the program ends, in the middle of a call: writes what is known of it. */
void strace_flush(void);
void strace_signal(int signo);
/* Says, traced or not, that there is no call nr. */
void strace_absent(u64 nr);
#endif
