/* SPDX-License-Identifier: Apache-2.0 */
/* boot_hooks.h: entry points between platform/, exec and proc/ that nothing else calls. */
#ifndef UFS_BOOT_HOOKS_H
#define UFS_BOOT_HOOKS_H
#include "proc.h"
/* proc/process.c: make process 1 with mm_boot, empty descriptor table, fsctx and one thread that starts in
 * fn(NULL) on its kernel stack, and run the scheduler. Does not return. */
_Noreturn void process_start_init(void (*fn)(void *));
/* proc/spawn.c: process 1 under UFS_BOOT_SPAWN: starts the program for each request and waits for its orphans. */
_Noreturn void spawn_init(void);
/* platform/boot.c: n strings of the boot block, one after the other from off: a vector that ends in NULL; NULL: no memory. */
char **boot_strings(u32 off, u32 n);
/* proc/exit.c: at the point of no return of exec: end the process's other threads; current becomes its leader (tid = pid). */
void exec_other_threads_end(void);
/* proc/clone.c: exec succeeded: wake a parent that waits in vfork. */
void exec_done(struct process *p);
/* proc/patch.c: where a system call with return address ret is run again. */
u64 patch_restart_rip(u64 ret);
/* proc/patch.c: an address space is destroyed. */
void patch_forget(struct mm *mm);
#endif
