/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapdev.c: /dev/snapshot, where a program says when it is initialised and hears that it was restored.
 *
 *   write "ready\n"   with UFS_BOOT_SNAP_MANUAL: from now on a snapshot may be taken
 *   read              the generation, in decimal, once there is one that was not read through this file yet
 *   ioctl             the generation at once; a signal to be sent at each restore
 */
#include "vfs.h"
#include "poll.h"
#include "snapshot.h"
#include <asm/fcntl.h>

#define UFS_SNAP_GENERATION 0x5501
#define UFS_SNAP_SIGNAL 0x5502

static u64 generation;
static bool said_ready;
static struct waitq wq = WAITQ_INIT(wq);

bool snapshot_wanted(void) { return said_ready || !(BOOT->flags & UFS_BOOT_SNAP_MANUAL); }

void snapshot_restored(u64 gen)
{
	generation = gen;
	waitq_wake(&wq, POLL_IN);
	list_for_each(l, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		if (p->snap_signal && !p->zombie)
			signal_send_process(p, &(struct ksiginfo){ .signo = p->snap_signal, .code = SI_KERNEL });
	}
}

/* What this file was told last; at first, what was true when it was opened. */
void snapdev_open(struct file *f) { f->priv = (void *)generation; }
static bool unread(struct file *f) { return f->priv != (void *)generation; }

static long snap_read(struct file *f, struct iter *it, u64 *pos)
{
	char text[24];
	if (!unread(f) && f->flags & O_NONBLOCK)
		return -EAGAIN;
	int r = wait_on(&wq, unread(f), ~0ULL);
	if (r)
		return r;
	u64 gen = generation;
	long n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)gen);
	if (it->left < (u64)n)
		return -EINVAL;
	if (iter_put(it, text, n) != n)
		return -EFAULT;
	f->priv = (void *)gen;
	return n;
}

static long snap_write(struct file *f, struct iter *it, u64 *pos)
{
	char text[7];
	size_t len = it->left;
	long n = iter_get(it, text, MIN(len, sizeof(text)));
	if (n < 0)
		return n;
	if (len != 6 || n != 6 || memcmp(text, "ready\n", 6))
		return -EINVAL;
	said_ready = true;
	return 6;
}

static u32 snap_poll(struct file *f, struct poll_table *pt)
{
	poll_wait(pt, &wq);
	return POLL_OUT | (unread(f) ? POLL_IN : 0);
}

static long snap_ioctl(struct file *f, u64 cmd, u64 arg)
{
	if (cmd == UFS_SNAP_GENERATION)
		return put_user(generation, arg);
	if (cmd != UFS_SNAP_SIGNAL)
		return -ENOTTY;
	if (arg > NSIG)
		return -EINVAL;
	curproc()->snap_signal = arg;
	return 0;
}

static long snap_seek(struct file *f, s64 off, int whence) { return -ESPIPE; }

const struct file_ops snapdev_fops = { .read = snap_read, .write = snap_write, .poll = snap_poll, .ioctl = snap_ioctl, .seek = snap_seek };
