/* SPDX-License-Identifier: Apache-2.0 */
/* insn.h: lengths of x86-64 instructions. */
#ifndef UFS_INSN_H
#define UFS_INSN_H
#include "ufs.h"
/* Length of the instruction at p, of which n bytes may be read; 0: none that is valid in 64-bit mode, or cut off. */
unsigned insn_len(const u8 *p, size_t n);
/* May the instruction at p of that length stand elsewhere? Conservative: common ones that name neither their own address nor
 * another place in the code. */
bool insn_movable(const u8 *p, unsigned len);
/* Writes the instruction that stands at `from` so that it does the same at `to`: common ones, direct jumps and RET. Bytes written, at
 * most 4 more than len; 0: it cannot be moved. *ends: what follows is not run. */
unsigned insn_move(const u8 *p, unsigned len, u64 from, u64 to, u8 *out, bool *ends);
/* An instruction that does nothing, as compilers pad with. */
bool insn_nop(const u8 *p, unsigned len);
/* Is off in code[0..n) the start of an instruction? Judged by decoding from many places before it: streams of
 * instructions fall into step within a few, so nearly all agree. */
bool insn_starts(const u8 *code, size_t n, size_t off);
#endif
