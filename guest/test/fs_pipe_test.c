/* SPDX-License-Identifier: Apache-2.0 */
/* fs_pipe_test.c: pipes, fifos, splice, locks and descriptors. Nothing sleeps here: what would is -ERESTARTSYS. */
#include <asm/unistd.h>
#include "fs_calls.h"

static u8 buf[70000], back[70000];

static void make(int fds[2], u32 flags) { CHECK_EQ(GUEST(__NR_pipe2, fds, flags, 0, 0, 0, 0), 0); }
static long put(int fd, u64 n) { return GUEST(__NR_write, fd, buf, n, 0, 0, 0); }
static long get(int fd, u64 n) { return GUEST(__NR_read, fd, back, n, 0, 0, 0); }
static void shut(int fd) { CHECK_EQ(GUEST(__NR_close, fd, 0, 0, 0, 0, 0), 0); }
static u32 events(int fd) { return fd_peek(fd)->ops->poll(fd_peek(fd), NULL); }
static int queued(int fd)
{
	int n = -1;
	CHECK_EQ(GUEST(__NR_ioctl, fd, 0x541b, &n, 0, 0, 0), 0);
	return n;
}

static void test_pipe(void)
{
	int p[2];
	u32 seed = 1;

	CHECK_EQ(GUEST(__NR_pipe2, p, O_DIRECT, 0, 0, 0, 0), -EINVAL);
	CHECK_EQ(GUEST(__NR_pipe2, 1, 0, 0, 0, 0, 0), -EFAULT);
	make(p, O_NONBLOCK);
	CHECK_EQ(get(p[0], 10), -EAGAIN);
	CHECK_EQ(put(p[0], 1), -EBADF);
	CHECK_EQ(get(p[1], 1), -EBADF);
	CHECK_EQ(events(p[0]), 0);
	CHECK_EQ(events(p[1]), POLLOUT | POLLWRNORM);
	CHECK_EQ(put(p[1], 65535), 65535);
	CHECK_EQ(put(p[1], 4096), -EAGAIN); /* all or nothing */
	CHECK_EQ(put(p[1], 4097), 1);
	CHECK_EQ(put(p[1], 1), -EAGAIN);
	CHECK_EQ(queued(p[0]), 65536);
	CHECK_EQ(events(p[1]), 0);
	CHECK_EQ(get(p[0], 4095), 4095);
	CHECK_EQ(events(p[1]), 0);
	CHECK_EQ(get(p[0], 1), 1);
	CHECK_EQ(events(p[1]), POLLOUT | POLLWRNORM);
	CHECK_EQ(get(p[0], 70000), 61440);
	/* Any mix of sizes keeps the order of bytes. */
	u8 in = 0, out = 0;
	for (int i = 0; i < 20000; i++) {
		u32 n = (seed = seed * 1103515245 + 12345) >> 16 & 0xfff;
		if (seed & 0x80) {
			for (u32 k = 0; k < n; k++)
				buf[k] = in + k;
			long r = put(p[1], n);
			if (r > 0)
				in += r;
		} else {
			long r = get(p[0], n);
			for (long k = 0; k < r; k++)
				CHECK_EQ(back[k], (u8)(out + k));
			if (r > 0)
				out += r;
		}
	}
	while (get(p[0], 70000) > 0)
		;
	CHECK_EQ(GUEST(__NR_fcntl, p[0], F_GETPIPE_SZ, 0, 0, 0, 0), 65536);
	CHECK_EQ(GUEST(__NR_fcntl, p[0], F_SETPIPE_SZ, 5000, 0, 0, 0), 8192);
	CHECK_EQ(put(p[1], 10000), 8192);
	CHECK_EQ(GUEST(__NR_fcntl, p[0], F_SETPIPE_SZ, 4096, 0, 0, 0), -EBUSY);
	CHECK_EQ(GUEST(__NR_fcntl, p[0], F_SETPIPE_SZ, 1 << 21, 0, 0, 0), -EPERM);
	shut(p[1]);
	CHECK_EQ(events(p[0]), POLLIN | POLLRDNORM | POLLHUP);
	CHECK_EQ(get(p[0], 70000), 8192);
	CHECK_EQ(get(p[0], 10), 0);
	CHECK_EQ(events(p[0]), POLLHUP);
	shut(p[0]);
	make(p, 0);
	shut(p[0]);
	fake_signal = 0;
	CHECK_EQ(put(p[1], 1), -EPIPE);
	CHECK_EQ(fake_signal, SIGPIPE);
	CHECK(events(p[1]) & POLLERR);
	shut(p[1]);
	make(p, 0);
	CHECK_EQ(get(p[0], 1), -ERESTARTSYS);
	CHECK_EQ(GUEST(__NR_lseek, p[0], 0, 0, 0, 0, 0), -ESPIPE);
	CHECK_EQ(GUEST(__NR_pread64, p[0], back, 1, 0, 0, 0), -ESPIPE);
	CHECK_EQ(GUEST(__NR_write, p[1], 8, 5, 0, 0, 0), -EFAULT);
	shut(p[0]);
	shut(p[1]);
}

