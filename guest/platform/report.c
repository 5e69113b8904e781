/* SPDX-License-Identifier: Apache-2.0 */
/* report.c: what the libos says of its own and the program's end: log lines, panics, the report area. */
#include "syscall.h"
#include "internal.h"
#include "net.h"
#include "restart.h"

#define report_area ((char *)ufs_shared + UFS_REPORT_OFF)
static size_t report_len;

static void report_add(const char *fmt, ...)
{
	va_list ap;
	size_t room = UFS_REPORT_SIZE - report_len;
	va_start(ap, fmt);
	int n = vsnprintf(report_area + report_len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		report_len += MIN((size_t)n, room - 1);
}

void klog(const char *fmt, ...)
{
	char line[256] = "unifaas: ";
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line + 9, sizeof(line) - 10, fmt, ap);
	va_end(ap);
	size_t n = strlen(line);
	line[n++] = '\n';
	console_write_kernel(UFS_CONN_STDERR, line, n);
}

static void report_calls(struct thread *t)
{
	report_add("last system calls:");
	for (u32 i = 0; i < ARRAY_SIZE(t->last_nr); i++) {
		u32 k = (t->last_pos + i) % ARRAY_SIZE(t->last_nr);
		if (t->last_nr[k])
			report_add(" %u=%d", t->last_nr[k] - 1, t->last_ret[k]);
	}
	report_add("\n");
}

static void report_regs(const struct regs *r)
{
	report_add("rip %016llx rsp %016llx rflags %08llx\n", (unsigned long long)r->rip, (unsigned long long)r->rsp, (unsigned long long)r->rflags);
	report_add("rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", (unsigned long long)r->rax, (unsigned long long)r->rbx, (unsigned long long)r->rcx, (unsigned long long)r->rdx);
	report_add("rsi %016llx rdi %016llx rbp %016llx r8  %016llx\n", (unsigned long long)r->rsi, (unsigned long long)r->rdi, (unsigned long long)r->rbp, (unsigned long long)r->r8);
	report_add("r9  %016llx r10 %016llx r11 %016llx r12 %016llx\n", (unsigned long long)r->r9, (unsigned long long)r->r10, (unsigned long long)r->r11, (unsigned long long)r->r12);
	report_add("r13 %016llx r14 %016llx r15 %016llx\n", (unsigned long long)r->r13, (unsigned long long)r->r14, (unsigned long long)r->r15);
}

void report_fatal(int signo, u64 addr, struct regs *r)
{
	struct thread *t = current();
	report_len = 0;
	report_add("signal %d at address 0x%llx, process %d (%s), thread %d\n", signo, (unsigned long long)addr, t->proc->pid, t->proc->exe, t->tid);
	report_regs(r);
	report_calls(t);
}

void report_trap(const struct regs *r, u64 vector, u64 error, u64 cr2)
{
	report_len = 0;
	report_add("libos trap %llu error 0x%llx cr2 0x%llx\n", (unsigned long long)vector, (unsigned long long)error, (unsigned long long)cr2);
	report_regs(r);
	if (current())
		report_calls(current());
	for (;;)
		doorbell(UFS_BELL_PANIC, UFS_PANIC_TRAP);
}

_Noreturn void panic(const char *fmt, ...)
{
	va_list ap;
	report_len = 0;
	va_start(ap, fmt);
	vsnprintf(report_area, 512, fmt, ap);
	va_end(ap);
	report_len = strlen(report_area);
	report_add("\n");
	if (current())
		report_calls(current());
	for (;;)
		doorbell(UFS_BELL_PANIC, UFS_PANIC_BUG);
}

_Noreturn void report_oom(void)
{
	report_len = 0;
	report_add("memory limit %llu MiB\n", (unsigned long long)(BOOT->ram_size >> 20));
	for (;;)
		doorbell(UFS_BELL_OOM, 0);
}

void unsupported_once(const char *what, u64 val)
{
	static u8 seen[32];
	u32 h = (val ^ (u64)what) * 0x9e3779b97f4a7c15UL >> 56;
	if (seen[h / 8] >> h % 8 & 1)
		return;
	seen[h / 8] |= 1 << h % 8;
	klog("%s (0x%lx) is not supported", what, (unsigned long)val);
}
