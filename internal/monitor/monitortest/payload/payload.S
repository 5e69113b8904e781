/* SPDX-License-Identifier: Apache-2.0 */
/*
 * payload.S: a guest that is as small as can be, for the suite that each monitor passes.
 *
 * It has the shape of a library OS. What it does stands in the boot block: uid is the number of the test, gid a
 * parameter. Results go to NOTES, an unused part of the shared area; the layout is in payload.go.
 */
#include "unifaas_abi.h"

#define NOTES (UFS_SHARED_VA + 0x140000)
#define NOTE_COUNT 0    /* exceptions and preemptions so far */
#define NOTE_FRAME 8    /* struct ufs_exc_frame of the last */
#define NOTE_REGS 80    /* rbx rcx rdx rsi rdi rbp r8 .. r15 of the last */
#define NOTE_DATA 256   /* the test's own */

	/* Ring a doorbell: offset, value in eax. */
	.macro BELL off
	movabs	$UFS_DOORBELL_VA, %r15
	movl	%eax, \off(%r15)
	.endm
	.macro EXIT
	BELL	UFS_BELL_EXIT
1:	jmp	1b
	.endm
	/* End with exit status \code. */
	.macro STATUS code
	movl	$(\code << 8), %eax
	EXIT
	.endm

	.section .header, "a"
	.long	UFS_ABI_MAGIC, UFS_ABI_VERSION
	.quad	entry, exc_entry, lstar, text_start, text_end, gdt, idt, tss, exc_frame, boot_tables - 0x600000000000, boot_end - 0x600000000000

	.text
	.globl	entry
entry:
	lea	stack_top(%rip), %rsp
	movabs	$NOTES, %r14
	movabs	$UFS_SHARED_VA + UFS_BOOT_OFF, %r13
	movl	60(%r13), %ebx          /* uid */
	movl	64(%r13), %r12d         /* gid */
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, NOTE_DATA(%r14)
	cmp	$(table_end - table) / 8, %ebx
	jae	bad
	lea	table(%rip), %rax
	jmp	*(%rax,%rbx,8)
bad:	movl	$UFS_PANIC_BOOT, %eax
	BELL	UFS_BELL_PANIC
1:	jmp	1b

	/* ---- exceptions: as the library OS handles them ---- */
	.macro STUB n, err
	.balign	16
	.if	\err == 0
	push	$0
	.endif
	push	$\n
	jmp	stub_common
	.endm
	.balign	16
stubs:
	.irp	n, 0,1,2,3,4,5,6,7
	STUB	\n, 0
	.endr
	STUB	8, 1
	STUB	9, 0
	.irp	n, 10,11,12,13,14
	STUB	\n, 1
	.endr
	.irp	n, 15,16
	STUB	\n, 0
	.endr
	STUB	17, 1
	.irp	n, 18,19,20
	STUB	\n, 0
	.endr
	STUB	21, 1
	.irp	n, 22,23,24,25,26,27,28,29,30,31
	STUB	\n, 0
	.endr
stub_common:
	push	%rax
	mov	%cr2, %rax
	push	%rax
	push	$UFS_USER_SS
	push	$0
	push	$0x202
	push	$UFS_USER_CS
	push	exc_target(%rip)
	iretq

exc_entry:
	cmpl	$0, faulting(%rip)
	jne	fault_again
	movabs	$NOTES, %rax
	mov	%rbx, NOTE_REGS+0(%rax)
	mov	%rcx, NOTE_REGS+8(%rax)
	mov	%rdx, NOTE_REGS+16(%rax)
	mov	%rsi, NOTE_REGS+24(%rax)
	mov	%rdi, NOTE_REGS+32(%rax)
	mov	%rbp, NOTE_REGS+40(%rax)
	mov	%r8, NOTE_REGS+48(%rax)
	mov	%r9, NOTE_REGS+56(%rax)
	mov	%r10, NOTE_REGS+64(%rax)
	mov	%r11, NOTE_REGS+72(%rax)
	mov	%r12, NOTE_REGS+80(%rax)
	mov	%r13, NOTE_REGS+88(%rax)
	mov	%r14, NOTE_REGS+96(%rax)
	mov	%r15, NOTE_REGS+104(%rax)
	movdqu	exc_frame(%rip), %xmm15
	movdqu	%xmm15, NOTE_FRAME+0(%rax)
	movdqu	exc_frame+16(%rip), %xmm15
	movdqu	%xmm15, NOTE_FRAME+16(%rax)
	movdqu	exc_frame+32(%rip), %xmm15
	movdqu	%xmm15, NOTE_FRAME+32(%rax)
	movdqu	exc_frame+48(%rip), %xmm15
	movdqu	%xmm15, NOTE_FRAME+48(%rax)
	mov	exc_frame+64(%rip), %rsp     /* RSP is free to use here */
	mov	%rsp, NOTE_FRAME+64(%rax)
	incq	NOTE_COUNT(%rax)
	decq	resume(%rip)
	js	1f
	/* Back to where it was, at CPL3 all the way. */
	mov	exc_frame+8(%rip), %rax
	lea	exc_frame+32(%rip), %rsp
	iretq
1:	mov	exc_frame+16(%rip), %eax   /* status: the vector */
	shl	$8, %eax
	EXIT

	/* For t_faults. RAX and RSP are free to use. Nothing may have happened inside of the library OS. */
fault_again:
	mov	exc_frame+32(%rip), %rax
	lea	text_end(%rip), %rsp
	cmp	%rsp, %rax
	jb	3f
	movabs	$NOTES, %rax
	cmpl	$14, exc_frame+16(%rip)
	jne	1f
	incq	NOTE_DATA+8(%rax)
	addq	$6, exc_frame+32(%rip)     /* the instruction is 6 bytes long */
	jmp	2f
1:	cmpl	$UFS_VEC_PREEMPT, exc_frame+16(%rip)
	jne	3f
	incq	NOTE_COUNT(%rax)
	decq	resume(%rip)
	jns	2f
	STATUS	0
2:	mov	exc_frame+8(%rip), %rax
	lea	exc_frame+32(%rip), %rsp
	iretq
3:	STATUS	1

	/* SYSCALL: at CPL0 on real KVM, at CPL3 elsewhere. Notes where it came from and goes back. */
lstar:
	mov	%cs, %rdx
	mov	%rsp, %rbx
	lea	exc_stack_top(%rip), %rsp
	push	$UFS_USER_SS
	push	%rbx
	push	%r11
	push	$UFS_USER_CS
	push	%rcx
	iretq

	/* ---- tests ---- */
t_exit:	mov	%r12d, %eax
	EXIT

t_bells:
	BELL	UFS_BELL_QUEUE
	mov	%r12d, %eax
	BELL	UFS_BELL_IDLE
	BELL	UFS_BELL_QUEUE
	STATUS	7

t_loop:	jmp	t_loop

	/* A report with an escape character in it, which must not reach a terminal. */
t_panic:
	call	write_report
	mov	%r12d, %eax
	BELL	UFS_BELL_PANIC
1:	jmp	1b

t_oom:	call	write_report
	BELL	UFS_BELL_OOM
1:	jmp	1b

write_report:
	movabs	$UFS_SHARED_VA + UFS_REPORT_OFF, %rdi
	movl	$0x1b6f6f62, (%rdi)          /* "boo", escape */
	movl	$0, 4(%rdi)
	ret

	/* Known values everywhere, then an endless loop that counts as program. gid: how often to resume. */
t_preempt:
	mov	%r12, resume(%rip)
	jmp	program_loop

	/* A program that does nothing but fault, preempted meanwhile. gid: how often. */
t_faults:
	call	fill_idt
	mov	%r12, resume(%rip)
	movl	$1, faulting(%rip)
	mov	$0x7000000, %esi
	jmp	program_faults

	/* A program that made itself CPL0: it owns the descriptor tables. gid says what it does there. */
t_kernel:
	cmp	$(deeds_end - deeds) / 8, %r12d
	jae	bad
	call	fill_idt
	lea	deeds(%rip), %rsi
	mov	(%rsi,%r12,8), %rsi
	lea	idt(%rip), %rdi            /* INT3's gate leads to the deed */
	mov	%esi, %edx
	and	$0xffff, %edx
	or	$UFS_KERNEL_CS << 16, %edx
	movl	%edx, 48(%rdi)
	mov	%esi, %edx
	and	$0xffff0000, %edx
	or	$0xee01, %edx
	movl	%edx, 52(%rdi)
	int3

k_hlt:	hlt
k_cli:	cli
	hlt
k_loop:	cli
1:	jmp	1b
k_out:	out	%al, $0x80
1:	jmp	1b
k_in:	in	$0x60, %al
1:	jmp	1b
k_pvmsr: mov	$0x4b564d01, %ecx          /* KVM's own registers: clock, steal time, async faults */
	movabs	$UFS_SHARED_GPA, %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	or	$1, %eax
	wrmsr
	mov	$0x4b564d03, %ecx
	wrmsr
	mov	$0x4b564d02, %ecx
	wrmsr
