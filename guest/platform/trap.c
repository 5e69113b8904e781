/* SPDX-License-Identifier: Apache-2.0 */
/* trap.c: CPU exceptions and preemption, after entry.S has saved the registers. */
#include "internal.h"
#include "errno.h"
#include "exit_work.h"

extern char text_start[], text_end[];
extern char uaccess_start[], uaccess_end[], uaccess_fixup[];

enum { V_DE, V_DB, V_NMI, V_BP, V_OF, V_BR, V_UD, V_NM, V_DF, V_TS = 10, V_NP, V_SS, V_GP, V_PF, V_MF = 16, V_AC, V_MC, V_XM };

static bool in_libos(const struct regs *r)
{
	return r->rip >= (u64)text_start && r->rip < (u64)text_end;
}

static bool try_fixup(struct regs *r)
{
	if (r->rip < (u64)uaccess_start || r->rip >= (u64)uaccess_end)
		return false;
	r->rip = (u64)uaccess_fixup;
	return true;
}

static void page_fault(struct regs *r, u64 error, u64 addr)
{
	int code = SEGV_MAPERR, sig = SIGSEGV;
	bool libos = in_libos(r);
	CTL->faults++;
	if (access_ok((void *)addr, 1) && curproc()->mm) {
		sig = mm_fault(curproc()->mm, addr, error, &code);
		if (sig == 0)
			return;
	}
	if (libos && try_fixup(r))
		return;
	if (libos)
		report_trap(r, V_PF, error, addr);
	if (sig == -ENOMEM)
		report_oom();
	signal_force(sig, code, addr, V_PF, error);
}

/* Which si_code of SIGFPE the status word of x87 or SIMD means, in the order of the architecture's priorities. */
static int fpe_code(bool simd)
{
	u32 csr;
	u16 control, status;
	__asm__ volatile("stmxcsr %0; fnstcw %1; fnstsw %2" : "=m"(csr), "=m"(control), "=m"(status));
	u32 e = (simd ? csr & ~(csr >> 7) : status & ~control) & 0x3f;
	return e & 1 ? FPE_FLTINV : e & 4 ? FPE_FLTDIV : e & 8 ? 4 : e & 0x12 ? 5 : e & 0x20 ? 6 : 0;
}

static void exception(struct regs *r, u64 vector, u64 error)
{
	switch (vector) {
	case V_DE: signal_force(SIGFPE, FPE_INTDIV, r->rip, vector, error); break;
	case V_DB: r->rflags &= ~0x100ULL; signal_force(SIGTRAP, TRAP_TRACE, r->rip, vector, error); break;
	case V_BP: signal_force(SIGTRAP, SI_KERNEL, 0, vector, error); break;
	case V_UD: signal_force(SIGILL, ILL_ILLOPN, r->rip, vector, error); break;
	case V_MF: signal_force(SIGFPE, fpe_code(false), r->rip, vector, error); break;
	case V_XM: signal_force(SIGFPE, fpe_code(true), r->rip, vector, error); break;
	case V_NP:
	case V_SS: signal_force(SIGBUS, SI_KERNEL, 0, vector, error); break;
	case V_AC: signal_force(SIGBUS, BUS_ADRALN, 0, vector, error); break;
	default: signal_force(SIGSEGV, SI_KERNEL, 0, vector, error); break;
	}
}

void trap_dispatch(struct regs *r, u64 vector, u64 error, u64 cr2)
{
	if (unlikely(!curproc()->mm && !in_libos(r)))
		report_trap(r, vector, error, cr2); /* a wild jump of the libos itself */
	if (vector == V_PF) {
		page_fault(r, error, cr2);
	} else if (in_libos(r)) {
		if (vector == V_DB) {
			r->rflags &= ~0x100ULL; /* single-stepping program came in through a patched site */
			return;
		}
		if (!try_fixup(r))
			report_trap(r, vector, error, cr2);
	} else if (vector == UFS_VEC_PREEMPT) {
		CTL->preempt = 1;
	} else {
		exception(r, vector, error);
	}
	if (!in_libos(r))
		exit_work(r);
}
