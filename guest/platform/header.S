/* SPDX-License-Identifier: Apache-2.0 */
/* header.S: struct ufs_libos_header, version note, GDT, TSS and exception stack. */
#include "../../abi/unifaas_abi.h"

	.section .header, "a"
	.globl	libos_header
libos_header:
	.long	UFS_ABI_MAGIC
	.long	UFS_ABI_VERSION
	.quad	libos_entry
	.quad	exc_entry
	.quad	lstar_entry
	.quad	text_start
	.quad	text_end
	.quad	gdt
	.quad	idt
	.quad	tss
	.quad	exc_frame
	.quad	UFS_TABLES_PA
	.quad	libos_end_pa

	.section .note.unifaas, "a"
	.balign	4
	.long	8, 4, 1
	.asciz	"UniFaaS"
	.long	UFS_ABI_VERSION

	/* Descriptors: 0x08 kernel code, 0x10 kernel data, 0x2b user data, 0x33 user code, 0x38 TSS (in the monitor's hands). */
	.data
	.balign	64
	.globl	gdt
gdt:	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
	.quad	0
	.quad	0
	.quad	0x00cff3000000ffff
	.quad	0x00affb000000ffff
	.quad	0x0000890000000067
	.quad	0

	/* RSP0 and IST1 both point to the exception stack: nothing else ever runs at CPL0. */
	.balign	64
	.globl	tss
tss:	.long	0
	.quad	exc_stack_top		/* 4: RSP0 */
	.quad	exc_stack_top, exc_stack_top
	.quad	0
	.quad	exc_stack_top		/* 36: IST1 */
	.quad	0, 0, 0, 0, 0, 0
	.quad	0
	.word	0, 0x68

	/* Zeros until kvm.c fills them, so they need not be in the file. */
	.bss
	.balign	4096
	.globl	idt
idt:	.skip	4096

	/* The frame lies at the top of the stack; the CPU aligns RSP to 16 before it pushes. */
	.balign	64
	.skip	504			/* exc_frame = 16k + 8, so that its end is aligned */
	.globl	exc_frame
exc_frame:
	.skip	72
	.balign	16
	.globl	exc_stack_top
exc_stack_top:
