/* SPDX-License-Identifier: Apache-2.0 */
/* tmpfs_dir.c: directories in memory: names made, removed, moved, and listed together with what is below. */
#include "tmpfs.h"

#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2

static struct tnode *find(struct tnode *dir, const char *name, size_t len)
{
	struct tent *e = tent_find(dir, name, len);

	if (e) {
		if (!e->node)
			return ERR_PTR(-ENOENT);
		inode_get(&e->node->i);
		e->node->ent = e;
		return e->node;
	}
	return has_below(dir) && dir->i.nlink ? lower_lookup(dir, name, len) : ERR_PTR(-ENOENT);
}

static struct inode *dir_lookup(struct inode *ino, const char *name, size_t len)
{
	struct tnode *dir = tnode_of(ino), *t;

	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))) {
		t = len == 1 ? dir : dir->parent;
		inode_get(&t->i);
		return &t->i;
	}
	t = find(dir, name, len);
	if (unlikely(dir->parent == dir) && len == 3 && !memcmp(name, "etc", 3))
		t = names_supply(dir, t);
	return IS_ERR(t) ? (void *)t : &t->i;
}

static void touch_dir(struct tnode *dir)
{
	tnode_dirty(dir);
	dir->i.mtime_ns = dir->i.ctime_ns = real_ns();
}

/* 0 if name can be made in dir; nobody has slept since it was found free. */
static int check_free(struct tnode *dir, const char *name, size_t len)
{
	struct tnode *t = find(dir, name, len);

	if (!IS_ERR(t)) {
		inode_put(&t->i);
		return -EEXIST;
	}
	if (PTR_ERR(t) != -ENOENT)
		return PTR_ERR(t);
	return dir->i.nlink ? 0 : -ENOENT; /* removed */
}

/* Gives node (its reference is taken over) the free name. */
static int enter(struct tnode *dir, const char *name, size_t len, struct tnode *node)
{
	struct tent *e = tent_find(dir, name, len);

	if (e && e->kind == ENT_WHITE) {
		tent_set_kind(e, ENT_UPPER, node);
	} else {
		if (!tfs_charge(tfs_of(dir), CHARGE_ENTRY))
			return -ENOSPC;
	}
	if (e && e->kind == ENT_NONE) {
		tent_set_kind(e, ENT_UPPER, node);
		e->free_below = true;
	} else if (!e) {
		e = tent_new(dir, name, len);
		if (!e) {
			tfs_uncharge(tfs_of(dir), CHARGE_ENTRY);
			return -ENOMEM;
		}
		tent_link(e, ENT_UPPER, node);
	}
	touch_dir(dir);
	return 0;
}

/* Takes the name away; the node's reference goes to the caller. A LOWER entry becomes a charged whiteout. */
static int leave(struct tent *e)
{
	struct tnode *dir = e->dir;
	bool white = e->kind == ENT_LOWER || lower_has(e);

	if (white) {
		if (e->kind == ENT_LOWER) {
			if (!tfs_charge(tfs_of(dir), CHARGE_ENTRY))
				return -ENOSPC;
		}
		tent_set_kind(e, ENT_WHITE, NULL);
	} else {
		tfs_uncharge(tfs_of(dir), CHARGE_ENTRY);
		if (dir->host)
			tent_set_kind(e, ENT_NONE, NULL);
		else
			tent_remove(e);
	}
	touch_dir(dir);
	return 0;
}

static struct inode *add_node(struct tnode *dir, const char *name, size_t len, struct tnode *t)
{
	int r;

	if (IS_ERR(t))
		return (void *)t;
	r = enter(dir, name, len, t);
	if (r) {
		inode_put(&t->i);
		return ERR_PTR(r);
	}
	inode_get(&t->i);
	if (S_ISDIR(t->i.mode))
		dir->i.nlink += dir->i.nlink > 1; /* one that is merged has 1 for ever */
	return &t->i;
}

static struct inode *dir_create(struct inode *ino, const char *name, size_t len, u32 mode, u64 rdev)
{
	struct tnode *dir = tnode_of(ino);
	int r = check_free(dir, name, len);

