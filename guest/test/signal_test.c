/* SPDX-License-Identifier: Apache-2.0 */
/* signal_test.c: queues, masks, handler frames and what a hostile frame can do. */
#include "proc_fake.h"

static u8 stack[16384] __attribute__((aligned(64)));
static u8 alt[16384] __attribute__((aligned(64)));
#define HANDLER 0x400000UL
#define RESTORER 0x500000UL

static void handle(int signo, u64 flags)
{
	struct ksigaction act = { HANDLER, flags | SA_RESTORER, RESTORER, 0 };
	CHECK_EQ(CALL(rt_sigaction, signo, &act, 0, 8), 0);
}

static struct ksiginfo info(int signo, long value)
{
	return (struct ksiginfo){ .signo = signo, .code = SI_QUEUE, .value = value };
}

static void test_queues(void)
{
	struct ksiginfo si;
	signal_set_mask(~0ULL);
	handle(SIGUSR1, 0);
	handle(40, 0);
	for (int i = 0; i < 3; i++) {
		si = info(SIGUSR1, i);
		CHECK_EQ(signal_send_process(curproc(), &si), 0);
		si = info(40, i);
		CHECK_EQ(signal_send_process(curproc(), &si), 0);
	}
	CHECK_EQ(signal_pending_set(), SIGBIT(SIGUSR1) | SIGBIT(40));
	CHECK(!signal_pending());
	CHECK_EQ(signal_dequeue(~0ULL, &si), SIGUSR1); /* one, the first */
	CHECK_EQ(si.value, 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(signal_dequeue(~0ULL, &si), 40); /* all, in order */
		CHECK_EQ(si.value, i);
	}
	CHECK_EQ(signal_dequeue(~0ULL, &si), 0);
	/* ignoring drops what is pending */
	si = info(SIGUSR1, 0);
	signal_send_thread(current(), &si);
	struct ksigaction ign = { .handler = SIG_IGN };
	CHECK_EQ(CALL(rt_sigaction, SIGUSR1, &ign, 0, 8), 0);
	CHECK_EQ(signal_pending_set(), 0);
	CHECK_EQ(CALL(rt_sigaction, SIGKILL, &ign, 0, 8), -EINVAL);
	CHECK_EQ(CALL(rt_sigaction, 65, &ign, 0, 8), -EINVAL);
	CHECK_EQ(CALL(rt_sigaction, SIGUSR1, &ign, 0, 16), -EINVAL);
	/* the limit */
	int n = 0, r;
	curproc()->rlim[11].cur = 100;
	while ((r = signal_post(curproc(), NULL, &(struct ksiginfo){ .signo = 41, .code = SI_QUEUE }, true)) == 0)
		n++;
	CHECK_EQ(r, -EAGAIN);
	CHECK_EQ(n, 100);
	signal_drop(curproc(), SIGBIT(41));
	CHECK_EQ(signal_pending_set(), 0);
	signal_set_mask(0);
}

static struct regs before(void)
{
	struct regs *r = current()->regs;
	memset(r, 0x11, sizeof(*r));
	r->rsp = (u64)stack + sizeof(stack) - 64;
	r->rip = 0x1234;
	r->rflags = 0x202;
	r->orig_rax = ~0ULL;
	r->rax = 5;
	r->cs = UFS_USER_CS;
	r->ss = UFS_USER_SS;
	return *r;
}

static void deliver(int signo)
{
	struct ksiginfo si = info(signo, 1);
	signal_send_thread(current(), &si);
	signal_deliver(current()->regs);
}

static void sigreturn(void)
{
	SYS_DECL(rt_sigreturn);
	struct regs *r = current()->regs;
	r->rsp += 8; /* the handler's ret */
	r->orig_rax = 15;
	sys_rt_sigreturn(0, 0, 0, 0, 0, 0);
	if (current()->flags & TF_NEED_SIGNAL)
		signal_deliver(r);
}