1:	jmp	1b
k_msr:	mov	$0xc0000080, %ecx          /* EFER to nonsense */
	mov	$-1, %eax
	mov	$-1, %edx
	wrmsr
1:	jmp	1b
k_vmcall: mov	$5, %eax
	vmcall
	mov	$9, %eax
	vmmcall
1:	jmp	1b
k_cr0:	xor	%eax, %eax                 /* paging off */
	mov	%rax, %cr0
1:	jmp	1b
k_cr3:	movabs	$0xfffffffff000, %rax
	mov	%rax, %cr3
1:	jmp	1b
k_cr4:	xor	%eax, %eax
	mov	%rax, %cr4
1:	jmp	1b
k_cr8:	mov	$15, %eax
	mov	%rax, %cr8
1:	jmp	1b
k_gdt:	lea	1b(%rip), %rax
	lgdt	(%rax)
	lidt	(%rax)
	int3
1:	jmp	1b
k_bell:	movabs	$UFS_DOORBELL_VA, %rax     /* the very doorbell: as good as from CPL3 */
	movl	$0x300, UFS_BELL_EXIT(%rax)
1:	jmp	1b
k_dr:	mov	$-1, %eax
	mov	%rax, %dr7
1:	jmp	1b
k_nested: mov	$0xc0000080, %ecx          /* EFER.SVME, then VMRUN; or VMXON */
	rdmsr
	or	$0x1000, %eax
	wrmsr
	xor	%eax, %eax
	vmrun
1:	jmp	1b
k_apic:	mov	$0x1b, %ecx
	mov	$0xfee00d00, %eax
	xor	%edx, %edx
	wrmsr
	mov	$0x830, %ecx
	wrmsr
1:	jmp	1b
k_lstar: mov	$0xc0000082, %ecx          /* a register that is there, a value that could be */
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
1:	jmp	1b
k_stack: xor	%esp, %esp
	movabs	$0x8000000000000000, %rsp
	push	%rax
1:	jmp	1b

	/* In library OS text: only flagged. */
t_flagged:
	movabs	$UFS_SHARED_VA, %rdi
1:	cmpl	$1, (%rdi)
	jne	1b
	STATUS	9

	/* One exception each; gid says which. */
t_exception:
	lea	faults(%rip), %rax
	cmp	$(faults_end - faults) / 8, %r12d
	jae	bad
	call	fill_idt
	mov	$0x1234500, %ebp
	jmp	*(%rax,%r12,8)

	/* The same without any handler: the machine shuts down. */
t_triple:
	lea	faults(%rip), %rax
	cmp	$(faults_end - faults) / 8, %r12d
	jae	bad
	jmp	*(%rax,%r12,8)

	/* SYSCALL from program text, a thousand times; CS of the entry goes to the notes. */
t_syscall:
	jmp	program_syscall

	/* Doorbell stores that no honest guest makes; gid says which. */
t_badbell:
	movabs	$UFS_DOORBELL_VA, %rdi
	cmp	$1, %r12d
	je	2f
	cmp	$2, %r12d
	je	3f
	cmp	$3, %r12d
	je	4f
	cmp	$4, %r12d
	je	5f
	movl	$0, 0x7f8(%rdi)            /* unknown offset */
	STATUS	1
2:	movb	$0, (%rdi)                 /* one byte */
	STATUS	1
3:	movq	$0, (%rdi)                 /* eight bytes */
	STATUS	1
4:	movl	(%rdi), %eax               /* read */
	STATUS	1
5:	movl	$0, 2(%rdi)                /* not aligned */
	STATUS	1

	/* Map guest physical addresses where nothing is, at the program's 4 GiB; gid 0: read, 1: write, 2: run, 3: write the image. */
t_hole:
	movabs	$UFS_PHYS_VA, %rdi
	lea	boot_tables(%rip), %rsi    /* libos data VA = PA + UFS_LIBOS_VA */
	movabs	$UFS_LIBOS_VA, %rax
	sub	%rax, %rsi                 /* PA of the PML4 */
	lea	spare_tables(%rip), %rcx
	sub	%rax, %rcx
	lea	7(%rcx), %rdx
	mov	%rdx, (%rdi,%rsi)          /* PML4[0] */
	movabs	$0xc000000000 | 0xe7, %rdx
	cmp	$3, %r12d
	jne	1f
	movabs	$UFS_IMAGE_GPA | 0xe7, %rdx