	return r ? ERR_PTR(r) : add_node(dir, name, len, tnode_create(tfs_of(dir), dir, mode, rdev));
}

static int dir_symlink(struct inode *ino, const char *name, size_t len, const char *target)
{
	struct tnode *dir = tnode_of(ino), *t;
	struct inode *made;
	size_t n = strlen(target);
	int r = check_free(dir, name, len);

	if (r)
		return r;
	t = tnode_create(tfs_of(dir), dir, S_IFLNK | 0777, 0);
	if (IS_ERR(t))
		return PTR_ERR(t);
	t->target = kmalloc(n + 1);
	if (!t->target) {
		inode_put(&t->i);
		return -ENOMEM;
	}
	memcpy(t->target, target, n + 1);
	t->i.size = n;
	made = add_node(dir, name, len, t);
	if (IS_ERR(made))
		return PTR_ERR(made);
	inode_put(made);
	return 0;
}

static int dir_link(struct inode *ino, const char *name, size_t len, struct inode *target)
{
	struct tnode *dir = tnode_of(ino), *t = tnode_of(target);
	int r = check_free(dir, name, len);

	if (!r)
		r = tmpfs_linkable(target);
	if (r)
		return r;
	r = enter(dir, name, len, t);
	if (r)
		return r;
	inode_get(target);
	tnode_dirty(t);
	target->nlink++;
	target->ctime_ns = real_ns();
	return 0;
}

static bool dir_empty(struct tnode *dir)
{
	list_for_each(l, &dir->entries) {
		if (list_entry(l, struct tent, order)->node)
			return false;
	}
	return lower_dir_empty(dir);
}

/* A directory that was removed shows nothing, not even what is below. */
static void dir_clear(struct tnode *dir)
{
	while (!list_empty(&dir->entries)) {
		struct tent *e = list_first(&dir->entries, struct tent, order);
		if (e->kind != ENT_NONE)
			tfs_uncharge(tfs_of(dir), CHARGE_ENTRY);
		tent_remove(e);
	}
	dir->low = NULL; /* dir->host stays: somebody may be asking the host about it */
	dir->nlow = 0;
}

/* After t lost a name. */
static void drop_link(struct tnode *dir, struct tnode *t)
{
	if (S_ISDIR(t->i.mode)) {
		t->i.nlink = 0;
		if (dir->i.nlink > 2)
			dir->i.nlink--;
		dir_clear(t);
	} else if (t->i.nlink) {
		tnode_dirty(t);
		t->i.nlink--;
	}
	t->i.ctime_ns = real_ns();
	if (!t->i.nlink && (t->flags & TN_PINNED)) {
		t->flags &= ~TN_PINNED;
		inode_put(&t->i);
	}
	inode_put(&t->i); /* the entry's */
}

/* The entry of an existing name, its node referenced in *t. Of a directory it can be told then, without sleeping, whether it is empty. */
static struct tent *existing(struct tnode *dir, const char *name, size_t len, struct tnode **t)
{
	for (;;) {
		u64 seen = host_sleeps;
		int r = 0;

		*t = find(dir, name, len);
		if (IS_ERR(*t))
			return (void *)*t;
		if (S_ISDIR((*t)->i.mode))
			r = lower_settle(*t);
		if (!r && seen == host_sleeps)
			return tent_find(dir, name, len);
		inode_put(&(*t)->i);
		if (r)
			return ERR_PTR(r);
	}
}

/* Linux's sticky bit: only owners remove. */
static int may_remove(struct tnode *dir, struct tnode *t)
{
	if ((dir->i.mode & S_ISVTX) && !inode_owner(&t->i) && !inode_owner(&dir->i))
		return -EPERM;
	return 0;
}

static bool is_mount(const struct tnode *t)
{
	for (int i = 1; i < nmounts; i++)
		if (mounts[i].covered == &t->i)
			return true;
	return &t->i == root_inode;
}

