/* SPDX-License-Identifier: Apache-2.0 */
/* insn.c: lengths of x86-64 instructions (Intel SDM volume 2, chapter 2 and appendix A). */
#include "insn.h"

/* One bit an opcode, 16 a row. */
typedef u16 opmap[16];

static bool in(const opmap m, u8 op)
{
	return m[op >> 4] >> (op & 15) & 1;
}

/* One-byte opcodes. */
static const opmap modrm1 = { 0x0f0f, 0x0f0f, 0x0f0f, 0x0f0f, 0, 0, 0x0a08, 0, 0xfffb, 0, 0, 0, 0x00c3, 0xff0f, 0, 0xc0c0 };
static const opmap imm8_1 = { 0x1010, 0x1010, 0x1010, 0x1010, 0, 0, 0x0c00, 0xffff, 0x0009, 0, 0x0100, 0x00ff, 0x2043, 0, 0x08ff, 0 };
static const opmap immz_1 = { 0x2020, 0x2020, 0x2020, 0x2020, 0, 0, 0x0300, 0, 0x0002, 0, 0x0200, 0, 0x0080, 0, 0x0300, 0 };
static const opmap bad_1 = { 0x40c0, 0xc0c0, 0x8080, 0x8080, 0, 0, 0x0003, 0, 0x0004, 0x0400, 0, 0, 0x4000, 0x0070, 0x0400, 0 };
/* Two-byte opcodes, 0f xx. */
static const opmap plain2 = { 0x4be0, 0, 0, 0x00bf, 0, 0, 0, 0x0080, 0xffff, 0, 0x0707, 0, 0xff00, 0, 0, 0 };
static const opmap imm8_2 = { 0x8000, 0, 0, 0, 0, 0, 0, 0x000f, 0, 0, 0x1010, 0x0400, 0x0074, 0, 0, 0 };
static const opmap bad_2 = { 0x1410, 0, 0x00f0, 0xfa40, 0, 0, 0, 0, 0, 0, 0x00c0, 0, 0, 0, 0, 0 };

struct cursor { const u8 *p, *end; bool cut; };

static u8 next(struct cursor *c)
{
	if (c->p == c->end) {
		c->cut = true;
		return 0;
	}
	return *c->p++;
}

static void skip(struct cursor *c, size_t n)
{
	if ((size_t)(c->end - c->p) < n)
		c->cut = true;
	else
		c->p += n;
}

/* ModRM byte, SIB, displacement; returns the ModRM byte. */
static u8 operand(struct cursor *c)
{
	u8 m = next(c), mod = m >> 6, rm = m & 7;
	if (mod == 3)
		return m;
	bool wide = mod == 2 || (mod == 0 && rm == 5);
	if (rm == 4) {
		u8 sib = next(c);
		wide |= mod == 0 && (sib & 7) == 5;
	}
	skip(c, wide ? 4 : mod);
	return m;
}

/* After VEX or EVEX: opcode, operand, immediate; map 1 is 0f, 2 is 0f 38, 3 is 0f 3a. */
static bool vector(struct cursor *c, unsigned map, bool vex)
{
	u8 op = next(c);
	if (map < 1 || (map > 3 && (vex || map > 6)))
		return false;
	if (map == 1 && op == 0x77 && vex)
		return true;
	operand(c);
	if (map == 3 || (map == 1 && in(imm8_2, op)))
		skip(c, 1);
	return true;
}

static bool two_byte(struct cursor *c)
{
	u8 op = next(c);
	if (op == 0x38 || op == 0x3a) {
		next(c);
		operand(c);
		skip(c, op == 0x3a);
		return true;
	}
	if (in(bad_2, op))
		return false;
	if (!in(plain2, op))
		operand(c);
	if ((op & 0xf0) == 0x80)
		skip(c, 4);
	else if (in(imm8_2, op))
		skip(c, 1);
	return true;
}

static bool one_byte(struct cursor *c, u8 op, bool rex_w, bool opsize, bool addrsize)
{
	size_t immz = opsize && !rex_w ? 2 : 4;
	u8 m = in(modrm1, op) ? operand(c) : 0;
	if ((op & 0xfc) == 0xa0)
		skip(c, addrsize ? 4 : 8);
	else if ((op & 0xf8) == 0xb8)
		skip(c, rex_w ? 8 : immz);
	else if (op == 0xc2 || op == 0xca)
		skip(c, 2);
	else if (op == 0xc8)
		skip(c, 3);
	else if ((op & 0xfe) == 0xf6)
		skip(c, m >> 3 & 6 ? 0 : op == 0xf6 ? 1 : immz);
	else if (op == 0xe8 || op == 0xe9)
		skip(c, 4);
	else if (in(imm8_1, op))
		skip(c, 1);
	else if (in(immz_1, op))
		skip(c, immz);
	return !in(bad_1, op);
}

static bool decode(struct cursor *c)
{
	bool opsize = false, addrsize = false, rex_w = false;
	u8 op;
	for (;;) {
		op = next(c);
		if (op == 0x66)
			opsize = true;
		else if (op == 0x67)
			addrsize = true;
		else if (op != 0xf2 && op != 0xf3 && op != 0xf0 && op != 0x2e && op != 0x36 && op != 0x3e && op != 0x26 && op != 0x64 && op != 0x65)
			break;
		if (c->cut)
			return false;
	}
	if ((op & 0xf0) == 0x40) {
		rex_w = op & 8;
		op = next(c);
	}
	if (op == 0x0f)
		return two_byte(c);
	if (op == 0xc5) {
		next(c);
		return vector(c, 1, true);
	}
	if (op == 0xc4) {
		u8 b = next(c);
		next(c);
		return vector(c, b & 31, true);
	}
	if (op == 0x62) {
		u8 b = next(c);
		skip(c, 2);
		return vector(c, b & 7, false);
	}
	return one_byte(c, op, rex_w, opsize, addrsize);
}

