/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs.h: files in memory, and the writable view of the image.
 *
 * One node serves both: a node with a lower part (an EROFS inode) shows what is below until it is changed. A
 * directory holds entries only for names that differ from below or were looked up; a file holds only pages
 * that were written. So copy-up is per page, rename moves a directory as it is, and nothing is copied twice.
 *
 *   entry UPPER  the name was made here (or moved here)        hides what is below
 *   entry LOWER  the name comes from below and was looked up   a cache; goes away when its node is unchanged
 *   entry WHITE  the name below was removed                    no node
 *   entry NONE   the host folder has no such name              a cache, no node
 *
 * Below lie up to UFS_LAYERS_MAX images, the highest first, then the folder of the host; see overlay.c.
 */
#ifndef UFS_TMPFS_H
#define UFS_TMPFS_H
#include "erofs.h"
#include "vfs.h"

struct tfs {
	u64 limit, used; /* bytes: pages, nodes, entries; not what only caches the image */
	u32 dev;
	const char *type;
};

#define CHARGE_NODE 512
#define CHARGE_ENTRY 128

#define TN_PINNED 1   /* differs from its lower part: holds a reference to itself while it has a name */
#define TN_LINKABLE 2 /* made by O_TMPFILE: may get its first name */
#define TN_CHARGED 4
#define TN_HASHED 8   /* in the table of lower nodes with several names */
#define TN_MEMFD 16   /* may be sealed */

struct tnode {
	struct inode i;          /* i.priv: struct tfs */
	u32 flags;
	u32 seals;
	struct enode *low;       /* directly behind the node: one in each image that has it (only of directories several), highest first; or NULL */
	struct hnode *host;      /* what the host folder has; NULL: nothing. Below tells of both */
	u32 nlow;
	struct tnode *nid_next;
	struct xattr *xattrs;    /* set here */
	struct tent *ent;        /* the name it was last looked up by, for those who watch its directory */
	union {
		struct {         /* regular file */
			void *root;          /* height 0: the page of index 0; else a table of RADIX children */
			u32 height;
			u64 low_end;         /* bytes that still show the lower file */
			const u8 *low_ptr;   /* lower file as one run, if it is that and in memory */
		};
		struct {         /* directory */
			struct list entries; /* in order of cookie */
			struct tnode *parent;/* referenced; itself (not referenced) at a root */
			u64 next_cookie;
			u32 nentries;
		};
		char *target;    /* symbolic link made here */
	};
};

enum { ENT_UPPER, ENT_LOWER, ENT_WHITE, ENT_NONE };
struct tent {
	struct tent *hnext;
	struct list order;       /* tnode.entries */
	struct list lru;         /* LOWER and NONE ones */
	struct tnode *dir, *node;/* node: referenced */
	u64 cookie;
	u32 hash;
	u8 kind, len;
	bool free_below;         /* UPPER: the host folder is known to have no such name */
	char name[];
};

extern const struct inode_ops tmpfs_dir_ops, tmpfs_file_ops, tmpfs_link_ops, tmpfs_special_ops, host_special_ops;

static inline struct tnode *tnode_of(const struct inode *i) { return container_of(i, struct tnode, i); }
static inline bool has_below(const struct tnode *t) { return t->low || t->host; }
static inline struct tfs *tfs_of(const struct tnode *t) { return t->i.priv; }
bool tnode_is(const struct inode *ino);
void xattrs_free(struct tnode *t);
bool tfs_charge(struct tfs *fs, u64 n);
static inline void tfs_uncharge(struct tfs *fs, u64 n) { fs->used -= n; }

struct tnode *tnode_create(struct tfs *fs, struct tnode *dir, u32 mode, u64 rdev); /* charged; owner from current */
struct tfs *tfs_create(u64 limit, u32 dev, const char *type);
struct tnode *tmpfs_root(struct tfs *fs, u32 mode);

int tnode_setattr(struct inode *ino);
void tnode_release(struct inode *ino);

/* tmpfs_data.c */
void tdata_free(struct tnode *t);
int tdata_truncate(struct inode *ino, u64 size);

/* net/names.c: etc as the root directory has it, with files that this instance supplies. */
struct tnode *names_supply(struct tnode *root, struct tnode *etc);

/* dcache.c: the entries of all directories, by directory and name */
struct tent *tent_find(struct tnode *dir, const char *name, size_t len);
struct tent *tent_new(struct tnode *dir, const char *name, size_t len); /* not linked yet; NULL out of memory */
void tent_link(struct tent *e, int kind, struct tnode *node);
void tent_remove(struct tent *e);  /* unlinks and frees; the node's reference is the caller's */
void tent_set_kind(struct tent *e, int kind, struct tnode *node); /* moves it to the end of the order */
void tent_trim(void);              /* drops cached entries over the limit */
void tent_each_idle(bool (*fn)(struct tnode *t, void *arg), void *arg); /* nodes that only the cache holds, oldest first, until fn says false */

/* overlay.c */
/* These sleep where the host folder has to be asked. sleeps counts that: what was found before may have changed. */
extern u64 host_sleeps;
struct tnode *lower_lookup(struct tnode *dir, const char *name, size_t len); /* referenced, entered as LOWER; ERR_PTR */
int lower_settle(struct tnode *dir); /* what lower_readdir() and lower_dir_empty() need, so that they do not sleep */
int lower_readdir(struct tnode *dir, u64 *pos, bool (*emit)(void *, const char *, size_t, u64, u8, u64), void *arg);
/* The run of bytes at off; want: how many the caller is after. *p is good until somebody sleeps. */
long lower_map(struct tnode *t, u64 off, u64 want, const u8 **p);
bool lower_has(const struct tent *e); /* is the name of this entry taken below? Does not sleep */
void lower_forget(struct tnode *t);
void tnode_dirty(struct tnode *t);
int lower_errno(int r);
bool lower_dir_empty(struct tnode *dir);
u64 lower_number(const struct enode *e);
u64 host_number(u64 inode);
#endif
