/* SPDX-License-Identifier: Apache-2.0 */
/* exit_work.c: what is due before the program goes on. */
#include "internal.h"
#include "boot_hooks.h"
#include "errno.h"
#include "exit_work.h"
#include "net.h"
#include "time.h"
#include "restart.h"

void exit_work(struct regs *r)
{
	if (CTL->preempt) {
		CTL->preempt = 0;
		timers_run();
		queue_poll();
		thread_yield();
	}
	bool restart = r->orig_rax != ~0ULL && (s64)r->rax <= -ERESTARTSYS && (s64)r->rax >= -ERESTARTNOHAND;
	if (restart || (current()->flags & TF_NEED_SIGNAL))
		signal_deliver(r);
	/* IRETQ would fault inside the libos on what only the program can have caused. */
	if (unlikely(r->rip >= 1ULL << 47)) {
		r->rip = 0;
		signal_force(SIGSEGV, SI_KERNEL, 0, 13, 0);
		signal_deliver(r);
	}
	r->cs = UFS_USER_CS;
	r->ss = UFS_USER_SS;
	r->rflags = (r->rflags & 0x244dd5) | 0x202; /* CF PF AF ZF SF TF DF OF AC ID; IF always */
}

void thread_start_user(void)
{
	struct thread *t = current();
	exit_work(t->regs);
	__asm__ volatile("movq %0, %%rsp; jmp ret_slow" : : "r"(t->regs) : "memory");
	__builtin_unreachable();
}

/*
 * Restarting runs the `syscall` instruction again: the two bytes before the return address are one, except where
 * the site was patched; then the jump lies there, and the stub it leads to ends in the same place.
 */
void syscall_restart(struct regs *r)
{
	r->rax = r->orig_rax;
	r->rip = patch_restart_rip(r->rip);
}
