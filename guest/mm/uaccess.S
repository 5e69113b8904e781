/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uaccess.S: the only instructions of the libos that touch the program's memory.
 *
 * All lie between uaccess_start and uaccess_end. When a fault at an RIP in there cannot be resolved, the trap handler
 * sets RIP to uaccess_fixup, nothing else. The code here never moves RSP, and wherever it may fault RCX holds what the
 * fixup returns in RAX: bytes left (never 0). RDI, RSI, RDX, R8 are free to be lost. DF is clear.
 */
	.text
	.globl	uaccess_start, uaccess_end, uaccess_fixup
	.hidden	uaccess_start, uaccess_end, uaccess_fixup
	.macro	func name
	.balign	16
	.globl	\name
	.hidden	\name
	.type	\name, @function
\name:
	.endm

uaccess_start:

/* u64 uaccess_copy(void *dst, const void *src, u64 n): bytes not copied */
func uaccess_copy
	mov	%rdx, %rcx
	cmp	$8, %rdx
	je	8f
	cmp	$4, %rdx
	je	4f
	cmp	$16, %rdx
	je	6f
	rep	movsb
	xor	%eax, %eax
	ret
4:	mov	(%rsi), %eax
	mov	%eax, (%rdi)
	xor	%eax, %eax
	ret
8:	mov	(%rsi), %rax
	mov	%rax, (%rdi)
	xor	%eax, %eax
	ret
6:	mov	(%rsi), %rax
	mov	8(%rsi), %r8
	mov	%rax, (%rdi)
	mov	%r8, 8(%rdi)
	xor	%eax, %eax
	ret

/* u64 uaccess_zero(void *dst, u64 n): bytes not zeroed */
func uaccess_zero
	mov	%rsi, %rcx
	xor	%eax, %eax
	rep	stosb
	ret

/* u64 uaccess_cmpxchg32(u32 *uaddr, u32 expect, u32 desired, u32 *old): not 0 if the word cannot be accessed */
func uaccess_cmpxchg32
	mov	%rcx, %r8
	mov	$4, %ecx
	mov	%esi, %eax
	lock cmpxchg %edx, (%rdi)
	mov	%eax, (%r8)
	xor	%eax, %eax
	ret

uaccess_end:

/* Stack as at the call: straight back to the caller with what is left. */
uaccess_fixup:
	mov	%rcx, %rax
	ret

	.section .note.GNU-stack, "", @progbits
