/* SPDX-License-Identifier: Apache-2.0 */
/* path.c: from a path to an inode. */
#include "vfs.h"
#include <linux/openat2.h>

#define LINKS_MAX 40

struct file *walk_magic_file;

/* Two (rename, link) are all there are at a time, unless walks sleep because the host is asked; they are too large for a kernel stack. */
static struct walk pool[2];

struct walk *walk_get(void)
{
	struct walk *w = !pool[0].busy ? &pool[0] : !pool[1].busy ? &pool[1] : kmalloc(sizeof(*w));

	if (!w)
		return NULL;
	memset(w, 0, offsetof(struct walk, abs));
	w->busy = true;
	return w;
}

void walk_put(struct walk *w)
{
	inode_put(w->dir);
	inode_put(w->ino);
	inode_put(w->base);
	if (w->magic)
		file_put(w->magic);
	w->dir = w->ino = w->base = NULL;
	w->busy = false;
	if (w != &pool[0] && w != &pool[1])
		kfree(w);
}

static void abs_set(struct walk *w, const char *path)
{
	w->abslen = strlcpy(w->abs, path && *path ? path : "/", PATH_MAX);
}

/* Directories may be nested deeper than a path is long: from there on it is not known. */
static int abs_push(struct walk *w, const char *name, u32 len)
{
	u32 n = w->abslen;

	if (n + 1 + len >= PATH_MAX) {
		abs_set(w, PATH_LOST);
		n = w->abslen;
	}
	if (n > 1)
		w->abs[n++] = '/';
	memcpy(w->abs + n, name, len);
	w->abslen = n + len;
	w->abs[w->abslen] = 0;
	return 0;
}

static void abs_pop(struct walk *w)
{
	u32 n = w->abslen;

	if (!strcmp(w->abs, PATH_LOST))
		return;
	while (n > 1 && w->abs[n - 1] != '/')
		n--;
	w->abslen = n > 1 ? n - 1 : 1;
	w->abs[w->abslen] = 0;
}

static struct inode *step_up(struct inode *cur)
{
	struct inode *up;

	if (cur == root_inode || cur == root_here()) {
		inode_get(cur);
		return cur;
	}
	inode_get(cur);
	cur = mount_cross_up(cur);
	up = cur->ops->lookup(cur, "..", 2);
	inode_put(cur);
	return IS_ERR(up) ? up : mount_cross_down(up);
}

/* The directory that a relative path starts at. */
static struct inode *start(struct walk *w, int dfd, int flags)
{
	struct inode *ino;

	if (dfd == AT_FDCWD) {
		struct thread *t = current();
		struct fsctx *c = t && t->proc ? t->proc->fs : NULL;
		ino = c && c->cwd_ino ? c->cwd_ino : root_here();
		abs_set(w, c ? c->cwd : NULL);
	} else {
		struct file *f = fd_peek(dfd);
		if (!f)
			return ERR_PTR(-EBADF);
		ino = f->ino;
		if (!ino || (!S_ISDIR(ino->mode) && *w->work))
			return ERR_PTR(-ENOTDIR);
		abs_set(w, f->path);
	}
	inode_get(ino);
	return ino;
}

/* Puts the target of the symbolic link in front of what is left to walk. */
static int expand(struct walk *w, struct inode *link, const char *rest)
{
	size_t restlen = strlen(rest);
	char *buf = kmalloc(PATH_MAX);
	long n;
	int r = 0;

	if (!buf)
		return -ENOMEM;
	n = link->ops->readlink(link, buf, PATH_MAX - 1);
	if (n <= 0)
		r = n ? (int)n : -ENOENT;
	else if (n + 1 + restlen >= PATH_MAX)
		r = -ENAMETOOLONG;
	if (!r) {
		if (restlen || w->slash) { /* a slash before the rest, or the last one, counts */
			memmove(w->work + n + 1, rest, restlen + 1);
			w->work[n] = '/';
		} else {
			w->work[n] = 0;
		}
		memcpy(w->work, buf, n);
	}
	kfree(buf);
	return r;
}

/* Precondition: *pcur is referenced; the reference is consumed. */
static int follow_link(struct walk *w, struct inode **pcur, struct inode *link, const char *rest)
{
	int r;

	if (w->resolve & RESOLVE_NO_SYMLINKS)
		return -ELOOP;
	if (link->ops->follow) {
		struct inode *to;
		if (w->resolve & (RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT))
			return w->resolve & RESOLVE_NO_MAGICLINKS ? -ELOOP : -EXDEV;
		to = link->ops->follow(link, w->abs);
		if (IS_ERR(to))
			return PTR_ERR(to);
		w->abslen = strlen(w->abs);
		w->magic = walk_magic_file;
		walk_magic_file = NULL;
		inode_put(*pcur);
		*pcur = to;
		memmove(w->work, rest, strlen(rest) + 1);
		return 1;
	}
	r = expand(w, link, rest);
	if (r)
		return r;
	if (w->work[0] == '/') {
		if (w->resolve & RESOLVE_BENEATH)
			return -EXDEV;
		inode_put(*pcur);
		*pcur = w->base ? w->base : root_here();
		inode_get(*pcur);
		if (w->base)
			w->abs[w->abslen = w->baselen] = 0;
		else
			abs_set(w, NULL);
	}
	return 0;
}

static int walk_from(struct walk *w, struct inode *cur, int flags)
{
	const char *p = w->work;
	int links = 0, depth = 0, r;

	for (;;) {
		struct inode *next;
		const char *name, *rest;
		u32 len = 0;
		bool last;

		while (*p == '/')
			p++;
		if (!*p) {
			if (w->last == LAST_NORM)
				w->last = LAST_ROOT;
			break;
		}
		name = p;
		while (p[len] && p[len] != '/')
			len++;
		rest = p + len;
		while (*rest == '/')
			rest++;
		last = !*rest;
		if (last)
			w->slash = w->slash || rest > p + len;
		r = -ENOTDIR;
		if (!S_ISDIR(cur->mode) || !cur->ops->lookup)
			goto fail;
		r = inode_may(cur, MAY_EXEC);
		if (r)
			goto fail;
		p = rest;
		if (name[0] == '.' && len == 1) {
			w->last = LAST_DOT;
			continue;
		}
		if (name[0] == '.' && name[1] == '.' && len == 2) {
			w->last = LAST_DOTDOT;
			if ((w->resolve & RESOLVE_BENEATH) && --depth < 0) {
				r = -EXDEV;
				goto fail;
			}
			if (cur == w->base) /* RESOLVE_IN_ROOT */
				continue;
			next = step_up(cur);
			if (IS_ERR(next)) {
				r = PTR_ERR(next);
				goto fail;
			}
			if ((w->resolve & RESOLVE_NO_XDEV) && next->dev != cur->dev) {
				inode_put(next);
				r = -EXDEV;
				goto fail;
			}
			inode_put(cur);
			cur = next;
			abs_pop(w);
			continue;
		}
		w->last = LAST_NORM;
		r = -ENAMETOOLONG;
		if (len > NAME_MAX)
			goto fail;
		if (last && (flags & W_PARENT)) {
			w->dir = cur;
			w->name = name;
			w->len = len;
			return 0;
		}
		r = -EISDIR;
		if (last && w->slash && (flags & W_MISSING))
			goto fail;
		next = cur->ops->lookup(cur, name, len);
		if (IS_ERR(next)) {
			r = PTR_ERR(next);
			if (r != -ENOENT || !last || !(flags & W_MISSING))
				goto fail;
			w->dir = cur;
			w->name = name;
			w->len = len;
			return abs_push(w, name, len);
		}
		next = mount_cross_down(next);
		if (S_ISLNK(next->mode) && (!last || (flags & W_FOLLOW) || w->slash)) {
			r = ++links > LINKS_MAX ? -ELOOP : follow_link(w, &cur, next, rest);
			inode_put(next);
			if (r < 0)
				goto fail;
			p = w->work;
			if (r == 1 && last) {
				w->last = LAST_MAGIC;
				if (w->slash && (!cur || !S_ISDIR(cur->mode))) {
					r = -ENOTDIR;
					goto fail;
				}
				w->ino = cur;
				return 0;
			}
			if (!cur) {
				r = -ENOTDIR;
				goto fail;
			}
			continue;
		}
		if ((w->resolve & RESOLVE_NO_XDEV) && next->dev != cur->dev) {
			inode_put(next);
			r = -EXDEV;
			goto fail;
		}
		depth++;
		r = abs_push(w, name, len);
		if (!r && last && (w->slash || (flags & W_DIRECTORY)) && !S_ISDIR(next->mode))
			r = -ENOTDIR;
		if (r) {
			inode_put(next);
			goto fail;
		}
		if (last) {
			w->dir = cur;
			w->name = name;
			w->len = len;
			w->ino = next;
			return 0;
		}
		inode_put(cur);
		cur = next;
	}
	r = -ENOTDIR;
	if ((flags & W_DIRECTORY) && !S_ISDIR(cur->mode))
		goto fail;
	w->ino = cur;
	return 0;
fail:
	inode_put(cur);
	return r;
}

int walk_path(struct walk *w, int dfd, int flags)
{
	struct inode *cur;

	if (!*w->work && !(flags & W_EMPTY))
		return -ENOENT;
	if (*w->work == '/' && !(w->resolve & RESOLVE_IN_ROOT)) {
		if (w->resolve & RESOLVE_BENEATH)
			return -EXDEV;
		cur = root_here();
		inode_get(cur);
		abs_set(w, NULL);
	} else {
		cur = start(w, dfd, flags);
		if (IS_ERR(cur))
			return PTR_ERR(cur);
		if (w->resolve & RESOLVE_IN_ROOT) {
			w->base = cur;
			w->baselen = w->abslen;
			inode_get(w->base);
		}
		if (!*w->work) {
			w->last = LAST_DOT;
			w->ino = cur;
			return flags & W_DIRECTORY && !S_ISDIR(cur->mode) ? -ENOTDIR : 0;
		}
	}
	return walk_from(w, cur, flags);
}

int walk_user(struct walk **out, int dfd, const char *upath, int flags)
{
	struct walk *w = walk_get();
	long n;
	int r;

	if (!w)
		return -ENOMEM;
	n = strncpy_from_user(w->work, upath, PATH_MAX);
	r = n < 0 ? n : walk_path(w, dfd, flags);

	if (r) {
		walk_put(w);
		return r;
	}
	*out = w;
	return 0;
}

static struct inode *walk_take(struct walk *w, int r)
{
	struct inode *ino = w->ino;

	if (!r && !ino)
		r = -ENXIO;
	w->ino = r ? w->ino : NULL;
	walk_put(w);
	return r ? ERR_PTR(r) : ino;
}

struct inode *walk_inode(int dfd, const char *upath, int flags)
{
	struct walk *w;
	int r = walk_user(&w, dfd, upath, flags);

	return r ? ERR_PTR(r) : walk_take(w, 0);
}

struct inode *path_lookup_kernel(const char *path, bool follow)
{
	struct walk *w = walk_get();
	int r;

	if (!w)
		return ERR_PTR(-ENOMEM);
	r = strlcpy(w->work, path, PATH_MAX) >= PATH_MAX ? -ENAMETOOLONG : 0;
	return walk_take(w, r ? r : walk_path(w, AT_FDCWD, follow ? W_FOLLOW : 0));
}

struct inode *path_mknod_kernel(const char *path, u32 mode, u64 rdev)
{
	struct walk *w = walk_get();
	int r;

	if (!w)
		return ERR_PTR(-ENOMEM);
	r = strlcpy(w->work, path, PATH_MAX) >= PATH_MAX ? -ENAMETOOLONG : 0;
	if (!r)
		r = walk_path(w, AT_FDCWD, W_MISSING);
	if (!r && (w->ino || w->last != LAST_NORM))
		r = -EEXIST;
	if (!r)
		r = w->dir->ops->create ? inode_may(w->dir, MAY_WRITE | MAY_EXEC) : -EROFS;
	if (!r) {
		w->ino = w->dir->ops->create(w->dir, w->name, w->len, mode & ~curproc()->fs->umask, rdev);
		if (IS_ERR(w->ino)) {
			r = PTR_ERR(w->ino);
			w->ino = NULL;
		}
	}
	return walk_take(w, r);
}
