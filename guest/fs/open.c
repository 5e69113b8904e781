/* SPDX-License-Identifier: Apache-2.0 */
/* open.c: from a path to an open file. */
#include "vfs.h"
#include "tmpfs.h"
#include <linux/openat2.h>

#define OPEN_FLAGS (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | FASYNC | O_DIRECT | \
		    O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | __O_SYNC | O_PATH | __O_TMPFILE)
#define NOT_STATUS (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)

/* Consumes the reference to ino. May block (fifos): no walk is held here. */
static struct file *finish_open(struct inode *ino, char *path, u32 flags)
{
	struct file *f = file_alloc(&path_fops, flags & ~NOT_STATUS, NULL);
	int r = 0;

	if (!f) {
		inode_put(ino);
		kfree(path);
		return ERR_PTR(-ENOMEM);
	}
	f->ino = ino;
	f->path = path;
	if (flags & O_PATH)
		return f;
	f->flags |= O_LARGEFILE;
	switch (ino->ops == &host_special_ops ? 0 : ino->mode & S_IFMT) {
	case S_IFREG: f->ops = &regular_fops; break;
	case S_IFDIR: f->ops = &directory_fops; break;
	case S_IFIFO: r = fifo_open(ino, f); break;
	case S_IFCHR: r = chrdev_open(ino, f, flags & O_NOCTTY); break;
	default: r = -ENXIO;
	}
	if (!r && ino->ops->open)
		r = ino->ops->open(ino, f);
	if (!r) {
		notify(ino, IN_OPEN);
		if ((flags & O_TRUNC) && S_ISREG(ino->mode))
			notify(ino, IN_MODIFY);
		return f;
	}
	if (f->ops->release)
		f->ops->release(f);
	f->ops = &path_fops; /* who watches is not told of an end without a start */
	f->flags |= O_PATH;
	file_put(f);
	return ERR_PTR(r);
}

/* Opening /proc/PID/fd/N. What cannot be opened anew: a console stream is the same stream again, the rest has no name. */
static struct file *open_magic(struct walk *w, u32 flags)
{
	struct file *f = w->magic;
	const struct inode *ino = f->ino;

	if (ino && (f->ops == &regular_fops || f->ops == &directory_fops || f->ops == &path_fops || file_is_pipe(f) ||
		    (S_ISCHR(ino->mode) && chrdev_known(ino->rdev)) || (flags & O_PATH)))
		return NULL;
	if (!ino || S_ISSOCK(ino->mode) || !(S_ISCHR(ino->mode) || S_ISFIFO(ino->mode)))
		return ERR_PTR(-ENXIO);
	if ((flags & O_ACCMODE) != O_RDONLY && !file_writable(f))
		return ERR_PTR(-EACCES);
	if ((flags & O_ACCMODE) == O_RDONLY && !file_readable(f))
		return ERR_PTR(-EACCES);
	file_get(f);
	return f;
}

bool inode_running(const struct inode *ino)
{
	bool yes = false;

	if (!ino->ran)
		return false;
	for (struct list *l = process_list.next; l != &process_list && !yes; l = l->next) {
		struct process *p = list_entry(l, struct process, all);
		struct inode *exe = p->mm && p->exe[0] ? path_lookup_kernel(p->exe, true) : NULL;
		yes = exe == ino;
		if (!IS_ERR(exe))
			inode_put(exe);
	}
	return yes;
}

bool inode_written(const struct inode *ino)
{
	list_for_each(l, &process_list) {
		struct fdtable *t = list_entry(l, struct process, all)->files;
		for (u32 i = 0; t && i < t->cap; i++)
			if (t->f[i] && t->f[i]->ino == ino && file_writable(t->f[i]))
				return true;
	}
	return false;
}

static int check_existing(struct walk *w, u32 flags)
{
	static const u8 mask[4] = { MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE };
	struct inode *ino = w->ino;
	int need = mask[flags & O_ACCMODE] | (flags & O_TRUNC ? MAY_WRITE : 0), r;

	if (S_ISLNK(ino->mode))
		return flags & O_DIRECTORY ? -ENOTDIR : -ELOOP; /* O_NOFOLLOW */
	if ((flags & O_EXEC_KERNEL) && !S_ISREG(ino->mode))
		return -EACCES;
	if (S_ISDIR(ino->mode) && ((need & MAY_WRITE) || (flags & O_CREAT)))
		return -EISDIR;
	if ((flags & O_DIRECTORY) && !S_ISDIR(ino->mode))
		return -ENOTDIR;
	if ((flags & O_NOATIME) && current() && !inode_owner(ino))
		return -EPERM;
	if ((need & MAY_WRITE) && S_ISREG(ino->mode) && !ino->ops->write)
		return ino->dev == DEV_SYSFS ? -EROFS : -EACCES;
	r = inode_may(ino, need);
	return !r && (need & MAY_WRITE) && S_ISREG(ino->mode) && inode_running(ino) ? -ETXTBSY : r;
}

static int create_last(struct walk *w, u32 mode)
{
	struct inode *dir = w->dir;
	struct thread *t = current();
	int r;

	if (!dir->ops->create)
		return dir->dev == DEV_SYSFS ? -EROFS : dir->dev == DEV_PROC ? -ENOENT : -EACCES;
	r = inode_may(dir, MAY_WRITE | MAY_EXEC);
	if (r)
		return r;
	mode = (mode & S_IALL & ~(t && t->proc ? t->proc->fs->umask : 022)) | S_IFREG;
	w->ino = dir->ops->create(dir, w->name, w->len, mode, 0);
	if (!IS_ERR(w->ino)) {
		notify_name(dir, IN_CREATE, false, w->name, w->len);
		return 0;
	}
	r = PTR_ERR(w->ino);
	w->ino = NULL;
	return r;
}

static struct file *open_tmpfile(struct walk *w, u32 flags, u32 mode)
{
	struct inode *ino = w->ino, *made;
	int r;

	if (!ino || !S_ISDIR(ino->mode))
		return ERR_PTR(-ENOTDIR);
	r = inode_may(ino, MAY_WRITE | MAY_EXEC);
	if (r)
		return ERR_PTR(r);
	made = tmpfs_tmpfile(ino, (mode & S_IALL & ~curproc()->fs->umask) | S_IFREG, !(flags & O_EXCL));
	if (IS_ERR(made))
		return (void *)made;
	size_t n = w->abslen + 24;
	char *path = kmalloc(n);
	if (path)
		snprintf(path, n, "%s/#%lu", w->abslen > 1 ? w->abs : "", (unsigned long)made->ino);
	return finish_open(made, path, flags);
}

/* w->work holds the path. Gives w back. */
struct file *open_walked(struct walk *w, int dfd, u32 flags, u32 mode)
{
	struct inode *ino;
	struct file *f;
	char *path;
	int how = flags & O_NOFOLLOW ? 0 : W_FOLLOW, r;

	if (flags & O_CREAT)
		how = flags & O_EXCL ? W_MISSING : how | W_MISSING;
	r = walk_path(w, dfd, how);
	if (r)
		goto fail;
	if (flags & __O_TMPFILE) {
		f = open_tmpfile(w, flags, mode);
		walk_put(w);
		return f;
	}
	if (w->magic) {
		f = open_magic(w, flags);
		if (f) {
			walk_put(w);
			return f;
		}
	}
	r = -ENXIO;
	if (!w->ino && w->last == LAST_MAGIC)
		goto fail;
	if (!w->ino) {
		r = create_last(w, mode);
		if (r)
			goto fail;
		flags &= ~(u32)O_TRUNC;
	} else {
		r = -EEXIST;
		if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
			goto fail;
		r = flags & O_PATH ? ((flags & O_DIRECTORY) && !S_ISDIR(w->ino->mode) ? -ENOTDIR : 0) : check_existing(w, flags);
		if (!r && (flags & O_TRUNC) && !(flags & O_PATH) && S_ISREG(w->ino->mode) && w->ino->ops->truncate)
			r = w->ino->ops->truncate(w->ino, 0);
		if (r)
			goto fail;
	}
	r = -ENOMEM;
	path = kmalloc(w->abslen + 1);
	if (!path)
		goto fail;
	memcpy(path, w->abs, w->abslen + 1);
	ino = w->ino;
	w->ino = NULL;
	walk_put(w);
	return finish_open(ino, path, flags);
fail:
	walk_put(w);
	return ERR_PTR(r);
}

struct file *file_open_kernel(const char *path, u32 flags, u32 mode)
{
	struct walk *w = walk_get();

	if (!w)
		return ERR_PTR(-ENOMEM);
	if (strlcpy(w->work, path, PATH_MAX) >= PATH_MAX) {
		walk_put(w);
		return ERR_PTR(-ENAMETOOLONG);
	}
	return open_walked(w, AT_FDCWD, flags, mode);
}

static long open_user(int dfd, const char *upath, u64 flags, u32 mode, u64 resolve)
{
	struct walk *w;
	struct file *f;
	long r;

	if (!(flags & O_PATH) && (flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL;
	if (!(flags & O_PATH) && (flags & __O_TMPFILE) && ((flags & O_TMPFILE) != O_TMPFILE || !(flags & O_ACCMODE)))
		return -EINVAL;
	w = walk_get();
	if (!w)
		return -ENOMEM;
	r = strncpy_from_user(w->work, upath, PATH_MAX);
	if (r >= 0)
		r = fd_room(); /* before a file is made */
	if (r < 0) {
		walk_put(w);
		return r;
	}
	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	w->resolve = resolve;
	f = open_walked(w, dfd, flags, mode);
	if (IS_ERR(f))
		return PTR_ERR(f);
	r = fd_install(f, 0, flags & O_CLOEXEC);
	if (r < 0)
		file_put(f);
	return r;
}

SYSCALL(open) { return open_user(AT_FDCWD, (const char *)a, b & OPEN_FLAGS, c, 0); }
SYSCALL(openat) { return open_user(IN_USER(a), (const char *)b, c & OPEN_FLAGS, d, 0); }
SYSCALL(creat) { return open_user(AT_FDCWD, (const char *)a, O_CREAT | O_WRONLY | O_TRUNC, b, 0); }

#define RESOLVE_ALL (RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED)

SYSCALL(openat2)
{
	struct open_how how = { 0 };
	u8 more[64];

	if (d < sizeof(how))
		return -EINVAL;
	if (d > PAGE_SIZE)
		return -E2BIG;
	if (copy_from_user(&how, (void *)c, sizeof(how)))
		return -EFAULT;
	for (u64 at = sizeof(how); at < d;) { /* fields of a later version must be zero */
		u64 n = MIN(d - at, sizeof(more));
		if (copy_from_user(more, (u8 *)c + at, n))
			return -EFAULT;
		for (u64 i = 0; i < n; i++)
			if (more[i])
				return -E2BIG;
		at += n;
	}
	if ((how.flags & ~(u64)OPEN_FLAGS) || (how.resolve & ~(u64)RESOLVE_ALL))
		return -EINVAL;
	if ((how.resolve & RESOLVE_BENEATH) && (how.resolve & RESOLVE_IN_ROOT))
		return -EINVAL;
	if (how.mode && (!(how.flags & (O_CREAT | __O_TMPFILE)) || (how.mode & ~(u64)S_IALL)))
		return -EINVAL;
	if ((how.flags & O_PATH) && (how.flags & ~(u64)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)))
		return -EINVAL;
	if ((how.resolve & RESOLVE_CACHED) && (how.flags & (O_TRUNC | O_CREAT | __O_TMPFILE)))
		return -EAGAIN;
	return open_user(IN_USER(a), (const char *)b, how.flags, how.mode, how.resolve);
}