1:	lea	0x1007(%rcx), %rax
	mov	%rax, 32(%rdi,%rcx)        /* PDPT[4] */
	mov	%rdx, 0x1000(%rdi,%rcx)    /* PD[0] */
	movabs	$0x100000000, %rsi
	cmp	$0, %r12d
	je	2f
	cmp	$2, %r12d
	je	3f
	movl	$1, (%rsi)
	STATUS	1
2:	movl	(%rsi), %eax
	STATUS	1
3:	jmp	*%rsi

	/* Map 2 MiB of the files area, from gid MiB on, at the program's 4 GiB. Then for ever: a bell, and 4 KiB from the offset that the
	 * tender wrote come into the notes; an odd offset is written to. */
t_files:
	movabs	$UFS_PHYS_VA, %rdi
	lea	boot_tables(%rip), %rsi
	movabs	$UFS_LIBOS_VA, %rax
	sub	%rax, %rsi
	lea	spare_tables(%rip), %rcx
	sub	%rax, %rcx
	lea	7(%rcx), %rdx
	mov	%rdx, (%rdi,%rsi)          /* PML4[0] */
	mov	%r12, %rdx
	shl	$20, %rdx
	movabs	$UFS_FILES_GPA | 0xe7, %rax
	add	%rax, %rdx
	lea	0x1007(%rcx), %rax
	mov	%rax, 32(%rdi,%rcx)        /* PDPT[4] */
	mov	%rdx, 0x1000(%rdi,%rcx)    /* PD[0] */
1:	BELL	UFS_BELL_QUEUE
	movabs	$0x100000000, %rsi
	mov	NOTE_DATA(%r14), %rax
	add	%rax, %rsi
	test	$1, %eax
	jnz	2f
	lea	NOTE_DATA+8(%r14), %rdi
	mov	$4096, %ecx
	rep	movsb
	jmp	1b
2:	movb	$1, (%rsi)
	STATUS	1

	/* Bells for ever. */
t_storm:
1:	BELL	UFS_BELL_QUEUE
	jmp	1b

	/* Nonsense all over the shared area, for ever, with a bell now and then. */
t_scribble:
	mov	NOTE_DATA(%r14), %rax      /* TSC as seed */
	or	$1, %rax
	movabs	$UFS_SHARED_VA, %rdi
1:	mov	$4096, %ecx
2:	mov	%rax, %rdx
	shl	$13, %rdx
	xor	%rdx, %rax
	mov	%rax, %rdx
	shr	$7, %rdx
	xor	%rdx, %rax
	mov	%rax, %rdx
	shl	$17, %rdx
	xor	%rdx, %rax
	mov	%eax, %edx
	and	$0x1ffff8, %edx
	mov	%rax, (%rdi,%rdx)
	and	$0x1f8, %edx               /* and the control page above all */
	mov	%rax, (%rdi,%rdx)
	dec	%ecx
	jnz	2b
	BELL	UFS_BELL_QUEUE
	jmp	1b

	/* Lies in tx_head: gid is added to it, with nothing written. */
t_lie:	movabs	$UFS_SHARED_VA, %rdi
	movslq	%r12d, %rax
	add	%rax, 256(%rdi)
	BELL	UFS_BELL_QUEUE
	jmp	t_loop

	/* Send back every message, until one of type EOF. r8 rx tail, r9 tx head. */
t_echo:	movabs	$UFS_SHARED_VA, %rdi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
1:	cmp	128(%rdi), %r8             /* rx_head */
	jne	2f
	BELL	UFS_BELL_IDLE
	jmp	1b
2:	mov	%r8, %rdx
	and	$UFS_RX_SIZE - 1, %edx
	movl	UFS_RX_OFF(%rdi,%rdx), %ecx
	movzwl	UFS_RX_OFF+4(%rdi,%rdx), %ebp
	add	$16 + 15, %ecx
	and	$~15, %ecx
3:	mov	%r9, %rax                  /* room? */
	sub	320(%rdi), %rax
	add	%rcx, %rax
	cmp	$UFS_TX_SIZE, %rax
	jbe	4f
	BELL	UFS_BELL_QUEUE
	jmp	3b
