/* SPDX-License-Identifier: Apache-2.0 */
/* insn_test.c: lengths and starts of all instructions of a real program, as objdump prints them; bytes at random; immediates. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../proc/insn.h"

static unsigned failures;

static void fail(const char *what, const char *detail)
{
	if (failures++ < 20)
		printf("insn_test: %s: %s", what, detail);
}

/* The bytes of one line of `objdump -d -w`; 0 if it has none. */
static unsigned line_bytes(const char *line, u8 *buf)
{
	const char *p = strchr(line, '\t');
	unsigned n = 0;
	if (line[0] != ' ' || !p || strstr(line, "(bad)") || strstr(line, "\trex"))
		return 0;
	for (p++; n < 16; p += 3) {
		char *end;
		if (!isxdigit((unsigned char)*p))
			break;
		long v = strtol(p, &end, 16);
		if (end != p + 2)
			break;
		buf[n++] = v;
		if (*end != ' ' || end[1] == ' ')
			break;
	}
	return n;
}

static void disassembly(const char *file)
{
	static u8 code[8 << 20];
	static u32 start[2 << 20];
	char line[1024], cmd[512];
	size_t len = 0, count = 0, missed = 0, wrong = 0;
	snprintf(cmd, sizeof(cmd), "objdump -d -w -j .text %s", file);
	FILE *f = popen(cmd, "r");
	while (f && fgets(line, sizeof(line), f)) {
		u8 buf[32];
		unsigned n = line_bytes(line, buf);
		if (!n || len + n + 16 > sizeof(code))
			continue;
		memset(buf + n, 0x90, sizeof(buf) - n);
		if (insn_len(buf, 15) != n)
			fail("length", line);
		memcpy(code + len, buf, n);
		start[count++] = len;
		len += n;
	}
	if (!f || pclose(f) || count < 2000)
		fail("objdump", file);
	/* Starts must be found nearly always, and places inside of instructions hardly ever. */
	for (size_t i = 20; i + 1 < count; i++) {
		missed += !insn_starts(code, len, start[i]);
		if (start[i + 1] - start[i] > 4)
			wrong += insn_starts(code, len, start[i] + 2);
	}
	printf("insn_test: %zu instructions, %zu starts missed, %zu taken wrongly\n", count, missed, wrong);
	if (missed * 50 > count || wrong * 1000 > count)
		fail("starts", "too often wrong\n");
}

static void immediates(void)
{
	/* push %rbx; movabs $0xc3050f00000066b8,%rax; mov %rax,(%rdi); pop %rbx; ret, many times over: no system call in there. */
	static const u8 body[] = { 0x53, 0x48, 0xb8, 0xb8, 0x66, 0, 0, 0, 0x0f, 0x05, 0xc3, 0x48, 0x89, 0x07, 0x5b, 0xc3 };
	u8 code[16 * sizeof(body)];
	for (unsigned i = 0; i < 16; i++)
		memcpy(code + i * sizeof(body), body, sizeof(body));
	for (unsigned i = 0; i < 16; i++)
		if (insn_starts(code, sizeof(code), i * sizeof(body) + 3) || insn_starts(code, sizeof(code), i * sizeof(body) + 8))
			fail("immediate", "taken for an instruction\n");
}

