/* SPDX-License-Identifier: Apache-2.0 */
/* texttable.c: a table among the code: its bytes stay what they are, also where they look like a system call or CPUID. */
#include "check.h"

__asm__(".text\n"
	".balign 64\n"
	"table:\n"
	".set x, 1\n"
	".rept 65536\n"
	".set x, (x * 1103515245 + 12345) & 0xffffffff\n"
	".long (x ^ (x >> 16) ^ (x << 11)) & 0xffffffff\n"
	".endr\n"
	/* And the same with what could be an instruction before it. */
	".rept 64\n"
	".quad 0x9090909090909090, 0x9090909090909090\n"
	".byte 0x8b, 0x84, 0x24, 1, 2, 3, 4, 0x0f, 0x05, 0x8b, 0x84, 0x24, 1, 2, 3, 4, 0x0f, 0xa2\n"
	".endr\n"
	"table_end:\n");
extern const unsigned char table[], table_end[];

int main(void)
{
	unsigned long hash = 14695981039346656037UL;
	int syscalls = 0, cpuids = 0;
	for (const unsigned char *p = table; p < table_end; p++) {
		hash = (hash ^ *p) * 1099511628211UL;
		syscalls += p[0] == 0x0f && p[1] == 0x05;
		cpuids += p[0] == 0x0f && p[1] == 0xa2;
	}
	printf("bytes: %ld\n", (long)(table_end - table));
	printf("hash: %lx\n", hash);
	printf("like calls: %d %d\n", syscalls, cpuids);
	return 0;
}
