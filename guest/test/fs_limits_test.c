/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_limits_test.c: full file systems, failing allocations, large directories, and that removing files gives everything back.
 * Usage: fs_limits_test [STEPS [SEED]]
 */
#include <asm/unistd.h>
#include "fs_calls.h"

static u64 state = 1;
static u32 rnd(u32 n)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (state >> 33) % n;
}

static u8 data[70000];

static u64 used(void)
{
	u64 limit, n;
	CHECK(tmpfs_usage(root_inode, &limit, &n));
	CHECK(n <= limit);
	return n;
}

static void remove_all(const char *dir, int depth);

static void remove_one(const char *path, u8 type, int depth)
{
	if (type != 4) {
		CHECK_EQ(GUEST(__NR_unlink, path, 0, 0, 0, 0, 0), 0);
		return;
	}
	remove_all(path, depth + 1);
	CHECK_EQ(GUEST(__NR_rmdir, path, 0, 0, 0, 0, 0), 0);
}

static void remove_all(const char *dir, int depth)
{
	char *path = malloc(4200);
	u8 *buf = malloc(4096);
	long fd = GUEST(__NR_open, dir, O_RDONLY | O_DIRECTORY, 0, 0, 0, 0), n;

	CHECK(fd >= 0 && depth < 200);
	while ((n = GUEST(__NR_getdents64, fd, buf, 4096, 0, 0, 0)) > 0) {
		for (long at = 0; at < n;) {
			const char *name = (const char *)buf + at + 19;
			u8 type = buf[at + 18];
			u16 len;
			memcpy(&len, buf + at + 16, 2);
			at += len;
			snprintf(path, 4200, "%s%s%s", dir, dir[1] ? "/" : "", name);
			if (strcmp(name, ".") && strcmp(name, "..") && strcmp(path, "/proc") && strcmp(path, "/sys") && strcmp(path, "/dev") && strcmp(path, "/tmp"))
				remove_one(path, type, depth);
		}
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(GUEST(__NR_close, fd, 0, 0, 0, 0, 0), 0);
	free(buf);
	free(path);
}

static void test_full(void)
{
	u64 before = used(), total = 0;
	char name[32];
	long fd = GUEST(__NR_open, "/full", O_RDWR | O_CREAT, 0600, 0, 0, 0), r;

	while ((r = GUEST(__NR_write, fd, data, sizeof(data), 0, 0, 0)) > 0)
		total += r;
	CHECK_EQ(r, -ENOSPC);
	CHECK(total > (3 << 20) && total <= (4 << 20));
	CHECK_EQ(GUEST(__NR_fallocate, fd, 0, total, 1 << 20, 0, 0), -ENOSPC);
	CHECK_EQ(GUEST(__NR_pwrite64, fd, data, 10, 1000, 0, 0), 10); /* what is there can be written over */
	CHECK_EQ(GUEST(__NR_unlink, "/full", 0, 0, 0, 0, 0), 0);
	CHECK(used() > before);
	CHECK_EQ(GUEST(__NR_close, fd, 0, 0, 0, 0, 0), 0);
	CHECK_EQ(used(), before);
	for (u32 i = 0;; i++) { /* inodes count too */
		snprintf(name, sizeof(name), "/n%u", i);
		r = GUEST(__NR_mkdir, name, 0755, 0, 0, 0, 0);
		if (r)
			break;
		CHECK(i < 20000);
	}
	CHECK_EQ(r, -ENOSPC);
	CHECK_EQ(GUEST(__NR_symlink, "x", "/link", 0, 0, 0, 0), -ENOSPC);
	CHECK_EQ(GUEST(__NR_rename, "/n1", "/n2", 0, 0, 0, 0), 0);
	remove_all("/", 0);
	CHECK_EQ(used(), before);
}

static void test_sparse(void)
{
	static const u64 far[] = { 0, 5000, 1 << 20, 1UL << 33, 1UL << 45, MAX_FILE_SIZE - 10 };
	long fd = GUEST(__NR_memfd_create, "m", 2, 0, 0, 0, 0);
	u64 pages = fake_pages;

	CHECK_EQ(GUEST(__NR_ftruncate, fd, MAX_FILE_SIZE + 1, 0, 0, 0, 0), -EFBIG);
	for (u32 i = 0; i < ARRAY_SIZE(far); i++) {
		CHECK_EQ(GUEST(__NR_pwrite64, fd, &far[i], 8, far[i], 0, 0), 8);
		for (u32 k = 0; k <= i; k++) {
			u64 v;
			CHECK_EQ(GUEST(__NR_pread64, fd, &v, 8, far[k], 0, 0), 8);
			CHECK_EQ(v, far[k]);
		}
	}
	CHECK_EQ(GUEST(__NR_pwrite64, fd, data, 100, MAX_FILE_SIZE - 10, 0, 0), 10);
	CHECK_EQ(GUEST(__NR_pwrite64, fd, data, 100, MAX_FILE_SIZE, 0, 0), -EFBIG);
	CHECK_EQ(GUEST(__NR_ftruncate, fd, 6000, 0, 0, 0, 0), 0);
	CHECK_EQ(fake_pages, pages + 2);
	CHECK_EQ(GUEST(__NR_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW, 0, 0, 0), 0);
	CHECK_EQ(GUEST(__NR_ftruncate, fd, 5000, 0, 0, 0, 0), -EPERM);
	CHECK_EQ(GUEST(__NR_pwrite64, fd, data, 100, 5950, 0, 0), 50);
	void *page = fd_peek(fd)->ino->ops->page(fd_peek(fd)->ino, 0, true);
	CHECK_EQ(GUEST(__NR_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE, 0, 0, 0), -EBUSY);
	page_put(page);
	CHECK_EQ(GUEST(__NR_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL, 0, 0, 0), 0);
	CHECK_EQ(GUEST(__NR_write, fd, data, 1, 0, 0, 0), -EPERM);
	CHECK_EQ(GUEST(__NR_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE, 0, 0, 0), -EPERM);
	CHECK_EQ(GUEST(__NR_fcntl, fd, F_GET_SEALS, 0, 0, 0, 0), 15);
	CHECK_EQ(PTR_ERR(fd_peek(fd)->ino->ops->page(fd_peek(fd)->ino, 8192, false)), -EFAULT);
	CHECK_EQ(GUEST(__NR_close, fd, 0, 0, 0, 0, 0), 0);
	CHECK_EQ(fake_pages, pages);
}

static const char *const names[] = { "/a", "/b", "/a/x", "/b/x", "/a/x/y", "/a/b", "/c", "/b/y", "/a/y", "/proc/self/status", "/proc/self/fd/0", "/dev/shm/q", "/proc/self/cwd/a" };
static const char *name(void) { return names[rnd(ARRAY_SIZE(names))]; }

/* Watches, attributes, terminals: whatever fails in between, nothing of them is left at the end. */
static long watcher = -1;

static void step_watch(void)
{
	if (watcher < 0)
		watcher = GUEST(__NR_inotify_init1, O_NONBLOCK, 0, 0, 0, 0, 0);
	if (watcher < 0)
		return;
	switch (rnd(8)) {
	case 0: GUEST(__NR_close, watcher, 0, 0, 0, 0, 0); watcher = -1; break;
	case 1: GUEST(__NR_inotify_rm_watch, watcher, rnd(200), 0, 0, 0, 0); break;
	case 2: GUEST(__NR_read, watcher, data, rnd(4096), 0, 0, 0); break;
	default: GUEST(__NR_inotify_add_watch, watcher, name(), rnd(3) ? 0xfff : 0x80000fff, 0, 0, 0);
	}
}

static void step_xattr(void)
{
	static const char *const xs[] = { "user.a", "user.b", "trusted.c", "security.d", "other" };
	const char *x = xs[rnd(ARRAY_SIZE(xs))];

	switch (rnd(4)) {
	case 0: GUEST(__NR_removexattr, name(), x, 0, 0, 0, 0); break;
	case 1: GUEST(__NR_getxattr, name(), x, data, rnd(3000), 0, 0); break;
	case 2: GUEST(__NR_listxattr, name(), data, rnd(30), 0, 0, 0); break;
	default: GUEST(__NR_lsetxattr, name(), x, data, rnd(3000), rnd(3), 0);
	}
}

static void step_pty(void)
{
	long m = GUEST(__NR_open, "/dev/ptmx", O_RDWR | O_NONBLOCK, 0, 0, 0, 0), s;
	int zero = 0;

	if (m < 0)
		return;
	GUEST(__NR_ioctl, m, 0x40045431 /* TIOCSPTLCK */, &zero, 0, 0, 0);
	s = rnd(2) ? GUEST(__NR_open, "/dev/pts/0", O_RDWR | O_NONBLOCK, 0, 0, 0, 0) :
		     GUEST(__NR_ioctl, m, 0x5441 /* TIOCGPTPEER */, O_RDWR | O_NONBLOCK, 0, 0, 0);
	for (u32 i = rnd(8); i && s >= 0; i--) {
		u32 termios[9];
		if (!rnd(3) && !GUEST(__NR_ioctl, s, 0x5401 /* TCGETS */, termios, 0, 0, 0)) {
			termios[rnd(4)] ^= 1U << rnd(16);
			GUEST(__NR_ioctl, s, 0x5402 + rnd(3), termios, 0, 0, 0);
		}
		GUEST(__NR_write, rnd(2) ? m : s, data, rnd(9000), 0, 0, 0);
		GUEST(__NR_read, rnd(2) ? m : s, data, rnd(9000), 0, 0, 0);
		GUEST(__NR_ioctl, rnd(2) ? m : s, 0x540b /* TCFLSH */, rnd(3), 0, 0, 0);
	}
	GUEST(__NR_close, rnd(2) && s >= 0 ? s : m, 0, 0, 0, 0, 0);
	GUEST(__NR_close, m, 0, 0, 0, 0, 0);
	GUEST(__NR_close, s, 0, 0, 0, 0, 0);
	for (u32 i = 0; i < sizeof(data); i++)
		data[i] = rnd(i % 7 ? 256 : 32);
}

static void step(void)
{
	long fd;
	int p[2];

	switch (rnd(20)) {
	case 10:
	case 11: step_watch(); break;
	case 12:
	case 13: step_xattr(); break;
	case 14:
		if (!rnd(8))
			step_pty();
		break;
	case 0: GUEST(__NR_mkdir, name(), 0755, 0, 0, 0, 0); break;
	case 1: GUEST(__NR_rmdir, name(), 0, 0, 0, 0, 0); break;
	case 2: GUEST(__NR_unlink, name(), 0, 0, 0, 0, 0); break;
	case 3: GUEST(__NR_rename, name(), name(), 0, 0, 0, 0); break;
	case 4: GUEST(__NR_renameat2, AT_FDCWD, name(), AT_FDCWD, name(), 2, 0); break;
	case 5: GUEST(__NR_link, name(), name(), 0, 0, 0, 0); break;
	case 6: GUEST(__NR_symlink, name(), name(), 0, 0, 0, 0); break;
	case 7: GUEST(__NR_truncate, name(), rnd(1 << 20), 0, 0, 0, 0); break;
	case 8:
		if (!GUEST(__NR_pipe2, p, O_NONBLOCK, 0, 0, 0, 0)) {
			GUEST(__NR_write, p[1], data, rnd(70000), 0, 0, 0);
			GUEST(__NR_close, p[0], 0, 0, 0, 0, 0);
			GUEST(__NR_close, p[1], 0, 0, 0, 0, 0);
		}
		break;
	case 9: GUEST(__NR_readlink, name(), data, 100, 0, 0, 0); break;
	default:
		fd = GUEST(__NR_open, name(), (rnd(4) ? O_CREAT : 0) | O_RDWR | O_NONBLOCK, 0644, 0, 0, 0);
		if (fd < 0)
			break;
		if (rnd(2))
			GUEST(__NR_pwrite64, fd, data, rnd(20000), rnd(1 << 19), 0, 0);
		else
			GUEST(__NR_pread64, fd, data, rnd(20000), rnd(100), 0, 0);
		GUEST(__NR_fallocate, fd, rnd(4), rnd(10000), rnd(10000), 0, 0);
		if (rnd(8) == 0) {
			struct flock fl = { .l_type = rnd(3), .l_start = rnd(100), .l_len = rnd(100) };
			GUEST(__NR_fcntl, fd, F_SETLK, &fl, 0, 0, 0);
		}
		GUEST(__NR_close, fd, 0, 0, 0, 0, 0);
	}
}

static void test_failures(u32 steps)
{
	u64 before = used(), pages = fake_pages;

	for (u32 i = 0; i < steps; i++) {
		fake_fail_after = rnd(2) ? -1 : (long)rnd(12);
		step();
	}
	fake_fail_after = -1;
	GUEST(__NR_close, watcher, 0, 0, 0, 0, 0);
	watcher = -1;
	CHECK_EQ(watch_count, 0);
	for (u32 i = 0; i < 100; i++) /* instances and terminals that failed half-way count no more */
		CHECK(GUEST(__NR_inotify_init1, 0, 0, 0, 0, 0, 0) >= 0);
	CHECK_EQ(GUEST(__NR_close_range, 0, ~0U, 0, 0, 0, 0), 0);
	CHECK_EQ(GUEST(__NR_access, "/dev/pts/0", 0, 0, 0, 0, 0), -ENOENT);
	remove_all("/", 0);
	remove_all("/dev/shm", 0); /* symbolic links may have led there */
	CHECK_EQ(used(), before);
	CHECK_EQ(fake_pages, pages);
	CHECK_EQ(lock_count, 0);
}

/* A chain of removed directories, each held by the next, must not be freed by recursion. */
static void test_chain(void)
{
	char *path = malloc(4200);
	u64 before = used();
	u32 depth = 0;

	while (depth < 2000 && GUEST(__NR_mkdir, "d", 0755, 0, 0, 0, 0) == 0 && GUEST(__NR_chdir, "d", 0, 0, 0, 0, 0) == 0)
		depth++;
	CHECK_EQ(depth, 2000);
	CHECK_EQ(GUEST(__NR_mkdir, "d", 0755, 0, 0, 0, 0), 0);
	for (u32 i = depth; i > 0; i--) {
		for (u32 k = 0; k < i; k++)
			memcpy(path + 2 * k, "/d", 3);
		CHECK_EQ(GUEST(__NR_rmdir, path, 0, 0, 0, 0, 0), i == depth ? -ENOTEMPTY : 0);
		if (i == depth) {
			CHECK_EQ(GUEST(__NR_rmdir, "d", 0, 0, 0, 0, 0), 0);
			CHECK_EQ(GUEST(__NR_rmdir, path, 0, 0, 0, 0, 0), 0);
		}
	}
	CHECK_EQ(GUEST(__NR_getcwd, path, 4200, 0, 0, 0, 0), -ENOENT);
	CHECK(used() > before);
	CHECK_EQ(GUEST(__NR_chdir, "/", 0, 0, 0, 0, 0), 0);
	CHECK_EQ(used(), before);
	free(path);
}

static void test_proc(void)
{
	static const char *const files[] = { "/proc/self/status", "/proc/1/stat", "/proc/self/limits", "/proc/thread-self/comm", "/proc/cpuinfo", "/proc/meminfo",
		"/proc/stat", "/proc/uptime", "/proc/mounts", "/proc/self/mountinfo", "/proc/sys/kernel/random/uuid", "/proc/sys/net/core/somaxconn",
		"/sys/devices/system/cpu/online", "/proc/self/task/1/status", "/proc/self/fdinfo/5", "/proc/loadavg", "/proc/version" };
	struct stat st;

	CHECK_EQ(GUEST(__NR_dup3, GUEST(__NR_open, "/dev/zero", 0, 0, 0, 0, 0), 5, 0, 0, 0, 0), 5);
	for (u32 i = 0; i < ARRAY_SIZE(files); i++) {
		long fd = GUEST(__NR_open, files[i], 0, 0, 0, 0, 0), n;
		u32 sum = 0, again = 0;
		CHECK(fd >= 0);
		while ((n = GUEST(__NR_read, fd, data, 7, 0, 0, 0)) > 0)
			sum += n;
		CHECK_EQ(n, 0);
		CHECK(sum > 0);
		CHECK_EQ(GUEST(__NR_lseek, fd, 0, 0, 0, 0, 0), 0);
		while ((n = GUEST(__NR_read, fd, data, sizeof(data), 0, 0, 0)) > 0)
			again += n;
		CHECK_EQ(again, sum);
		CHECK_EQ(GUEST(__NR_close, fd, 0, 0, 0, 0, 0), 0);
	}
	CHECK_EQ(GUEST(__NR_open, "/proc/sys/kernel/hostname", O_WRONLY, 0, 0, 0, 0), -EACCES);
	CHECK_EQ(GUEST(__NR_open, "/sys/x", O_WRONLY | O_CREAT, 0, 0, 0, 0), -EROFS);
	CHECK_EQ(GUEST(__NR_mkdir, "/proc/x", 0, 0, 0, 0, 0), -ENOENT);
	CHECK_EQ(GUEST(__NR_stat, "/proc/2", &st, 0, 0, 0, 0), -ENOENT);
	CHECK_EQ(GUEST(__NR_stat, "/proc/self/fd/5", &st, 0, 0, 0, 0), 0);
	CHECK_EQ(st.st_rdev, 0x105);
	CHECK_EQ(GUEST(__NR_stat, "/proc/self/task/1/../../fd/../../..", &st, 0, 0, 0, 0), 0);
	CHECK_EQ(st.st_ino, root_inode->ino);
	CHECK_EQ(GUEST(__NR_open, "/dev/tty", O_RDWR, 0, 0, 0, 0), -ENXIO);
	CHECK_EQ(GUEST(__NR_rmdir, "/proc", 0, 0, 0, 0, 0), -EBUSY);
	CHECK_EQ(GUEST(__NR_rename, "/proc", "/q", 0, 0, 0, 0), -EBUSY);
	CHECK_EQ(GUEST(__NR_close, 5, 0, 0, 0, 0, 0), 0);
	CHECK_EQ(GUEST(__NR_close_range, 0, ~0U, 0, 0, 0, 0), 0);
}

static const char many[] =
	"mkdir -p root/m; cd root/m; i=0; while [ $i -lt 9000 ]; do : > long-name-of-a-file-number-$i; i=$((i+1)); done; cd ..\n"
	"for n in 0 1 4096 5000 9000; do head -c $n /dev/urandom > p$n; done; cd ..\n"
	"mkfs.erofs -Enoinline_data image root >/dev/null 2>&1\n";

/* More names than the cache holds; those that were changed stay. */
static void test_many(void)
{
	char path[64];
	struct stat st;
	u64 before = used();

	for (u32 round = 0; round < 2; round++) {
		for (u32 i = 0; i < 9000; i++) {
			snprintf(path, sizeof(path), "/m/long-name-of-a-file-number-%u", i);
			CHECK_EQ(GUEST(__NR_stat, path, &st, 0, 0, 0, 0), 0);
			CHECK_EQ(st.st_mode & 0777, round && i % 1000 == 0 ? 0600 : 0644);
			if (!round && i % 1000 == 0)
				CHECK_EQ(GUEST(__NR_chmod, path, 0600, 0, 0, 0, 0), 0);
		}
	}
	CHECK_EQ(used(), before);
	for (u32 i = 0; i < 9000; i++) {
		snprintf(path, sizeof(path), "/m/long-name-of-a-file-number-%u", i);
		CHECK_EQ(GUEST(__NR_unlink, path, 0, 0, 0, 0, 0), 0);
	}
	CHECK_EQ(GUEST(__NR_rmdir, "/m", 0, 0, 0, 0, 0), 0);
	CHECK_EQ(used(), before + 128); /* the whiteout of /m itself */
}

/* What a mapping shows is what read shows; a page that will be written is the file's own from then on. */
static void test_pages(void)
{
	static const char *const files[] = { "/p0", "/p1", "/p4096", "/p5000", "/p9000" };
	static const u64 sizes[] = { 0, 1, 4096, 5000, 9000 };
	u64 pages = fake_pages;

	for (u32 i = 0; i < ARRAY_SIZE(files); i++) {
		long fd = GUEST(__NR_open, files[i], O_RDWR, 0, 0, 0, 0);
		struct inode *ino = fd_peek(fd)->ino;
		u8 *p, *q;
		for (u64 off = 0; off < sizes[i]; off += PAGE_SIZE) {
			u64 n = MIN(PAGE_SIZE, sizes[i] - off);
			memset(data, 0, PAGE_SIZE);
			CHECK_EQ(GUEST(__NR_pread64, fd, data, PAGE_SIZE, off, 0, 0), n);
			p = ino->ops->page(ino, off, false);
			CHECK(!IS_ERR(p) && !((u64)p & (PAGE_SIZE - 1)));
			CHECK(!memcmp(p, data, PAGE_SIZE));
			if (n == PAGE_SIZE) /* nothing copied where the image has a page of it */
				CHECK((u64)p >= UFS_IMAGE_VA && (u64)p < UFS_IMAGE_VA + FAKE_IMAGE_MAX);
			page_put(p);
			p = ino->ops->page(ino, off, true);
			CHECK(!IS_ERR(p) && !memcmp(p, data, PAGE_SIZE));
			p[0] ^= 0x55;
			q = ino->ops->page(ino, off, false);
			CHECK(p == q);
			CHECK_EQ(GUEST(__NR_pread64, fd, data, PAGE_SIZE, off, 0, 0), n);
			CHECK_EQ(data[0], p[0]);
			page_put(p);
			page_put(q);
		}
		CHECK_EQ(PTR_ERR(ino->ops->page(ino, ALIGN_UP(sizes[i], PAGE_SIZE), false)), -EFAULT);
		CHECK_EQ(GUEST(__NR_close, fd, 0, 0, 0, 0, 0), 0);
		CHECK_EQ(GUEST(__NR_unlink, files[i], 0, 0, 0, 0, 0), 0);
		CHECK_EQ(fake_pages, pages);
	}
}

static u32 steps = 20000;
static u64 image;

static int run(void *arg)
{
	fake_boot(image, 4 << 20);
	if (image) {
		test_pages();
		test_many();
		return 0;
	}
	test_proc();
	test_full();
	test_sparse();
	test_chain();
	test_failures(steps);
	return 0;
}

int main(int argc, char **argv)
{
	char path[128];
	int st;

	if (argc > 1)
		steps = atoi(argv[1]);
	state = argc > 2 ? atoi(argv[2]) : 1;
	host_map();
	st = host_fork_run(run, NULL);
	if (st) {
		printf("fs_limits_test: exit %d\n", st);
		return 1;
	}
	snprintf(path, sizeof(path), "%s/image", host_folder(many));
	image = host_load(path, (void *)UFS_IMAGE_VA, FAKE_IMAGE_MAX);
	st = host_fork_run(run, NULL);
	if (st)
		printf("fs_limits_test: with an image: exit %d\n", st);
	return st != 0;
}
