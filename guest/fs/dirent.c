/* SPDX-License-Identifier: Apache-2.0 */
/* dirent.c: listing directories for the program. */
#include "vfs.h"

struct fill { u8 *ubuf; u64 left; bool old; int error; u32 count; };

struct dirent_head { u64 ino; s64 off; u16 reclen; } __attribute__((packed));

/* getdents64 has the type behind the head, getdents as the last byte. */
static bool emit(void *arg, const char *name, size_t len, u64 ino, u8 type, u64 next)
{
	struct fill *fl = arg;
	u8 rec[sizeof(struct dirent_head) + NAME_MAX + 12];
	struct dirent_head h = { ino, next, ALIGN_UP(sizeof(h) + len + 2, 8UL) };
	u8 *at = rec + sizeof(h);

	if (len > NAME_MAX)
		return true;
	if (h.reclen > fl->left) {
		if (!fl->count)
			fl->error = -EINVAL;
		return false;
	}
	memset(rec, 0, h.reclen);
	memcpy(rec, &h, sizeof(h));
	if (fl->old)
		rec[h.reclen - 1] = type;
	else
		*at++ = type;
	memcpy(at, name, len);
	if (copy_to_user(fl->ubuf, rec, h.reclen)) {
		if (!fl->count)
			fl->error = -EFAULT;
		return false;
	}
	fl->ubuf += h.reclen;
	fl->left -= h.reclen;
	fl->count++;
	return true;
}

static long list(int fd, u64 ubuf, u32 n, bool old)
{
	struct fill fl = { .ubuf = (u8 *)ubuf, .left = n, .old = old };
	struct file *f = fd_get(fd);
	u64 pos;
	int r;

	if (!f)
		return -EBADF;
	if (!f->ops->readdir) {
		r = f->flags & O_PATH ? -EBADF : -ENOTDIR;
		file_put(f);
		return r;
	}
	if (!f->ino || (f->ino->nlink == 0 && !(f->ino->dev == DEV_PROC))) {
		file_put(f);
		return -ENOENT;
	}
	pos = f->pos;
	r = f->ops->readdir(f, &pos, emit, &fl);
	f->pos = pos;
	if (!r)
		notify(f->ino, IN_ACCESS);
	file_put(f);
	if (fl.count)
		return n - fl.left;
	return fl.error ? fl.error : r;
}

SYSCALL(getdents) { return list((int)a, b, c, true); }
SYSCALL(getdents64) { return list((int)a, b, c, false); }
