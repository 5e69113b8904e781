/* SPDX-License-Identifier: Apache-2.0 */
/* fs_snapshot_test.c: /dev/snapshot: saying that the program is ready, hearing of restores. */
#include "fs_calls.h"
#include "poll.h"
#include "snapshot.h"
#include <asm/fcntl.h>
#include <asm/unistd.h>

#define GENERATION 0x5501
#define SIGNAL 0x5502

static long open_it(int flags) { return GUEST(__NR_openat, AT_FDCWD, "/dev/snapshot", flags, 0, 0, 0); }
static long reads(int fd, void *buf, u64 n) { return GUEST(__NR_read, fd, buf, n, 0, 0, 0); }
static long writes(int fd, const char *s) { return GUEST(__NR_write, fd, s, strlen(s), 0, 0, 0); }
static long ioctl(int fd, u64 cmd, u64 arg) { return GUEST(__NR_ioctl, fd, cmd, arg, 0, 0, 0); }

static u32 ready(int fd)
{
	struct file *f = fd_get(fd);
	u32 bits = f->ops->poll(f, NULL);
	file_put(f);
	return bits;
}

static void expect(int fd, const char *want)
{
	char buf[64] = "";
	CHECK(ready(fd) & POLLIN);
	CHECK_EQ(reads(fd, buf, sizeof(buf)), strlen(want));
	CHECK(!strcmp(buf, want));
	CHECK(!(ready(fd) & POLLIN));
	CHECK_EQ(reads(fd, buf, sizeof(buf)), -EAGAIN);
}

static void restores(void)
{
	char buf[32];
	u64 gen = 1;
	int fd = open_it(O_RDWR | O_NONBLOCK), blocking = open_it(O_RDONLY);
	CHECK(fd >= 0 && blocking >= 0);
	CHECK_EQ(reads(fd, buf, sizeof(buf)), -EAGAIN);
	CHECK_EQ(reads(blocking, buf, sizeof(buf)), -ERESTARTSYS); /* it would have slept */
	CHECK_EQ(ready(fd), POLL_OUT);
	CHECK_EQ(ioctl(fd, GENERATION, (u64)&gen), 0);
	CHECK_EQ(gen, 0);
	snapshot_restored(0xfedcba9876543210);
	CHECK_EQ(ioctl(fd, GENERATION, (u64)&gen), 0);
	CHECK_EQ(gen, 0xfedcba9876543210);
	/* Asking does not take it. Nor does a read that fails. */
	CHECK_EQ(reads(fd, buf, 5), -EINVAL);
	CHECK_EQ(reads(fd, (void *)8, 64), -EFAULT);
	expect(fd, "18364758544493064720\n");
	CHECK_EQ(reads(blocking, buf, sizeof(buf)), 21);
	/* A file that was opened later has nothing to hear of; several restores are one. */
	int later = open_it(O_RDWR | O_NONBLOCK);
	CHECK_EQ(reads(later, buf, sizeof(buf)), -EAGAIN);
	snapshot_restored(17);
	snapshot_restored(18);
	expect(fd, "18\n");
	expect(later, "18\n");
	/* Signals. */
	fake_signal = 0;
	snapshot_restored(19);
	CHECK_EQ(fake_signal, 0);
	CHECK_EQ(ioctl(fd, SIGNAL, 65), -EINVAL);
	CHECK_EQ(ioctl(fd, SIGNAL, ~0ULL), -EINVAL);
	CHECK_EQ(ioctl(fd, SIGNAL, 12), 0);
	CHECK_EQ(fake_signal, 0);
	snapshot_restored(20);
	CHECK_EQ(fake_signal, 12);
	fake_signal = 0;
	CHECK_EQ(ioctl(fd, SIGNAL, 0), 0);
	snapshot_restored(21);
	CHECK_EQ(fake_signal, 0);
	CHECK_EQ(ioctl(fd, GENERATION, 8), -EFAULT);
	CHECK_EQ(ioctl(fd, 0x5503, 0), -ENOTTY);
	CHECK_EQ(GUEST(__NR_lseek, fd, 0, 0, 0, 0, 0), -ESPIPE);
}

static void manual(void)
{
	struct ufs_boot *boot = (struct ufs_boot *)BOOT;
	int fd = open_it(O_WRONLY);
	char buf[8];
	CHECK(snapshot_wanted());
	boot->flags |= UFS_BOOT_SNAP_MANUAL;
	CHECK(!snapshot_wanted());
	static const char *const wrong[] = { "", "ready", "Ready\n", "ready\n\n", "ready \n", "x", "not ready\n" };
	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		CHECK_EQ(writes(fd, wrong[i]), -EINVAL);
		CHECK(!snapshot_wanted());
	}
	CHECK_EQ(reads(fd, buf, 8), -EBADF);
	CHECK_EQ(writes(fd, "ready\n"), 6);
	CHECK(snapshot_wanted());
}

int main(void)
{
	host_map();
	fake_boot(0, 1 << 20);
	manual();
	restores();
	return 0;
}
