/* SPDX-License-Identifier: Apache-2.0 */
/* switch.S: change of thread. Offsets of struct thread are those in include/proc.h. */
#define T_KSP		0
#define T_KSTACK_TOP	8
#define T_FSBASE	16
#define T_GSBASE	24
#define T_XSAVE		32
#define T_STATE		40
#define T_FLAGS		44
#define T_DEAD		3
#define TF_FRESH	1

	.text
/* platform_switch(prev RDI, next RSI): returns on next's stack, when somebody switches back on prev's. */
	.globl	platform_switch
platform_switch:
	cmpl	$T_DEAD, T_STATE(%rdi)
	je	1f
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, T_KSP(%rdi)
	movq	T_XSAVE(%rdi), %rcx
	testq	%rcx, %rcx
	jz	1f			/* a thread of the libos has no program state */
	rdfsbase %rax
	movq	%rax, T_FSBASE(%rdi)
	rdgsbase %rax
	movq	%rax, T_GSBASE(%rdi)
	movl	xsave_mask(%rip), %eax
	movl	xsave_mask+4(%rip), %edx
	cmpb	$0, has_xsaveopt(%rip)
	je	5f
	xsaveopt64 (%rcx)
	jmp	1f
5:	xsave64	(%rcx)
1:	movq	%rsi, percpu(%rip)
	movq	T_XSAVE(%rsi), %rcx
	testq	%rcx, %rcx
	jz	2f
	movq	T_FSBASE(%rsi), %rax
	wrfsbase %rax
	movq	T_GSBASE(%rsi), %rax
	wrgsbase %rax
	movl	xsave_mask(%rip), %eax
	movl	xsave_mask+4(%rip), %edx
	xrstor64 (%rcx)
2:	testl	$TF_FRESH, T_FLAGS(%rsi)
	jnz	3f
	movq	T_KSP(%rsi), %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
3:	andl	$~TF_FRESH, T_FLAGS(%rsi)
	movq	T_KSP(%rsi), %rsp	/* set up by platform_thread_init() */
	popq	%rax			/* entry */
	popq	%rdi			/* its argument */
	xorl	%ebp, %ebp
	call	*%rax
	ud2