static void test_fifo(void)
{
	long r, w;

	CHECK_EQ(GUEST(__NR_mknod, "/fifo", S_IFIFO | 0600, 0, 0, 0, 0), 0);
	CHECK_EQ(GUEST(__NR_open, "/fifo", O_WRONLY | O_NONBLOCK, 0, 0, 0, 0), -ENXIO);
	CHECK_EQ(GUEST(__NR_open, "/fifo", O_RDONLY, 0, 0, 0, 0), -ERESTARTSYS);
	r = GUEST(__NR_open, "/fifo", O_RDONLY | O_NONBLOCK, 0, 0, 0, 0);
	CHECK(r >= 0);
	CHECK_EQ(events(r), 0); /* no writer yet is not a hang-up */
	CHECK_EQ(get(r, 1), 0);
	w = GUEST(__NR_open, "/fifo", O_WRONLY, 0, 0, 0, 0);
	CHECK(w >= 0);
	CHECK_EQ(put(w, 5), 5);
	CHECK_EQ(GUEST(__NR_unlink, "/fifo", 0, 0, 0, 0, 0), 0);
	CHECK_EQ(get(r, 10), 5);
	shut(w);
	CHECK_EQ(events(r), POLLHUP);
	shut(r);
}

static void test_splice(void)
{
	int a[2], b[2];
	long f, g;
	u64 off = 0;

	for (u32 i = 0; i < sizeof(buf); i++)
		buf[i] = i * 7;
	f = GUEST(__NR_open, "/data", O_RDWR | O_CREAT, 0600, 0, 0, 0);
	g = GUEST(__NR_open, "/copy", O_RDWR | O_CREAT, 0600, 0, 0, 0);
	CHECK_EQ(put(f, sizeof(buf)), sizeof(buf));
	make(a, 0);
	make(b, O_NONBLOCK);
	CHECK_EQ(GUEST(__NR_splice, f, &off, a[1], 0, 1 << 20, 0), 65536); /* as much as fits */
	CHECK_EQ(off, 65536);
	CHECK_EQ(GUEST(__NR_splice, f, &off, a[1], 0, 1 << 20, 2), -EAGAIN);
	CHECK_EQ(GUEST(__NR_tee, a[0], b[1], 1000, 0, 0, 0), 1000);
	CHECK_EQ(get(b[0], 5000), 1000);
	CHECK(!memcmp(buf, back, 1000));
	CHECK_EQ(GUEST(__NR_splice, a[0], 0, g, 0, 100000, 0), 65536);
	CHECK_EQ(GUEST(__NR_sendfile, g, f, &off, 100000, 0, 0), sizeof(buf) - 65536);
	CHECK_EQ(GUEST(__NR_lseek, g, 0, 0, 0, 0, 0), 0);
	CHECK_EQ(get(g, sizeof(buf)), sizeof(buf));
	CHECK(!memcmp(buf, back, sizeof(buf)));
	CHECK_EQ(GUEST(__NR_splice, a[0], 0, a[1], 0, 10, 0), -EINVAL);
	CHECK_EQ(GUEST(__NR_splice, f, 0, g, 0, 10, 0), -EINVAL);
	off = 100;
	CHECK_EQ(GUEST(__NR_copy_file_range, f, &off, f, &off, 10, 0), -EINVAL);
	CHECK_EQ(GUEST(__NR_splice, f, &off, b[1], 0, 100, 0), 100);
	CHECK_EQ(GUEST(__NR_splice, b[0], 0, a[1], 0, 100, 0), 100);
	CHECK_EQ(get(a[0], 200), 100);
	CHECK(!memcmp(buf + 100, back, 100));
	shut(a[0]);
	shut(a[1]);
	shut(b[0]);
	shut(b[1]);
	shut(f);
	shut(g);
}

static long lock(int fd, int cmd, int type, u64 start, u64 len)
{
	struct flock fl = { .l_type = type, .l_start = start, .l_len = len };
	return GUEST(__NR_fcntl, fd, cmd, &fl, 0, 0, 0);
}

