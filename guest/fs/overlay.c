/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay.c: what lies below the files in memory: up to UFS_LAYERS_MAX images and, lowest of all, the folder of the host.
 *
 * As with Linux's overlayfs: directories of the same name are one, anything else hides what is below it, and so do a character
 * device 0/0 (the mark of a removed name) and a directory that is marked opaque.
 */
#include "tmpfs.h"
#include "hostfs.h"

#define NID_BUCKETS 256
#define TYPE_CHR 3       /* in EROFS directories */
/* Positions of lower_readdir: which image, or HOST_PART, and the place in it. */
#define PART_SHIFT 56
#define PART_MASK ((1UL << PART_SHIFT) - 1)
#define HOST_PART 15UL

static struct erofs images[UFS_LAYERS_MAX];
static struct tnode *nid_table[NID_BUCKETS];
u64 host_sleeps;

/* What the program sees of a corrupt image. */
int lower_errno(int r) { return r == -EOPNOTSUPP ? -EIO : r; }

/* Inode numbers: where the inode stands in the image area. Those of the host come above 2^52, all exact as a double, which some programs want. */
static u64 number_base(const struct erofs *fs) { return (u64)(fs->base - (const u8 *)UFS_IMAGE_VA) >> 5; }
u64 lower_number(const struct enode *e) { return number_base(e->fs) + e->nid; }
u64 host_number(u64 inode) { return ((inode ^ inode >> 52) & ((1UL << 52) - 1)) | 1UL << 52; }

