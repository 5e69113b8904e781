/* SPDX-License-Identifier: Apache-2.0 */
/* mapfile.c: files that change under their mappings. With a path as argument: a file that exists, which it overwrites. */
#include "check.h"
#include <setjmp.h>
#include <sys/mman.h>

#define PG 4096

static sigjmp_buf out;

static void on_bus(int s) { siglongjmp(out, 1); }

/* The byte at p, -1 for SIGBUS. */
static int peek(const char *p)
{
	return sigsetjmp(out, 1) ? -1 : *(const volatile char *)p;
}

static char *map(int fd, int prot, int flags)
{
	return mmap(NULL, 4 * PG, prot, flags, fd, 0);
}

int main(int argc, char **argv)
{
	static char page[4 * PG];
	struct sigaction sa = { .sa_handler = on_bus };
	int fd, ro;
	char *shared, *look, *priv, *own;

	scratch();
	sigaction(SIGBUS, &sa, NULL);
	memset(page, 'a', sizeof(page));
	if (argc < 2) {
		fd = open("file", O_RDWR | O_CREAT, 0644);
		write(fd, page, sizeof(page));
		ro = open("file", O_RDONLY);
	} else {
		fd = open(argv[1], O_RDWR);
		ro = open(argv[1], O_RDONLY);
	}
	shared = map(fd, PROT_READ, MAP_SHARED);
	look = map(ro, PROT_READ, MAP_SHARED);
	priv = map(ro, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	own = map(ro, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	V("shared before", peek(shared + PG));
	V("other before", peek(look + PG));
	own[PG] = 'o';
	T("pwrite", pwrite(fd, "xyz", 3, PG));
	V("shared sees it", peek(shared + PG));
	V("other sees it", peek(look + PG));
	V("private sees it", peek(priv + PG));
	V("own copy does not", peek(own + PG));
	T("writable", mprotect(shared, 4 * PG, PROT_READ | PROT_WRITE));
	shared[PG + 1] = 'Y';
	V("written through the mapping", peek(look + PG + 1));
	T("read back", pread(ro, page, 3, PG));
	V("the byte", page[1]);
	T("cut in the middle", ftruncate(fd, PG + 2));
	V("last byte", peek(shared + PG + 1));
	V("behind the end", peek(shared + PG + 2));
	V("a page behind the end", peek(shared + 2 * PG));
	V("the same, private", peek(own + 2 * PG));
	V("before the end, own", peek(own + PG));
	T("grow", ftruncate(fd, 4 * PG));
	V("grown", peek(shared + 2 * PG));
	V("grown, other", peek(look + PG + 2));
	shared[2 * PG] = 'n';
	V("written", peek(look + 2 * PG));
	T("cut before all", ftruncate(fd, 10));
	V("page 0", peek(look));
	V("page 0 behind the end", peek(look + 10));
	V("page 1", peek(look + PG));
	memset(page, 'b', sizeof(page));
	T("fill", pwrite(fd, page, sizeof(page), 0));
	V("filled", peek(shared + 3 * PG));
	V("filled, other", peek(look + 3 * PG));
	T("hole", syscall(SYS_fallocate, fd, 3, PG + 100, 2 * PG));
	V("before the hole", peek(look + PG + 99));
	V("in the hole", peek(look + PG + 100));
	V("in the hole, whole page", peek(look + 2 * PG));
	shared[2 * PG] = 'm';
	V("written in the hole", peek(look + 2 * PG));
	V("behind the hole", peek(look + 3 * PG + 100));
	struct timespec old[2] = { { 1000, 0 }, { 2000, 0 } };
	struct stat st;
	munmap(shared, 4 * PG);
	futimens(fd, old);
	shared = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fstat(fd, &st);
	V("not written by mapping", st.st_mtime);
	OK("read by mapping", st.st_atime > 2000);
	shared[0] = 't';
	msync(shared, PG, MS_SYNC);
	fstat(fd, &st);
	OK("written through the mapping", st.st_mtime > 2000 && st.st_ctime >= st.st_mtime);
	return 0;
}