static void movable(void)
{
	static const struct { const char *name; u8 b[8]; unsigned len; bool want; } cases[] = {
		{ "cmp $-4095,%rax", { 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff }, 6, true },
		{ "mov %eax,%ebx", { 0x89, 0xc3 }, 2, true },
		{ "mov 8(%rsp),%rax", { 0x48, 0x8b, 0x44, 0x24, 0x08 }, 5, true },
		{ "test %eax,%eax", { 0x85, 0xc0 }, 2, true },
		{ "movzbl %al,%eax", { 0x0f, 0xb6, 0xc0 }, 3, true },
		{ "mov x(%rip),%rax", { 0x48, 0x8b, 0x05, 1, 2, 3, 4 }, 7, false },
		{ "ja", { 0x77, 0x05 }, 2, false },
		{ "jmp", { 0xe9, 1, 2, 3, 4 }, 5, false },
		{ "call", { 0xe8, 1, 2, 3, 4 }, 5, false },
		{ "ret", { 0xc3 }, 1, false },
		{ "syscall", { 0x0f, 0x05 }, 2, false },
		{ "cpuid", { 0x0f, 0xa2 }, 2, false },
		{ "jmp *%rax", { 0xff, 0xe0 }, 2, false },
		{ "push %rax", { 0x50 }, 1, true },
		{ "pop %r12", { 0x41, 0x5c }, 2, true },
		{ "movaps %xmm0,8(%rsp)", { 0x0f, 0x29, 0x44, 0x24, 0x08 }, 5, true },
		{ "cmovbe %r8,%rsi", { 0x49, 0x0f, 0x46, 0xf0 }, 4, true },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		if (insn_movable(cases[i].b, cases[i].len) != cases[i].want)
			fail("movable", cases[i].name);
}

/* What stands at 0x1000 goes to 0x5000. */
static void moved(void)
{
	static const struct { const char *name; u8 b[8]; unsigned len; u8 to[12]; unsigned want; bool ends; } cases[] = {
		{ "mov %eax,%ebx", { 0x89, 0xc3 }, 2, { 0x89, 0xc3 }, 2, false },
		{ "ret", { 0xc3 }, 1, { 0xc3 }, 1, true },
		{ "lea 0x10(%rip),%rsi", { 0x48, 0x8d, 0x35, 0x10, 0, 0, 0 }, 7, { 0x48, 0x8d, 0x35, 0x10, 0xc0, 0xff, 0xff }, 7, false },
		{ "cmpl $1,0x10(%rip)", { 0x83, 0x3d, 0x10, 0, 0, 0, 1 }, 7, { 0x83, 0x3d, 0x10, 0xc0, 0xff, 0xff, 1 }, 7, false },
		{ "jmp .-6", { 0xeb, 0xf8 }, 2, { 0xe9, 0xf5, 0xbf, 0xff, 0xff }, 5, true },
		{ "jmp .+0x105", { 0xe9, 0, 1, 0, 0 }, 5, { 0xe9, 0, 0xc1, 0xff, 0xff }, 5, true },
		{ "ja .+7", { 0x77, 5 }, 2, { 0x0f, 0x87, 1, 0xc0, 0xff, 0xff }, 6, false },
		{ "je .+0x106", { 0x0f, 0x84, 0, 1, 0, 0 }, 6, { 0x0f, 0x84, 0, 0xc1, 0xff, 0xff }, 6, false },
		{ "call", { 0xe8, 0, 0, 0, 0 }, 5, { 0 }, 0, false },
		{ "loop", { 0xe2, 0 }, 2, { 0 }, 0, false },
		{ "jmp *%rax", { 0xff, 0xe0 }, 2, { 0 }, 0, false },
		{ "syscall", { 0x0f, 0x05 }, 2, { 0 }, 0, false },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 out[12];
		bool ends = false;
		unsigned n = insn_move(cases[i].b, cases[i].len, 0x1000, 0x5000, out, &ends);
		if (n != cases[i].want || memcmp(out, cases[i].to, n) || (n && ends != cases[i].ends))
			fail("moved", cases[i].name);
	}
	u8 out[12];
	bool ends;
	if (insn_move((const u8 *)"\xe9\0\0\0\0", 5, 0x1000, 0x100000000000, out, &ends))
		fail("moved", "out of reach");
}

static void nops(void)
{
	static const struct { const char *name; u8 b[8]; unsigned len; bool want; } cases[] = {
		{ "nop", { 0x90 }, 1, true },
		{ "xchg %ax,%ax", { 0x66, 0x90 }, 2, true },
		{ "nopw 0(%rax,%rax,1)", { 0x66, 0x0f, 0x1f, 0x44, 0, 0 }, 6, true },
		{ "nopl (%rax)", { 0x0f, 0x1f, 0x00 }, 3, true },
		{ "ret", { 0xc3 }, 1, false },
		{ "syscall", { 0x0f, 0x05 }, 2, false },
		{ "mov %eax,%ebx", { 0x89, 0xc3 }, 2, false },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		if (insn_nop(cases[i].b, cases[i].len) != cases[i].want)
			fail("nop", cases[i].name);
}

static void random_bytes_only(void)
{
	srand(1);
	for (unsigned i = 0; i < 200000; i++) {
		u8 b[15];
		size_t n = 1 + rand() % 15;
		u8 *exact = malloc(n); /* the sanitizer sees reads past the end */
		for (size_t k = 0; k < n; k++)
			b[k] = rand();
		memcpy(exact, b, n);
		unsigned len = insn_len(exact, n);
		if (len > n)
			fail("random", "longer than what is there\n");
		else if (len)
			insn_move(exact, len, 0x1000, 0x5000, (u8[19]){ 0 }, &(bool){ false });
		free(exact);
	}
}

int main(int argc, char **argv)
{
	disassembly(argc > 1 ? argv[1] : argv[0]);
	immediates();
	movable();
	moved();
	nops();
	random_bytes_only();
	printf("insn_test: %s\n", failures ? "FAIL" : "ok");
	return failures != 0;
}
