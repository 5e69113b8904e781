/* SPDX-License-Identifier: Apache-2.0 */
/* table.S: the handlers of the .def files by number, as distances from the table: half of what pointers take. 0: no such call. */
#include "nr.h"

#define FULL(name) sys_##name
#define PARTIAL(name) sys_##name
#define ABSENT(name) 0
#define PROBED(name) sys_probed
#define SYS(nr, name, state, note) handler_of nr, state(name);

	.altmacro
	.macro	handler_of nr, to
	.ifnc	\to, 0
	.set	handler_\nr, \to
	.hidden	\to
	.endif
	.endm
#include "table.def"

	.macro	entry nr
	.ifdef	handler_\nr
	.long	handler_\nr - syscall_table
	.else
	.long	0
	.endif
	.endm

	.section .rodata
	.balign	4
	.globl	syscall_table
	.hidden	syscall_table
syscall_table:
	.set	nr, 0
	.rept	NR_MAX
	entry	%nr
	.set	nr, nr + 1
	.endr
