/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigframe.c: the frame that a signal handler runs on, and the way back from it.
 *
 * On the program's stack, from high to low addresses: red zone (128 bytes), FPU state as XSAVE writes it (64-byte
 * aligned) with a magic number behind it, struct sigframe (return address 16k + 8). All of it can be changed by the
 * program before it comes back, so it is copied in and checked before the CPU may see it.
 */
#include "internal.h"
#include "syscall.h"

#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4
#define FP_MAGIC1 0x46505853U
#define FP_MAGIC2 0x46505845U
#define FX_SIZE 512
#define SW_OFF 464        /* bytes of the FXSAVE area left to software */
#define HDR_OFF 512       /* XSAVE header: xstate_bv, xcomp_bv, reserved */
#define HDR_SIZE 64
#define MXCSR_OFF 24
#define RED_ZONE 128
#define FLAGS_USER 0x50dd5UL /* what a handler may change: CF PF AF ZF SF TF DF OF RF AC */

struct fp_sw { u32 magic1, extended_size; u64 xfeatures; u32 xstate_size, pad[7]; };

/* struct sigcontext */
struct mcontext {
	u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
	u16 cs, gs, fs, ss;
	u64 err, trapno, oldmask, cr2, fpstate, reserved[8];
};
struct sigframe {
	u64 pretcode;
	struct { u64 flags, link; stack_ksig stack; struct mcontext mc; u64 sigmask; } uc;
	u8 info[128];
};
_Static_assert(sizeof(struct mcontext) == 256 && sizeof(struct sigframe) == 440, "layout of rt_sigframe");

void siginfo_fill(u8 out[128], const struct ksiginfo *si)
{
	s32 *w = (s32 *)out;
	u64 *q = (u64 *)out;
	memset(out, 0, 128);
	w[0] = si->signo;
	w[1] = si->err;
	w[2] = si->code;
	if (si->code > 0 && si->code < SI_KERNEL && (SIGBIT(si->signo) & SIG_SYNC)) {
		q[2] = si->addr;
	} else if (si->code == SI_TIMER) {
		w[4] = si->timerid;
		w[5] = si->overrun;
		q[3] = si->value;
	} else if (si->signo == SIGCHLD && si->code > 0) {
		w[4] = si->pid;
		w[5] = si->uid;
		w[6] = si->status;
	} else {
		w[4] = si->pid;
		w[5] = si->uid;
		q[3] = si->value;
	}
}

bool on_altstack(const struct thread *t, u64 sp)
{
	const stack_ksig *s = &t->sigalt;
	return !(s->ss_flags & (SS_DISABLE | SS_AUTODISARM)) && sp > s->ss_sp && sp - s->ss_sp <= s->ss_size;
}

/* The FPU state at ufp, as the program's struct _xstate: with a note for sigreturn in the software bytes. */
static int fp_push(u64 ufp)
{
	u8 *area = current()->xsave;
	u32 end = FP_MAGIC2;
	fpu_save(area);
	struct fp_sw sw = { .magic1 = FP_MAGIC1, .extended_size = xsave_size + 4, .xfeatures = xsave_mask, .xstate_size = xsave_size };
	memcpy(area + SW_OFF, &sw, sizeof(sw));
	*(u64 *)(area + HDR_OFF) |= 3; /* FCW and MXCSR are always there, as Linux says */
	int r = copy_to_user((void *)ufp, area, xsave_size);
	if (!r)
		r = copy_to_user((void *)(ufp + xsave_size), &end, sizeof(end));
	return r;
}

static void fp_reset(void)
{
	fpu_init(current()->xsave);
	fpu_restore(current()->xsave);
}

int sigframe_push(struct regs *r, const struct ksigaction *act, const struct ksiginfo *si, u64 oldmask)
{
	struct thread *t = current();
	struct sigframe f;
	u64 sp = r->rsp - RED_ZONE;
	bool alt = on_altstack(t, r->rsp), enter = false;
	if ((act->flags & SA_ONSTACK) && !alt && !(t->sigalt.ss_flags & SS_DISABLE)) {
		sp = t->sigalt.ss_sp + t->sigalt.ss_size;
		enter = true;
	}
	if (!(act->flags & SA_RESTORER))
		return -EFAULT;
	u64 ufp = ALIGN_DOWN(sp - xsave_size - 4, 64UL);
	u64 uframe = ALIGN_DOWN(ufp - sizeof(f), 16UL) - 8;
	/* Running off the alternate stack must not overwrite what lies below it. */
	if ((enter || alt) && (uframe < t->sigalt.ss_sp || uframe > t->sigalt.ss_sp + t->sigalt.ss_size))
		return -EFAULT;
	if (!access_ok((void *)uframe, sp - uframe) || act->handler >= UFS_USER_END)
		return -EFAULT;

	memset(&f, 0, sizeof(f));
	f.pretcode = act->restorer;
	f.uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	f.uc.stack = t->sigalt;
	f.uc.sigmask = oldmask;
	f.uc.mc = (struct mcontext){
		.r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11, .r12 = r->r12, .r13 = r->r13, .r14 = r->r14, .r15 = r->r15,
		.rdi = r->rdi, .rsi = r->rsi, .rbp = r->rbp, .rbx = r->rbx, .rdx = r->rdx, .rax = r->rax, .rcx = r->rcx,
		.rsp = r->rsp, .rip = r->rip, .rflags = r->rflags, .cs = UFS_USER_CS, .ss = UFS_USER_SS,
		.err = t->trap_err, .trapno = t->trap_no, .oldmask = oldmask, .cr2 = t->trap_addr, .fpstate = ufp,
	};
	siginfo_fill(f.info, si);
	if (fp_push(ufp) || copy_to_user((void *)uframe, &f, sizeof(f)))
		return -EFAULT;
	fp_reset();
	if (t->sigalt.ss_flags & SS_AUTODISARM) {
		memset(&t->sigalt, 0, sizeof(t->sigalt));
		t->sigalt.ss_flags = SS_DISABLE;
	}
	r->rdi = si->signo;
	r->rsi = uframe + offsetof(struct sigframe, info);
	r->rdx = uframe + offsetof(struct sigframe, uc);
	r->rax = 0;
	r->rsp = uframe;
	r->rip = act->handler;
	r->rflags &= ~0x10500UL; /* DF, TF, RF */
	r->orig_rax = ~0ULL;
	return 0;
}