unsigned insn_len(const u8 *p, size_t n)
{
	struct cursor c = { p, p + MIN(n, 15UL), false };
	return decode(&c) && !c.cut ? (unsigned)(c.p - p) : 0;
}

/* Of a common instruction without control flow: 0 if it may stand anywhere, the offset of a displacement relative to its own
 * address; -1: any other instruction. */
static int placing(const u8 *p, unsigned len)
{
	const u8 *start = p, *end = p + len;
	if (p < end && *p == 0x66)
		p++;
	if (p < end && (*p & 0xf0) == 0x40)
		p++;
	if (p + 1 == end)
		return (*p & 0xf0) == 0x50 ? 0 : -1; /* push, pop */
	if (p >= end)
		return -1;
	/* Opcodes with a ModRM operand: arithmetic, mov, lea, test, xchg, shifts; imul, cmov, movzx, movsx, movups, movaps. */
	u8 op = *p++;
	bool alu = op < 0x40 && (op & 7) < 4, alu_imm = op < 0x40 && (op & 6) == 4;
	bool moves = (op >= 0x84 && op <= 0x8b) || op == 0x8d || op == 0x63 || op == 0xc6 || op == 0xc7;
	bool groups = op == 0x80 || op == 0x81 || op == 0x83 || op == 0xc0 || op == 0xc1 || (op & 0xfc) == 0xd0 || op == 0x69 || op == 0x6b;
	if (alu_imm || (op & 0xf8) == 0xb8 || op == 0xa8 || op == 0xa9)
		return 0; /* immediate only */
	if (op == 0x0f) {
		op = *p++;
		if (op != 0xaf && (op & 0xf6) != 0xb6 && (op & 0xf0) != 0x40 && (op & 0xfe) != 0x10 && (op & 0xfe) != 0x28)
			return -1;
	} else if (!alu && !moves && !groups) {
		return -1;
	}
	if (p >= end)
		return -1;
	return (*p & 0xc7) == 0x05 ? p + 1 - start : 0;
}

bool insn_movable(const u8 *p, unsigned len)
{
	return placing(p, len) == 0;
}

static bool put_rel32(u8 *out, u64 from, u64 target)
{
	s64 rel = (s64)(target - from);
	s32 r = (s32)rel;
	memcpy(out, &r, 4);
	return r == rel;
}

/* The displacement of a direct jump of len bytes; its last bytes. */
static s64 jump_disp(const u8 *p, unsigned len, unsigned size)
{
	s32 d;
	if (size == 1)
		return (signed char)p[len - 1];
	memcpy(&d, p + len - 4, 4);
	return d;
}

unsigned insn_move(const u8 *p, unsigned len, u64 from, u64 to, u8 *out, bool *ends)
{
	u64 end = from + len;
	int at = placing(p, len);
	*ends = (len == 1 && *p == 0xc3) || *p == 0xeb || *p == 0xe9;
	if (at >= 0 || *p == 0xc3 || insn_nop(p, len)) {
		s32 d;
		memcpy(out, p, len);
		if (at <= 0)
			return len;
		memcpy(&d, p + at, 4);
		return put_rel32(out + at, to + len, end + d) ? len : 0;
	}
	if ((len == 2 && *p == 0xeb) || (len == 5 && *p == 0xe9)) {
		*out = 0xe9;
		return put_rel32(out + 1, to + 5, end + jump_disp(p, len, len - 1)) ? 5 : 0;
	}
	bool near = len == 6 && p[0] == 0x0f && (p[1] & 0xf0) == 0x80;
	if (!near && !(len == 2 && (*p & 0xf0) == 0x70))
		return 0;
	out[0] = 0x0f;
	out[1] = 0x80 | (p[near] & 15);
	return put_rel32(out + 2, to + 6, end + jump_disp(p, len, near ? 4 : 1)) ? 6 : 0;
}

bool insn_nop(const u8 *p, unsigned len)
{
	const u8 *end = p + len;
	while (p < end && (*p == 0x66 || *p == 0x2e))
		p++;
	if (p < end && *p == 0x90)
		return p + 1 == end;
	return end - p >= 3 && p[0] == 0x0f && p[1] == 0x1f;
}

#define STARTS 12   /* decodings from consecutive bytes, at most */
#define RUN_UP 24   /* the nearest of them begins this far before */
#define ENOUGH 6    /* agree without one that does not: no need for more */

/* Does decoding from at come to off? -1: it comes to padding or data, which says nothing. */
static int arrives(const u8 *code, size_t n, size_t at, size_t off)
{
	while (at < off) {
		unsigned len = insn_len(code + at, n - at);
		if (!len)
			return -1;
		at += len;
	}
	return at == off;
}

bool insn_starts(const u8 *code, size_t n, size_t off)
{
	unsigned hits = 0, misses = 0;
	if (off <= RUN_UP + STARTS)
		return arrives(code, n, 0, off) == 1; /* the only start that is certain */
	for (size_t back = RUN_UP; back < RUN_UP + STARTS; back++) {
		int r = arrives(code, n, off - back, off);
		hits += r == 1;
		misses += r == 0;
		if (hits >= ENOUGH && !misses)
			return true;
		if (misses > STARTS / 4)
			return false;
	}
	return hits >= 3;
}