static void test_frame(void)
{
	struct thread *t = current();
	u8 fpu[832], *fp;
	handle(SIGUSR1, SA_SIGINFO);
	handle(SIGUSR2, 0);
	struct regs *r = t->regs, old = before();
	for (size_t i = 0; i < sizeof(fpu); i++)
		fpu[i] = i < 512 || i >= 576 ? i * 7 : 0;
	*(u32 *)(fpu + 24) = 0x1f80;
	*(u32 *)(fpu + 28) = 0xffff;
	fpu[512] = 7;
	fpu_restore(fpu);
	deliver(SIGUSR1);
	CHECK_EQ(r->rip, HANDLER);
	CHECK_EQ(r->rdi, SIGUSR1);
	CHECK_EQ(r->rsp & 15, 8);
	CHECK(r->rsp < old.rsp - 128);
	CHECK_EQ(*(u64 *)r->rsp, RESTORER);
	CHECK_EQ(*(u32 *)r->rsi, SIGUSR1);
	CHECK_EQ(t->sigmask, SIGBIT(SIGUSR1));
	fp = *(u8 **)(r->rdx + 40 + 23 * 8); /* uc_mcontext.fpstate */
	CHECK_EQ((u64)fp & 63, 0);
	CHECK_EQ(*(u32 *)(fp + 464), 0x46505853);
	CHECK_EQ(*(u32 *)(fp + 832), 0x46505845);
	/* a second one on top, then back through both */
	struct regs mid = *r;
	deliver(SIGUSR2);
	CHECK(r->rsp < mid.rsp - 128);
	sigreturn();
	mid.cs = UFS_USER_CS;
	CHECK(!memcmp(r, &mid, sizeof(mid)));
	sigreturn();
	CHECK_EQ(t->sigmask, 0);
	for (int i = 0; i < 21; i++)
		CHECK_EQ(((u64 *)r)[i], ((u64 *)&old)[i]);
	u8 after[832];
	fpu_save(after);
	memset(after + 464, 0, 48);
	memset(fpu + 464, 0, 48);
	CHECK(!memcmp(after, fpu, sizeof(fpu)));
}

static void test_altstack(void)
{
	struct thread *t = current();
	struct regs *r = t->regs;
	stack_ksig s = { (u64)alt, 0, 0, sizeof(alt) }, got;
	before();
	s.ss_size = 100;
	CHECK_EQ(CALL(sigaltstack, &s, 0), -ENOMEM);
	s.ss_size = sizeof(alt);
	s.ss_flags = 8;
	CHECK_EQ(CALL(sigaltstack, &s, 0), -EINVAL);
	s.ss_flags = 0;
	CHECK_EQ(CALL(sigaltstack, &s, &got), 0);
	CHECK_EQ(got.ss_flags, SS_DISABLE);
	handle(SIGUSR1, SA_ONSTACK);
	before();
	deliver(SIGUSR1);
	CHECK(r->rsp > (u64)alt && r->rsp < (u64)alt + sizeof(alt));
	CHECK_EQ(CALL(sigaltstack, &s, 0), -EPERM);
	handle(SIGUSR2, SA_ONSTACK | SA_NODEFER);
	u64 was = r->rsp;
	deliver(SIGUSR2);
	CHECK(r->rsp < was && r->rsp > (u64)alt);
	sigreturn();
	sigreturn();
	CHECK_EQ(CALL(sigaltstack, 0, &got), 0);
	CHECK_EQ(got.ss_sp, (u64)alt);
	s.ss_flags = SS_DISABLE;
	CHECK_EQ(CALL(sigaltstack, &s, 0), 0);
}

/* Whatever the program wrote into its frame: SIGSEGV, or a state that the CPU takes. */
static void test_hostile(void)
{
	struct thread *t = current();
	struct regs *r = t->regs;
	u32 seed = 7;
	handle(SIGUSR1, 0);
	handle(SIGSEGV, SA_NODEFER | SA_ONSTACK);
	for (int round = 0; round < 3000; round++) {
		t->sigmask = 0;
		t->sigalt = (stack_ksig){ (u64)alt, 0, 0, sizeof(alt) };
		before();
		fpu_init(t->xsave);
		fpu_restore(t->xsave);
		deliver(SIGUSR1);
		u8 *lo = (u8 *)r->rsp, *hi = stack + sizeof(stack) - 200;
		int n = 1 + (seed >> 8) % 8;
		for (int i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			/* half of it where it hurts: FPU header, software bytes, fpstate pointer */
			u8 *fp = (u8 *)ALIGN_UP((u64)lo + 440, 64UL);
			u8 *at = seed & 0x40000000 ? lo + (seed >> 4) % (u32)(hi - lo) : fp + 456 + (seed >> 4) % 128;
			*at = seed >> 20;
		}
		if (round % 50 == 0)
			r->rsp = round % 100 ? 8 : ~0ULL - 3;
		sigreturn();
		u8 area[832];
		fpu_save(area);
		CHECK_EQ(*(u64 *)(area + 512) & ~xsave_mask, 0);
		for (int i = 520; i < 576; i++)
			CHECK_EQ(area[i], 0);
		CHECK_EQ(*(u32 *)(area + 24) >> 16, 0);
		CHECK_EQ(r->cs, UFS_USER_CS);
		CHECK_EQ(r->ss, UFS_USER_SS);
		CHECK_EQ(r->rflags & 0x3000, 0); /* IOPL */
		CHECK_EQ(t->sigmask & (SIGBIT(SIGKILL) | SIGBIT(SIGSTOP)), 0);
		signal_drop(t->proc, ~0ULL);
		t->flags &= ~TF_NEED_SIGNAL;
		t->sigalt.ss_flags = SS_DISABLE;
	}
}