static int dir_unlink(struct inode *ino, const char *name, size_t len, bool isdir)
{
	struct tnode *dir = tnode_of(ino), *t;
	struct tent *e = existing(dir, name, len, &t);
	int r = 0;

	if (IS_ERR(e))
		return PTR_ERR(e);
	if (isdir && !S_ISDIR(t->i.mode))
		r = -ENOTDIR;
	else if (!isdir && S_ISDIR(t->i.mode))
		r = -EISDIR;
	else if (is_mount(t))
		r = -EBUSY;
	else if (isdir && !dir_empty(t))
		r = -ENOTEMPTY;
	else
		r = may_remove(dir, t);
	if (!r)
		r = leave(e);
	if (!r)
		drop_link(dir, t);
	inode_put(&t->i);
	return r;
}

static bool is_below(struct tnode *t, const struct tnode *ancestor)
{
	while (t != ancestor) {
		if (t->parent == t || !t->parent)
			return false;
		t = t->parent;
	}
	return true;
}

static void set_parent(struct tnode *t, struct tnode *from, struct tnode *to)
{
	if (!S_ISDIR(t->i.mode) || from == to)
		return;
	tnode_dirty(t);
	inode_get(&to->i);
	t->parent = to;
	from->i.nlink -= from->i.nlink > 2;
	to->i.nlink += to->i.nlink > 1;
	inode_put(&from->i);
}

static int exchange(struct tnode *od, struct tent *oe, struct tnode *o, struct tnode *nd, struct tent *ne, struct tnode *n)
{
	int lower = (oe->kind == ENT_LOWER) + (ne->kind == ENT_LOWER);

	if ((S_ISDIR(n->i.mode) && is_below(od, n)) || (S_ISDIR(o->i.mode) && is_below(nd, o)))
		return -EINVAL;
	if (!tfs_charge(tfs_of(od), lower * CHARGE_ENTRY))
		return -ENOSPC;
	tnode_dirty(o);
	tnode_dirty(n);
	tent_set_kind(oe, ENT_UPPER, n);
	tent_set_kind(ne, ENT_UPPER, o);
	set_parent(o, od, nd);
	set_parent(n, nd, od);
	o->i.ctime_ns = n->i.ctime_ns = real_ns();
	touch_dir(od);
	touch_dir(nd);
	return 0;
}

static int check_replace(struct tnode *nd, struct tnode *o, struct tnode *n)
{
	if (is_mount(n))
		return -EBUSY;
	if (S_ISDIR(o->i.mode) != S_ISDIR(n->i.mode))
		return S_ISDIR(n->i.mode) ? -EISDIR : -ENOTDIR;
	if (S_ISDIR(n->i.mode) && !dir_empty(n))
		return -ENOTEMPTY;
	return may_remove(nd, n);
}

static int dir_rename(struct inode *odir, const char *oname, size_t olen, struct inode *ndir, const char *nname, size_t nlen, u32 flags)
{
	struct tnode *od = tnode_of(odir), *nd = tnode_of(ndir), *o, *n = NULL;
	struct tent *oe, *ne;
	bool was_lower;
	u64 seen;
	int r;

again:
	oe = existing(od, oname, olen, &o);
	if (IS_ERR(oe))
		return PTR_ERR(oe);
	seen = host_sleeps;
	ne = existing(nd, nname, nlen, &n);
	if (seen != host_sleeps) { /* the other entry may be another now */
		inode_put(&o->i);
		if (!IS_ERR(ne))
			inode_put(&n->i);
		goto again;
	}
	if (IS_ERR(ne)) {
		r = PTR_ERR(ne);
		ne = NULL;
		n = NULL;
		if (r != -ENOENT)
			goto out;
	}
	r = is_mount(o) ? -EBUSY : may_remove(od, o);
	if (r)
		goto out;
	r = -EINVAL;
	if (S_ISDIR(o->i.mode) && is_below(nd, o))
		goto out;
	r = -ENOENT;
	if (!nd->i.nlink || (!n && (flags & RENAME_EXCHANGE)))
		goto out;
	r = -EEXIST;
	if (n && (flags & RENAME_NOREPLACE))
		goto out;
	r = 0;
	if (o == n) /* two names of one file: nothing to do */
		goto out;
	if (flags & RENAME_EXCHANGE) {
		r = is_mount(n) ? -EBUSY : exchange(od, oe, o, nd, ne, n);
		goto out;
	}
	if (n) {
		r = S_ISDIR(n->i.mode) && is_below(od, n) ? -ENOTEMPTY : check_replace(nd, o, n);
		if (r)
			goto out;
	}
	/* All that can fail comes first: the new entry, then the whiteout for the old one. */
	was_lower = ne && ne->kind == ENT_LOWER;
	if (ne) {
		if (was_lower && !tfs_charge(tfs_of(nd), CHARGE_ENTRY)) {
			r = -ENOSPC;
			goto out;
		}
	} else {
		r = enter(nd, nname, nlen, o);
		if (r)
			goto out;
		ne = tent_find(nd, nname, nlen);
	}
	r = leave(oe);
	if (r) { /* no room for the whiteout */
		if (n) {
			if (was_lower)
				tfs_uncharge(tfs_of(nd), CHARGE_ENTRY);
		} else if (lower_has(ne)) {
			tent_set_kind(ne, ENT_WHITE, NULL);
		} else {
			tfs_uncharge(tfs_of(nd), CHARGE_ENTRY);
			tent_remove(ne);
		}
		goto out;
	}
	tnode_dirty(o); /* its cached entry may have been what kept it */
	if (n) {
		tent_set_kind(ne, ENT_UPPER, o);
		drop_link(nd, n);
	}
	set_parent(o, od, nd);
	o->i.ctime_ns = real_ns();
	touch_dir(nd);
out:
	inode_put(&o->i);
	if (n)
		inode_put(&n->i);
	return r;
}

