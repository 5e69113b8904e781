/* SPDX-License-Identifier: Apache-2.0 */
/* tmpfs_data.c: contents of files in memory: a tree of pages, the lower file where there is none. */
#include "tmpfs.h"
#include "hostfs.h"
#include <linux/falloc.h>

#define RADIX_BITS 6
#define RADIX (1U << RADIX_BITS)

static void *find_page(const struct tnode *t, u64 index)
{
	void *p = t->root;

	if (t->height * RADIX_BITS < 64 && index >> (t->height * RADIX_BITS))
		return NULL;
	for (u32 h = t->height; h && p; h--)
		p = ((void **)p)[index >> ((h - 1) * RADIX_BITS) & (RADIX - 1)];
	return p;
}

/* The place of a page in the tree, made as needed; NULL out of memory. */
static void **page_slot(struct tnode *t, u64 index)
{
	void **slot = &t->root;

	while (t->height * RADIX_BITS < 64 && index >> (t->height * RADIX_BITS)) {
		if (t->root) {
			void **n = kzalloc(RADIX * sizeof(*n));
			if (!n)
				return NULL;
			n[0] = t->root;
			t->root = n;
		}
		t->height++;
	}
	for (u32 h = t->height; h; h--) {
		if (!*slot && !(*slot = kzalloc(RADIX * sizeof(void *))))
			return NULL;
		slot = (void **)*slot + (index >> ((h - 1) * RADIX_BITS) & (RADIX - 1));
	}
	return slot;
}

static void drop_page(struct tnode *t, void *page)
{
	page_put(page);
	tfs_uncharge(tfs_of(t), PAGE_SIZE);
	t->i.blocks -= PAGE_SIZE / 512;
}

/* Frees the pages with index in [first, last]; true if the subtree is empty now (and then freed). */
static bool free_tree(struct tnode *t, void *p, u32 height, u64 base, u64 first, u64 last)
{
	void **n = p;
	bool empty = true;

	if (!height) {
		drop_page(t, p);
		return true;
	}
	for (u32 i = 0; i < RADIX; i++) {
		u64 lo = base + ((u64)i << ((height - 1) * RADIX_BITS));
		u64 hi = lo + ((1UL << ((height - 1) * RADIX_BITS)) - 1);

		if (n[i] && lo <= last && hi >= first && free_tree(t, n[i], height - 1, lo, first, last))
			n[i] = NULL;
		empty &= !n[i];
	}
	if (empty)
		kfree(n);
	return empty;
}

static void free_range(struct tnode *t, u64 first, u64 last)
{
	if (t->root && (t->height || !first) && free_tree(t, t->root, t->height, 0, first, last)) {
		t->root = NULL;
		t->height = 0;
	}
}

void tdata_free(struct tnode *t) { free_range(t, 0, ~0UL >> PAGE_SHIFT); }

/* Bytes of the lower file at off into dst; what is not there is zero. May sleep. */
static int lower_fill(struct tnode *t, u8 *dst, u64 off, u64 n)
{
	while (n && off < t->low_end) {
		const u8 *p;
		long run = lower_map(t, off, n, &p);

		if (run < 0) {
			memset(dst, 0, n);
			return run;
		}
		if (off >= t->low_end) /* it was cut meanwhile */
			break;
		run = MIN(MIN((u64)run, n), t->low_end - off);
		if (p)
			memcpy(dst, p, run);
		else
			memset(dst, 0, run);
		dst += run;
		off += run;
		n -= run;
	}
	memset(dst, 0, n);
	return 0;
}

/* The file may have been cut while a page of it was being filled. */
static void lower_cut(struct tnode *t, u8 *page, u64 off)
{
	u64 n = off < t->low_end ? MIN(t->low_end - off, PAGE_SIZE) : 0;
	memset(page + n, 0, PAGE_SIZE - n);
}

