/* SPDX-License-Identifier: Apache-2.0 */
/* vdso_blob.S: the vDSO, built from guest/vdso, as bytes. */
	.section .rodata
	.balign	16
	.globl	vdso_start, vdso_end
vdso_start:
	.incbin	"guest/vdso/vdso.so"
vdso_end:
