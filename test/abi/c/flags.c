/* SPDX-License-Identifier: Apache-2.0 */
/* flags.c: flags that a program may set and a library OS must not run with; exceptions that few programs see. */
#include "check.h"
#include <setjmp.h>
#include <sys/wait.h>

static sigjmp_buf out;
static volatile int signo, code;

static void clear_flags(void)
{
	__asm__ volatile("pushq $2\n popfq" ::: "memory", "cc");
}

/* Runs with the flags as they were, and nothing puts them back. */
static void handler(int s, siginfo_t *si, void *uc)
{
	clear_flags();
	signo = s;
	code = si->si_code;
	siglongjmp(out, 1);
}

#define CATCH(name, ...) do { signo = code = 0; if (!sigsetjmp(out, 1)) { __VA_ARGS__; } V(name " signal", signo); V(name " code", code); } while (0)

static void set_flag(unsigned long bit)
{
	__asm__ volatile("pushfq\n orq %0, (%%rsp)\n popfq" : : "r"(bit) : "memory", "cc");
}

static unsigned long flags(void)
{
	unsigned long f;
	__asm__ volatile("pushfq\n popq %0" : "=r"(f));
	return f;
}

/* With AC set, what is not aligned faults: a child that ends so must leave nothing to its parent. */
static void alignment(void)
{
	char text[32] = "aligned as it comes", name[] = "/tmp/abi-x";
	int st, p[2];
	pid_t pid;

	if (pipe(p))
		return;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		volatile char b[16] = { 0 };
		set_flag(0x40000);
		syscall(SYS_open, name + 1, O_RDONLY);
		syscall(SYS_write, p[1], text + 1, 7);
		syscall(SYS_getppid);
		st = flags() >> 18 & 1;
		syscall(SYS_exit_group, st);
	}
	waitpid(pid, &st, 0);
	V("alignment check set in a child", WEXITSTATUS(st));
	OK("not in the parent", !(flags() & 0x40000));
	V("written", read(p[0], text, sizeof(text)));
	CATCH("unaligned", { char b[16]; set_flag(0x40000); *(volatile int *)(((uintptr_t)b | 3) + 2) = 1; });
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static char stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };

	start();
	alarm(20);
	sigaltstack(&ss, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGTRAP, &sa, NULL);
	alignment();
	CATCH("stack nowhere", __asm__ volatile("movq %rsp, %rbx\n movabs $0x8000000000000000, %rsp\n push $1"));
	CATCH("step", set_flag(0x100); getppid(); clear_flags());
	CATCH("x87 division", { unsigned short cw = 0x300; __asm__ volatile("fninit\n fldcw %0\n fld1\n fldz\n fdivrp\n fwait" : : "m"(cw)); });
	__asm__ volatile("fninit");
	CATCH("x87 invalid", { unsigned short cw = 0x300; __asm__ volatile("fninit\n fldcw %0\n fldz\n fldz\n fdivrp\n fwait" : : "m"(cw)); });
	__asm__ volatile("fninit");
	CATCH("sse division", { unsigned m = 0; volatile double z = 0; __asm__ volatile("ldmxcsr %0" : : "m"(m)); z = 1 / z; });
	return 0;
}
