/* SPDX-License-Identifier: Apache-2.0 */
/* files.c: regular files: open flags, positions, vectors, sizes, modes, times, links. */
#include "check.h"
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#ifndef STATX_BASIC_STATS
#include <linux/stat.h> /* musl has none of its own */
#endif

static char buf[8192];

static void opening(void)
{
	int fd;

	T("open missing", open("none", O_RDONLY));
	T("open creat", fd = open("a", O_RDWR | O_CREAT, 0644));
	T("write", write(fd, "hello world", 11));
	T("close", close(fd));
	T("close again", close(fd));
	T("open excl", open("a", O_RDWR | O_CREAT | O_EXCL, 0644));
	T("open directory flag on file", open("a", O_RDONLY | O_DIRECTORY));
	T("open dir for writing", open(".", O_WRONLY));
	T("open dir rdonly", fd = open(".", O_RDONLY));
	T("read dir", read(fd, buf, 10));
	T("write dir", write(fd, buf, 10));
	close(fd);
	T("open path through file", open("a/b", O_RDONLY));
	T("open creat in missing dir", open("no/b", O_RDWR | O_CREAT, 0644));
	T("open empty path", open("", O_RDONLY));
	memset(buf, 'x', 300);
	buf[300] = 0;
	T("open long name", open(buf, O_RDONLY));
	memset(buf, '/', 5000);
	buf[5000] = 0;
	T("open long path", open(buf, O_RDONLY));
	T("open bad pointer", open(BAD, O_RDONLY));
	T("open trailing slash on file", open("a/", O_RDONLY));
	T("open creat trailing slash", open("newfile/", O_RDWR | O_CREAT, 0644));
	T("openat bad fd", openat(77, "a", O_RDONLY));
	fd = open("a", O_RDONLY);
	T("openat file fd", openat(fd, "a", O_RDONLY));
	T("write on rdonly", write(fd, "x", 1));
	close(fd);
	fd = open("a", O_WRONLY);
	T("read on wronly", read(fd, buf, 1));
	close(fd);
	T("open trunc", fd = open("a", O_RDWR | O_TRUNC));
	T("size after trunc", lseek(fd, 0, SEEK_END));
	close(fd);
	T("open path fd", fd = open("a", O_PATH));
	T("read path fd", read(fd, buf, 1));
	T("fcntl getfl path fd", fcntl(fd, F_GETFL) & O_PATH);
	close(fd);
}

static void positions(void)
{
	int fd = open("pos", O_RDWR | O_CREAT, 0644);

	T("write 10", write(fd, "0123456789", 10));
	T("seek set", lseek(fd, 3, SEEK_SET));
	T("read 4", read(fd, buf, 4));
	buf[4] = 0;
	S("read data", buf);
	T("seek cur", lseek(fd, -2, SEEK_CUR));
	T("seek end", lseek(fd, 5, SEEK_END));
	T("read past end", read(fd, buf, 10));
	T("write past end", write(fd, "xyz", 3));
	T("seek negative", lseek(fd, -1, SEEK_SET));
	T("seek bad whence", lseek(fd, 0, 77));
	T("seek data", lseek(fd, 0, SEEK_DATA));
	T("seek data past end", lseek(fd, 100, SEEK_DATA));
	T("seek hole past end", lseek(fd, 100, SEEK_HOLE));
	lseek(fd, 8, SEEK_SET);
	memset(buf, '?', 20);
	T("read hole", read(fd, buf, 20));
	OK("hole is zero", buf[2] == 0 && buf[6] == 0 && buf[7] == 'x');
	T("pread", pread(fd, buf, 3, 1));
	buf[3] = 0;
	S("pread data", buf);
	T("pread keeps position", lseek(fd, 0, SEEK_CUR));
	T("pwrite", pwrite(fd, "AB", 2, 0));
	T("pread negative", pread(fd, buf, 3, -1));
	T("pwrite negative", pwrite(fd, buf, 3, -1));
	T("read bad pointer", pread(fd, BAD, 3, 0));
	T("write bad pointer", pwrite(fd, BAD, 3, 0));
	T("read zero bytes bad pointer", read(fd, BAD, 0));
	T("read bad fd", read(99, buf, 1));
	T("write bad fd", write(-1, buf, 1));
	close(fd);
	fd = open("app", O_WRONLY | O_CREAT | O_APPEND, 0644);
	T("append 1", write(fd, "one", 3));
	lseek(fd, 0, SEEK_SET);
	T("append 2", write(fd, "two", 3));
	T("append position", lseek(fd, 0, SEEK_CUR));
	T("append pwrite", pwrite(fd, "X", 1, 0));
	T("append size", lseek(fd, 0, SEEK_END));
	close(fd);
}

