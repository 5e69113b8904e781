/* SPDX-License-Identifier: Apache-2.0 */
/* stack.h: the first stack of a program. */
#ifndef UFS_STACK_H
#define UFS_STACK_H
#include "elf.h"
struct auxinfo { const struct elf *elf; const struct elf_image *prog; u64 interp_base; const char *execfn; };
/* Maps the stack and writes strings, vectors and auxv; returns the first RSP or a negative errno. Fills
 * proc's arg_start, env_start, env_end, vdso. */
long stack_build(struct mm *mm, const struct auxinfo *ai, char *const argv[], int argc, char *const envp[], int envc);
/* The auxiliary vector of the current program, for /proc/self/auxv. */
size_t stack_auxv(const u64 **auxv);
#endif
