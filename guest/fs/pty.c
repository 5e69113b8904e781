/* SPDX-License-Identifier: Apache-2.0 */
/* pty.c: pseudo terminals as files: /dev/ptmx, /dev/pts, /dev/tty; reading, writing, the end of either side. */
#include "pty.h"

#define PTYS_MAX 256
#define PTS_MAJOR 136

static struct list ptys = LIST_INIT(ptys); /* by index */
static struct inode *pts_dir;
static const struct file_ops master_fops, slave_fops;
static const struct termios2 initial = {
	.c_iflag = ICRNL | IXON, .c_oflag = OPOST | ONLCR, .c_cflag = B38400 | CS8 | CREAD,
	.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	.c_cc = { 3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22 },
	.c_ispeed = 38400, .c_ospeed = 38400,
};

bool pty_is_master(const struct file *f) { return f->ops == &master_fops; }

static void put(struct pty *p)
{
	if (--p->refs)
		return;
	list_del(&p->link);
	kfree(p);
}

/* No slave that is open now reads or writes any more. */
void pty_hangup(struct pty *p)
{
	struct process *lead = p->sid ? process_find(p->sid) : NULL;

	p->gen++;
	p->slaves = 0;
	if (lead && !lead->zombie) {
		signal_send_process(lead, &(struct ksiginfo){ .signo = SIGHUP, .code = SI_KERNEL });
		signal_send_process(lead, &(struct ksiginfo){ .signo = SIGCONT, .code = SI_KERNEL });
	}
	p->sid = p->pgrp = 0;
	pty_wake(p);
}

struct pty *pty_of_session(int sid)
{
	list_for_each(l, &ptys)
		if (sid && list_entry(l, struct pty, link)->sid == sid)
			return list_entry(l, struct pty, link);
	return NULL;
}

void tty_session_end(int sid)
{
	struct pty *p = pty_of_session(sid);
	int pgrp = p ? p->pgrp : 0;

	if (!p)
		return;
	p->sid = p->pgrp = 0;
	if (pgrp)
		signal_send_group(pgrp, SIGHUP);
}

/* ---- master ---- */

static bool slave_gone(const struct pty *p) { return p->was_open && !p->slaves; }

static long master_read(struct file *f, struct iter *it, u64 *pos)
{
	struct pty *p = f->priv;
	long done = 0;

	if (!it->left)
		return 0;
	while (p->ohead == p->otail) {
		int r = slave_gone(p) ? -EIO : f->flags & O_NONBLOCK ? -EAGAIN : wait_on(&p->wq, p->ohead != p->otail || slave_gone(p), ~0UL);
		if (r)
			return r;
	}
	while (it->left && p->ohead != p->otail) {
		u32 at = p->otail % OUT_SIZE;
		long n = iter_put(it, p->out + at, MIN(MIN((u64)(p->ohead - p->otail), it->left), (u64)(OUT_SIZE - at)));
		if (n <= 0)
			return done ? done : -EFAULT;
		p->otail += n;
		done += n;
	}
	pty_wake(p);
	return done;
}

static long master_write(struct file *f, struct iter *it, u64 *pos)
{
	struct pty *p = f->priv;
	long done = 0, r = 0;
	u8 c;

	while (it->left) {
		if (!ldisc_room(p)) {
			pty_wake(p);
			r = f->flags & O_NONBLOCK ? -EAGAIN : wait_on(&p->wq, ldisc_room(p), ~0UL);
			if (r)
				break;
		}
		if (iter_get(it, &c, 1) != 1) {
			r = -EFAULT;
			break;
		}
		ldisc_input(p, c);
		done++;
	}
	pty_wake(p);
	return done ? done : r;
}

static u32 master_poll(struct file *f, struct poll_table *pt)
{
	struct pty *p = f->priv;

	poll_wait(pt, &p->wq);
	return (p->ohead != p->otail ? POLL_IN : 0) | (ldisc_room(p) ? POLL_OUT : 0) | (slave_gone(p) ? POLLHUP : 0);
}

static void master_release(struct file *f)
{
	struct pty *p = f->priv;
	char name[12];

	p->master = false;
	pty_hangup(p);
	if (p->node) {
		snprintf(name, sizeof(name), "%u", p->index);
		pts_dir->ops->unlink(pts_dir, name, strlen(name), false);
		inode_put(p->node);
		p->node = NULL;
	}
	put(p);
}

static const struct file_ops master_fops = {
	.read = master_read, .write = master_write, .ioctl = pty_ioctl, .poll = master_poll, .release = master_release,
};

