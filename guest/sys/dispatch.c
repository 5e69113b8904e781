/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.c: from a system call number to its handler. The table is in the .def files, one line a call. */
#include "syscall.h"
#include "nr.h"
#include "exit_work.h"
#include "net.h"
#include "platform.h"
#include "proc.h"
#include "restart.h"
#include "strace.h"

typedef long (*handler)(u64, u64, u64, u64, u64, u64);

extern const s32 syscall_table[NR_MAX]; /* table.S */

/* Absent, too, but programs try it and do without: not worth a line. */
SYSCALL(probed) { return -ENOSYS; }

/* ENOSYS, said once per number. */
static long absent(u64 nr)
{
	static u64 seen[512 / 64];
	u64 bit = nr & 511;
	if (!(seen[bit / 64] & 1ULL << bit % 64)) {
		seen[bit / 64] |= 1ULL << bit % 64;
		strace_absent(nr);
	}
	return -ENOSYS;
}

static long run(struct regs *r)
{
	u64 nr = r->orig_rax;
	if (unlikely(nr >= NR_MAX || !syscall_table[nr]))
		return absent(nr);
	return ((handler)((const char *)syscall_table + syscall_table[nr]))(r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9);
}

/* The program's TF, DF, NT and AC are not for the libos, whose data need not be aligned, nor for the thread it goes on with. */
#define FLAGS_ODD 0x44500

/* Called by entry.S with all registers saved; tells whether the short way back is not enough. */
int syscall_dispatch(struct regs *r)
{
	struct thread *t = current();
	u64 rsp = r->rsp;
	u32 k = t->last_pos++ % ARRAY_SIZE(t->last_nr);
	CTL->syscalls++;
	bool odd = r->rflags & FLAGS_ODD;
	if (unlikely(odd))
		__asm__ volatile("pushq $2; popfq" : : : "cc", "memory");
	if (unlikely(r->orig_rax == ~0ULL))
		r->orig_rax--; /* -1 marks registers that no call left behind */
	t->last_nr[k] = (u32)r->orig_rax + 1;
	u64 nr = r->orig_rax;
	if (strace_on())
		strace_enter(r);
	long ret = run(r);
	/* exec and sigreturn have put other registers in place; orig_rax is -1 then. */
	if (likely(r->orig_rax != ~0ULL))
		r->rax = ret;
	t->last_ret[k] = (s32)ret;
	if (strace_on())
		strace_leave(r, nr, ret);
	bool special = r->orig_rax == ~0ULL || r->rsp != rsp || odd; /* new registers, or flags that a jump does not bring back */
	bool restart = ret <= -ERESTARTSYS && ret >= -ERESTARTNOHAND;
	if (likely(!special && !restart && !CTL->preempt && !(t->flags & TF_NEED_SIGNAL)))
		return 0;
	exit_work(r);
	return 1;
}