/* ---- interrupted calls ---- */

static struct thread *target;
static long call_result;
static void in_pause(u64 x)
{
	target = current();
	current()->regs->rsp = (u64)stack + sizeof(stack);
	call_result = x ? CALL(rt_sigtimedwait, &x, 0, 0, 8) : CALL(pause);
}
static u32 word;
static void in_futex(u64 x)
{
	target = current();
	current()->regs->rsp = (u64)stack + sizeof(stack);
	call_result = CALL(futex, &word, 128, 0, 0, 0, 0);
}

static void test_interrupt(void)
{
	struct ksiginfo si = info(SIGUSR1, 0);
	signal_set_mask(0);
	call_result = -1;
	handle(SIGUSR1, SA_RESTART);
	fake_clone(0x50f00, in_pause, 0, NULL);
	thread_block(now_ns() + 1000, false);
	signal_send_thread(target, &si);
	thread_block(now_ns() + 1000, false);
	CHECK_EQ(call_result, 0); /* the frame took over, RAX is the handler's; the call gave EINTR in the frame */
	restarts = 0;
	fake_clone(0x50f00, in_futex, 0, NULL);
	thread_block(now_ns() + 1000, false);
	signal_send_thread(target, &si);
	thread_block(now_ns() + 1000, false);
	CHECK_EQ(restarts, 1);
	/* blocked, but waited for */
	fake_clone(0x50f00, in_pause, SIGBIT(SIGUSR2), NULL);
	target = NULL;
	thread_block(now_ns() + 1000, false);
	target->sigmask = SIGBIT(SIGUSR2);
	si = info(SIGUSR2, 0);
	signal_set_mask(SIGBIT(SIGUSR2));
	signal_send_process(curproc(), &si);
	thread_block(now_ns() + 1000, false);
	CHECK_EQ(call_result, SIGUSR2);
	signal_set_mask(0);
}

static void test_force(void)
{
	int st;
	struct thread *t = current();
	struct regs *r = t->regs;
	handle(SIGSEGV, 0);
	before();
	signal_force(SIGSEGV, SEGV_MAPERR, 0xdead, 14, 6);
	signal_deliver(r);
	CHECK_EQ(r->rip, HANDLER);
	CHECK_EQ(*(u64 *)(r->rsi + 16), 0xdead);
	CHECK_EQ(*(u64 *)(r->rdx + 40 + 20 * 8), 14); /* trapno */
	CHECK_EQ(*(u64 *)(r->rdx + 40 + 22 * 8), 0xdead); /* cr2 */
	sigreturn();
	(void)st;
}

/* A fault with the signal blocked, or on a stack that is not there, ends the process. */
static void blocked_fault(u64 bad_stack)
{
	if (bad_stack) {
		current()->regs->rsp = 64;
	} else {
		signal_set_mask(SIGBIT(SIGSEGV));
	}
	signal_force(SIGSEGV, SEGV_MAPERR, 1, 14, 6);
	fake_user_work();
	CHECK(!"still there");
}

static void test_force_kills(void)
{
	int st;
	for (u64 i = 0; i < 2; i++) {
		long pid = fake_clone(SIGCHLD, blocked_fault, i, NULL);
		CHECK_EQ(CALL(wait4, pid, &st, 0, 0), pid);
		CHECK_EQ(st, SIGSEGV);
	}
}

static void all(void *arg)
{
	test_queues();
	test_frame();
	test_altstack();
	test_hostile();
	test_interrupt();
	test_force();
	test_force_kills();
	process_exit(0);
}

int main(void)
{
	fake_boot(all);
}
