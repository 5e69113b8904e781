/* SPDX-License-Identifier: Apache-2.0 */
/* dcache.c: one hash table for the directory entries of all in-memory file systems, and the limit on cached ones. */
#include "tmpfs.h"

#define CACHED_MAX 4096UL

static struct tent **table;
static u32 buckets, count, cached;
static struct list lru = LIST_INIT(lru);

static u32 hash_name(const struct tnode *dir, const char *name, size_t len)
{
	u64 h = (u64)dir >> 4;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (u8)name[i]) * 0x100000001b3UL;
	return h ^ h >> 32;
}

struct tent *tent_find(struct tnode *dir, const char *name, size_t len)
{
	u32 h;

	if (!count)
		return NULL;
	h = hash_name(dir, name, len);
	for (struct tent *e = table[h & (buckets - 1)]; e; e = e->hnext)
		if (e->hash == h && e->dir == dir && e->len == len && !memcmp(e->name, name, len))
			return e;
	return NULL;
}

static bool grow(void)
{
	u32 n = buckets ? buckets * 2 : 256;
	struct tent **t = kzalloc(n * sizeof(*t));

	if (!t)
		return buckets; /* longer chains do */
	for (u32 i = 0; i < buckets; i++) {
		for (struct tent *e = table[i], *nx; e; e = nx) {
			nx = e->hnext;
			e->hnext = t[e->hash & (n - 1)];
			t[e->hash & (n - 1)] = e;
		}
	}
	kfree(table);
	table = t;
	buckets = n;
	return true;
}

struct tent *tent_new(struct tnode *dir, const char *name, size_t len)
{
	struct tent *e;

	if (count >= buckets && !grow())
		return NULL;
	e = kmalloc(sizeof(*e) + len + 1);
	if (!e)
		return NULL;
	e->dir = dir;
	e->len = len;
	e->free_below = false;
	memcpy(e->name, name, len);
	e->name[len] = 0;
	e->hash = hash_name(dir, name, len);
	list_init(&e->lru);
	return e;
}

static void set_kind(struct tent *e, int kind, struct tnode *node)
{
	e->kind = kind;
	e->node = node;
	e->cookie = e->dir->next_cookie++;
	list_add_tail(&e->order, &e->dir->entries);
	if (node)
		node->ent = e;
	if (kind == ENT_LOWER || kind == ENT_NONE) {
		list_add(&e->lru, &lru);
		cached++;
	}
}

static void unset_kind(struct tent *e)
{
	list_del(&e->order);
	if (e->node && e->node->ent == e)
		e->node->ent = NULL;
	if (e->kind == ENT_LOWER || e->kind == ENT_NONE) {
		list_del(&e->lru);
		cached--;
	}
}

void tent_link(struct tent *e, int kind, struct tnode *node)
{
	struct tent **b = &table[e->hash & (buckets - 1)];

	e->hnext = *b;
	*b = e;
	count++;
	e->dir->nentries++;
	set_kind(e, kind, node);
}

void tent_set_kind(struct tent *e, int kind, struct tnode *node)
{
	unset_kind(e);
	set_kind(e, kind, node);
}

void tent_remove(struct tent *e)
{
	struct tent **b = &table[e->hash & (buckets - 1)];

	while (*b != e)
		b = &(*b)->hnext;
	*b = e->hnext;
	count--;
	e->dir->nentries--;
	unset_kind(e);
	kfree(e);
}

/* Oldest first; one that is in use or has entries below goes to the front and gets another turn. */
void tent_trim(void)
{
	u32 max = MIN(CACHED_MAX, page_total_bytes() >> 14); /* a node takes up to 1 KiB */

	for (u32 tries = 0; cached > max && tries < 64; tries++) {
		struct tent *e = list_entry(lru.prev, struct tent, lru);
		struct tnode *t = e->node;

		if (!t) {
			tent_remove(e);
			continue;
		}
		if (t->i.refs > 1 || (S_ISDIR(t->i.mode) && t->nentries)) {
			list_del(&e->lru);
			list_add(&e->lru, &lru);
			continue;
		}
		tent_remove(e);
		inode_put(&t->i);
	}
}

void tent_each_idle(bool (*fn)(struct tnode *, void *), void *arg)
{
	for (struct list *l = lru.prev; l != &lru; l = l->prev) {
		struct tnode *t = list_entry(l, struct tent, lru)->node;

		if (t && t->i.refs == 1 && !fn(t, arg))
			return;
	}
}
