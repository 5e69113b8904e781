/* SPDX-License-Identifier: Apache-2.0 */
/* jit.c: code that the program writes, reads, changes and maps itself, with system calls in it. */
#include "check.h"
#include <sys/mman.h>
#include <sys/wait.h>

#define PG 4096

/* mov $39 (getpid), %eax; syscall; ret */
static const uint8_t constant[] = { 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3 };
/* mov $39, %rax; syscall; add $1, %rax; ret */
static const uint8_t wide[] = { 0x48, 0xc7, 0xc0, 39, 0, 0, 0, 0x0f, 0x05, 0x48, 0x83, 0xc0, 1, 0xc3 };
/* mov %edi, %eax; syscall; add $1, %rax; ret */
static const uint8_t argument[] = { 0x89, 0xf8, 0x0f, 0x05, 0x48, 0x83, 0xc0, 1, 0xc3 };

static void fill(uint8_t *p)
{
	memset(p, 0xcc, 2 * PG);
	memcpy(p, constant, sizeof(constant));
	memcpy(p + 64, argument, sizeof(argument));
	memcpy(p + 128, wide, sizeof(wide));
	memcpy(p + PG - 3, argument, sizeof(argument));
}

static int call(const uint8_t *p, int nr)
{
	return ((int (*)(int))(uintptr_t)p)(nr);
}

static void run(const char *name, const uint8_t *p, int add)
{
	int pid = getpid();

	printf("%s\n", name);
	OK("constant", call(p, 0) == pid);
	OK("argument", call(p + 64, SYS_getpid) == pid + add);
	OK("wide", call(p + 128, 0) == pid + 1);
	OK("across pages", call(p + PG - 3, SYS_getpid) == pid + 1);
}

static void own_code(void)
{
	uint8_t *p = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int st;

	fill(p);
	T("executable", mprotect(p, 2 * PG, PROT_READ | PROT_EXEC));
	run("own code", p, 1);
	OK("reads as written", !memcmp(p, constant, sizeof(constant)) && !memcmp(p + 64, argument, sizeof(argument)));
	T("writable", mprotect(p, 2 * PG, PROT_READ | PROT_WRITE));
	p[64 + 7] = 5;
	p[1] = SYS_getppid;
	T("executable again", mprotect(p, 2 * PG, PROT_READ | PROT_EXEC));
	OK("changed constant", call(p, 0) == getppid());
	OK("changed argument", call(p + 64, SYS_getpid) == getpid() + 5);
	T("both", mprotect(p, 2 * PG, PROT_READ | PROT_WRITE | PROT_EXEC));
	p[1] = SYS_getpid;
	p[64 + 7] = 6;
	run("changed in place", p, 6);
	if (!fork())
		_exit(call(p + 64, SYS_getpid) != getpid() + 6);
	wait(&st);
	V("in a child", st);
}

/* As a dynamic linker does with a library whose code it must relocate. */
static void file_code(void)
{
	static uint8_t code[2 * PG];
	int fd = open("code", O_RDWR | O_CREAT, 0755);
	uint8_t *p;

	fill(code);
	write(fd, code, sizeof(code));
	p = mmap(NULL, 2 * PG, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	run("file", p, 1);
	for (int i = 0; i < 3; i++) {
		T("writable", mprotect(p, 2 * PG, PROT_READ | PROT_WRITE));
		p[2 * PG - 1] = i;
		T("executable again", mprotect(p, 2 * PG, PROT_READ | PROT_EXEC));
		run("file", p, 1);
	}
}

int main(void)
{
	scratch();
	own_code();
	file_code();
	return 0;
}
