/* SPDX-License-Identifier: Apache-2.0 */
/* vdso_blob.S: the vDSO, built from guest/vdso, as bytes, with the address it makes system calls at. */
	.section .rodata
	.balign	16
	.globl	vdso_start, vdso_end
vdso_start:
	.incbin	"guest/vdso/vdso.so", 0, 8
	.quad	syscall_entry
	.incbin	"guest/vdso/vdso.so", 16, 24
	.quad	0 /* without section headers: e_shoff, */
	.incbin	"guest/vdso/vdso.so", 48, 12
	.long	0 /* e_shnum, e_shstrndx */
	.incbin	"guest/vdso/vdso.so", 64
vdso_end:
