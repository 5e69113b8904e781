/* SPDX-License-Identifier: Apache-2.0 */
/* forklarge.c: forks of a program with more memory of its own than is copied at once: nobody sees what another one writes. */
#include "check.h"
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGES 3000
#define PAGE 4096
static unsigned char data[64 * PAGE] = { 1 };
static unsigned char *mem;

static unsigned char at(int i) { return i * 7 + 3; }

static int intact(int from, int step, unsigned char plus)
{
	for (int i = from; i < PAGES; i += step)
		if (mem[i * PAGE + i % PAGE] != (unsigned char)(at(i) + plus))
			return 0;
	return 1;
}

static void add(int from, int step, unsigned char plus)
{
	for (int i = from; i < PAGES; i += step)
		mem[i * PAGE + i % PAGE] += plus;
}

static int ended(pid_t pid)
{
	int st = -1;

	return waitpid(pid, &st, 0) == pid && WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

static char turn(int fd, int other)
{
	char c = 0;

	return write(other, "x", 1) == 1 && read(fd, &c, 1) == 1 ? c : 0;
}

int main(void)
{
	int a[2], b[2], ok;
	pid_t pid;

	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(mem, PAGES * PAGE, MADV_NOHUGEPAGE);
	for (int i = 0; i < PAGES; i++)
		mem[i * PAGE + i % PAGE] = at(i);

	ok = 1;
	for (int k = 0; k < 20; k++) {
		if (!(pid = fork())) {
			int good = intact(0, 1, 0);
			add(k, 41, 1);
			data[k * PAGE] = 9;
			_exit(good && intact(k, 41, 1) && data[0] == (k ? 1 : 9) ? 7 : 1);
		}
		ok &= ended(pid) == 7 && intact(0, 1, 0) && data[k * PAGE] == !k;
	}
	OK("children write, the parent sees nothing", ok);

	/* They take turns, each writing what the other one reads. */
	if (pipe(a) || pipe(b))
		return 1;
	if (!(pid = fork())) {
		close(a[1]);
		close(b[0]);
		ok = 1;
		for (int k = 0; k < 30 && ok; k++) {
			char c;
			ok &= read(a[0], &c, 1) == 1 && intact(k, 100, 0);
			add(k, 100, 2);
			ok &= write(b[1], "y", 1) == 1;
		}
		pid_t grandchild = fork();
		if (!grandchild) {
			add(0, 1, 5);
			_exit(intact(0, 100, 7) ? 7 : 1);
		}
		_exit(ok && ended(grandchild) == 7 && intact(0, 100, 2) && intact(31, 100, 0) ? 7 : 1);
	}
	close(a[0]);
	close(b[1]);
	ok = 1;
	for (int k = 0; k < 30; k++) {
		add(k + 50, 100, 4);
		ok &= turn(b[0], a[1]) == 'y' && intact(k, 100, 0) && intact(k + 50, 100, 4);
	}
	OK("turns", ok);
	OK("child and grandchild", ended(pid) == 7);
	add(50, 100, 252);
	for (int k = 1; k < 30; k++)
		add(k + 50, 100, 252);
	OK("parent", intact(0, 1, 0));

	/* Rights taken away and given back, in one of two. */
	if (!(pid = fork())) {
		mprotect(mem, 100 * PAGE, PROT_READ);
		ok = intact(0, 1, 0);
		mprotect(mem, 100 * PAGE, PROT_READ | PROT_WRITE);
		add(0, 1, 1);
		_exit(ok && intact(0, 1, 1) ? 7 : 1);
	}
	add(0, 2, 3);
	OK("rights", ended(pid) == 7 && intact(0, 2, 3) && intact(1, 2, 0));
	OK("unmapped", munmap(mem, PAGES * PAGE) == 0);
	return 0;
}
