/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.S: look at 64 bytes of code at once. The libos owns no vector state, so the registers used are put back: the program, or
 * nobody, notices. Both read 65 bytes at RDI and return a mask in RAX, bit i for byte i.
 */
	.section .rodata.cst, "a"
	.balign	16
c_0f:	.fill	16, 1, 0x0f
c_05:	.fill	16, 1, 0x05
c_a2:	.fill	16, 1, 0xa2
c_e9:	.fill	16, 1, 0xe9
c_f0:	.fill	16, 1, 0xf0
c_80:	.fill	16, 1, 0x80

	.macro	enter
	subq	$56, %rsp
	movdqu	%xmm0, (%rsp)
	movdqu	%xmm1, 16(%rsp)
	movdqu	%xmm2, 32(%rsp)
	xorl	%eax, %eax
	.endm

	.macro	leave_scan
	movdqu	(%rsp), %xmm0
	movdqu	16(%rsp), %xmm1
	movdqu	32(%rsp), %xmm2
	addq	$56, %rsp
	ret
	.endm

	.macro	add_mask at
	pmovmskb %xmm0, %ecx
	.if	\at
	shlq	$\at, %rcx
	.endif
	orq	%rcx, %rax
	.endm

	.text
/* 0f 05 and 0f a2: syscall, cpuid. */
	.globl	scan_sites
scan_sites:
	enter
	.irp	at, 0, 16, 32, 48
	movdqu	\at+1(%rdi), %xmm1
	movdqa	%xmm1, %xmm2
	pcmpeqb	c_05(%rip), %xmm1
	pcmpeqb	c_a2(%rip), %xmm2
	por	%xmm2, %xmm1
	movdqu	\at(%rdi), %xmm0
	pcmpeqb	c_0f(%rip), %xmm0
	pand	%xmm1, %xmm0
	add_mask \at
	.endr
	leave_scan

/* e9 and 0f 8x: near jumps. */
	.globl	scan_jumps
scan_jumps:
	enter
	.irp	at, 0, 16, 32, 48
	movdqu	\at+1(%rdi), %xmm1
	pand	c_f0(%rip), %xmm1
	pcmpeqb	c_80(%rip), %xmm1
	movdqu	\at(%rdi), %xmm0
	movdqa	%xmm0, %xmm2
	pcmpeqb	c_0f(%rip), %xmm0
	pand	%xmm1, %xmm0
	pcmpeqb	c_e9(%rip), %xmm2
	por	%xmm2, %xmm0
	add_mask \at
	.endr
	leave_scan