4:	mov	%r8, %rdx
	and	$UFS_RX_SIZE - 1, %edx
	mov	%r9, %rsi
	and	$UFS_TX_SIZE - 1, %esi
	mov	UFS_RX_OFF(%rdi,%rdx), %rax
	mov	%rax, UFS_TX_OFF(%rdi,%rsi)
	mov	UFS_RX_OFF+8(%rdi,%rdx), %rax
	mov	%rax, UFS_TX_OFF+8(%rdi,%rsi)
	add	$16, %r8
	add	$16, %r9
	sub	$16, %ecx
	jnz	4b
	mov	%r9, 256(%rdi)
	mov	%r8, 192(%rdi)
	cmp	$UFS_MSG_EOF, %ebp
	jne	1b
	BELL	UFS_BELL_QUEUE
	STATUS	0

	/* Touch RAM through the physmap from 4 MiB up to gid MiB, one byte in each 4 KiB; then exit. */
t_touch:
	call	fill_idt
	mov	%r12, %rcx
	shl	$20, %rcx
	movabs	$UFS_PHYS_VA, %rdi
	mov	$0x400000, %eax
1:	movb	$1, (%rdi,%rax)
	add	$4096, %rax
	cmp	%rcx, %rax
	jb	1b
	STATUS	0

	/* First and last page of the image, whose size is in the boot block. */
t_image:
	call	fill_idt
	movabs	$UFS_IMAGE_VA, %rsi
	lea	NOTE_DATA(%r14), %rdi
	mov	$4096, %ecx
	rep	movsb
	movabs	$UFS_IMAGE_VA, %rsi
	add	24(%r13), %rsi
	sub	$4096, %rsi
	mov	$4096, %ecx
	rep	movsb
	STATUS	0

	/* What CPUID leaf gid says, and other things about the CPU. */
t_cpu:	call	fill_idt
	mov	%r12d, %eax
	xor	%ecx, %ecx
	cpuid
	mov	%eax, NOTE_DATA+8(%r14)
	mov	%ebx, NOTE_DATA+12(%r14)
	mov	%ecx, NOTE_DATA+16(%r14)
	mov	%edx, NOTE_DATA+20(%r14)
	xor	%ecx, %ecx
	xgetbv
	mov	%eax, NOTE_DATA+24(%r14)
	mov	%edx, NOTE_DATA+28(%r14)
	pushf
	pop	%rax
	mov	%rax, NOTE_DATA+32(%r14)
	/* FS and GS base and an SSE register over an exit. */
	movabs	$0x123456789abc, %rax
	wrfsbase %rax
	not	%eax
	wrgsbase %rax
	movq	%rax, %xmm7
	BELL	UFS_BELL_QUEUE
	rdfsbase %rax
	mov	%rax, NOTE_DATA+40(%r14)
	rdgsbase %rax
	mov	%rax, NOTE_DATA+48(%r14)
	movq	%xmm7, NOTE_DATA+56(%r14)
	mov	%cs, %rax
	mov	%rax, NOTE_DATA+64(%r14)
	rdtscp
	mov	%rcx, NOTE_DATA+72(%r14)
	STATUS	0

	/* Time: pairs of clock page and TSC for ever, the smallest step between two readings kept. */
t_clock:
	movabs	$UFS_SHARED_VA + UFS_CLOCK_OFF, %rdi
	xor	%ebp, %ebp
1:	movl	(%rdi), %r8d
	test	$1, %r8d
	jnz	1b
	lfence
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	sub	8(%rdi), %rax
	mulq	16(%rdi)
	movl	4(%rdi), %ecx
	shrd	%cl, %rdx, %rax
	add	56(%rdi), %rax
	cmpl	(%rdi), %r8d
	jne	1b
	cmp	%rbp, %rax
	jb	2f
	mov	%rax, %rbp
	mov	%rax, NOTE_DATA+8(%r14)
	jmp	1b
2:	STATUS	1

	/* Registers of all kinds from IN, an idle doorbell, what they are then to OUT, a queue doorbell; for ever. gid is the doorbell's value.
	 * IN: 16 registers (the eighth, RSP's place, too; RAX and R15 are the bell's), at 128 flags, FS base, GS base; at 256 double,
	 * control word of the x87, MXCSR at 268; at 512 sixteen of 32 bytes. OUT: the registers, at 128 flags, FS base, GS base, CS, DS, ES, FS, GS;
	 * at 512 FXSAVE, at 1024 sixteen of 32 bytes. NOTE_DATA says whether there is AVX. */
