/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swap.S: swap_bytes(a RDI, b RSI, n RDX): exchange n bytes, a multiple of 64, both aligned to 16. Lines that are equal already
 * are only read. The libos owns no vector state, so the registers used are put back.
 */
	.text
	.globl	swap_bytes
swap_bytes:
	subq	$136, %rsp
	.irp	r, 0, 1, 2, 3, 4, 5, 6, 7
	movups	%xmm\r, 16*\r(%rsp)
	.endr
1:	movaps	(%rdi), %xmm0
	movaps	16(%rdi), %xmm1
	movaps	32(%rdi), %xmm2
	movaps	48(%rdi), %xmm3
	movaps	(%rsi), %xmm4
	movaps	16(%rsi), %xmm5
	movaps	32(%rsi), %xmm6
	movaps	48(%rsi), %xmm7
	pcmpeqb	%xmm4, %xmm0
	pcmpeqb	%xmm5, %xmm1
	pcmpeqb	%xmm6, %xmm2
	pcmpeqb	%xmm7, %xmm3
	pand	%xmm1, %xmm0
	pand	%xmm3, %xmm2
	pand	%xmm2, %xmm0
	pmovmskb %xmm0, %eax
	cmpl	$0xffff, %eax
	je	2f
	movaps	(%rdi), %xmm0
	movaps	16(%rdi), %xmm1
	movaps	32(%rdi), %xmm2
	movaps	48(%rdi), %xmm3
	movaps	%xmm0, (%rsi)
	movaps	%xmm1, 16(%rsi)
	movaps	%xmm2, 32(%rsi)
	movaps	%xmm3, 48(%rsi)
	movaps	%xmm4, (%rdi)
	movaps	%xmm5, 16(%rdi)
	movaps	%xmm6, 32(%rdi)
	movaps	%xmm7, 48(%rdi)
2:	addq	$64, %rdi
	addq	$64, %rsi
	subq	$64, %rdx
	jnz	1b
	.irp	r, 0, 1, 2, 3, 4, 5, 6, 7
	movups	16*\r(%rsp), %xmm\r
	.endr
	addq	$136, %rsp
	ret
