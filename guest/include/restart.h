/* SPDX-License-Identifier: Apache-2.0 */
/* restart.h: what signals ask of the platform: run an interrupted call again, write the report of a fatal signal. */
#ifndef UFS_RESTART_H
#define UFS_RESTART_H
#include "proc.h"
/* Changes r so that call r->orig_rax runs again with its arguments when the program goes on with r, be it after handlers. */
void syscall_restart(struct regs *r);
/* Text for the report area: process 1 ends by signo, at addr for faults. */
void report_fatal(int signo, u64 addr, struct regs *r);
#endif