static void vectors(void)
{
	int fd = open("vec", O_RDWR | O_CREAT, 0644), fd2;
	char a[4], b[8];
	struct iovec w[3] = { { "abc", 3 }, { "", 0 }, { "defgh", 5 } }, r[2] = { { a, 4 }, { b, 8 } };

	T("writev", writev(fd, w, 3));
	T("pwritev", pwritev(fd, w, 1, 6));
	lseek(fd, 0, SEEK_SET);
	T("readv", readv(fd, r, 2));
	OK("readv data", !memcmp(a, "abcd", 4) && !memcmp(b, "efabc", 5));
	T("preadv", preadv(fd, r, 2, 5));
	T("readv zero", readv(fd, r, 0));
	T("readv negative count", readv(fd, r, -1));
	T("readv too many", readv(fd, r, 1025));
	r[0].iov_len = (size_t)-1;
	T("readv negative length", readv(fd, r, 2));
	r[0] = (struct iovec){ BAD, 4 };
	lseek(fd, 0, SEEK_SET);
	T("readv bad base", readv(fd, r, 2));
	T("readv bad iov", readv(fd, BAD, 2));
	w[1] = (struct iovec){ BAD, 4 };
	T("writev second bad", pwritev(fd, w, 3, 0));
	fd2 = open("vec2", O_RDWR | O_CREAT, 0644);
	off_t off = 2;
	T("sendfile", sendfile(fd2, fd, &off, 4));
	V("sendfile offset", off);
	T("copy_file_range", copy_file_range(fd, (loff_t[]){ 0 }, fd2, NULL, 3, 0));
	T("copied size", lseek(fd2, 0, SEEK_END));
	T("copy_file_range flags", copy_file_range(fd, NULL, fd2, NULL, 3, 1));
	close(fd);
	close(fd2);
}

static void sizes(void)
{
	struct stat st;
	int fd = open("size", O_RDWR | O_CREAT, 0644);

	T("ftruncate up", ftruncate(fd, 10000));
	fstat(fd, &st);
	V("size", st.st_size);
	T("ftruncate down", ftruncate(fd, 100));
	T("truncate", truncate("size", 50));
	stat("size", &st);
	V("size", st.st_size);
	T("ftruncate negative", ftruncate(fd, -1));
	T("truncate missing", truncate("none", 1));
	T("truncate dir", truncate(".", 1));
	T("fallocate", fallocate(fd, 0, 0, 8000));
	fstat(fd, &st);
	V("size", st.st_size);
	T("fallocate keep", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000));
	fstat(fd, &st);
	V("size", st.st_size);
	T("fallocate zero length", fallocate(fd, 0, 0, 0));
	close(fd);
	fd = open("size", O_RDONLY);
	T("ftruncate rdonly", ftruncate(fd, 1));
	T("fsync", fsync(fd));
	T("fdatasync", fdatasync(fd));
	T("fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	T("flock", flock(fd, LOCK_EX));
	T("flock un", flock(fd, LOCK_UN));
	T("flock bad", flock(fd, 77));
	close(fd);
	T("fsync bad fd", fsync(fd));
}

