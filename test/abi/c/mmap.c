/* SPDX-License-Identifier: Apache-2.0 */
/* mmap.c: mappings: anonymous, of files, fixed, huge reservations, remapping, advice, brk. */
#include "check.h"
#include <sys/mman.h>
#include <sys/wait.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define PG 4096UL
#define M(name, expr) do { errno = 0; void *r_ = (expr); int e_ = errno; printf("%s: %s\n", name, r_ == MAP_FAILED ? ename(e_) : "mapped"); } while (0)

static void anonymous(void)
{
	char *p = mmap(NULL, 16 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;
	int sum = 0;

	OK("anon", p != MAP_FAILED);
	for (size_t i = 0; i < 16 * PG; i++)
		sum |= p[i];
	V("anon is zero", sum);
	memset(p, 7, 16 * PG);
	T("munmap middle", munmap(p + 4 * PG, 2 * PG));
	OK("left part", p[4 * PG - 1] == 7 && p[6 * PG] == 7);
	q = mmap(p + 4 * PG, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	OK("fixed in the hole", q == p + 4 * PG && q[0] == 0);
	M("fixed noreplace", mmap(p, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	q = mmap(p + PG, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	OK("fixed replaces", q == p + PG && q[0] == 0 && p[0] == 7);
	T("munmap all", munmap(p, 16 * PG));
	T("munmap nothing there", munmap(p, 16 * PG));
	T("munmap unaligned", munmap(p + 1, PG));
	T("munmap zero", munmap(p, 0));
	M("zero length", mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	M("no type", mmap(NULL, PG, PROT_READ, MAP_ANONYMOUS, -1, 0));
	M("too large", mmap(NULL, 1UL << 47, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	M("fixed unaligned", mmap((void *)0x100000001, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	M("fixed beyond user space", mmap((void *)0x7ffffffff000, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	q = mmap((void *)0x123450000000, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OK("hint is taken", q == (void *)0x123450000000);
	q = mmap((void *)0x123450000000, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OK("taken hint goes elsewhere", q != MAP_FAILED && q != (void *)0x123450000000);
}

static void reservations(void)
{
	size_t big = 64UL << 30;
	char *p = mmap(NULL, big, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	OK("64 GiB reserved", p != MAP_FAILED);
	T("commit a part", mprotect(p + (1UL << 30), 4 * PG, PROT_READ | PROT_WRITE));
	p[1UL << 30] = 1;
	OK("committed", p[1UL << 30] == 1);
	T("commit by fixed map", mmap(p + (2UL << 30), PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + (2UL << 30));
	p[2UL << 30] = 1;
	T("dontneed", madvise(p + (1UL << 30), 4 * PG, MADV_DONTNEED));
	V("zero again", p[1UL << 30]);
	T("hugepage", madvise(p, 4UL << 20, MADV_HUGEPAGE));
	T("nohugepage", madvise(p, 4UL << 20, MADV_NOHUGEPAGE));
	T("release", munmap(p, big));
	for (int i = 0; i < 3; i++) {
		p = mmap(NULL, 64UL << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (size_t o = 0; o < 64UL << 20; o += PG)
			p[o] = o >> 12;
		long bad = 0;
		for (size_t o = 0; o < 64UL << 20; o += PG)
			bad += p[o] != (char)(o >> 12);
		V("64 MiB touched, wrong pages", bad);
		munmap(p, 64UL << 20);
	}
}

static void advice(void)
{
	char *p = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, 5, 8 * PG);
	T("madvise normal", madvise(p, 8 * PG, MADV_NORMAL));
	T("madvise willneed", madvise(p, 8 * PG, MADV_WILLNEED));
	T("madvise dontneed one page", madvise(p + PG, PG, MADV_DONTNEED));
	OK("only that page", p[0] == 5 && p[PG] == 0 && p[2 * PG] == 5);
	T("madvise unaligned", madvise(p + 1, PG, MADV_DONTNEED));
	T("madvise bad advice", madvise(p, PG, 9999));
	T("madvise unmapped", (munmap(p + 4 * PG, PG), madvise(p, 8 * PG, MADV_DONTNEED)));
	T("madvise zero length", madvise(p, 0, MADV_DONTNEED));
	T("madvise free", madvise(p, PG, MADV_FREE));
	T("populate write", madvise(p, 2 * PG, MADV_POPULATE_WRITE));
	T("msync", msync(p, PG, MS_SYNC));
	T("msync bad flags", msync(p, PG, MS_SYNC | MS_ASYNC));
	T("msync hole", msync(p, 8 * PG, MS_SYNC));
	T("mlock", mlock(p, PG));
	T("munlock", munlock(p, PG));
	unsigned char vec[4] = { 9, 9, 9, 9 };
	T("mincore", mincore(p, 2 * PG, vec));
	V("mincore first", vec[0] & 1);
	T("mincore hole", mincore(p + 4 * PG, PG, vec));
}

static void remapping(void)
{
	char *p = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;

	memset(p, 3, 4 * PG);
	q = mremap(p, 4 * PG, 2 * PG, 0);
	OK("shrink in place", q == p);
	q = mremap(p, 2 * PG, 1024 * PG, MREMAP_MAYMOVE);
	OK("grow", q != MAP_FAILED && q[0] == 3 && q[2 * PG] == 0);
	p = mmap(NULL, 8 * PG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OK("move fixed", mremap(q, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p && p[PG] == 3);
	M("grow without move", mremap(p, 2 * PG, 6 * PG, 0));
	M("remap unmapped", mremap((void *)0x5000000, PG, 2 * PG, MREMAP_MAYMOVE));
	M("remap unaligned", mremap(p + 1, PG, 2 * PG, MREMAP_MAYMOVE));
	M("remap to nothing", mremap(p, PG, 0, 0));
}

static void files(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char *p, *q, buf[16];

	write(fd, "hello file", 10);
	p = mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0);
	OK("private read", p != MAP_FAILED && !memcmp(p, "hello file", 10));
	V("after the end", p[10] + p[PG - 1]);
	q = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	OK("shared", q != MAP_FAILED);
	memcpy(q, "HELLO", 5);
	T("pread sees it", pread(fd, buf, 5, 0));
	OK("same bytes", !memcmp(buf, "HELLO", 5));
	pwrite(fd, "byte", 4, 6);
	OK("mapping sees write", !memcmp(q + 6, "byte", 4));
	char *w = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	w[0] = 'X';
	pread(fd, buf, 1, 0);
	OK("private write stays private", buf[0] == 'H' && w[0] == 'X' && q[0] == 'H');
	T("msync", msync(q, PG, MS_SYNC));
	T("close keeps mapping", close(fd));
	OK("still there", !memcmp(q, "HELLO", 5));
	M("closed fd", mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0));
	fd = open("f", O_RDONLY);
	M("shared write of rdonly", mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	M("private write of rdonly", mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	M("unaligned offset", mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 100));
	p = mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, 0);
	T("mprotect write on rdonly shared", mprotect(p, PG, PROT_READ | PROT_WRITE));
	close(fd);
	fd = open("f", O_WRONLY);
	M("write-only file", mmap(NULL, PG, PROT_WRITE, MAP_SHARED, fd, 0));
	close(fd);
	fd = open(".", O_RDONLY);
	M("folder", mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0));
	close(fd);
	int pfd[2];
	pipe(pfd);
	M("pipe", mmap(NULL, PG, PROT_READ, MAP_PRIVATE, pfd[0], 0));
	/* The program's own file: read-only image pages. */
	fd = open("/proc/self/exe", O_RDONLY);
	p = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	OK("exe mapped", p != MAP_FAILED && !memcmp(p, "\177ELF", 4));
	p[0] = 'x';
	pread(fd, buf, 1, 0);
	OK("exe unchanged", buf[0] == 0x7f && p[0] == 'x');
	fd = syscall(SYS_memfd_create, "m", 0);
	ftruncate(fd, 3 * PG);
	p = mmap(NULL, 3 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	q = mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, PG);
	p[PG] = 'm';
	OK("two views of a memfd", q[0] == 'm');
	p = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	OK("shared anonymous", p != MAP_FAILED && (p[0] = 1));
}

static void heap(void)
{
	char *b = (char *)syscall(SYS_brk, 0), *p;

	OK("brk grows", (char *)syscall(SYS_brk, b + 100000) == b + 100000);
	memset(b, 1, 100000);
	OK("brk shrinks", (char *)syscall(SYS_brk, b + 50000) == b + 50000);
	OK("brk back", (char *)syscall(SYS_brk, b) == b);
	OK("brk below its start", (char *)syscall(SYS_brk, 4096) == b);
	OK("brk grows again", (char *)syscall(SYS_brk, b + 100000) == b + 100000);
	V("brk memory is zero", b[99999]);
	syscall(SYS_brk, b);
	p = malloc(300 << 20 >> 4);
	OK("large malloc", p != NULL);
	memset(p, 1, 300 << 20 >> 4);
	free(p);
	char *ps[500];
	for (int r = 0; r < 4; r++) {
		for (int i = 0; i < 500; i++) {
			ps[i] = malloc(1 + i * 37 % 5000);
			memset(ps[i], i, 1 + i * 37 % 5000);
		}
		int bad = 0;
		for (int i = 0; i < 500; i++) {
			bad += ps[i][i * 37 % 5000] != (char)i;
			free(ps[i]);
		}
		V("malloc pattern", bad);
	}
}

int main(void)
{
	scratch();
	anonymous();
	reservations();
	advice();
	remapping();
	files();
	heap();
	return 0;
}
