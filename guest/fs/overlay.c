/* SPDX-License-Identifier: Apache-2.0 */
/* overlay.c: the image below the files in memory: nodes with a lower part, the root of the file system. */
#include "tmpfs.h"

#define NID_BUCKETS 256

static struct erofs image;
static struct tnode *nid_table[NID_BUCKETS];

/* What the program sees of a corrupt image. */
int lower_errno(int r) { return r == -EOPNOTSUPP ? -EIO : r; }

static void fill_inode(struct tnode *t, const struct enode *e, struct tfs *fs)
{
	struct inode *i = &t->i;

	t->low = (struct enode *)(t + 1);
	*t->low = *e;
	i->priv = fs;
	i->refs = 1;
	i->mode = e->mode;
	i->nlink = e->nlink;
	i->uid = e->uid;
	i->gid = e->gid;
	i->ino = e->nid;
	i->dev = fs->dev;
	i->rdev = e->rdev;
	i->size = e->size;
	i->blocks = (e->size + 511) / 512;
	i->atime_ns = i->mtime_ns = i->ctime_ns = e->mtime_ns;
	switch (e->mode & S_IFMT) {
	case S_IFDIR:
		i->ops = &tmpfs_dir_ops;
		list_init(&t->entries);
		t->next_cookie = 3;
		break;
	case S_IFREG:
		i->ops = &tmpfs_file_ops;
		t->low_end = e->size;
		if (e->size && erofs_map(t->low, 0, &t->low_ptr) < (long)e->size)
			t->low_ptr = NULL;
		break;
	case S_IFLNK: i->ops = &tmpfs_link_ops; break;
	default: i->ops = &tmpfs_special_ops;
	}
}

/* A node for an image inode, referenced. Files with several names must be one node under all of them. */
static struct tnode *lower_node(struct tfs *fs, u64 nid)
{
	struct tnode **bucket = &nid_table[nid % NID_BUCKETS], *t;
	struct enode e;
	int r;

	for (t = *bucket; t; t = t->nid_next) {
		if (t->low->nid == nid) {
			inode_get(&t->i);
			return t;
		}
	}
	r = erofs_inode(&image, nid, &e);
	if (r)
		return ERR_PTR(lower_errno(r));
	t = kzalloc(sizeof(*t) + sizeof(e));
	if (!t)
		return ERR_PTR(-ENOMEM);
	fill_inode(t, &e, fs);
	if (e.nlink > 1 && !S_ISDIR(e.mode)) {
		t->flags |= TN_HASHED;
		t->nid_next = *bucket;
		*bucket = t;
	}
	return t;
}

void lower_forget(struct tnode *t)
{
	struct tnode **p = &nid_table[t->low->nid % NID_BUCKETS];

	while (*p != t)
		p = &(*p)->nid_next;
	*p = t->nid_next;
	t->flags &= ~TN_HASHED;
}

struct tnode *lower_lookup(struct tnode *dir, const char *name, size_t len)
{
	struct tnode *t;
	struct tent *e;
	u64 nid;
	int r = erofs_lookup(dir->low, name, len, &nid);

	if (r)
		return ERR_PTR(r);
	e = tent_new(dir, name, len);
	if (!e)
		return ERR_PTR(-ENOMEM);
	t = lower_node(tfs_of(dir), nid);
	if (IS_ERR(t)) {
		kfree(e);
		return t;
	}
	if (S_ISDIR(t->i.mode)) {
		t->parent = dir;
		inode_get(&dir->i);
	}
	tent_link(e, ENT_LOWER, t);
	inode_get(&t->i);
	tent_trim();
	return t;
}

bool lower_has(const struct tnode *dir, const char *name, size_t len)
{
	u64 nid;
	return dir->low && erofs_lookup(dir->low, name, len, &nid) == 0;
}

/* Before the first change to a node that shows the image: from now on the cache must not drop it. */
void tnode_dirty(struct tnode *t)
{
	if (!t->low || (t->flags & TN_PINNED) || !t->i.nlink)
		return;
	t->flags |= TN_PINNED;
	inode_get(&t->i);
}

static bool any_left(void *arg, const char *name, size_t len, u64 nid, u8 type, u64 next)
{
	struct tnode **dir = arg;
	struct tent *e;

	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return true;
	e = tent_find(*dir, name, len);
	if (e && e->kind == ENT_WHITE)
		return true;
	*dir = NULL;
	return false;
}

bool lower_dir_empty(struct tnode *dir)
{
	struct tnode *left = dir;
	u64 pos = 0;

	return !dir->low || (!erofs_readdir(dir->low, &pos, any_left, &left) && left);
}

struct inode *root_create(void)
{
	u64 size = BOOT->layer[0].size;
	struct tfs *fs = tfs_create(BOOT->overlay_max, DEV_ROOT, size ? "overlay" : "tmpfs");
	struct tnode *t;
	char why[128];

	if (!fs)
		panic("no memory for the root file system; give the function more");
	if (!size) {
		t = tmpfs_root(fs, 0755);
	} else {
		if (size > UFS_IMAGE_MAX || erofs_open(&image, (const void *)UFS_IMAGE_VA, size, why, sizeof(why)))
			panic("cannot mount the image: %s", size > UFS_IMAGE_MAX ? "it is too large" : why);
		t = lower_node(fs, image.root_nid);
		if (!IS_ERR(t))
			t->parent = t;
	}
	if (!t || IS_ERR(t))
		panic("cannot make the root directory (error %ld); give the function more memory", t ? -PTR_ERR(t) : ENOMEM);
	return &t->i;
}