static void modes(void)
{
	struct stat st;
	struct timespec ts[2] = { { 1000, 5 }, { 2000, 7 } };
	int fd;

	umask(027);
	fd = open("mode", O_RDWR | O_CREAT, 0666);
	fstat(fd, &st);
	printf("mode after umask: %o\n", st.st_mode);
	V("umask", umask(022));
	T("fchmod", fchmod(fd, 0751));
	fstat(fd, &st);
	printf("mode: %o\n", st.st_mode);
	T("chmod", chmod("mode", 04755));
	stat("mode", &st);
	printf("mode: %o\n", st.st_mode);
	V("nlink", st.st_nlink);
	V("uid", st.st_uid);
	T("chown", chown("mode", 12, 34));
	stat("mode", &st);
	printf("owner: %d %d mode %o\n", st.st_uid, st.st_gid, st.st_mode);
	T("chown -1", chown("mode", -1, 35));
	stat("mode", &st);
	printf("owner: %d %d\n", st.st_uid, st.st_gid);
	T("utimensat", utimensat(AT_FDCWD, "mode", ts, 0));
	stat("mode", &st);
	printf("times: %ld.%ld %ld.%ld\n", (long)st.st_atim.tv_sec, st.st_atim.tv_nsec, (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1].tv_nsec = UTIME_NOW;
	T("futimens now", futimens(fd, ts));
	fstat(fd, &st);
	OK("mtime is now", labs(st.st_mtime - time(NULL)) < 10 && st.st_atim.tv_sec == 1000);
	ts[0].tv_nsec = 1000000000;
	T("utimensat bad nsec", utimensat(AT_FDCWD, "mode", ts, 0));
	T("access r", access("mode", R_OK));
	T("access missing", access("none", F_OK));
	T("access bad mode", access("mode", 99));
	T("faccessat", faccessat(AT_FDCWD, "mode", X_OK, AT_EACCESS));
	T("chmod missing", chmod("none", 0644));
	T("stat missing", stat("none", &st));
	T("stat bad buffer", syscall(SYS_stat, "mode", BAD));
	T("fstat bad fd", fstat(88, &st));
	T("fstatat empty", fstatat(fd, "", &st, AT_EMPTY_PATH));
	T("fstatat empty no flag", fstatat(fd, "", &st, 0));
	T("fstatat bad flag", fstatat(AT_FDCWD, "mode", &st, 0x10000000));
	struct statx sx;
	memset(&sx, 0, sizeof(sx));
	T("statx", syscall(SYS_statx, AT_FDCWD, "mode", 0, STATX_BASIC_STATS, &sx));
	OK("statx basic", (sx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	printf("statx: %o %llu\n", sx.stx_mode, (unsigned long long)sx.stx_size);
	T("statx reserved mask", syscall(SYS_statx, AT_FDCWD, "mode", 0, 0x80000000, &sx));
	close(fd);
}

static void links(void)
{
	struct stat st;
	ssize_t n;

	put("l1", "text");
	T("link", link("l1", "l2"));
	stat("l1", &st);
	V("nlink", st.st_nlink);
	T("link exists", link("l1", "l2"));
	T("link dir", link(".", "dirlink"));
	T("unlink", unlink("l1"));
	stat("l2", &st);
	V("nlink", st.st_nlink);
	T("unlink missing", unlink("l1"));
	T("unlink dir", unlink("."));
	T("symlink", symlink("l2", "s"));
	T("symlink exists", symlink("l2", "s"));
	T("symlink empty", symlink("", "s2"));
	T("readlink", n = readlink("s", buf, sizeof(buf)));
	buf[n > 0 ? n : 0] = 0;
	S("target", buf);
	T("readlink short", readlink("s", buf, 1));
	T("readlink zero", syscall(SYS_readlink, "s", buf, 0));
	T("readlink file", readlink("l2", buf, 10));
	T("lstat", lstat("s", &st));
	OK("is link", S_ISLNK(st.st_mode));
	V("link size", st.st_size);
	T("stat through", stat("s", &st));
	V("size", st.st_size);
	T("open nofollow", open("s", O_RDONLY | O_NOFOLLOW));
	symlink("loop", "loop");
	T("open loop", open("loop", O_RDONLY));
	symlink("nowhere", "dangling");
	T("open dangling", open("dangling", O_RDONLY));
	T("open creat excl dangling", open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644));
	int fd;
	T("open creat dangling", fd = open("dangling", O_RDWR | O_CREAT, 0644));
	close(fd);
	T("target exists now", access("nowhere", F_OK));
	put("r1", "one");
	put("r2", "two!");
	T("rename", rename("r1", "r2"));
	stat("r2", &st);
	V("renamed size", st.st_size);
	T("rename missing", rename("r1", "r3"));
	T("rename same", rename("r2", "r2"));
	put("r1", "x");
	T("rename noreplace", syscall(SYS_renameat2, AT_FDCWD, "r1", AT_FDCWD, "r2", 1));
	T("rename exchange", syscall(SYS_renameat2, AT_FDCWD, "r1", AT_FDCWD, "r2", 2));
	stat("r1", &st);
	V("exchanged size", st.st_size);
	T("rename bad flags", syscall(SYS_renameat2, AT_FDCWD, "r1", AT_FDCWD, "r2", 64));
	T("open unlinked", fd = open("r1", O_RDWR));
	unlink("r1");
	fstat(fd, &st);
	V("nlink unlinked", st.st_nlink);
	T("write unlinked", write(fd, "abcdef", 6));
	T("pread unlinked", pread(fd, buf, 6, 0));
	close(fd);
}

static void descriptors(void)
{
	int fd = open("fd", O_RDWR | O_CREAT, 0644), fd2;

	write(fd, "0123456789", 10);
	T("dup", fd2 = dup(fd));
	lseek(fd, 4, SEEK_SET);
	T("position is shared", lseek(fd2, 0, SEEK_CUR));
	T("dup2", dup2(fd, 20));
	T("dup2 same", dup2(20, 20));
	T("dup2 bad", dup2(66, 21));
	T("dup2 bad same", dup2(66, 66));
	T("dup2 negative", dup2(fd, -1));
	T("dup2 too large", dup2(fd, 100000000));
	T("dup3 cloexec", dup3(fd, 21, O_CLOEXEC));
	T("getfd", fcntl(21, F_GETFD));
	T("dup3 same", dup3(fd, fd, 0));
	T("dup3 bad flags", dup3(fd, 22, 1));
	T("dupfd", fcntl(fd, F_DUPFD, 10));
	T("dupfd cloexec", fcntl(fd, F_DUPFD_CLOEXEC, 10));
	T("setfd", fcntl(10, F_SETFD, FD_CLOEXEC));
	T("getfd", fcntl(10, F_GETFD));
	T("getfl", fcntl(fd, F_GETFL) & ~0100000);
	T("setfl append", fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
	T("getfl", fcntl(fd, F_GETFL) & ~0100000);
	T("fcntl bad fd", fcntl(98, F_GETFD));
	T("fcntl bad cmd", fcntl(fd, 9999));
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	T("setlk", fcntl(fd, F_SETLK, &fl));
	T("getlk", fcntl(fd, F_GETLK, &fl));
	V("getlk type", fl.l_type);
	T("close_range", syscall(SYS_close_range, 10, 30, 0));
	T("closed", fcntl(20, F_GETFD));
	T("close_range reversed", syscall(SYS_close_range, 30, 10, 0));
	T("memfd", fd2 = syscall(SYS_memfd_create, "m", 1));
	T("memfd write", write(fd2, "abc", 3));
	T("memfd seek", lseek(fd2, 0, SEEK_END));
	T("memfd name", syscall(SYS_memfd_create, BAD, 0));
	T("isatty", isatty(fd));
	T("mknod fifo", mknod("fifo", S_IFIFO | 0644, 0));
	struct stat st;
	T("stat fifo", stat("fifo", &st));
	OK("is fifo", S_ISFIFO(st.st_mode));
	T("lseek fifo", lseek(open("fifo", O_RDWR | O_NONBLOCK), 0, SEEK_SET));
	T("tmpfile", fd2 = open(".", O_TMPFILE | O_RDWR, 0600));
	V("tmpfile flags", fcntl(fd2, F_GETFL));
	char link[64], target[4096];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd2);
	ssize_t len = readlink(link, target, sizeof(target));
	OK("tmpfile is deleted", len > 10 && !memcmp(target + len - 10, " (deleted)", 10));
	T("dev null read", read(open("/dev/null", O_RDWR), buf, 10));
	T("dev zero read", read(open("/dev/zero", O_RDONLY), buf, 10));
	T("dev full write", write(open("/dev/full", O_WRONLY), buf, 10));
	T("dev urandom read", read(open("/dev/urandom", O_RDONLY), buf, 10));
}

int main(void)
{
	scratch();
	opening();
	positions();
	vectors();
	sizes();
	modes();
	links();
	descriptors();
	return 0;
}