/* The page of this index, made if needed (may sleep); fill false: the caller overwrites all of it. */
static void *own_page(struct tnode *t, u64 index, bool fill)
{
	void **slot = find_page(t, index), *page;
	int r;
	bool lower = (index << PAGE_SHIFT) < t->low_end;

	if (slot)
		return slot;
	if (!tfs_charge(tfs_of(t), PAGE_SIZE))
		return ERR_PTR(-ENOSPC);
	page = page_alloc(0, PG_USER | (fill && !lower ? PG_ZERO : 0));
	if (!page)
		goto failed;
	if (fill && lower) {
		u64 seen = host_sleeps;
		r = lower_fill(t, page, index << PAGE_SHIFT, PAGE_SIZE);
		slot = seen == host_sleeps ? NULL : find_page(t, index);
		if (r || slot) { /* slot: somebody was faster */
			page_put(page);
			tfs_uncharge(tfs_of(t), PAGE_SIZE);
			return r ? ERR_PTR(lower_errno(r)) : slot;
		}
		lower_cut(t, page, index << PAGE_SHIFT);
	}
	slot = page_slot(t, index);
	if (!slot) {
		page_put(page);
failed:
		tfs_uncharge(tfs_of(t), PAGE_SIZE);
		return ERR_PTR(-ENOMEM);
	}
	tnode_dirty(t);
	*slot = page;
	t->i.blocks += PAGE_SIZE / 512;
	if (lower) /* mappings showed the image's page */
		mm_file_changed(&t->i, index << PAGE_SHIFT, (index + 1) << PAGE_SHIFT, false);
	return page;
}

static long lower_read(struct tnode *t, struct iter *it, u64 off, u64 n, u64 want)
{
	const u8 *p;
	long run;

	if (off >= t->low_end)
		return iter_zero(it, n);
	run = lower_map(t, off, want, &p);
	if (run < 0)
		return lower_errno(run);
	if (off >= t->low_end)
		return iter_zero(it, n);
	n = MIN(MIN(n, (u64)run), t->low_end - off);
	return p ? iter_put(it, p, n) : iter_zero(it, n);
}

static void touch_atime(struct tnode *t)
{
	if (!has_below(t) && t->i.atime_ns <= t->i.mtime_ns)
		t->i.atime_ns = real_ns();
}

static long tmpfs_read(struct inode *ino, struct iter *it, u64 off)
{
	struct tnode *t = tnode_of(ino);
	u64 size = ino->size, left;
	long done = 0;

	if (off >= size)
		return 0;
	left = MIN(it->left, size - off);
	if (t->low_ptr && !t->root && t->low_end == size) /* an unchanged file of the image */
		return iter_put(it, t->low_ptr + off, left);
	touch_atime(t);
	while (left) {
		u64 in = off & (PAGE_SIZE - 1), n = MIN(left, PAGE_SIZE - in);
		u8 *page = find_page(t, off >> PAGE_SHIFT);
		long r = page ? iter_put(it, page + in, n) : lower_read(t, it, off, n, left);

		if (r <= 0)
			return done ? done : r;
		done += r;
		off += r;
		left -= r;
		if (page && (u64)r < n)
			break;
	}
	return done;
}


