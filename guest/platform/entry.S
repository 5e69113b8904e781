/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.S: every way into the libos and back to the program.
 *
 * Offsets of struct regs and struct thread are those in include/proc.h. All code here runs at CPL3 except what
 * stands under "CPL0": there the software KVM emulates each instruction, so it stays a handful.
 */
#include "../../abi/unifaas_abi.h"

#define P_CURRENT	percpu+0(%rip)
#define P_USER_RSP	percpu+8(%rip)
#define P_SCRATCH	percpu+16(%rip)
#define P_SCRATCH2	percpu+24(%rip)
#define T_KSTACK_TOP	8

#define R_RBP	32
#define R_RBX	40
#define R_R11	48
#define R_R10	56
#define R_R9	64
#define R_R8	72
#define R_RAX	80
#define R_RCX	88
#define R_RDX	96
#define R_RSI	104
#define R_RDI	112
#define R_ORIG	120
#define R_RIP	128
#define R_CS	136
#define R_RFLAGS 144
#define R_RSP	152

/* The lower part of struct regs, from R8 down. */
	.macro	push_rest
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	.endm

	.section .text.entry, "ax"

/* First instruction of the guest. */
	.globl	libos_entry
libos_entry:
	leaq	boot_stack_top(%rip), %rsp
	xorl	%ebp, %ebp
	cld
	call	boot_main
	ud2

/*
 * SYSCALL lands here: at CPL3 on the software KVM, at CPL0 on the architectural one. RCX holds the return address
 * on both. The flags test costs the program's arithmetic flags, which no compiler keeps across a system call.
 */
	.balign	64
	.globl	lstar_entry
lstar_entry:
	movl	%cs, %r11d
	testb	$3, %r11b
	jnz	1f
	/* CPL0: leave it at once. RCX must carry the target of SYSRET, so it takes the detour through memory. */
	movq	%rcx, P_SCRATCH
	leaq	2f(%rip), %rcx
	movl	$0x202, %r11d
	sysretq
2:	movq	P_SCRATCH, %rcx
1:	incq	trap_count(%rip)
	/* fall through */

/* Patched sites jump here: RCX = return address, RAX = number, red zone below RSP untouched. */
	.globl	syscall_entry
syscall_entry:
	movq	%rsp, P_USER_RSP
	movq	P_CURRENT, %rsp
	movq	T_KSTACK_TOP(%rsp), %rsp
	pushq	$UFS_USER_SS
	pushq	P_USER_RSP
	pushfq
	pushq	$UFS_USER_CS
	pushq	%rcx
	pushq	%rax
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	push_rest
	cld
	movq	%rsp, %rdi
	call	syscall_dispatch	/* stores the result; returns non-zero when all registers must be loaded */
	testl	%eax, %eax
	jnz	ret_slow
	movq	R_RAX(%rsp), %rax
	movq	R_RDI(%rsp), %rdi
	movq	R_RSI(%rsp), %rsi
	movq	R_RDX(%rsp), %rdx
	movq	R_R10(%rsp), %r10
	movq	R_R8(%rsp), %r8
	movq	R_R9(%rsp), %r9
	movq	R_RFLAGS(%rsp), %r11
	movq	R_RIP(%rsp), %rcx
	movq	R_RSP(%rsp), %rsp
	jmp	*%rcx

/*
 * Patched cpuid sites jump here: RDX = return address, EAX and ECX the leaf. Only what CPUID writes may change: RAX, RBX, RCX,
 * RDX. No system call: nothing blocks or is delivered.
 */
	.balign	16
	.globl	cpuid_entry
cpuid_entry:
	movq	%rsp, P_USER_RSP
	movq	P_CURRENT, %rsp
	movq	T_KSTACK_TOP(%rsp), %rsp
	pushq	P_USER_RSP
	pushfq
	movq	%rdx, P_SCRATCH2
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	movl	%eax, %edi
	movl	%ecx, %esi
	cld
	call	cpuid_lookup
	movl	4(%rax), %ebx
	movl	8(%rax), %ecx
	movl	12(%rax), %edx
	movl	(%rax), %eax
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popfq
	popq	%rsp
	jmp	*P_SCRATCH2

