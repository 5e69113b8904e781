/* SPDX-License-Identifier: Apache-2.0 */
/* tmpfs.c: nodes of file systems in memory, and what they cost. */
#include "tmpfs.h"
#include "hostfs.h"

bool tfs_charge(struct tfs *fs, u64 n)
{
	if (n > fs->limit - fs->used)
		return false;
	fs->used += n;
	return true;
}

struct tfs *tfs_create(u64 limit, u32 dev, const char *type)
{
	struct tfs *fs = kzalloc(sizeof(*fs));

	if (fs)
		*fs = (struct tfs){ .limit = limit, .dev = dev, .type = type };
	return fs;
}

struct tnode *tnode_create(struct tfs *fs, struct tnode *dir, u32 mode, u64 rdev)
{
	struct tnode *t;

	if (!tfs_charge(fs, CHARGE_NODE))
		return ERR_PTR(-ENOSPC);
	t = kzalloc(sizeof(*t));
	if (!t) {
		tfs_uncharge(fs, CHARGE_NODE);
		return ERR_PTR(-ENOMEM);
	}
	t->flags = TN_CHARGED;
	inode_init(&t->i, &tmpfs_special_ops, mode, fs->dev);
	inode_fill_owner(&t->i, dir ? &dir->i : NULL);
	t->i.priv = fs;
	if (S_ISREG(mode)) {
		t->i.ops = &tmpfs_file_ops;
	} else if (S_ISDIR(mode)) {
		t->i.ops = &tmpfs_dir_ops;
		t->i.nlink = 2;
		list_init(&t->entries);
		t->next_cookie = 3;
		t->parent = dir;
		if (dir)
			inode_get(&dir->i);
	} else if (S_ISLNK(mode)) {
		t->i.ops = &tmpfs_link_ops;
	} else {
		t->i.rdev = rdev;
	}
	return t;
}

struct tnode *tmpfs_root(struct tfs *fs, u32 mode)
{
	struct tnode *t = tnode_create(fs, NULL, S_IFDIR | mode, 0);

	if (!IS_ERR(t))
		t->parent = t;
	return t;
}

void tnode_release(struct inode *ino)
{
	struct tnode *t = tnode_of(ino);

	if (S_ISREG(ino->mode))
		tdata_free(t);
	else if (S_ISDIR(ino->mode) && t->parent && t->parent != t)
		inode_put(&t->parent->i);
	else if (S_ISLNK(ino->mode))
		kfree(t->target);
	xattrs_free(t);
	hnode_free(t->host);
	if (t->flags & TN_HASHED)
		lower_forget(t);
	if (t->flags & TN_CHARGED)
		tfs_uncharge(tfs_of(t), CHARGE_NODE);
	kfree(t);
}

int tnode_setattr(struct inode *ino)
{
	tnode_dirty(tnode_of(ino));
	return 0;
}

int tmpfs_linkable(const struct inode *ino)
{
	return ino->nlink || (ino->ops == &tmpfs_file_ops && (tnode_of(ino)->flags & TN_LINKABLE)) ? 0 : -ENOENT;
}

static long link_readlink(struct inode *ino, char *buf, size_t n)
{
	struct tnode *t = tnode_of(ino);

	if (t->low)
		return lower_errno(erofs_readlink(t->low, buf, n));
	if (t->host) {
		int r = host_readlink(t);
		if (r)
			return r;
	}
	n = MIN(n, strlen(t->target));
	memcpy(buf, t->target, n);
	return n;
}

struct inode *tmpfs_tmpfile(struct inode *ino, u32 mode, bool linkable)
{
	struct tnode *dir = tnode_of(ino), *t;

	if (ino->ops != &tmpfs_dir_ops)
		return ERR_PTR(-EOPNOTSUPP);
	if (!ino->nlink)
		return ERR_PTR(-ENOENT);
	t = tnode_create(tfs_of(dir), dir, mode, 0);
	if (IS_ERR(t))
		return (void *)t;
	t->i.nlink = 0;
	t->flags |= linkable ? TN_LINKABLE : 0;
	return &t->i;
}

bool tnode_is(const struct inode *ino)
{
	const struct inode_ops *o = ino->ops;
	return o == &tmpfs_dir_ops || o == &tmpfs_file_ops || o == &tmpfs_link_ops || o == &tmpfs_special_ops || o == &host_special_ops;
}

bool tmpfs_usage(const struct inode *ino, u64 *limit, u64 *used)
{
	struct tfs *fs = ino->priv;

	if (!tnode_is(ino))
		return false;
	*limit = fs->limit;
	*used = fs->used;
	return true;
}

const struct inode_ops tmpfs_link_ops = { .readlink = link_readlink, .setattr = tnode_setattr, .release = tnode_release };
const struct inode_ops tmpfs_special_ops = { .setattr = tnode_setattr, .release = tnode_release };
/* FIFOs, sockets and devices of the host's folder can be seen, not opened. */
const struct inode_ops host_special_ops = { .setattr = tnode_setattr, .release = tnode_release };
