/* SPDX-License-Identifier: Apache-2.0 */
/* deliver.c: what pending signals do to the program, on its way out of the libos. */
#include "internal.h"
#include "restart.h"
#include "strace.h"

static _Noreturn void end_by(int signo, u64 addr, struct regs *r)
{
	if (curproc() == init_process)
		report_fatal(signo, addr, r);
	process_exit(signo);
}

/* True if the signal does nothing more. Does not return if it ends the process. */
static bool default_action(const struct ksiginfo *si, struct regs *r)
{
	struct process *p = curproc();
	u64 bit = SIGBIT(si->signo);
	if (bit & SIG_IGNORED)
		return true;
	if (!(bit & SIG_STOPS))
		end_by(si->signo, si->addr, r);
	if (si->signo == SIGSTOP || !pgrp_orphaned(p->pgid))
		process_stop(p, si->signo);
	return true;
}

/* The call that the signal interrupted: again, or EINTR. Settled before a frame is made, which then holds the outcome. */
static void settle_call(struct regs *r, bool handled, u64 sa_flags)
{
	if (r->orig_rax == ~0ULL)
		return;
	long ret = (long)r->rax;
	if (ret == -ERESTARTSYS || ret == -ERESTARTNOHAND || ret == -ERESTARTNOINTR) {
		if (!handled || ret == -ERESTARTNOINTR || (ret == -ERESTARTSYS && (sa_flags & SA_RESTART)))
			syscall_restart(r);
		else
			r->rax = -EINTR;
	}
	if (handled) {
		current()->restart_deadline = 0;
		r->orig_rax = ~0ULL;
	}
}

static void run_handler(struct regs *r, const struct ksiginfo *si)
{
	struct thread *t = current();
	struct ksigaction *slot = &t->proc->sighand->act[si->signo - 1], act = *slot;
	u64 old = t->restore_sigmask ? t->saved_sigmask : t->sigmask;
	settle_call(r, true, act.flags);
	rseq_fix(r);
	if (act.flags & SA_RESETHAND)
		slot->handler = SIG_DFL;
	if (sigframe_push(r, &act, si, old)) {
		/* No stack to run on. SIGSEGV's own handler would fare no better. */
		if (si->signo == SIGSEGV)
			slot->handler = SIG_DFL;
		signal_force(SIGSEGV, SI_KERNEL, 0, t->trap_no, t->trap_err);
		return;
	}
	t->restore_sigmask = false;
	signal_set_mask(t->sigmask | act.mask | (act.flags & SA_NODEFER ? 0 : SIGBIT(si->signo)));
}

void signal_deliver(struct regs *r)
{
	struct thread *t = current();
	struct process *p = t->proc;
	struct ksiginfo si;
	for (;;) {
		t->flags &= ~TF_NEED_SIGNAL;
		if (t->flags & TF_EXITING)
			thread_exit(p->exit_status >> 8 & 0xff);
		if (t->rseq_event)
			rseq_fix(r);
		if (p->stop_sig) {
			stop_here();
			continue;
		}
		if (signal_dequeue(~t->sigmask, &si)) {
			if (strace_on())
				strace_signal(si.signo);
			u64 handler = p->sighand->act[si.signo - 1].handler;
			if (handler != SIG_IGN && (handler != SIG_DFL || !default_action(&si, r)))
				run_handler(r, &si);
			continue;
		}
		settle_call(r, false, 0);
		if (!t->restore_sigmask)
			return;
		t->restore_sigmask = false;
		signal_set_mask(t->saved_sigmask);
		if (!(t->flags & TF_NEED_SIGNAL))
			return;
	}
}