/* Full return with the struct regs at RSP; also how a new thread starts. */
	.globl	ret_slow
ret_slow:
	pushq	$2			/* NT must be clear for IRETQ; the program may have set it */
	popfq
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	addq	$8, %rsp
	iretq

/*
 * A CPU exception or a preemption, now at CPL3, described by exc_frame. RAX is free. Nothing faults until the
 * frame is copied, so it needs no lock; preemption does not happen inside the libos.
 */
	.balign	16
	.globl	exc_entry
exc_entry:
	leaq	text_start(%rip), %rax
	cmpq	%rax, exc_frame+32(%rip)
	jb	1f
	leaq	text_end(%rip), %rax
	cmpq	%rax, exc_frame+32(%rip)
	jae	1f
	movq	exc_frame+56(%rip), %rsp	/* fault of the libos itself: go on below its stack */
	andq	$-16, %rsp
	jmp	2f
1:	movq	P_CURRENT, %rax
	movq	T_KSTACK_TOP(%rax), %rsp
2:	pushq	$UFS_USER_SS
	pushq	exc_frame+56(%rip)
	pushq	exc_frame+48(%rip)
	pushq	$UFS_USER_CS
	pushq	exc_frame+32(%rip)
	pushq	$-1
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	exc_frame+8(%rip)
	push_rest
	cld
	movq	%rsp, %rdi
	movq	exc_frame+16(%rip), %rsi
	movq	exc_frame+24(%rip), %rdx
	movq	exc_frame+0(%rip), %rcx
	movq	%rsp, %rbp			/* C does not depend on alignment here, but the debugger does */
	andq	$-16, %rsp
	call	trap_dispatch
	movq	%rbp, %rsp
	jmp	ret_slow

/* platform_gate(cr3): the only deliberate way to CPL0: load CR3, which also drops stale translations. */
	.globl	platform_gate
platform_gate:
	int3
	.globl	platform_gate_ret
platform_gate_ret:
	ret

/* ---- CPL0 ---- */
	.macro	stub vec, has_error
	.balign	16
	.if	!\has_error
	pushq	$0
	.endif
	pushq	$\vec
	jmp	exc_stub
	.endm

/* Leaves struct ufs_exc_frame complete and goes to exc_entry at CPL3. */
	.balign	16
exc_stub:
	pushq	%rax
	movq	%cr2, %rax
	pushq	%rax
	leaq	exc_return(%rip), %rsp
	iretq

	/* What IRETQ takes: RIP, CS, RFLAGS, RSP, SS. Pushing it would be seven more instructions to emulate. */
	.pushsection .data
	.balign	16
exc_return:
	.quad	exc_entry, UFS_USER_CS, 2, 0, UFS_USER_SS
	.popsection

	.balign	16
	.globl	exc_stubs
exc_stubs:
	stub	0, 0
	stub	1, 0
	stub	2, 0
	stub	3, 0
	stub	4, 0
	stub	5, 0
	stub	6, 0
	stub	7, 0
	stub	8, 1
	stub	9, 0
	stub	10, 1
	stub	11, 1
	stub	12, 1
	stub	13, 1
	stub	14, 1
	stub	15, 0
	stub	16, 0
	stub	17, 1
	stub	18, 0
	stub	19, 0
	stub	20, 0
	stub	21, 1

/* INT3: from platform_gate, load CR3 from RDI; from anywhere else it is the program's own breakpoint. */
	.balign	16
	.globl	exc_stub_bp
exc_stub_bp:
	pushq	%rax
	leaq	platform_gate_ret(%rip), %rax
	cmpq	%rax, 8(%rsp)
	jne	1f
	movq	%rdi, %cr3
	popq	%rax
	iretq
1:	popq	%rax
	pushq	$0
	pushq	$3
	jmp	exc_stub

	.bss
	.balign	64
	.globl	boot_stack
boot_stack:
	.skip	16384
	.globl	boot_stack_top
boot_stack_top:
