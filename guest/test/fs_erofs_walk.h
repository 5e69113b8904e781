/* SPDX-License-Identifier: Apache-2.0 */
/* fs_erofs_walk.h: reads all there is in an EROFS image, for tests that feed damaged ones. */
#ifndef UFS_TEST_FS_EROFS_WALK_H
#define UFS_TEST_FS_EROFS_WALK_H
#include "../fs/erofs.h"

struct visit { const struct erofs *fs; const struct enode *dir; int depth; long *budget; u64 sum; };

static void visit_dir(struct visit *v);

static void visit_inode(struct visit *v, u64 nid, bool dot)
{
	struct enode e;
	char link[4096];

	if (--*v->budget < 0 || erofs_inode(v->fs, nid, &e))
		return;
	v->sum += e.mode + e.size;
	if ((e.mode & 0170000) == 0120000) {
		long n = erofs_readlink(&e, link, sizeof(link));
		for (long i = 0; i < n; i++)
			v->sum += (u8)link[i];
	} else if ((e.mode & 0170000) == 0100000) {
		const u8 *p;
		for (u64 off = 0, run = 0; off < e.size && --*v->budget > 0; off += run) {
			long r = erofs_map(&e, off, &p);
			if (r <= 0)
				break;
			run = r;
			for (u64 i = 0; p && i < run; i++)
				v->sum += p[i];
		}
	} else if ((e.mode & 0170000) == 0040000 && !dot && v->depth < 20) {
		struct visit sub = { v->fs, &e, v->depth + 1, v->budget, 0 };
		visit_dir(&sub);
		v->sum += sub.sum;
	}
}

static bool visit_entry(void *arg, const char *name, size_t len, u64 nid, u8 type, u64 next)
{
	struct visit *v = arg;
	u64 found = 0;

	for (size_t i = 0; i < len; i++)
		v->sum += (u8)name[i];
	if (!erofs_lookup(v->dir, name, len, &found))
		v->sum += found;
	visit_inode(v, nid, name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
	return *v->budget > 0;
}

static void visit_dir(struct visit *v)
{
	u64 pos = 0, nid;

	erofs_readdir(v->dir, &pos, visit_entry, v);
	erofs_lookup(v->dir, "zzz", 3, &nid);
	erofs_lookup(v->dir, "", 0, &nid);
}

/* A number that depends on all that could be read. */
static u64 visit_image(const void *image, u64 size)
{
	struct erofs fs;
	struct enode root;
	char why[128];
	long budget = 20000;
	struct visit v = { &fs, &root, 0, &budget, 0 };

	if (erofs_open(&fs, image, size, why, sizeof(why)) || erofs_inode(&fs, fs.root_nid, &root))
		return 0;
	visit_dir(&v);
	return v.sum;
}
#endif