static bool is_whiteout(const struct enode *e) { return S_ISCHR(e->mode) && !e->rdev; }
static bool is_dot(const char *name, size_t len) { return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')); }

static void fill_image(struct inode *i, const struct enode *e)
{
	i->mode = e->mode;
	i->nlink = e->nlink;
	i->uid = e->uid;
	i->gid = e->gid;
	i->ino = lower_number(e);
	i->rdev = e->rdev;
	i->size = e->size;
	i->blocks = (e->size + 511) / 512;
	i->atime_ns = i->mtime_ns = i->ctime_ns = e->mtime_ns;
}

static void fill_host(struct inode *i, const struct ufs_file_stat *st)
{
	i->mode = st->mode;
	i->nlink = st->nlink;
	i->uid = st->uid;
	i->gid = st->gid;
	i->ino = host_number(st->inode);
	i->rdev = st->rdev;
	i->size = st->size;
	i->blocks = st->blocks;
	i->atime_ns = st->atime_ns;
	i->mtime_ns = st->mtime_ns;
	i->ctime_ns = st->ctime_ns;
}

static struct tnode **bucket_of(u64 number) { return &nid_table[number % NID_BUCKETS]; }

/* A node for what was found below, referenced: n parts in images, or h alone, or both for a directory; h is taken over. Files with
 * several names must be one node under all of them. */
static struct tnode *lower_node(struct tfs *fs, const struct enode *parts, u32 n, struct hnode *h, const struct ufs_file_stat *st)
{
	u64 number = n ? lower_number(parts) : host_number(st->inode);
	bool hashed = n ? parts->nlink > 1 && !S_ISDIR(parts->mode) : st->nlink > 1 && !S_ISDIR(st->mode);
	struct tnode *t;
	struct inode *i;

	for (t = hashed ? *bucket_of(number) : NULL; t; t = t->nid_next) {
		if (t->i.ino == number) {
			hnode_free(h);
			inode_get(&t->i);
			return t;
		}
	}
	t = kzalloc(sizeof(*t) + n * sizeof(*parts));
	if (!t) {
		hnode_free(h);
		return ERR_PTR(-ENOMEM);
	}
	i = &t->i;
	i->priv = fs;
	i->refs = 1;
	i->dev = fs->dev;
	t->host = h;
	t->nlow = n;
	if (n) {
		t->low = (struct enode *)(t + 1);
		memcpy(t->low, parts, n * sizeof(*parts));
		fill_image(i, parts);
	} else {
		fill_host(i, st);
	}
	switch (i->mode & S_IFMT) {
	case S_IFDIR:
		if (n + !!h > 1)
			i->nlink = 1; /* nobody counts the directories of merged ones */
		i->ops = &tmpfs_dir_ops;
		list_init(&t->entries);
		t->next_cookie = 3;
		break;
	case S_IFREG:
		i->ops = &tmpfs_file_ops;
		t->low_end = i->size;
		if (n && i->size && erofs_map(t->low, 0, &t->low_ptr) < (long)i->size)
			t->low_ptr = NULL;
		break;
	case S_IFLNK: i->ops = &tmpfs_link_ops; break;
	default: i->ops = n ? &tmpfs_special_ops : &host_special_ops;
	}
	if (hashed) {
		t->flags |= TN_HASHED;
		t->nid_next = *bucket_of(number);
		*bucket_of(number) = t;
	}
	return t;
}

void lower_forget(struct tnode *t)
{
	struct tnode **p = bucket_of(t->i.ino);

	while (*p != t)
		p = &(*p)->nid_next;
	*p = t->nid_next;
	t->flags &= ~TN_HASHED;
}

/* Adds e below the n parts there are. Does it hide what follows? */
static bool add_part(struct enode *parts, u32 *n, const struct enode *e)
{
	if (is_whiteout(e) || (*n && !S_ISDIR(e->mode)))
		return true;
	if (e != &parts[*n])
		parts[*n] = *e;
	++*n;
	return !S_ISDIR(e->mode) || erofs_opaque(e);
}

/* The name in the images, highest first. hidden: nothing further down shows. */
static int find_parts(struct tnode *dir, const char *name, size_t len, struct enode *parts, u32 *n, bool *hidden)
{
	*n = 0;
	*hidden = false;
	for (u32 k = 0; k < dir->nlow && !*hidden; k++) {
		u64 nid;
		int r = erofs_lookup(&dir->low[k], name, len, &nid);

		if (r == -ENOENT)
			continue;
		if (!r)
			r = erofs_inode(dir->low[k].fs, nid, &parts[*n]);
		if (r)
			return lower_errno(r);
		*hidden = add_part(parts, n, &parts[*n]);
	}
	return 0;
}

static struct tnode *enter_cached(struct tnode *dir, const char *name, size_t len, struct tnode *t)
{
	struct tent *e = tent_new(dir, name, len);

	if (!e) {
		if (t)
			inode_put(&t->i);
		return ERR_PTR(-ENOMEM);
	}
	tent_link(e, t ? ENT_LOWER : ENT_NONE, t);
	if (!t) {
		tent_trim();
		return ERR_PTR(-ENOENT);
	}
	if (S_ISDIR(t->i.mode)) {
		t->parent = dir;
		inode_get(&dir->i);
	}
	inode_get(&t->i);
	tent_trim();
	return t;
}

struct tnode *lower_lookup(struct tnode *dir, const char *name, size_t len)
{
	struct enode parts[UFS_LAYERS_MAX];
	struct ufs_file_stat st;
	struct hnode *h = NULL;
	struct tnode *t;
	bool hidden;
	u32 n;
	int r = find_parts(dir, name, len, parts, &n, &hidden);

	if (r)
		return ERR_PTR(r);
	if (dir->host && n && !hidden) {
		/* A directory of the images: the host is asked when something is looked for in it. A program that is in an image, and looks
		 * for nothing else, so costs no question. */
		memset(&st, 0, sizeof(st));
		h = hnode_new(dir->host, name, len, &st);
		if (IS_ERR(h))
			return (void *)h;
		h->unsure = true;
	} else if (dir->host && !hidden) {
		u64 seen = host_sleeps;
		r = host_lookup(dir->host, name, len, &st);
		if (seen != host_sleeps) { /* the directory may be gone, the name entered by somebody else */
			struct tent *e = tent_find(dir, name, len);
			if (!dir->i.nlink || (e && !e->node))
				return ERR_PTR(-ENOENT);
			if (e) {
				inode_get(&e->node->i);
				e->node->ent = e;
				return e->node;
			}
		}
		if (r && r != -ENOENT)
			return ERR_PTR(r);
		if (!r) {
			h = hnode_new(dir->host, name, len, &st);
			if (IS_ERR(h))
				return (void *)h;
		}
	}
	if (!n && !h)
		return dir->host && !hidden ? enter_cached(dir, name, len, NULL) : ERR_PTR(-ENOENT);
	t = lower_node(tfs_of(dir), parts, n, h, &st);
	return IS_ERR(t) ? t : enter_cached(dir, name, len, t);
}

bool lower_has(const struct tent *e)
{
	const struct tnode *dir = e->dir;
	u64 nid;

	for (u32 k = 0; k < dir->nlow; k++)
		if (!erofs_lookup(&dir->low[k], e->name, e->len, &nid))
			return true;
	return dir->host && !e->free_below && host_may_have(dir->host, e->name, e->len);
}

/* Before the first change to a node that shows what is below: from now on the cache must not drop it. */
void tnode_dirty(struct tnode *t)
{
	if (!has_below(t) || (t->flags & TN_PINNED) || !t->i.nlink)
		return;
	t->flags |= TN_PINNED;
	inode_get(&t->i);
}

int lower_settle(struct tnode *dir) { return dir->host ? host_list(dir->host) : 0; }

struct emit_part {
	struct tnode *dir;
	u64 part;
	const struct enode *e;   /* the part, an image's */
	bool full;
	bool (*emit)(void *, const char *, size_t, u64, u8, u64);
	void *arg;
};

static bool emit_part(void *arg, const char *name, size_t len, u64 nid, u8 type, u64 next)
{
	static const u8 dt[8] = { 0, 8, 4, 2, 6, 1, 12, 10 }; /* EROFS type -> DT_* */
	struct emit_part *ep = arg;
	struct enode e;
	u64 other;

	if (is_dot(name, len) || (type == TYPE_CHR && !erofs_inode(ep->e->fs, nid, &e) && is_whiteout(&e)))
		return true;
	for (u64 k = 0; k < ep->part; k++)
		if (!erofs_lookup(&ep->dir->low[k], name, len, &other))
			return true;
	ep->full = !ep->emit(ep->arg, name, len, number_base(ep->e->fs) + nid, type < 8 ? dt[type] : 0, ep->part << PART_SHIFT | next);
	return !ep->full;
}

static int readdir_host(struct tnode *dir, u64 *pos, struct emit_part *ep)
{
	const struct ufs_file_entry *e;
	u64 at = *pos >> PART_SHIFT == HOST_PART ? *pos & PART_MASK : 0, nid;

	for (; (e = host_entry(dir->host, at)); at++) {
		const char *name = (const char *)(e + 1);
		u32 k = 0;
		while (k < dir->nlow && erofs_lookup(&dir->low[k], name, e->name_len, &nid))
			k++;
		if (k == dir->nlow && !ep->emit(ep->arg, name, e->name_len, host_number(e->stat.inode), e->stat.mode >> 12 & 15, HOST_PART << PART_SHIFT | (at + 1)))
			break;
	}
	*pos = HOST_PART << PART_SHIFT | at;
	return 0;
}

/* Precondition: lower_settle() succeeded. */
int lower_readdir(struct tnode *dir, u64 *pos, bool (*emit)(void *, const char *, size_t, u64, u8, u64), void *arg)
{
	struct emit_part ep = { .dir = dir, .emit = emit, .arg = arg };

	while ((ep.part = *pos >> PART_SHIFT) < dir->nlow) {
		u64 at = *pos & PART_MASK;
		ep.e = &dir->low[ep.part];
		int r = erofs_readdir(ep.e, &at, emit_part, &ep);
		*pos = ep.part << PART_SHIFT | at;
		if (r || ep.full)
			return r;
		if (ep.part + 1 == dir->nlow && !dir->host)
			return 0;
		*pos = (ep.part + 1) << PART_SHIFT;
	}
	return dir->host ? readdir_host(dir, pos, &ep) : 0;
}

static bool any_left(void *arg, const char *name, size_t len, u64 number, u8 type, u64 next)
{
	struct tnode **dir = arg;
	struct tent *e = tent_find(*dir, name, len);

	if (e && e->kind == ENT_WHITE)
		return true;
	*dir = NULL;
	return false;
}

bool lower_dir_empty(struct tnode *dir)
{
	struct tnode *left = dir;
	u64 pos = 0;

	return !has_below(dir) || !dir->i.nlink || (!lower_readdir(dir, &pos, any_left, &left) && left);
}

long lower_map(struct tnode *t, u64 off, u64 want, const u8 **p)
{
	return t->host ? host_run(t, off, want, p) : erofs_map(t->low, off, p);
}

static void open_image(u32 i)
{
	const struct ufs_layer *l = &BOOT->layer[i];
	char why[128] = "it is too large";

	if (l->offset > UFS_IMAGE_MAX || l->size > UFS_IMAGE_MAX - l->offset || l->offset % HUGE_SIZE ||
	    erofs_open(&images[i], (const u8 *)UFS_IMAGE_VA + l->offset, l->size, why, sizeof(why)))
		panic("cannot mount layer %u of the image: %s", i, why);
}

struct inode *root_create(void)
{
	u32 n = 0, layers = MIN(BOOT->layers, (u32)UFS_LAYERS_MAX);
	struct tfs *fs = tfs_create(BOOT->overlay_max, DEV_ROOT, has_lower_root() ? "overlay" : "tmpfs");
	struct enode parts[UFS_LAYERS_MAX];
	struct ufs_file_stat st;
	struct hnode *h = NULL;
	struct tnode *t = NULL;
	bool hidden = false;

	if (!fs)
		panic("no memory for the root file system; give the function more");
	for (u32 i = layers; i--;) {
		open_image(i);
		erofs_inode(&images[i], images[i].root_nid, &parts[n]);
		hidden = hidden || add_part(parts, &n, &parts[n]);
	}
	if (BOOT->flags & UFS_BOOT_FILES && !hidden) {
		h = host_root(&st, n > 0);
		if (IS_ERR(h))
			panic("cannot read the folder of the host (error %ld); is it a directory that may be read?", -PTR_ERR(h));
	}
	t = n || h ? lower_node(fs, parts, n, h, &st) : tmpfs_root(fs, 0755);
	if (IS_ERR(t))
		panic("cannot make the root directory (error %ld); give the function more memory", -PTR_ERR(t));
	t->parent = t;
	return &t->i;
}