#define IN (NOTES + 0x1000)
#define OUT (NOTES + 0x2000)
t_state:
	movl	%r12d, NOTE_DATA+8(%r14)
	xor	%ecx, %ecx
	xgetbv
	and	$4, %eax
	movl	%eax, NOTE_DATA(%r14)
	movabs	$IN, %rdi
	mov	$UFS_USER_SS, %eax
	mov	%eax, %ds
	xor	%eax, %eax
	mov	%eax, %es
	mov	%eax, %fs
	mov	$UFS_USER_SS, %eax
	mov	%eax, %gs
	fninit
	fldl	256(%rdi)
	fldcw	264(%rdi)
	ldmxcsr	268(%rdi)
	mov	136(%rdi), %rax
	wrfsbase %rax
	mov	144(%rdi), %rax
	wrgsbase %rax
	cmpl	$0, NOTE_DATA(%r14)
	je	1f
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovdqu	512+32*\n(%rdi), %ymm\n
	.endr
	jmp	2f
1:	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movdqu	512+32*\n(%rdi), %xmm\n
	.endr
2:	lea	stack_top(%rip), %rsp
	push	128(%rdi)
	popf
	movl	NOTE_DATA+8(%r14), %eax
	mov	8(%rdi), %rbx
	mov	16(%rdi), %rcx
	mov	24(%rdi), %rdx
	mov	32(%rdi), %rsi
	mov	48(%rdi), %rbp
	mov	56(%rdi), %rsp
	mov	64(%rdi), %r8
	mov	72(%rdi), %r9
	mov	80(%rdi), %r10
	mov	88(%rdi), %r11
	mov	96(%rdi), %r12
	mov	104(%rdi), %r13
	mov	112(%rdi), %r14
	movabs	$UFS_DOORBELL_VA, %r15
	mov	40(%rdi), %rdi
	movl	%eax, UFS_BELL_IDLE(%r15)
	movabs	%rax, OUT
	movabs	$OUT, %rax
	mov	%rbx, 8(%rax)
	mov	%rcx, 16(%rax)
	mov	%rdx, 24(%rax)
	mov	%rsi, 32(%rax)
	mov	%rdi, 40(%rax)
	mov	%rbp, 48(%rax)
	mov	%rsp, 56(%rax)
	mov	%r8, 64(%rax)
	mov	%r9, 72(%rax)
	mov	%r10, 80(%rax)
	mov	%r11, 88(%rax)
	mov	%r12, 96(%rax)
	mov	%r13, 104(%rax)
	mov	%r14, 112(%rax)
	mov	%r15, 120(%rax)
	lea	stack_top(%rip), %rsp
	pushf
	pop	128(%rax)
	rdfsbase %rbx
	mov	%rbx, 136(%rax)
	rdgsbase %rbx
	mov	%rbx, 144(%rax)
	mov	%cs, 152(%rax)
	mov	%ds, 154(%rax)
	mov	%es, 156(%rax)
	mov	%fs, 158(%rax)
	mov	%gs, 160(%rax)
	fxsave64 512(%rax)
	movabs	$NOTES, %r14
	cmpl	$0, NOTE_DATA(%r14)
	je	1f
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovdqu	%ymm\n, 1024+32*\n(%rax)
	.endr
1:	push	$0x202
	popf
	BELL	UFS_BELL_QUEUE
	movl	NOTE_DATA+8(%r14), %r12d
	jmp	t_state

	/* The first gate leads to CPL0 code that loads CR3 from RDI: INT3, with what RAX says there. Keeps RAX and RDI. */
gate_cr3:
	call	fill_idt
	push	%rdi
	lea	set_cr3(%rip), %rsi
	lea	idt(%rip), %rdi
	mov	%esi, %edx
	and	$0xffff, %edx
	or	$UFS_KERNEL_CS << 16, %edx
	movl	%edx, 48(%rdi)
	mov	%esi, %edx
	and	$0xffff0000, %edx
	or	$0xee01, %edx
	movl	%edx, 52(%rdi)
	pop	%rdi
	ret
set_cr3:
	mov	%rdi, %cr3
	iretq

	/* Tables of its own in use: a second PML4, where the physmap is at 512 GiB too. Idle; then read there. */
t_cr3:	call	gate_cr3
	lea	boot_tables(%rip), %rsi
	lea	spare_tables(%rip), %rdi
	mov	$512, %ecx
	rep	movsq
	lea	spare_tables(%rip), %rdi
	movabs	$UFS_PHYS_VA, %rax
	shr	$39, %rax
	mov	(%rdi,%rax,8), %rdx
	mov	%rdx, 8(%rdi)
	movabs	$UFS_LIBOS_VA, %rax
	sub	%rax, %rdi
	int3
