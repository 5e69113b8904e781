/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostfs.c: requests about files of the host's folder, and their answers.
 *
 * A request waits for its answer in a slot, whose number is the tag. Only the end of the thread interrupts that; the slot then
 * stays taken until the answer came, which nobody reads.
 */
#include "hostfs.h"
#include "../net/stream.h"

static struct { struct host_wait *w; bool busy; } slots[UFS_FILE_TAGS];
static struct waitq slot_free = WAITQ_INIT(slot_free);
static struct unmap { struct unmap *next; u64 off; } *unmaps; /* that found no room in the ring */

static bool send_unmap(u64 off)
{
	struct ufs_file_req req = { .from = off };
	return queue_send(UFS_MSG_FILE, 0, UFS_FILE_UNMAP, &req, sizeof(req));
}

static void flush_unmaps(void)
{
	while (unmaps && send_unmap(unmaps->off)) {
		struct unmap *u = unmaps;
		unmaps = u->next;
		kfree(u);
	}
}

void host_unmapped(u64 off)
{
	struct unmap *u;

	flush_unmaps();
	if (!unmaps && send_unmap(off))
		return;
	u = kmalloc(sizeof(*u));
	if (!u)
		return; /* the area keeps the file until the instance ends */
	*u = (struct unmap){ unmaps, off };
	unmaps = u;
}

int host_sleep(struct waitq *q)
{
	struct waiter w;
	int r;

	if (current()->flags & TF_EXITING)
		return -EINTR;
	host_sleeps++;
	waiter_init(&w);
	if (q)
		waitq_add(q, &w);
	r = thread_block(~0ULL, false);
	waitq_remove(&w);
	return r ? -EINTR : 0;
}

static int take_slot(struct host_wait *w, u32 *tag)
{
	for (;;) {
		for (u32 i = 0; i < UFS_FILE_TAGS; i++) {
			if (!slots[i].busy) {
				slots[i].busy = true;
				slots[i].w = w;
				*tag = i;
				return 0;
			}
		}
		if (host_sleep(&slot_free))
			return -EINTR;
	}
}

static void free_slot(u32 tag)
{
	slots[tag].busy = false;
	slots[tag].w = NULL;
	waitq_wake_one(&slot_free, 0);
}

static u32 join(char *to, const struct hnode *h, const char *name, size_t len)
{
	u32 n = h->len;

	memcpy(to, h->path, n);
	if (n && len)
		to[n++] = '/';
	memcpy(to + n, name, len);
	return n + len;
}

int host_begin(struct host_wait *w, u32 op, const struct hnode *h, const char *name, size_t len, u64 from, u32 n)
{
	struct ufs_file_req *req;
	u32 tag, size;
	int r = 0;

	w->thread = current();
	w->len = 0;
	w->done = false;
	if (h->len + 1 + len > UFS_FILE_PATH)
		return -ENAMETOOLONG;
	req = kmalloc(sizeof(*req) + h->len + 1 + len);
	if (!req)
		return -ENOMEM;
	*req = (struct ufs_file_req){ .inode = name ? 0 : h->inode, .from = from, .len = n };
	size = sizeof(*req) + join((char *)(req + 1), h, name, len);
	if (take_slot(w, &tag)) {
		kfree(req);
		return -EINTR;
	}
	flush_unmaps();
	while (!r && (unmaps || !queue_send(UFS_MSG_FILE, tag, op, req, size))) {
		struct room_waiter room = { .wq = &queue_room };
		list_init(&room.link);
		queue_want_room(&room);
		r = host_sleep(&queue_room);
		list_del(&room.link);
		flush_unmaps();
	}
	kfree(req);
	if (r)
		free_slot(tag);
	else if (unlikely(BOOT->flags & UFS_BOOT_STRACE))
		klog("file %u %.*s%s%.*s %lu+%u", op, (int)h->len, h->path, h->len ? "/" : "", (int)len, name ? name : "", (unsigned long)from, n);
	return r;
}

void host_cancel(struct host_wait *w)
{
	for (u32 i = 0; i < UFS_FILE_TAGS; i++)
		if (slots[i].w == w)
			slots[i].w = NULL;
}

int host_end(struct host_wait *w)
{
	if (!w->done)
		queue_hurry();
	while (!w->done) {
		if (host_sleep(NULL) && !w->done) {
			host_cancel(w);
			return -EINTR;
		}
	}
	return w->err;
}

long host_ask(u32 op, const struct hnode *h, const char *name, size_t len, u64 from, u32 n, void *buf, u32 cap)
{
	struct host_wait w = { .buf = buf, .cap = cap };
	int r = host_begin(&w, op, h, name, len, from, n);

	if (!r)
		r = host_end(&w);
	return r ? r : (long)w.len;
}

void host_message(const struct ufs_msg *m, const struct spans *s)
{
	struct host_wait *w;

	if (m->conn >= UFS_FILE_TAGS || !slots[m->conn].busy)
		return; /* nobody asked */
	w = slots[m->conn].w;
	free_slot(m->conn);
	if (!w)
		return;
	w->err = m->arg > 0 && m->arg < 4096 ? -(int)m->arg : m->arg || m->len > w->cap ? -EIO : 0;
	if (w->err <= -ERESTARTSYS && w->err >= -ERESTARTSYS - 20)
		w->err = -EIO; /* those mean something to the libos itself */
	if (!w->err) {
		memcpy(w->buf, s->p, s->n);
		memcpy((u8 *)w->buf + s->n, s->p2, s->n2);
		w->len = m->len;
	}
	w->done = true;
	thread_wake(w->thread);
}
