/* SPDX-License-Identifier: Apache-2.0 */
/* console.c: descriptors 0, 1, 2: streams 0, 1, 2 to the monitor, shown as a terminal or a pipe, and the log of the libos. */
#include "stream.h"
#include "poll.h"
#include "mm.h"
#include "platform.h"
#include "errno.h"
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/stat.h>

struct console {
	struct xstream x;
	struct waitq wq;
	bool eof;                /* stdin: no more will come; stdout, stderr: the reader is gone */
	u16 err;                 /* with eof: why, as the host told; 0: nothing went wrong */
	bool ready;              /* initialised; klog may come before */
};
static struct console cons[3];

/* One terminal, whichever of the three show it. The real line discipline is the host's, which is told what is set here. */
static struct termios term = {
	.c_iflag = ICRNL | IXON, .c_oflag = OPOST | ONLCR, .c_cflag = B38400 | CS8 | CREAD,
	.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	.c_cc = { 3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22 },
};
static u16 winsize[4] = { 24, 80, 0, 0 };
static bool term_told; /* the monitor has one, and wants to hear */
static int foreground;

static struct console *console(u32 conn)
{
	struct console *c = &cons[conn];
	if (!c->ready) {
		waitq_init(&c->wq);
		xs_init(&c->x, conn, &c->wq);
		c->ready = true;
	}
	return c;
}

static bool is_tty(struct console *c) { return BOOT->flags >> c->x.conn & UFS_BOOT_STDIN_TTY; }

/* What is common to struct termios and termios2. */
#define TERMIOS_SIZE 36

static int front(void) { return foreground ? foreground : init_process ? init_process->pgid : 0; }

static void terminal_is(const struct spans *s)
{
	struct ufs_terminal t;
	if (s->n + s->n2 != sizeof(t))
		return;
	memcpy(&t, s->p, s->n);
	memcpy((u8 *)&t + s->n, s->p2, s->n2);
	bool resized = (t.rows != winsize[0] || t.cols != winsize[1]) && t.rows && t.cols;
	if (resized) {
		winsize[0] = t.rows;
		winsize[1] = t.cols;
	}
	if (term_told) { /* the modes are the program's by now */
		if (resized && front())
			signal_send_group(front(), SIGWINCH);
		return;
	}
	term_told = true;
	term.c_iflag = t.iflag;
	term.c_oflag = t.oflag;
	term.c_lflag = t.lflag;
	memcpy(term.c_cc, t.cc, sizeof(t.cc));
}

static long terminal_set(struct console *c, u64 arg)
{
	long r = copy_from_user(&term, (void *)arg, TERMIOS_SIZE);
	if (r || !term_told)
		return r;
	struct ufs_terminal t = { .iflag = term.c_iflag, .oflag = term.c_oflag, .lflag = term.c_lflag };
	memcpy(t.cc, term.c_cc, sizeof(t.cc));
	queue_control_data(UFS_MSG_TERMINAL, c->x.conn, 0, &t, sizeof(t));
	return 0;
}

void console_message(const struct ufs_msg *m, const struct spans *s)
{
	if (m->conn > UFS_CONN_STDERR)
		return;
	struct console *c = console(m->conn);
	switch (m->type) {
	case UFS_MSG_DATA:
		if (m->conn != UFS_CONN_STDIN)
			return;
		if (xs_receive(&c->x, s)) {
			klog("standard input: %u bytes came that there is no room for; it ends here", m->len);
			c->eof = true;
		}
		break;
	case UFS_MSG_CREDIT:
		xs_credit(&c->x, m->arg);
		break;
	case UFS_MSG_TERMINAL:
		terminal_is(s);
		return;
	case UFS_MSG_EOF:
	case UFS_MSG_RESET:
		c->eof = true;
		c->err = m->arg < 4096 ? m->arg : EIO;
	}
	waitq_wake(&c->wq, m->conn == UFS_CONN_STDIN ? POLL_IN | POLLHUP : POLL_OUT | (c->eof ? POLLERR : 0));
}

void console_write_kernel(u32 conn, const char *s, size_t n)
{
	struct console *c = console(conn);
	while (n && c->x.credit && !c->eof) {
		u32 k = MIN(MIN(n, (size_t)c->x.credit), (size_t)queue_data_room());
		if (!k || !queue_send(UFS_MSG_DATA, conn, 0, s, k))
			return;
		c->x.credit -= k;
		s += k;
		n -= k;
	}
}

void console_trace(u32 kind, const void *record, u32 n)
{
	struct console *c = console(UFS_CONN_STDERR);
	if (c->x.credit >= UFS_TRACE_CREDIT && !c->eof && queue_send(UFS_MSG_TRACE, UFS_CONN_STDERR, kind, record, n))
		c->x.credit -= UFS_TRACE_CREDIT;
}

void console_wait_room(u32 n)
{
	struct console *c = console(UFS_CONN_STDERR);
	struct waiter w;
	waiter_init(&w);
	waitq_add(&c->wq, &w);
	for (;;) {
		if (c->x.credit < n)
			queue_poll();
		if (c->eof || (c->x.credit >= n && xs_writable(&c->x)))
			break;
		if (!xs_writable(&c->x))
			xs_want_room(&c->x);
		thread_block(~0ULL, false);
	}
	waitq_remove(&w);
}

/* ---- as files ---- */

/* All descriptors of a terminal read and write it. */
static struct console *side(struct file *f, u32 conn)
{
	struct console *c = f->priv;
	return is_tty(c) && (c->x.conn == UFS_CONN_STDIN) != (conn == UFS_CONN_STDIN) ? console(conn) : c;
}