1:	xor	%eax, %eax
	BELL	UFS_BELL_IDLE
	movabs	$0x8000800000, %rsi        /* RAM 8 MiB */
	mov	(%rsi), %rax
	mov	%rax, NOTE_DATA(%r14)
	BELL	UFS_BELL_QUEUE
	jmp	1b

	/* Idle; then at CPL0, if the tender wrote 1: what only that can do to the CPU; if it wrote 0: DR0 and DR3 to the notes. XCR0 goes there in both cases.
	 * Then bells for ever after the one, system calls after the other. */
t_taint:
	call	gate_cr3
	lea	taint(%rip), %rsi
	lea	idt(%rip), %rdi
	movw	%si, 48(%rdi)
	shr	$16, %esi
	movw	%si, 54(%rdi)
	xor	%eax, %eax
	BELL	UFS_BELL_IDLE
	int3
	xor	%ecx, %ecx
	xgetbv
	mov	%eax, NOTE_DATA+24(%r14)
	cmpl	$0, NOTE_DATA(%r14)
	je	program_syscall
1:	BELL	UFS_BELL_QUEUE
	jmp	1b
taint:	cmpl	$0, NOTE_DATA(%r14)
	je	1f
	lea	program_syscall(%rip), %rax
	mov	%rax, %dr0
	mov	%rax, %dr3                 /* but not DR7: QEMU's TCG gets entangled when it changes between machines */
	xor	%ecx, %ecx                 /* XCR0: the x87 only */
	mov	$1, %eax
	xor	%edx, %edx
	xsetbv
	iretq
1:	mov	%dr0, %rax
	mov	%rax, NOTE_DATA+32(%r14)
	mov	%dr3, %rax
	mov	%rax, NOTE_DATA+40(%r14)
	iretq

	/* RAM from gid MiB on at the program's 4 GiB, in a page table whose address goes to the notes. Then for ever: what is there goes to
	 * the notes, a bell, and if the tender wrote an entry, that is stored and CR3 loaded. */
t_remap:
	call	gate_cr3
	lea	boot_tables(%rip), %r8
	lea	spare_tables(%rip), %r9
	movabs	$UFS_LIBOS_VA, %rax
	mov	%r9, %rcx
	sub	%rax, %rcx
	lea	0x67(%rcx), %rdx
	mov	%rdx, (%r8)                /* PML4[0] */
	lea	0x1067(%rcx), %rdx
	mov	%rdx, 32(%r9)              /* PDPT[4] */
	mov	%r12, %rdx
	shl	$20, %rdx
	or	$0xe7, %rdx
	mov	%rdx, 0x1000(%r9)          /* PD[0] */
	mov	%r8, %rdi
	sub	%rax, %rdi
	int3
	add	$0x1000, %rcx
	mov	%rcx, NOTE_DATA+8(%r14)
	movabs	$0x100000000, %rbp
1:	mov	(%rbp), %rax
	mov	%rax, NOTE_DATA(%r14)
	BELL	UFS_BELL_QUEUE
	mov	NOTE_DATA+16(%r14), %rdx
	test	%rdx, %rdx
	jz	1b
	mov	%rdx, 0x1000(%r9)
	movq	$0, NOTE_DATA+16(%r14)
	int3
	jmp	1b

	/* For ever: a bell, then a byte in each page of RAM that the tender names: count, numbers from IN on. Through the physmap. */
t_write:
	movabs	$UFS_PHYS_VA, %rdi
1:	BELL	UFS_BELL_QUEUE
	movabs	$IN, %rsi
	mov	(%rsi), %rcx
2:	test	%rcx, %rcx
	jz	1b
	mov	(%rsi,%rcx,8), %rdx
	shl	$12, %rdx
	incb	(%rdi,%rdx)
	dec	%rcx
	jmp	2b

	/* For ever: a bell, then a byte read from each page of RAM from the one that the tender names up to the other. */
t_read:	movabs	$UFS_PHYS_VA, %rdi
1:	BELL	UFS_BELL_QUEUE
	movabs	$IN, %rsi
	mov	(%rsi), %rcx
	mov	8(%rsi), %rdx
	xor	%ebp, %ebp
2:	cmp	%rdx, %rcx
	jae	1b
	mov	%rcx, %rax
	shl	$12, %rax
	movzbl	(%rdi,%rax), %eax
	add	%rax, %rbp
	inc	%rcx
	jmp	2b

	.balign 8
