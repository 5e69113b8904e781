/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostfs.h: the folder of the host (UFS_BOOT_FILES), asked over the queue: hostfs.c requests and answers, hostdir.c names,
 * hostdata.c contents. Whoever asks sleeps; host_sleeps counts that. The folder counts as unchanging: what was learned stays.
 */
#ifndef UFS_HOSTFS_H
#define UFS_HOSTFS_H
#include "tmpfs.h"

#define HOST_CHUNK ((u64)UFS_FILE_READ_MAX) /* what one READ brings: whole pages */
#define HOST_LOAD_MAX (4UL << 20)           /* files up to this are read as a whole when they are mapped */
#define HOST_CHUNKS (HOST_LOAD_MAX / HOST_CHUNK + 1)

/* What a node knows of its file of the host. */
struct hnode {
	u64 inode, size;         /* as STAT gave them */
	/* directory */
	struct ufs_file_entry **list; /* sorted by name; NULL: not read yet */
	struct hchunk *chunks;   /* where the entries lie */
	u32 nlist, asked;        /* asked: names looked up one by one */
	u64 list_bytes;
	struct list listed;      /* among those with a listing, the newest first */
	bool unsure;             /* an image has this directory; whether the host has one below it was not asked yet */
	/* file: a window of it in RAM, the whole for files that fit */
	u8 *buf;
	u64 start;               /* of the window in the file, a multiple of HOST_CHUNK */
	u32 pages;
	u32 next;                /* chunk that a sequential reader wants next */
	bool busy;               /* somebody reads into the window */
	bool mapped;
	u64 have[(HOST_CHUNKS + 63) / 64]; /* chunks of the window that are there */
	u64 map_off, map_len;    /* in the files area */
	u32 len;
	char path[];
};

/* ---- hostfs.c ---- */
struct host_wait {
	struct thread *thread;
	void *buf;               /* where the answer goes */
	u32 cap, len;
	int err;                 /* negative */
	bool done;
};
/* Sends a request about name (len bytes) in h, or about h itself. May sleep until there is room; 0 or -EINTR (the thread is to die). */
int host_begin(struct host_wait *w, u32 op, const struct hnode *h, const char *name, size_t len, u64 from, u32 n);
/* Sleeps until the answer is there: 0 or a negative errno. After -EINTR the answer is not wanted any more. */
int host_end(struct host_wait *w);
void host_cancel(struct host_wait *w);
/* Both. The length of the answer or a negative errno. */
long host_ask(u32 op, const struct hnode *h, const char *name, size_t len, u64 from, u32 n, void *buf, u32 cap);
void host_unmapped(u64 off);     /* tells the monitor; does not sleep */
int host_sleep(struct waitq *q); /* until q is woken; -EINTR when the thread is to die */

/* ---- hostdir.c ---- */
struct hnode *host_root(struct ufs_file_stat *st, bool unsure);
int host_lookup(struct hnode *dir, const char *name, size_t len, struct ufs_file_stat *st);
int host_refresh(struct tnode *t); /* the file was replaced: STAT again */
struct hnode *hnode_new(const struct hnode *dir, const char *name, size_t len, const struct ufs_file_stat *st);
void hnode_free(struct hnode *h);
int host_list(struct hnode *dir);
const struct ufs_file_entry *host_entry(const struct hnode *dir, u64 index); /* NULL at the end */
bool host_may_have(const struct hnode *dir, const char *name, size_t len);   /* does not sleep */
int host_readlink(struct tnode *t); /* fills t->target */

/* ---- hostdata.c ---- */
long host_run(struct tnode *t, u64 off, u64 want, const u8 **p);
void *host_page(struct tnode *t, u64 off); /* the page in RAM (referenced) or in the files area; NULL: it is in neither */
/* Before the file is mapped, so that faults need not sleep: see inode_ops.prepare. -EAGAIN: cannot be done. */
int host_prepare(struct tnode *t);
void hdata_free(struct hnode *h);
#endif