/* XRSTOR faults, here in the libos, on reserved bits: none may be left when this returns true. */
static bool fp_sanitize(u8 *area, u64 features)
{
	u64 *hdr = (u64 *)(area + HDR_OFF);
	u32 *mxcsr = (u32 *)(area + MXCSR_OFF);
	if (hdr[0] & ~xsave_mask)
		return false;
	for (int i = 1; i < HDR_SIZE / 8; i++)
		if (hdr[i])
			return false;
	hdr[0] &= features;
	*mxcsr &= 0xffff;
	/* The CPU says which MXCSR bits it has in what it saves itself; 0 means the first ones. */
	u32 mask = *(u32 *)(area + MXCSR_OFF + 4);
	*mxcsr &= mask ? mask : 0xffbf;
	return true;
}

static int fp_pop(u64 ufp)
{
	u8 *area = current()->xsave;
	struct fp_sw sw;
	u32 end = 0;
	if (!ufp) {
		fp_reset();
		return 0;
	}
	fpu_save(area);
	u32 mxcsr_mask = *(u32 *)(area + MXCSR_OFF + 4);
	memset(area, 0, xsave_size);
	if (copy_from_user(&sw, (void *)(ufp + SW_OFF), sizeof(sw)))
		goto bad;
	bool full = sw.magic1 == FP_MAGIC1 && sw.xstate_size >= HDR_OFF + HDR_SIZE && sw.xstate_size <= xsave_size &&
		sw.xstate_size <= sw.extended_size && !copy_from_user(&end, (void *)(ufp + sw.xstate_size), sizeof(end)) && end == FP_MAGIC2;
	u64 features = xsave_mask;
	if (full) {
		if (copy_from_user(area, (void *)ufp, sw.xstate_size))
			goto bad;
		features &= sw.xfeatures;
	} else {
		if (copy_from_user(area, (void *)ufp, FX_SIZE))
			goto bad;
		*(u64 *)(area + HDR_OFF) = features & 3;
	}
	*(u32 *)(area + MXCSR_OFF + 4) = mxcsr_mask;
	if (!fp_sanitize(area, features))
		goto bad;
	fpu_restore(area);
	return 0;
bad:
	fp_reset();
	return -EFAULT;
}

SYSCALL(rt_sigreturn)
{
	struct thread *t = current();
	struct regs *r = t->regs;
	struct sigframe fr;
	r->orig_rax = ~0ULL;
	if (copy_from_user(&fr.uc, (void *)(r->rsp - 8 + offsetof(struct sigframe, uc)), sizeof(fr.uc)) || fp_pop(fr.uc.mc.fpstate)) {
		signal_force(SIGSEGV, SI_KERNEL, 0, t->trap_no, t->trap_err);
		return 0;
	}
	const struct mcontext *m = &fr.uc.mc;
	r->r8 = m->r8; r->r9 = m->r9; r->r10 = m->r10; r->r11 = m->r11;
	r->r12 = m->r12; r->r13 = m->r13; r->r14 = m->r14; r->r15 = m->r15;
	r->rdi = m->rdi; r->rsi = m->rsi; r->rbp = m->rbp; r->rbx = m->rbx;
	r->rdx = m->rdx; r->rax = m->rax; r->rcx = m->rcx;
	r->rsp = m->rsp; r->rip = m->rip;
	r->rflags = (r->rflags & ~FLAGS_USER) | (m->rflags & FLAGS_USER);
	r->cs = UFS_USER_CS;
	r->ss = UFS_USER_SS;
	signal_set_mask(fr.uc.sigmask);
	/* As sigaltstack() does: bad values are left out, and one that is in use stays. */
	stack_ksig *s = &fr.uc.stack;
	if (!on_altstack(t, r->rsp) && !(s->ss_flags & ~(SS_DISABLE | SS_AUTODISARM)) && ((s->ss_flags & SS_DISABLE) || s->ss_size >= MINSIGSTKSZ))
		t->sigalt = *s;
	return (long)r->rax;
}