table:	.quad	t_exit, t_bells, t_loop, t_panic, t_oom, t_preempt, t_flagged, t_exception
	.quad	t_triple, t_syscall, t_badbell, t_hole, t_storm, t_scribble, t_lie, t_echo
	.quad	t_touch, t_image, t_cpu, t_clock, t_faults, t_kernel, t_files
	.quad	t_state, t_cr3, t_remap, t_write, t_read, t_taint
table_end:
faults:	.quad	f_ud2, f_hlt, f_cr3, f_out, f_jump, f_write, f_text, f_int3, f_div, f_rdmsr, f_noncanon, f_cli
faults_end:
deeds:	.quad	k_hlt, k_cli, k_loop, k_out, k_in, k_pvmsr, k_msr, k_vmcall, k_cr0, k_cr3, k_cr4, k_cr8
	.quad	k_gdt, k_bell, k_dr, k_nested, k_apic, k_stack, k_lstar
deeds_end:
exc_target: .quad exc_entry

f_ud2:	ud2
f_hlt:	hlt
f_cr3:	mov	%rax, %cr3
f_out:	out	%al, $0x80
f_jump:	mov	$0x7000, %eax
	jmp	*%rax
f_write: movabs	$0x7000000, %rax
	movl	$1, (%rax)
f_text:	lea	entry(%rip), %rax
	movl	$1, (%rax)
f_int3:	int3
f_div:	xor	%eax, %eax
	cltd
	div	%eax
f_rdmsr: rdmsr
f_noncanon: movabs $0x8000000000000000, %rax
	movl	(%rax), %eax
f_cli:	cli

	/* Gates for the 32 exceptions to their stubs: DPL 3 for INT3 only, IST 1. Keeps RAX. */
fill_idt:
	push	%rax
	lea	idt(%rip), %rdi
	lea	stubs(%rip), %rsi
	xor	%ecx, %ecx
1:	mov	%rsi, %rdx
	and	$0xffff, %edx
	or	$UFS_KERNEL_CS << 16, %edx
	movl	%edx, (%rdi)
	mov	%esi, %edx
	and	$0xffff0000, %edx
	or	$0x8e01, %edx
	cmp	$3, %ecx
	jne	2f
	or	$0x6000, %edx
2:	movl	%edx, 4(%rdi)
	mov	%rsi, %rdx
	shr	$32, %rdx
	mov	%rdx, 8(%rdi)
	add	$16, %rsi
	add	$16, %rdi
	inc	%ecx
	cmp	$32, %ecx
	jb	1b
	pop	%rax
	ret

	/* ---- what counts as program: behind text_end ---- */
	.section .program, "ax"
program_loop:
	mov	$0x1001, %eax
	mov	$0x1002, %ebx
	mov	$0x1003, %ecx
	mov	$0x1004, %edx
	mov	$0x1005, %esi
	mov	$0x1006, %edi
	mov	$0x1007, %ebp
	mov	$0x1008, %r8d
	mov	$0x1009, %r9d
	mov	$0x100a, %r10d
	mov	$0x100b, %r11d
	mov	$0x100c, %r12d
	mov	$0x100d, %r13d
	mov	$0x100e, %r14d
	mov	$0x100f, %r15d
	mov	$0x1010, %esp
	stc
	std
1:	jmp	1b

program_faults:
	movl	$1, (%rsi)
	mov	$20000, %ecx
1:	dec	%ecx
	jnz	1b
	jmp	program_faults

program_syscall:
	mov	$1000, %r13d
1:	std
	stc
	syscall
	jnc	2f                         /* flags must come back */
	dec	%r13d
	jnz	1b
	mov	%rdx, NOTE_DATA+8(%r14)
	mov	%cs, %rax
	mov	%rax, NOTE_DATA+16(%r14)
	cld
	STATUS	0
2:	STATUS	1

	.data
	.balign	64
gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0, 0x00cff3000000ffff, 0x00affb000000ffff, 0x0000890000000067, 0
	.balign	64
tss:	.long	0
	.quad	exc_stack_top, 0, 0, 0, exc_stack_top, 0, 0, 0, 0, 0, 0, 0
	.word	0, 0x68
	.balign	64
resume:	.quad	0
faulting: .quad	0
	.balign	4096
idt:	.fill	512, 8, 0
	.balign	64
	.fill	504, 1, 0
exc_frame:
	.fill	72, 1, 0
	.balign	16
exc_stack_top:
	.fill	4096, 1, 0
stack_top:
	.balign	4096
spare_tables:
	.fill	8192, 1, 0
boot_tables:
	.fill	UFS_BOOT_TABLES * 4096, 1, 0
boot_end:
