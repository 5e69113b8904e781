/* SPDX-License-Identifier: Apache-2.0 */
/* fsctx.c: current directory and umask of a process. */
#include "vfs.h"

static char *copy_string(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = kmalloc(n);
	return p ? memcpy(p, s, n) : NULL;
}

/* Process 1 starts in the directory that the boot block names, or in / when that is none. */
struct fsctx *fsctx_create(void)
{
	struct fsctx *c = kzalloc(sizeof(*c));
	const char *cwd = boot_string(BOOT->cwd);
	struct inode *ino = *cwd == '/' ? path_lookup_kernel(cwd, true) : NULL;

	if (ino && !IS_ERR(ino) && !S_ISDIR(ino->mode)) {
		inode_put(ino);
		ino = NULL;
	}
	if (!ino || IS_ERR(ino)) {
		if (*cwd && strcmp(cwd, "/"))
			klog("working directory %s is not a directory of the image; using /", cwd);
		cwd = "/";
		ino = root_inode;
		inode_get(ino);
	}
	if (c)
		c->cwd = copy_string(cwd);
	if (!c || !c->cwd) {
		inode_put(ino);
		kfree(c);
		return NULL;
	}
	c->refs = 1;
	c->umask = 022;
	c->cwd_ino = ino;
	return c;
}

struct fsctx *fsctx_copy(struct fsctx *c)
{
	struct fsctx *n = kzalloc(sizeof(*n));

	if (!n)
		return NULL;
	n->cwd = copy_string(c->cwd);
	if (!n->cwd) {
		kfree(n);
		return NULL;
	}
	n->refs = 1;
	n->umask = c->umask;
	n->cwd_ino = c->cwd_ino;
	inode_get(n->cwd_ino);
	n->root = c->root;
	if (n->root)
		inode_get(n->root);
	return n;
}

void fsctx_get(struct fsctx *c) { c->refs++; }

void fsctx_put(struct fsctx *c)
{
	if (!c || --c->refs)
		return;
	inode_put(c->cwd_ino);
	inode_put(c->root);
	kfree(c->cwd);
	kfree(c);
}

struct inode *root_here(void)
{
	struct thread *t = current();
	return t && t->proc && t->proc->fs && t->proc->fs->root ? t->proc->fs->root : root_inode;
}

SYSCALL(umask)
{
	struct fsctx *cx = curproc()->fs;
	u32 old = cx->umask;

	cx->umask = a & 0777;
	return old;
}

static long set_cwd(struct inode *ino, const char *path)
{
	struct fsctx *c = curproc()->fs;
	char *s;
	int r;

	if (!S_ISDIR(ino->mode))
		return -ENOTDIR;
	r = inode_may(ino, MAY_EXEC);
	if (r)
		return r;
	s = copy_string(path);
	if (!s)
		return -ENOMEM;
	inode_get(ino);
	inode_put(c->cwd_ino);
	kfree(c->cwd);
	c->cwd_ino = ino;
	c->cwd = s;
	return 0;
}

static char *find_path(struct inode *ino, char *buf);

SYSCALL(chdir)
{
	char *buf = NULL, *path;
	struct walk *w;
	long r = walk_user(&w, AT_FDCWD, (const char *)a, W_FOLLOW | W_DIRECTORY);

	if (r)
		return r;
	path = w->abs;
	if (!strncmp(path, PATH_LOST, strlen(PATH_LOST)) && w->ino && (buf = kmalloc(PATH_MAX)))
		path = find_path(w->ino, buf);
	r = w->ino ? set_cwd(w->ino, path ? path : w->abs) : -ENOTDIR;
	kfree(buf);
	walk_put(w);
	return r;
}

SYSCALL(fchdir)
{
	struct file *file = fd_get_any((int)a);
	long r;

	if (!file)
		return -EBADF;
	r = file->ino && file->path ? set_cwd(file->ino, file->path) : -ENOTDIR;
	file_put(file);
	return r;
}

SYSCALL(chroot)
{
	struct fsctx *cx = curproc()->fs;
	struct walk *w;
	long r = walk_user(&w, AT_FDCWD, (const char *)a, W_FOLLOW | W_DIRECTORY);

	if (r)
		return r;
	r = !w->ino ? -ENOTDIR : inode_may(w->ino, MAY_EXEC);
	if (!r && !capable(CAP_SYS_CHROOT))
		r = -EPERM;
	if (!r) {
		inode_put(cx->root);
		cx->root = w->ino;
		w->ino = NULL;
	}
	walk_put(w);
	return r;
}

struct finder { struct inode *child; u64 ino; char name[NAME_MAX + 1]; size_t len; };

static bool find_name(void *arg, const char *name, size_t len, u64 ino, u8 type, u64 next)
{
	struct finder *f = arg;

	if (ino != f->ino || len > NAME_MAX || (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))))
		return true;
	memcpy(f->name, name, len);
	f->len = len;
	return false;
}

/* The path of a directory by looking for each one in its parent: for those renamed since they were entered.
 * Built from the end of buf; its start, or NULL. */
static char *find_path(struct inode *ino, char *buf)
{
	char *p = buf + PATH_MAX - 1;
	struct finder *f = kmalloc(sizeof(*f));

	*p = 0;
	inode_get(ino);
	while (f && ino != root_here()) {
		struct inode *up;
		u64 pos = 0;

		ino = mount_cross_up(ino);
		if (!ino->nlink || !ino->ops->lookup) {
			p = NULL;
			break;
		}
		up = ino->ops->lookup(ino, "..", 2);
		if (IS_ERR(up)) {
			p = NULL;
			break;
		}
		f->ino = ino->ino;
		f->len = 0;
		inode_put(ino);
		ino = up;
		if (up->ops->readdir)
			up->ops->readdir(up, &pos, find_name, f);
		if (!f->len || p - buf < (long)f->len + 1) {
			p = NULL;
			break;
		}
		ino = mount_cross_down(ino);
		p -= f->len;
		memcpy(p, f->name, f->len);
		*--p = '/';
	}
	inode_put(ino);
	if (!f)
		return NULL;
	kfree(f);
	if (p && !*p)
		*--p = '/';
	return p;
}

SYSCALL(getcwd)
{
	struct fsctx *cx = curproc()->fs;
	const char *path = cx->cwd;
	struct inode *ino = path_lookup_kernel(cx->cwd, false);
	char *buf = NULL;
	long r;

	if (ino != cx->cwd_ino && cx->cwd_ino->dev != DEV_PROC) { /* inodes of /proc are made at each look-up */
		buf = kmalloc(PATH_MAX);
		if (!buf) {
			r = -ENOMEM;
			goto out;
		}
		path = find_path(cx->cwd_ino, buf);
	}
	r = cx->cwd_ino->nlink ? -ENAMETOOLONG : -ENOENT;
	if (!path)
		goto out;
	r = strlen(path) + 1;
	if ((u64)r > b)
		r = -ERANGE;
	else if (copy_to_user((void *)a, path, r))
		r = -EFAULT;
out:
	if (!IS_ERR(ino))
		inode_put(ino);
	kfree(buf);
	return r;
}