static long tmpfs_write(struct inode *ino, struct iter *it, u64 off)
{
	struct tnode *t = tnode_of(ino);
	u64 left = it->left;
	long done = 0, r = 0;

	if (unlikely(t->seals)) {
		if (t->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
			return -EPERM;
		if ((t->seals & F_SEAL_GROW) && off + left > ino->size) {
			if (off >= ino->size)
				return -EPERM;
			left = ino->size - off;
		}
	}
	while (left) {
		u64 in = off & (PAGE_SIZE - 1), n = MIN(left, PAGE_SIZE - in);
		bool whole = n == PAGE_SIZE, fresh = whole && !find_page(t, off >> PAGE_SHIFT);
		u8 *page = own_page(t, off >> PAGE_SHIFT, !whole);

		if (IS_ERR(page)) {
			r = PTR_ERR(page);
			break;
		}
		r = iter_get(it, page + in, n);
		if (fresh && r < (long)n) { /* what the program's memory did not give must not show old bytes */
			u64 got = r > 0 ? r : 0;
			lower_fill(t, page + got, off + got, PAGE_SIZE - got);
		}
		if (r <= 0)
			break;
		done += r;
		off += r;
		left -= r;
		if (off > ino->size)
			ino->size = off;
		if ((u64)r < n)
			break;
	}
	if (done)
		ino->mtime_ns = ino->ctime_ns = real_ns();
	return done ? done : r;
}

int tdata_truncate(struct inode *ino, u64 size)
{
	struct tnode *t = tnode_of(ino);
	u64 in = size & (PAGE_SIZE - 1);

	if (size > MAX_FILE_SIZE)
		return -EFBIG;
	if (((t->seals & F_SEAL_SHRINK) && size < ino->size) || ((t->seals & F_SEAL_GROW) && size > ino->size))
		return -EPERM;
	tnode_dirty(t);
	if (size < ino->size) {
		u8 *page = in ? find_page(t, size >> PAGE_SHIFT) : NULL;
		if (page)
			memset(page + in, 0, PAGE_SIZE - in);
		free_range(t, (size + PAGE_SIZE - 1) >> PAGE_SHIFT, ~0UL >> PAGE_SHIFT);
		t->low_end = MIN(t->low_end, size);
		ino->size = size;
		mm_file_changed(ino, size, ~0UL, true);
		if (in && !page) /* a mapped page of the image shows bytes behind the new end */
			mm_file_changed(ino, size, size + 1, false);
	}
	ino->size = size;
	ino->mtime_ns = ino->ctime_ns = real_ns();
	return 0;
}

/* The page of the image or of the host's file itself, when it lies there as one aligned page and nothing but zeros follows the file's end in it. */
static const void *image_page(struct tnode *t, u64 off)
{
	const u8 *p, *end;
	long run;

	if (off >= t->low_end)
		return NULL;
	if (t->host)
		return t->low_end - off >= PAGE_SIZE || t->low_end == t->host->size ? host_page(t, off) : NULL;
	run = erofs_map(t->low, off, &p);
	if (run <= 0 || !p || ((u64)p & (PAGE_SIZE - 1)))
		return NULL;
	run = MIN((u64)run, t->low_end - off);
	if (run >= (long)PAGE_SIZE)
		return p;
	end = t->low->fs->base + t->low->fs->size;
	if (off + run < t->low_end || end - p < (long)PAGE_SIZE)
		return NULL;
	for (u64 i = run; i < PAGE_SIZE; i++)
		if (p[i])
			return NULL;
	return p;
}

static void *tmpfs_page(struct inode *ino, u64 off, bool write)
{
	struct tnode *t = tnode_of(ino);
	void *page;
	int r;

	if (off >= ino->size)
		return ERR_PTR(-EFAULT);
	if (write && (t->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return ERR_PTR(-EPERM);
	page = find_page(t, off >> PAGE_SHIFT);
	if (!page && !write && off < t->low_end) {
		const void *p = image_page(t, off);
		if (p)
			return (void *)p;
		page = page_alloc(0, PG_USER); /* a copy; the caller has its only reference */
		if (!page)
			return ERR_PTR(-ENOMEM);
		r = lower_fill(t, page, off, PAGE_SIZE);
		if (!r)
			return page;
		page_put(page);
		return ERR_PTR(lower_errno(r));
	}
	/* A hole gets its page at the first look, so that later writes show in every mapping. */
	if (!page)
		page = own_page(t, off >> PAGE_SHIFT, true);
	if (IS_ERR(page))
		return page;
	if (write)
		ino->mtime_ns = ino->ctime_ns = real_ns();
	page_get(page);
	return page;
}

/* What can be neither loaded nor mapped from the host becomes the file's own. */
static int tmpfs_prepare(struct inode *ino)
{
	struct tnode *t = tnode_of(ino);
	int r = t->host && t->low_end ? host_prepare(t) : 0;

	touch_atime(t);
	for (u64 off = 0; r == -EAGAIN; off += PAGE_SIZE) {
		void *page = off < t->low_end ? own_page(t, off >> PAGE_SHIFT, true) : NULL;
		if (!page || IS_ERR(page))
			return PTR_ERR(page);
	}
	return r;
}

static int punch_hole(struct tnode *t, u64 off, u64 len)
{
	u64 end = MIN(off + len, t->i.size), first, last;

	if (t->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	if (off >= end)
		return 0;
	tnode_dirty(t);
	first = ALIGN_UP(off, PAGE_SIZE);
	last = end == t->i.size ? ALIGN_UP(end, PAGE_SIZE) : ALIGN_DOWN(end, PAGE_SIZE);
	if (end >= t->low_end) {
		t->low_end = MIN(t->low_end, off);
		if (first < last)
			free_range(t, first >> PAGE_SHIFT, (last >> PAGE_SHIFT) - 1);
	}
	for (u64 p = first; p < MIN(last, t->low_end); p += PAGE_SIZE) { /* freed, they would show the lower file again */
		void *page = own_page(t, p >> PAGE_SHIFT, false);
		if (IS_ERR(page))
			return PTR_ERR(page);
		memset(page, 0, PAGE_SIZE);
	}
	/* The parts of pages at both ends. */
	for (u64 p = off; p < end;) {
		u64 in = p & (PAGE_SIZE - 1), n = MIN(end - p, PAGE_SIZE - in);
		u8 *page;

		if (p >= first && p < last) {
			p = last;
			continue;
		}
		page = find_page(t, p >> PAGE_SHIFT);
		if (!page && p < t->low_end)
			page = own_page(t, p >> PAGE_SHIFT, true);
		if (IS_ERR(page))
			return PTR_ERR(page);
		if (page)
			memset(page + in, 0, n);
		p += n;
	}
	if (first < last)
		mm_file_changed(&t->i, first, last, false);
	t->i.mtime_ns = t->i.ctime_ns = real_ns();
	return 0;
}

int tmpfs_fallocate(struct inode *ino, u32 mode, u64 off, u64 len)
{
	struct tnode *t = tnode_of(ino);
	u64 end = off + len, need = 0;

	if (ino->ops != &tmpfs_file_ops)
		return -EOPNOTSUPP;
	if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		return punch_hole(t, off, len);
	if (mode & ~FALLOC_FL_KEEP_SIZE)
		return -EOPNOTSUPP;
	if ((t->seals & F_SEAL_GROW) && !mode && end > ino->size)
		return -EPERM;
	if (len > page_total_bytes())
		return -ENOSPC;
	for (u64 p = ALIGN_DOWN(off, PAGE_SIZE); p < end; p += PAGE_SIZE)
		need += p >= t->low_end && !find_page(t, p >> PAGE_SHIFT) ? PAGE_SIZE : 0;
	if (need > tfs_of(t)->limit - tfs_of(t)->used || need > page_free_bytes())
		return -ENOSPC;
	for (u64 p = ALIGN_DOWN(off, PAGE_SIZE); p < end; p += PAGE_SIZE) {
		void *page = p < t->low_end ? NULL : own_page(t, p >> PAGE_SHIFT, true);
		if (IS_ERR(page))
			return PTR_ERR(page);
	}
	if (!mode && end > ino->size) {
		tnode_dirty(t);
		ino->size = end;
	}
	ino->ctime_ns = ino->mtime_ns = real_ns();
	return 0;
}

/* The first index from `index` on that has a page, or that has none; ~0 when the tree has no such. */
static u64 next_index(void *p, u32 height, u64 base, u64 index, bool page)
{
	u64 span = height ? 1UL << ((height - 1) * RADIX_BITS) : 1;

	if (!p || !height)
		return page == !!p ? MAX(base, index) : ~0UL;
	for (u32 i = 0; i < RADIX; i++) {
		u64 lo = base + i * span, r = lo + span > index ? next_index(((void **)p)[i], height - 1, lo, index, page) : ~0UL;
		if (r != ~0UL)
			return r;
	}
	return ~0UL;
}

long tmpfs_next(struct inode *ino, u64 off, bool data)
{
	struct tnode *t = tnode_of(ino);
	u64 at;

	if (ino->ops != &tmpfs_file_ops)
		return data ? off : ino->size;
	if (off < t->low_end) {
		if (data)
			return off;
		off = ALIGN_UP(t->low_end, PAGE_SIZE);
	}
	at = next_index(t->root, t->height, 0, off >> PAGE_SHIFT, data);
	if (at == ~0UL && !data)
		at = MAX(off >> PAGE_SHIFT, 1UL << (t->height * RADIX_BITS)); /* behind the tree */
	if (data && (at == ~0UL || at << PAGE_SHIFT >= ino->size))
		return -ENXIO;
	return MIN(MAX(at << PAGE_SHIFT, off), ino->size);
}

static bool any_shared(const struct tnode *t, void *p, u32 height)
{
	if (!p)
		return false;
	if (!height)
		return page_refs(p) > 1;
	for (u32 i = 0; i < RADIX; i++)
		if (any_shared(t, ((void **)p)[i], height - 1))
			return true;
	return false;
}

/* A page with more than the file's reference is mapped by somebody. */
long tmpfs_seals(struct inode *ino, bool add, u32 seals)
{
	struct tnode *t = ino ? tnode_of(ino) : NULL;

	if (!ino || ino->ops != &tmpfs_file_ops || !(t->flags & TN_MEMFD))
		return -EINVAL;
	if (!add)
		return t->seals;
	if (seals & ~0x1fU)
		return -EINVAL;
	if (t->seals & F_SEAL_SEAL)
		return -EPERM;
	if ((seals & F_SEAL_WRITE) && !(t->seals & F_SEAL_WRITE) && any_shared(t, t->root, t->height))
		return -EBUSY;
	t->seals |= seals;
	return 0;
}

const struct inode_ops tmpfs_file_ops = {
	.read = tmpfs_read, .write = tmpfs_write, .truncate = tdata_truncate, .page = tmpfs_page, .prepare = tmpfs_prepare,
	.setattr = tnode_setattr, .release = tnode_release,
};
