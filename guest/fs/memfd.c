/* SPDX-License-Identifier: Apache-2.0 */
/* memfd.c: files in memory without a name: memfd_create, shared anonymous mappings. Only RAM limits them. */
#include "tmpfs.h"

#define MFD_CLOEXEC 1
#define MFD_ALLOW_SEALING 2
#define MFD_NOEXEC_SEAL 8
#define MFD_EXEC 16
#define MFD_NAME_MAX 249

static struct tfs memory = { .limit = ~0UL, .dev = 1, .type = "tmpfs" };

static struct tnode *create(u32 mode)
{
	struct tnode *t = tnode_create(&memory, NULL, S_IFREG | mode, 0);
	if (!IS_ERR(t))
		t->i.nlink = 0;
	return t;
}

struct inode *shm_inode_create(u64 size)
{
	struct tnode *t = create(0777);

	if (IS_ERR(t))
		return (void *)t;
	t->i.size = size;
	return &t->i;
}

SYSCALL(memfd_create)
{
	struct file *file;
	struct tnode *t;
	char *path;
	long n;
	int fd;

	if (b & ~(u64)(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)) {
		unsupported_once("memfd_create flags", b);
		return -EINVAL;
	}
	if ((b & (MFD_NOEXEC_SEAL | MFD_EXEC)) == (MFD_NOEXEC_SEAL | MFD_EXEC))
		return -EINVAL;
	path = kmalloc(MFD_NAME_MAX + 16);
	if (!path)
		return -ENOMEM;
	memcpy(path, "/memfd:", 7);
	n = strncpy_from_user(path + 7, (const char *)a, MFD_NAME_MAX + 1);
	if (n < 0) {
		kfree(path);
		return n == -ENAMETOOLONG ? -EINVAL : n;
	}
	t = create(b & MFD_NOEXEC_SEAL ? 0666 : 0777);
	if (IS_ERR(t)) {
		kfree(path);
		return PTR_ERR(t);
	}
	t->flags |= TN_MEMFD;
	t->seals = b & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) ? 0 : F_SEAL_SEAL;
	file = file_alloc(&regular_fops, O_RDWR | O_LARGEFILE, NULL);
	if (!file) {
		inode_put(&t->i);
		kfree(path);
		return -ENOMEM;
	}
	file->ino = &t->i;
	file->path = path;
	fd = fd_install(file, 0, b & MFD_CLOEXEC);
	if (fd < 0)
		file_put(file);
	return fd;
}
