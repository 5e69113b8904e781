/* SPDX-License-Identifier: Apache-2.0 */
/* protect.c: mprotect and the signals that forbidden accesses raise. */
#include "check.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/ucontext.h>

#define PG 4096UL
static sigjmp_buf back;
static volatile int sig, code, armed;
static void *volatile addr;

static void on_fault(int s, siginfo_t *si, void *uc)
{
	sig = s;
	code = si->si_code;
	addr = si->si_addr;
	if (!armed) {
		printf("unexpected signal %d code %d\n", s, code);
		_exit(1);
	}
	siglongjmp(back, 1);
}

#define FAULT(name, stmt, where) do { \
	sig = 0; \
	armed = 1; \
	if (!sigsetjmp(back, 1)) { stmt; } \
	armed = 0; \
	printf("%s: signal %d code %d addr %s\n", name, sig, code, !sig ? "none" : addr == (void *)(where) ? "right" : "wrong"); \
	code = 0; } while (0)

static volatile char *mended;
static void mend(int s, siginfo_t *si, void *uc)
{
	mprotect((void *)((uintptr_t)si->si_addr & ~(PG - 1)), PG, PROT_READ | PROT_WRITE);
	sig = s;
}

static int depth;
static char overflow(void)
{
	volatile char pad[4096];

	pad[0] = depth++;
	return pad[0] + overflow() + pad[1];
}

int main(void)
{
	start();
	static char alt[65536];
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) }, old;
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	volatile char *p = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile char x;

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGTRAP, &sa, NULL);
	p[0] = 1;
	T("mprotect read", mprotect((void *)p, PG, PROT_READ));
	FAULT("write to read-only", p[5] = 1, p + 5);
	V("value kept", p[0]);
	T("mprotect none", mprotect((void *)p, PG, PROT_NONE));
	FAULT("read of none", x = p[7], p + 7);
	T("mprotect write", mprotect((void *)p, PG, PROT_READ | PROT_WRITE));
	FAULT("write again", p[5] = 1, p + 5);
	FAULT("read null", x = *(volatile char *)0, 0);
	FAULT("write null", *(volatile char *)8 = 1, 8);
	FAULT("read unmapped", x = *(volatile char *)0x600000, 0x600000);
	munmap((void *)(p + PG), PG);
	FAULT("read after munmap", x = p[PG], p + PG);
	FAULT("execute data", ((void (*)(void))(p + 2 * PG))(), p + 2 * PG);
	FAULT("non-canonical", x = *(volatile char *)0x8000000000000000, 0);
	FAULT("kernel address", x = *(volatile char *)0xffff800000000000, addr);
	T("mprotect unmapped", mprotect((void *)(p + PG), PG, PROT_READ));
	T("mprotect over a hole", mprotect((void *)p, 3 * PG, PROT_READ));
	T("mprotect unaligned", mprotect((void *)(p + 1), PG, PROT_READ));
	T("mprotect bad prot", mprotect((void *)p, PG, 0x40));
	T("mprotect zero", mprotect((void *)p, 0, PROT_READ));
	mprotect((void *)p, PG, PROT_READ | PROT_WRITE);

	/* Code made at run time. */
	unsigned char code_bytes[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	memcpy((void *)(p + 3 * PG), code_bytes, sizeof(code_bytes));
	T("mprotect exec", mprotect((void *)(p + 3 * PG), PG, PROT_READ | PROT_EXEC));
	V("run it", ((int (*)(void))(p + 3 * PG))());
	FAULT("write to code", p[3 * PG] = 0, p + 3 * PG);
	T("mprotect rwx", mprotect((void *)(p + 3 * PG), PG, PROT_READ | PROT_WRITE | PROT_EXEC));
	p[3 * PG + 1] = 43;
	V("run it changed", ((int (*)(void))(p + 3 * PG))());
	/* A system call in code made at run time: getuid. */
	unsigned char call_bytes[] = { 0xb8, 102, 0, 0, 0, 0x0f, 0x05, 0xc3 };
	memcpy((void *)(p + 4 * PG), call_bytes, sizeof(call_bytes));
	mprotect((void *)(p + 4 * PG), PG, PROT_READ | PROT_EXEC);
	OK("system call in new code", ((uid_t (*)(void))(p + 4 * PG))() == getuid());

	/* A handler that mends the fault: the instruction runs again. */
	mended = p + 5 * PG;
	*mended = 1;
	mprotect((void *)mended, PG, PROT_READ);
	sa.sa_sigaction = mend;
	sigaction(SIGSEGV, &sa, NULL);
	sig = 0;
	*mended = 9;
	printf("mended write: signal %d value %d\n", sig, *mended);
	sa.sa_sigaction = on_fault;
	sigaction(SIGSEGV, &sa, NULL);

	/* Faults that are not about pages. */
	volatile int zero = 0;
	FAULT("divide by zero", x = 10 / zero, addr);
	FAULT("illegal instruction", __asm__ volatile("ud2"), addr);
	FAULT("privileged instruction", __asm__ volatile("hlt"), 0);
	FAULT("breakpoint", __asm__ volatile("int3"), addr);

	/* Stack overflow needs the alternate stack. */
	T("sigaltstack", sigaltstack(&ss, NULL));
	T("sigaltstack get", sigaltstack(NULL, &old));
	OK("same", old.ss_sp == alt && old.ss_size == sizeof(alt) && !(old.ss_flags & SS_DISABLE));
	ss.ss_size = 100;
	T("sigaltstack small", sigaltstack(&ss, NULL));
	sa.sa_flags |= SA_ONSTACK;
	sigaction(SIGSEGV, &sa, NULL);
	sig = 0;
	armed = 1;
	if (!sigsetjmp(back, 1))
		overflow();
	printf("stack overflow: signal %d, deep %s\n", sig, depth > 1000 ? "yes" : "no");

	/* Past the end of a mapped file. */
	char name[] = "/tmp/abi-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	ftruncate(fd, 100);
	p = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	FAULT("inside the file's page", x = p[200], 0);
	FAULT("past the file's pages", x = p[PG], p + PG);
	(void)x;
	return 0;
}