static long console_read(struct file *f, struct iter *it, u64 *pos)
{
	struct console *c = side(f, UFS_CONN_STDIN);
	if (c->x.conn != UFS_CONN_STDIN)
		return -EIO;
	if (!it->left)
		return 0;
	if (!c->x.rx.len)
		queue_poll();
	while (!c->x.rx.len) {
		if (c->eof)
			return -c->err;
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		int r = wait_on(&c->wq, c->x.rx.len || c->eof, ~0ULL);
		if (r)
			return r;
	}
	long n = bytes_get(&c->x.rx, it, it->left, false);
	if (n > 0)
		xs_taken(&c->x, n);
	return n;
}

static long console_write(struct file *f, struct iter *it, u64 *pos)
{
	struct console *c = side(f, UFS_CONN_STDOUT);
	size_t start = it->left;
	if (c->x.conn == UFS_CONN_STDIN)
		return -EIO;
	while (it->left) {
		long n = c->eof ? -(c->err ?: EPIPE) : xs_send(&c->x, it);
		if (n == 0) {
			queue_poll();
			if (xs_writable(&c->x) || c->eof)
				continue;
			n = f->flags & O_NONBLOCK ? -EAGAIN : wait_on(&c->wq, xs_writable(&c->x) || c->eof, ~0ULL);
		}
		if (n < 0) {
			if (n == -EPIPE)
				signal_send_thread(current(), &(struct ksiginfo){ .signo = SIGPIPE, .code = SI_KERNEL });
			return start > it->left ? (long)(start - it->left) : n;
		}
	}
	return start;
}

static u32 console_poll(struct file *f, struct poll_table *pt)
{
	struct console *r = side(f, UFS_CONN_STDIN), *w = side(f, UFS_CONN_STDOUT);
	u32 bits = 0;
	if (r->x.conn == UFS_CONN_STDIN) {
		poll_wait(pt, &r->wq);
		bits |= (r->x.rx.len ? POLL_IN : 0) | (r->eof ? (is_tty(r) ? POLL_IN : 0) | POLLHUP : 0);
	}
	if (w->x.conn != UFS_CONN_STDIN) {
		poll_wait(pt, &w->wq);
		bits |= w->eof ? POLLERR | POLL_OUT : xs_writable(&w->x) ? POLL_OUT : 0;
		if (!(bits & POLL_OUT))
			xs_want_room(&w->x);
	}
	return bits;
}

static long console_ioctl(struct file *f, u64 cmd, u64 arg)
{
	struct console *c = f->priv;
	if (cmd == FIONREAD)
		return put_user((int)side(f, UFS_CONN_STDIN)->x.rx.len, arg);
	if (!is_tty(c))
		return -ENOTTY;
	queue_poll(); /* how the terminal is may just have come */
	switch (cmd) {
	case TCGETS:
		return copy_to_user((void *)arg, &term, TERMIOS_SIZE);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return terminal_set(c, arg);
	case TIOCGWINSZ:
		return copy_to_user((void *)arg, winsize, sizeof(winsize));
	case TIOCSWINSZ:
		return copy_from_user(winsize, (void *)arg, sizeof(winsize));
	case TIOCGPGRP:
		return put_user(front(), arg);
	case TIOCSPGRP: {
		int pg;
		if (get_user(pg, arg))
			return -EFAULT;
		if (pg <= 0)
			return -EINVAL;
		foreground = pg;
		return 0;
	}
	case TIOCGSID:
		return put_user(init_process->sid, arg);
	case TCFLSH:
		return 0;
	case TCSBRK:
	case TCSBRKP:
		return 0; /* what was written is on its way; a break means nothing here */
	}
	return -ENOTTY;
}

static const struct file_ops console_ops = {
	.read = console_read, .write = console_write, .ioctl = console_ioctl, .poll = console_poll, .name = "pipe",
};
static const struct inode_ops console_inode_ops;

/* The first of the three that is a terminal stands for all. */
int console_open_tty(struct file *f)
{
	for (u32 i = 0; i <= UFS_CONN_STDERR; i++) {
		if (!is_tty(console(i)))
			continue;
		f->ops = &console_ops;
		f->priv = console(i);
		return 0;
	}
	return -ENXIO;
}

bool console_is_ctty(void)
{
	struct file probe;
	return curproc()->sid == init_process->sid && !console_open_tty(&probe);
}

void console_open_std(struct fdtable *t)
{
	for (int fd = 0; fd < 3; fd++) {
		struct console *c = console(fd);
		bool tty = is_tty(c);
		struct file *f = file_alloc(&console_ops, tty ? O_RDWR : fd ? O_WRONLY : O_RDONLY, c);
		struct inode *ino = tty ? path_lookup_kernel("/dev/console", true) : kzalloc(sizeof(*ino));
		if (!f || !ino || IS_ERR(ino))
			panic("console: out of memory");
		if (tty) { /* what ttyname() finds */
			f->path = kmalloc(sizeof("/dev/console"));
			if (f->path)
				memcpy(f->path, "/dev/console", sizeof("/dev/console"));
			f->ino = ino;
			goto install;
		}
		ino->ops = &console_inode_ops;
		ino->refs = ino->nlink = 1;
		ino->mode = S_IFIFO | 0600;
		ino->ino = inode_new_number();
		ino->uid = BOOT->uid;
		ino->gid = BOOT->gid;
		ino->atime_ns = ino->mtime_ns = ino->ctime_ns = CLOCK->mono_ns + CLOCK->real_off;
		f->ino = ino;
install:
		if (fd_install_at(t, fd, f, false) < 0)
			panic("console: no descriptor %d", fd);
	}
}