static int master_open(struct file *f)
{
	struct pty *p;
	struct list *at = &ptys;
	char name[12];
	u32 index = 0;

	list_for_each(l, &ptys) {
		if (list_entry(l, struct pty, link)->index != index)
			break;
		at = l;
		index++;
	}
	if (index >= PTYS_MAX || !pts_dir)
		return -ENOSPC;
	p = kzalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	snprintf(name, sizeof(name), "%u", index);
	p->node = pts_dir->ops->create(pts_dir, name, strlen(name), S_IFCHR | 0620, mkdev(PTS_MAJOR, index));
	if (IS_ERR(p->node)) {
		int r = PTR_ERR(p->node);
		kfree(p);
		return r;
	}
	p->node->gid = 5; /* tty */
	waitq_init(&p->wq);
	p->t = initial;
	p->index = index;
	p->refs = 1;
	p->master = p->locked = true;
	list_add(&p->link, at);
	f->ops = &master_fops;
	f->priv = p;
	return 0;
}

/* ---- slave ---- */

static long slave_read(struct file *f, struct iter *it, u64 *pos)
{
	struct pty *p = f->priv;
	int r = pty_hung(f) ? 0 : pty_background(p, SIGTTIN);

	return r || pty_hung(f) || !it->left ? r : ldisc_read(p, it, f->flags & O_NONBLOCK, f);
}

static long slave_write(struct file *f, struct iter *it, u64 *pos)
{
	struct pty *p = f->priv;
	long done = 0, r = p->t.c_lflag & TOSTOP && !pty_hung(f) ? pty_background(p, SIGTTOU) : 0;
	u8 c;

	while (it->left && !r) {
		if (pty_hung(f)) {
			r = -EIO;
		} else if (p->stopped || out_room(p) < 2) {
			pty_wake(p);
			r = f->flags & O_NONBLOCK ? -EAGAIN : wait_on(&p->wq, (!p->stopped && out_room(p) >= 2) || pty_hung(f), ~0UL);
		} else if (iter_get(it, &c, 1) != 1) {
			r = -EFAULT;
		} else {
			ldisc_output(p, c);
			done++;
		}
	}
	pty_wake(p);
	return done ? done : r;
}

static u32 slave_poll(struct file *f, struct poll_table *pt)
{
	struct pty *p = f->priv;

	poll_wait(pt, &p->wq);
	if (pty_hung(f))
		return POLL_IN | POLL_OUT | POLLERR | POLLHUP;
	return (ldisc_ready(p) ? POLL_IN : 0) | (!p->stopped && out_room(p) >= 256 ? POLL_OUT : 0);
}

static void slave_release(struct file *f)
{
	struct pty *p = f->priv;

	if (!pty_hung(f) && !--p->slaves)
		pty_wake(p);
	put(p);
}

static const struct file_ops slave_fops = {
	.read = slave_read, .write = slave_write, .ioctl = pty_ioctl, .poll = slave_poll, .release = slave_release,
};

static int slave_open(struct pty *p, struct file *f, bool noctty)
{
	struct process *me = curproc();

	if (!p->master || p->locked)
		return -EIO;
	if (p->exclusive && !capable(CAP_SYS_ADMIN))
		return -EBUSY;
	f->ops = &slave_fops;
	f->priv = p;
	f->pos = p->gen;
	p->refs++;
	p->slaves++;
	p->was_open = true;
	if (!noctty && me->sid == me->pid && !p->sid && file_readable(f) && !pty_of_session(me->sid) && !console_is_ctty())
		pty_take(p);
	return 0;
}

struct file *pty_peer(struct pty *p, u32 flags)
{
	struct file *f = file_alloc(&path_fops, (flags & (O_ACCMODE | O_NONBLOCK)) | O_LARGEFILE, NULL);
	char path[24];
	int r;

	if (!f)
		return ERR_PTR(-ENOMEM);
	r = slave_open(p, f, flags & O_NOCTTY);
	snprintf(path, sizeof(path), "/dev/pts/%u", p->index);
	f->path = kmalloc(strlen(path) + 1);
	if (!r && !f->path)
		r = -ENOMEM;
	if (r) {
		file_put(f);
		return ERR_PTR(r);
	}
	memcpy(f->path, path, strlen(path) + 1);
	f->ino = p->node;
	inode_get(f->ino);
	return f;
}

/* ---- by device number ---- */

bool pty_device(u64 rdev) { return rdev == mkdev(5, 0) || rdev == mkdev(5, 2) || (rdev & ~(u64)(PTYS_MAX - 1)) == mkdev(PTS_MAJOR, 0); }

int pty_open(u64 rdev, struct file *f, bool noctty)
{
	struct pty *p;

	if (rdev == mkdev(5, 2))
		return master_open(f);
	if (rdev == mkdev(5, 0)) {
		p = pty_of_session(curproc()->sid);
		return p ? slave_open(p, f, true) : console_is_ctty() ? console_open_tty(f) : -ENXIO;
	}
	list_for_each(l, &ptys) {
		p = list_entry(l, struct pty, link);
		if (p->index == (rdev & 0xff) && p->master)
			return slave_open(p, f, noctty);
	}
	return -EIO;
}

struct inode *pts_create(struct inode *root)
{
	pts_dir = root;
	if (root) {
		struct inode *ptmx = root->ops->create(root, "ptmx", 4, S_IFCHR | 0666, mkdev(5, 2));
		if (!IS_ERR(ptmx))
			inode_put(ptmx);
	}
	return root;
}