static void test_locks(void)
{
	long f = GUEST(__NR_open, "/lock", O_RDWR | O_CREAT, 0600, 0, 0, 0), g = GUEST(__NR_open, "/lock", O_RDWR, 0, 0, 0, 0);
	struct flock fl = { .l_type = F_WRLCK, .l_start = 0, .l_len = 0 };

	CHECK_EQ(lock(f, F_OFD_SETLK, F_WRLCK, 0, 100), 0);
	CHECK_EQ(lock(g, F_OFD_SETLK, F_RDLCK, 50, 1), -EAGAIN);
	CHECK_EQ(lock(f, F_OFD_SETLK, F_UNLCK, 40, 20), 0);
	CHECK_EQ(lock(g, F_OFD_SETLK, F_RDLCK, 40, 20), 0);
	CHECK_EQ(lock(g, F_OFD_SETLK, F_RDLCK, 39, 1), -EAGAIN);
	CHECK_EQ(lock(g, F_OFD_SETLK, F_RDLCK, 60, 1), -EAGAIN);
	CHECK_EQ(lock(f, F_OFD_SETLK, F_RDLCK, 0, 0), 0);
	CHECK_EQ(lock(g, F_SETLK, F_WRLCK, 1000, 1), -EAGAIN); /* records of a process and of a file are one space */
	CHECK_EQ(GUEST(__NR_fcntl, g, F_OFD_GETLK, &fl, 0, 0, 0), 0);
	CHECK_EQ(fl.l_type, F_RDLCK);
	CHECK_EQ(fl.l_pid, -1);
	shut(f);
	CHECK_EQ(lock(g, F_OFD_SETLK, F_WRLCK, 0, 0), 0);
	shut(g);
	CHECK_EQ(lock_count, 0);
	f = GUEST(__NR_open, "/lock", O_RDWR, 0, 0, 0, 0);
	g = GUEST(__NR_open, "/lock", O_RDWR, 0, 0, 0, 0);
	CHECK_EQ(GUEST(__NR_flock, f, 2, 0, 0, 0, 0), 0);
	CHECK_EQ(GUEST(__NR_flock, g, 1 | 4, 0, 0, 0, 0), -EAGAIN);
	CHECK_EQ(GUEST(__NR_flock, g, 1, 0, 0, 0, 0), -ERESTARTSYS);
	CHECK_EQ(lock(f, F_SETLK, F_WRLCK, 0, 10), 0); /* flock is a space of its own */
	CHECK_EQ(lock(g, F_SETLK, F_WRLCK, 5, 10), 0); /* same process */
	shut(g);                                      /* closing any descriptor drops the process's */
	CHECK_EQ(lock_count, 1);
	shut(f);
	CHECK_EQ(lock_count, 0);
	CHECK_EQ(GUEST(__NR_unlink, "/lock", 0, 0, 0, 0, 0), 0);
}

static void test_descriptors(void)
{
	long f = GUEST(__NR_open, "/dev/null", O_RDWR, 0, 0, 0, 0);
	struct fdtable *t;

	curproc()->rlim[RLIMIT_NOFILE].cur = 300;
	for (int i = 0; i < 400; i++) {
		long r = GUEST(__NR_dup, f, 0, 0, 0, 0, 0);
		CHECK_EQ(r, f + 1 + i < 300 ? f + 1 + i : -EMFILE);
	}
	CHECK_EQ(GUEST(__NR_dup2, f, 300, 0, 0, 0, 0), -EBADF);
	CHECK_EQ(GUEST(__NR_fcntl, f, F_DUPFD, 300, 0, 0, 0), -EINVAL);
	shut(77);
	shut(33);
	CHECK_EQ(GUEST(__NR_fcntl, f, F_DUPFD, 50, 0, 0, 0), 77);
	CHECK_EQ(GUEST(__NR_fcntl, f, F_DUPFD_CLOEXEC, 0, 0, 0, 0), 33);
	CHECK_EQ(GUEST(__NR_dup3, f, f, 0, 0, 0, 0), -EINVAL);
	t = fdtable_copy(curproc()->files);
	fdtable_cloexec(curproc()->files);
	CHECK(!fd_peek(33) && fd_peek(34));
	CHECK_EQ(GUEST(__NR_close_range, f + 1, ~0U, 0, 0, 0, 0), 0);
	CHECK(fd_peek(f) && !fd_peek(34) && t->f[33] && t->f[299]);
	CHECK_EQ(fd_peek(f)->refs, 300 - f + 1);
	fdtable_put(t);
	CHECK_EQ(fd_peek(f)->refs, 1);
	CHECK_EQ(GUEST(__NR_dup, f, 0, 0, 0, 0, 0), f + 1);
	shut(f);
	shut(f + 1);
	CHECK_EQ(GUEST(__NR_close, f, 0, 0, 0, 0, 0), -EBADF);
	CHECK_EQ(GUEST(__NR_close, -1, 0, 0, 0, 0, 0), -EBADF);
}

int main(void)
{
	host_map();
	fake_boot(0, 16 << 20);
	test_pipe();
	test_fifo();
	test_splice();
	test_locks();
	test_descriptors();
	return 0;
}
