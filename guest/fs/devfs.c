/* SPDX-License-Identifier: Apache-2.0 */
/* devfs.c: /dev, a file system in memory with its nodes made at boot, and what opens behind character devices. */
#include "tmpfs.h"

static long null_read(struct file *f, struct iter *it, u64 *pos) { return 0; }

static long null_write(struct file *f, struct iter *it, u64 *pos)
{
	long n = it->left;
	it->left = 0;
	return n;
}

static long zero_read(struct file *f, struct iter *it, u64 *pos) { return it->left ? iter_zero(it, it->left) : 0; }
static long full_write(struct file *f, struct iter *it, u64 *pos) { return -ENOSPC; }

static long null_seek(struct file *f, s64 off, int whence)
{
	f->pos = 0;
	return 0;
}

static const struct file_ops null_fops = { .read = null_read, .write = null_write, .seek = null_seek };
static const struct file_ops zero_fops = { .read = zero_read, .write = null_write, .seek = null_seek };
static const struct file_ops full_fops = { .read = zero_read, .write = full_write, .seek = null_seek };

#define CONSOLE (5 << 8 | 1)

static const struct chrdev { const char *name; u16 dev; const struct file_ops *fops; } chrdevs[] = {
	{ "null", 1 << 8 | 3, &null_fops },
	{ "zero", 1 << 8 | 5, &zero_fops },
	{ "full", 1 << 8 | 7, &full_fops },
	{ "random", 1 << 8 | 8, &random_fops },
	{ "urandom", 1 << 8 | 9, &random_fops },
	{ "snapshot", 10 << 8 | 200, &snapdev_fops },
	{ "tty", 5 << 8, NULL },
	{ "console", CONSOLE, NULL },
	{ "ptmx", 5 << 8 | 2, NULL },
};

static const struct chrdev *find(u64 rdev)
{
	for (u32 i = 0; i < ARRAY_SIZE(chrdevs); i++)
		if (chrdevs[i].dev == rdev)
			return &chrdevs[i];
	return NULL;
}

bool chrdev_known(u64 rdev) { return find(rdev) || pty_device(rdev); }

int chrdev_open(struct inode *ino, struct file *f, bool noctty)
{
	const struct chrdev *d = find(ino->rdev);

	if (pty_device(ino->rdev))
		return pty_open(ino->rdev, f, noctty);
	if (ino->rdev == CONSOLE)
		return console_open_tty(f);
	if (!d)
		return -ENXIO;
	f->ops = d->fops;
	if (d->fops == &snapdev_fops)
		snapdev_open(f);
	return 0;
}

static void put_made(struct inode *ino)
{
	if (!IS_ERR(ino))
		inode_put(ino);
}

struct inode *dev_create(void)
{
	static const char *const links[][2] = {
		{ "fd", "/proc/self/fd" }, { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
	};
	struct inode *dir = memory_create(1 << 20, DEV_DEVTMP, "tmpfs", 0755);

	if (!dir)
		return NULL;
	for (u32 i = 0; i < ARRAY_SIZE(chrdevs); i++)
		put_made(dir->ops->create(dir, chrdevs[i].name, strlen(chrdevs[i].name), S_IFCHR | 0666, chrdevs[i].dev));
	for (u32 i = 0; i < ARRAY_SIZE(links); i++)
		dir->ops->symlink(dir, links[i][0], strlen(links[i][0]), links[i][1]);
	return dir;
}

struct inode *memory_create(u64 limit, u32 dev, const char *type, u32 mode)
{
	struct tfs *fs = tfs_create(limit, dev, type);
	struct tnode *t = fs ? tmpfs_root(fs, mode) : NULL;

	return !t || IS_ERR(t) ? NULL : &t->i;
}