#define LOWER_POS (1UL << 62)
struct lower_emit { struct tnode *dir; bool (*emit)(void *, const char *, size_t, u64, u8, u64); void *arg; };

static bool emit_lower(void *arg, const char *name, size_t len, u64 number, u8 type, u64 next)
{
	struct lower_emit *le = arg;
	struct tent *e = tent_find(le->dir, name, len);

	return (e && e->kind != ENT_LOWER) || le->emit(le->arg, name, len, number, type, LOWER_POS | next);
}

/* Positions: 0 ".", 1 "..", then entries made here by cookie, then those from below. */
static int dir_readdir(struct inode *ino, u64 *pos, bool (*emit)(void *, const char *, size_t, u64, u8, u64), void *arg)
{
	struct tnode *dir = tnode_of(ino);
	struct lower_emit le = { dir, emit, arg };
	u64 low;
	int r;

	if (*pos == 0 && dir->parent == dir) { /* it may have to be made */
		struct inode *etc = dir_lookup(ino, "etc", 3);
		if (!IS_ERR(etc))
			inode_put(etc);
	}
	r = ino->nlink ? lower_settle(dir) : 0;
	if (r || !ino->nlink)
		return r;
	if (*pos == 0) {
		if (!emit(arg, ".", 1, ino->ino, 4, 1))
			return 0;
		*pos = 1;
	}
	if (*pos == 1) {
		if (!emit(arg, "..", 2, dir->parent->i.ino, 4, 2))
			return 0;
		*pos = 2;
	}
	if (*pos < LOWER_POS) {
		list_for_each(l, &dir->entries) {
			struct tent *e = list_entry(l, struct tent, order);
			if (e->kind != ENT_UPPER || e->cookie < *pos)
				continue;
			if (!emit(arg, e->name, e->len, e->node->i.ino, e->node->i.mode >> 12, e->cookie + 1))
				return 0;
			*pos = e->cookie + 1;
		}
		if (!has_below(dir))
			return 0;
		*pos = LOWER_POS;
	}
	if (!has_below(dir))
		return 0;
	low = *pos & ~LOWER_POS;
	r = lower_readdir(dir, &low, emit_lower, &le);
	*pos = LOWER_POS | low;
	return lower_errno(r);
}

const struct inode_ops tmpfs_dir_ops = {
	.lookup = dir_lookup, .create = dir_create, .symlink = dir_symlink, .link = dir_link, .unlink = dir_unlink,
	.rename = dir_rename, .readdir = dir_readdir, .setattr = tnode_setattr, .release = tnode_release,
};
