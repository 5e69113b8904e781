/* SPDX-License-Identifier: Apache-2.0 */
/* mount.c: the mounts there are, fixed at boot: image and overlay at /, /proc, /sys, /dev, /dev/shm, /dev/pts. */
#include "vfs.h"
#include "procfs.h"

struct inode *root_inode;
struct mount mounts[7];
int nmounts;

struct inode *mount_cross_down(struct inode *ino)
{
	for (int i = 1; i < nmounts; i++) {
		if (mounts[i].covered != ino)
			continue;
		inode_get(mounts[i].root);
		inode_put(ino);
		return mounts[i].root;
	}
	return ino;
}

struct inode *mount_cross_up(struct inode *ino)
{
	for (int i = 1; i < nmounts; i++) {
		if (mounts[i].root != ino)
			continue;
		inode_get(mounts[i].covered);
		inode_put(ino);
		return mounts[i].covered;
	}
	return ino;
}

static struct inode *make_dir(struct inode *dir, const char *name, u32 mode)
{
	struct inode *ino = dir->ops->lookup(dir, name, strlen(name));

	if (!IS_ERR(ino) && S_ISDIR(ino->mode))
		return ino;
	if (!IS_ERR(ino)) {
		inode_put(ino);
		return ERR_PTR(-ENOTDIR);
	}
	return dir->ops->create(dir, name, strlen(name), S_IFDIR | mode, 0);
}

static void mount(struct inode *dir, const char *name, const char *path, struct inode *root, const char *type, const char *opts)
{
	struct inode *at = dir ? make_dir(dir, name, 0755) : NULL;

	if (IS_ERR(at) || !root) {
		klog("cannot mount %s at %s (error %ld)", type, path, IS_ERR(at) ? -PTR_ERR(at) : ENOMEM);
		return;
	}
	mounts[nmounts++] = (struct mount){ at, root, path, type, opts };
}

void fs_init(void)
{
	struct inode *tmp, *dev;

	root_inode = root_create();
	mount(NULL, "", "/", root_inode, has_lower_root() ? "overlay" : "tmpfs", BOOT->flags & UFS_BOOT_READONLY ? "ro,relatime" : "rw,relatime");
	mount(root_inode, "proc", "/proc", procfs_create(), "proc", "rw,nosuid,nodev,noexec,relatime");
	mount(root_inode, "sys", "/sys", sysfs_create(), "sysfs", "ro,nosuid,nodev,noexec,relatime");
	dev = dev_create();
	mount(root_inode, "dev", "/dev", dev, "tmpfs", "rw,nosuid,relatime");
	if (dev) { /* shm: half of the RAM, as Linux does it */
		mount(dev, "shm", "/dev/shm", memory_create(page_total_bytes() / 2, DEV_SHM, "tmpfs", S_ISVTX | 0777), "tmpfs", "rw,nosuid,nodev,relatime");
		mount(dev, "pts", "/dev/pts", pts_create(memory_create(1 << 20, DEV_PTS, "devpts", 0755)), "devpts",
		      "rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666");
	}
	if (BOOT->flags & UFS_BOOT_READONLY) {
		mount(root_inode, "tmp", "/tmp", memory_create(BOOT->overlay_max, DEV_TMP, "tmpfs", S_ISVTX | 0777), "tmpfs", "rw,nosuid,nodev,relatime");
		return;
	}
	tmp = make_dir(root_inode, "tmp", S_ISVTX | 0777);
	if (!IS_ERR(tmp))
		inode_put(tmp);
}

bool read_only_root(const struct inode *ino)
{
	return ino->dev == DEV_ROOT && BOOT->flags & UFS_BOOT_READONLY && (S_ISREG(ino->mode) || S_ISDIR(ino->mode) || S_ISLNK(ino->mode));
}

SYSCALL(mount) { return -EPERM; }
SYSCALL(umount2) { return -EPERM; }
SYSCALL(pivot_root) { return -EPERM; }
