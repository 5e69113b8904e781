/* SPDX-License-Identifier: Apache-2.0 */
/* kvm.c: the platform interface under the kvm monitor: doorbell, exception gates, FPU set-up, page-table switch. */
#include "platform.h"
#include "internal.h"
#include "mm.h"
#include "snapshot.h"
#include "time.h"

#define XSAVE_KNOWN 0x2e7 /* x87, SSE, AVX, AVX-512, PKRU */

u32 xsave_size;
u64 xsave_mask;
u8 has_xsaveopt;
u64 trap_count;

void doorbell(u32 off, u32 value)
{
	/* By hand: what is there may only be stored to, and compilers make a read and a write of storing 0 (gcc -Oz: and $0). */
	__asm__ volatile("movl %1, %0" : "=m"(*(u32 *)(UFS_DOORBELL_VA + off)) : "r"(value) : "memory");
}

void platform_idle(u64 next_timer)
{
	memory_idle();
	CTL->next_timer = MIN(next_timer, timer_next());
	CTL->traps = trap_count;
	doorbell(UFS_BELL_IDLE, snapshot_ready() ? UFS_IDLE_READY : 0);
}

_Noreturn void platform_exit(int wait_status)
{
	CTL->traps = trap_count;
	for (;;)
		doorbell(UFS_BELL_EXIT, wait_status);
}

/* In entry.S; loads CR3 at CPL0. */
void platform_gate(u64 cr3);

void platform_flush(u64 va, u64 len)
{
	platform_gate(percpu.cr3);
}

/* Loading costs microseconds, also when nothing changes. */
void platform_switch_mm(u64 cr3)
{
	if (percpu.cr3 == cr3)
		return;
	percpu.cr3 = cr3;
	platform_gate(cr3);
}

u64 platform_fsbase(void) { u64 v; __asm__ volatile("rdfsbase %0" : "=r"(v)); return v; }
void platform_set_fsbase(u64 v) { __asm__ volatile("wrfsbase %0" : : "r"(v)); }
u64 platform_gsbase(void) { u64 v; __asm__ volatile("rdgsbase %0" : "=r"(v)); return v; }
void platform_set_gsbase(u64 v) { __asm__ volatile("wrgsbase %0" : : "r"(v)); }

void fpu_save(void *area)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((u32)xsave_mask), "d"((u32)(xsave_mask >> 32)) : "memory");
}

void fpu_restore(const void *area)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((u32)xsave_mask), "d"((u32)(xsave_mask >> 32)) : "memory");
}

/* The state a program starts with: FCW 0x37f, MXCSR 0x1f80, all else as after reset. */
void fpu_init(void *area)
{
	memset(area, 0, xsave_size);
	*(u16 *)area = 0x37f;
	*(u32 *)((char *)area + 24) = 0x1f80;
	*(u64 *)((char *)area + 512) = 3;
}

static void fpu_setup(void)
{
	u32 lo, hi;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	/* Some KVMs leave the host's XCR0 in force. Without AMX, whose state is large and of which CPUID does not tell. */
	xsave_mask = ((u64)hi << 32 | lo) & XSAVE_KNOWN;
	xsave_size = ALIGN_UP(cpuid_lookup(0xd, 0)[1], 64);
	has_xsaveopt = cpuid_lookup(0xd, 1)[0] & 1;
}

/* Interrupt gates on IST 1. Only INT3 may be executed by the program (DPL 3). */
static void idt_setup(void)
{
	extern u8 exc_stubs[], exc_stub_bp[];
	extern u64 idt[512];
	for (unsigned v = 0; v < 22; v++) {
		u64 a = v == 3 ? (u64)exc_stub_bp : (u64)exc_stubs + 16 * v;
		u64 dpl = v == 3 ? 3 : 0;
		idt[2 * v] = (a & 0xffff) | (u64)UFS_KERNEL_CS << 16 | 1ULL << 32 | (0x8e | dpl << 5) << 40 | (a >> 16 & 0xffff) << 48;
		idt[2 * v + 1] = a >> 32;
	}
}

void platform_init(void)
{
	percpu.cr3 = UFS_TABLES_PA; /* the monitor's choice */
	idt_setup();
	fpu_setup();
}

/* A thread that starts in fn(arg) on its own stack, see 3: in switch.S. */
void platform_thread_init(struct thread *t, void (*fn)(void *), void *arg)
{
	u64 *sp = (u64 *)(ALIGN_DOWN((u64)t->regs ? (u64)t->regs : t->kstack_top, 16) - 32);
	sp[0] = (u64)fn;
	sp[1] = (u64)arg;
	t->ksp = (u64)sp;
	t->flags |= TF_FRESH;
}
