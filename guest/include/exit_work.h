/* SPDX-License-Identifier: Apache-2.0 */
/* exit_work.h: what is due before the program goes on. */
#ifndef UFS_EXIT_WORK_H
#define UFS_EXIT_WORK_H
#include "proc.h"
/* Signals, preemption, due timers, new messages; then r is what the program continues with. */
void exit_work(struct regs *r);
#endif
