/* SPDX-License-Identifier: Apache-2.0 */
/* fderr.c: every call that takes a descriptor, with every kind of descriptor. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <stdbool.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static char buf[8192];

#define C(expr) do { errno = 0; long r_ = (long)(expr); show(line, r_ < 0 ? -1 : r_ > 100000 ? 1 : r_, r_ < 0 ? errno : 0); } while (0)
#define CALL(name, expr) do { snprintf(line, sizeof(line), name " %s", what); C(expr); } while (0)

#define FILES(name, expr) do { if (!anon) CALL(name, expr); } while (0)

static int out, file, pipes[2];
static bool anon; /* without an inode of its own: Linux lets all of them share locks on one */

static void calls(const char *what, int fd)
{
	char line[100];
	struct iovec v = { buf, 3 };
	struct stat st = { 0 };
	struct statfs sf;
	struct flock fl = { .l_type = F_RDLCK, .l_len = 1 };
	struct flock wl = { .l_type = F_WRLCK, .l_len = 1 };
	struct { char b[256]; } sx;
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI };
	struct epoll_event ev = { .events = EPOLLIN };
	struct itimerspec its = { { 0, 0 }, { 0, 0 } };
	loff_t off = 0;
	int n = 0, ep = epoll_create1(0);

	CALL("write none", write(fd, buf, 0));
	CALL("write", write(fd, "abcdefgh", 8));
	CALL("read none", read(fd, buf, 0));
	CALL("poll", (poll(&p, 1, 0), p.revents));
	if (p.revents & POLLIN)
		CALL("read", read(fd, buf, 1));
	CALL("pwrite", pwrite(fd, "x", 1, 0));
	CALL("pread", pread(fd, buf, 1, 0));
	CALL("pread negative", pread(fd, buf, 1, -1));
	CALL("pread bad", pread(fd, BAD, 1, 0));
	CALL("preadv", preadv(fd, &v, 1, 0));
	CALL("pwritev", pwritev(fd, &v, 1, 0));
	CALL("pwritev2 bad flags", syscall(SYS_pwritev2, fd, &v, 1, 0, 0, 0x10000));
	CALL("readv too many", readv(fd, &v, 2000));
	FILES("writev none", writev(fd, &v, 0));
	CALL("writev bad", writev(fd, BAD, 1));
	CALL("lseek", lseek(fd, 0, SEEK_SET));
	if (strncmp(what, "directory", 9)) /* file systems differ */
		CALL("lseek end", lseek(fd, 0, SEEK_END) >= 0 ? 0 : -1);
	CALL("lseek whence", lseek(fd, 0, 99));
	CALL("fstat", fstat(fd, &st));
	CALL("fstat bad", syscall(SYS_fstat, fd, BAD));
	CALL("statx", syscall(332, fd, "", 0x1000, 0x7ff, &sx));
	CALL("fstatfs", fstatfs(fd, &sf));
	CALL("ftruncate", ftruncate(fd, 8));
	CALL("ftruncate negative", ftruncate(fd, -1));
	CALL("fallocate", syscall(SYS_fallocate, fd, 0, 0, 8));
	CALL("fallocate mode", syscall(SYS_fallocate, fd, 0x4000, 0, 8));
	CALL("fsync", fsync(fd));
	CALL("fdatasync", fdatasync(fd));
	CALL("syncfs", syncfs(fd));
	CALL("sync_file_range", syscall(SYS_sync_file_range, fd, 0, 1, 0));
	CALL("sync_file_range flags", syscall(SYS_sync_file_range, fd, 0, 1, 64));
	CALL("readahead", syscall(SYS_readahead, fd, 0, 1));
	CALL("fadvise", syscall(SYS_fadvise64, fd, 0, 1, 0));
	CALL("fadvise bad", syscall(SYS_fadvise64, fd, 0, 1, 99));
	CALL("getdents64", syscall(SYS_getdents64, fd, buf, 0));
	CALL("fchmod", fchmod(fd, st.st_mode & 07777)); /* as it is: among the descriptors are devices of the machine that this runs on */
	CALL("fchown", fchown(fd, -1, -1));
	CALL("futimens", futimens(fd, NULL));
	CALL("futimens omit", futimens(fd, (struct timespec[2]){ { 0, UTIME_OMIT }, { 0, UTIME_OMIT } }));
	FILES("futimens invalid", futimens(fd, (struct timespec[2]){ { 0, 2000000000 }, { 0, 0 } }));
	CALL("fchdir", syscall(SYS_fchdir, fd) ? -1 : chdir(scratch_dir));
	CALL("fgetxattr", fgetxattr(fd, "user.none", buf, 10));
	CALL("flistxattr", flistxattr(fd, NULL, 0) >= 0 ? 0 : -1);
	CALL("fremovexattr", fremovexattr(fd, "user.none"));
	CALL("fcntl getfd", fcntl(fd, F_GETFD));
	CALL("fcntl getfl", fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND));
	CALL("fcntl setfl", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL)));
	CALL("fcntl unknown", fcntl(fd, 4000, 0));
	CALL("fcntl dup low", fcntl(fd, F_DUPFD, -1));
	CALL("fcntl dup high", fcntl(fd, F_DUPFD, 100000000));
	if (!anon) {
		CALL("fcntl lock", fcntl(fd, F_SETLK, &fl));
		CALL("fcntl write lock", fcntl(fd, F_SETLK, &wl));
		CALL("fcntl lock bad", fcntl(fd, F_SETLK, BAD));
		CALL("fcntl getlk", fcntl(fd, F_GETLK, &wl));
		CALL("fcntl ofd lock", (wl.l_pid = 0, wl.l_type = F_RDLCK, fcntl(fd, F_OFD_SETLK, &wl)));
		CALL("fcntl lock type", (wl.l_type = 77, fcntl(fd, F_SETLK, &wl)));
		CALL("fcntl lock whence", (wl.l_type = F_RDLCK, wl.l_whence = 77, fcntl(fd, F_SETLK, &wl)));
		CALL("fcntl unlock", (wl.l_type = F_UNLCK, wl.l_whence = 0, fcntl(fd, F_SETLK, &wl)));
		CALL("flock", flock(fd, LOCK_SH | LOCK_NB));
		CALL("flock bad", flock(fd, 77));
		CALL("flock unlock", flock(fd, LOCK_UN));
	}
	CALL("getpipe", fcntl(fd, F_GETPIPE_SZ));
	CALL("setpipe", fcntl(fd, F_SETPIPE_SZ, 8192));
	CALL("setpipe big", fcntl(fd, F_SETPIPE_SZ, 0x80000001u));
	CALL("seals", fcntl(fd, F_GET_SEALS));
	CALL("add seals", fcntl(fd, F_ADD_SEALS, 0));
	FILES("ioctl unknown", ioctl(fd, 0x12345678, buf));
	CALL("ioctl fionbio bad", ioctl(fd, FIONBIO, BAD));
	FILES("ioctl fionread", ioctl(fd, FIONREAD, &n) ? -1 : n);
	FILES("ioctl tcgets", ioctl(fd, 0x5401, buf));
	FILES("ioctl winsize", ioctl(fd, TIOCGWINSZ, buf));
	FILES("ioctl ctty", ioctl(fd, TIOCSCTTY, 0));
	CALL("mmap", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	CALL("mmap write", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	CALL("mmap private", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
	CALL("mmap unaligned", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 5) == MAP_FAILED ? -1 : 0);
	if (fd != file) {
		if (strcmp(what, "directory"))
			FILES("sendfile from", sendfile(out, fd, NULL, 0));
		if (strcmp(what, "null"))
			FILES("sendfile at", sendfile(out, fd, &off, 1));
	}
	CALL("sendfile to", (off = 0, sendfile(fd, file, &off, 2)));
	CALL("copy_file_range from", syscall(SYS_copy_file_range, fd, NULL, out, NULL, 0, 0));
	CALL("copy_file_range to", syscall(SYS_copy_file_range, file, NULL, fd, NULL, 0, 0));
	CALL("copy_file_range flags", syscall(SYS_copy_file_range, file, NULL, fd, NULL, 0, 1));
	if (strcmp(what, "null") && strcmp(what, "fifo")) {
		FILES("splice to pipe", splice(fd, NULL, pipes[1], NULL, 1, SPLICE_F_NONBLOCK));
		CALL("splice from pipe", splice(pipes[0], NULL, fd, NULL, 1, SPLICE_F_NONBLOCK));
	}
	CALL("tee", tee(fd, pipes[1], 1, SPLICE_F_NONBLOCK));
	CALL("vmsplice", vmsplice(fd, &v, 0, 0));
	CALL("epoll add", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	CALL("epoll again", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	CALL("epoll del", epoll_ctl(ep, EPOLL_CTL_DEL, fd, &ev));
	CALL("epoll on it", epoll_ctl(fd, EPOLL_CTL_ADD, ep, &ev));
	CALL("epoll_wait", epoll_wait(fd, &ev, 1, 0));
	CALL("timerfd", timerfd_settime(fd, 0, &its, NULL));
	CALL("timerfd get", timerfd_gettime(fd, &its));
	CALL("signalfd", syscall(SYS_signalfd4, fd, &(uint64_t){ 0 }, 8, 0));
	CALL("inotify add", inotify_add_watch(fd, ".", IN_OPEN));
	CALL("inotify rm", inotify_rm_watch(fd, 1234));
	CALL("bind", bind(fd, (struct sockaddr *)&(struct sockaddr){ 99 }, 2));
	CALL("listen", listen(fd, 1));
	CALL("accept", accept(fd, NULL, NULL));
	CALL("send", send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
	CALL("getsockopt", getsockopt(fd, SOL_SOCKET, SO_TYPE, &n, &(socklen_t){ 4 }));
	CALL("shutdown", shutdown(fd, 99));
	CALL("mkdirat", mkdirat(fd, "made", 0700));
	CALL("unlinkat", unlinkat(fd, "made", AT_REMOVEDIR));
	CALL("openat", openat(fd, "none", O_RDONLY));
	FILES("readlinkat", readlinkat(fd, "", buf, 10));
	CALL("linkat", linkat(fd, "none", AT_FDCWD, "made", 0));
	CALL("renameat", renameat(fd, "none", fd, "made"));
	CALL("dup2 same", dup2(fd, fd) == fd ? 0 : -1);
	CALL("dup3 same", dup3(fd, fd, 0));
	CALL("dup3 flags", dup3(fd, 200, 1));
	CALL("dup2 high", dup2(fd, 100000000));
	CALL("faccessat empty", syscall(439, fd, "", R_OK, AT_EMPTY_PATH));
	close(ep);
}

int main(void)
{
	int sv[2], dg[2], p[2];
	sigset_t none;

	scratch();
	signal(SIGPIPE, SIG_IGN);
	put("f", "0123456789");
	out = open("out", O_RDWR | O_CREAT, 0644);
	file = open("f", O_RDWR);
	pipe2(pipes, O_NONBLOCK);
	pipe2(p, O_NONBLOCK);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv);
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, dg);
	sigemptyset(&none);
	mkfifo("fifo", 0644);
	calls("closed", 99);
	calls("negative", -1);
	calls("file", file);
	calls("read-only", open("f", O_RDONLY));
	calls("write-only", open("f", O_WRONLY));
	calls("append", open("f", O_RDWR | O_APPEND));
	calls("path", open("f", O_PATH));
	calls("directory", open(".", O_RDONLY));
	calls("directory path", open(".", O_PATH));
	calls("pipe out", p[1]);
	calls("pipe in", p[0]);
	calls("fifo", open("fifo", O_RDWR | O_NONBLOCK));
	calls("null", open("/dev/null", O_RDWR));
	calls("zero", open("/dev/zero", O_RDWR));
	calls("socket", sv[0]);
	calls("datagram", dg[0]);
	anon = true;
	calls("epoll", epoll_create1(0));
	calls("eventfd", eventfd(0, EFD_NONBLOCK));
	calls("timerfd", timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	calls("signalfd", signalfd(-1, &none, SFD_NONBLOCK));
	calls("inotify", inotify_init1(IN_NONBLOCK));
	anon = false;
	calls("memfd", syscall(SYS_memfd_create, "m", 0));
	return 0;
}
