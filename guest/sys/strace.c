/* SPDX-License-Identifier: Apache-2.0 */
/* strace.c: one log line a system call: name, six arguments in hex, result. Finds what a program misses. */
#include "strace.h"
#include "ufs.h"

static const char *const names[] = {
#define FULL(nr, name) [nr] = #name,
#define PARTIAL(nr, name) FULL(nr, name)
#define ABSENT(nr, name) FULL(nr, name)
#define PROBED(nr, name) FULL(nr, name)
#define SYS(nr, name, state, note) state(nr, name)
#include "table.def"
};

static const char *name_of(u64 nr)
{
	return nr < ARRAY_SIZE(names) && names[nr] ? names[nr] : "?";
}

void strace_enter(const struct regs *r)
{
	klog("[%d] %s(%lx, %lx, %lx, %lx, %lx, %lx)", current()->tid, name_of(r->orig_rax), (unsigned long)r->rdi, (unsigned long)r->rsi, (unsigned long)r->rdx,
	     (unsigned long)r->r10, (unsigned long)r->r8, (unsigned long)r->r9);
}

void strace_leave(const struct regs *r, long ret)
{
	klog("[%d] %s = %ld", current()->tid, name_of(r->orig_rax), ret);
}
