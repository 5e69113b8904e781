/* SPDX-License-Identifier: Apache-2.0 */
/* ldisc.c: what a terminal makes of typed and written bytes: lines, editing, echo, signals. */
#include "pty.h"

#define L(p, bit) ((p)->t.c_lflag & (bit))
#define CC(p, which) ((p)->t.c_cc[which])
#define DISABLED 0

static bool is(const struct pty *p, int which, u8 c) { return CC(p, which) != DISABLED && CC(p, which) == c; }

static bool put_out(struct pty *p, u8 c)
{
	if (!out_room(p))
		return false;
	p->out[p->ohead++ % OUT_SIZE] = c;
	return true;
}

bool ldisc_output(struct pty *p, u8 c)
{
	if (p->t.c_oflag & OPOST) {
		if (c == '\n' && (p->t.c_oflag & ONLCR))
			return out_room(p) >= 2 && put_out(p, '\r') && put_out(p, c);
		if (c == '\r' && (p->t.c_oflag & OCRNL))
			c = '\n';
	}
	return put_out(p, c);
}

static bool shown_as_two(const struct pty *p, u8 c) { return L(p, ECHOCTL) && (c < 32 || c == 127) && c != '\t'; }

static void echo(struct pty *p, u8 c)
{
	if (shown_as_two(p, c) && c != '\n') {
		ldisc_output(p, '^');
		c ^= 0x40;
	}
	ldisc_output(p, c);
}

static u8 last(const struct pty *p) { return p->in[(p->head - 1) % IN_SIZE]; }

static void erase_one(struct pty *p, bool show)
{
	u8 c;

	do {
		c = last(p);
		p->head--;
	} while ((p->t.c_iflag & IUTF8) && (c & 0xc0) == 0x80 && p->head != p->canon);
	for (int i = show ? 1 + shown_as_two(p, c) : 0; i; i--) {
		put_out(p, '\b');
		put_out(p, ' ');
		put_out(p, '\b');
	}
}

static bool word(u8 c) { return (u32)(c | 32) - 'a' < 26 || (u32)c - '0' < 10 || c == '_' || c >= 0x80; }

static void edit(struct pty *p, int which, u8 c)
{
	bool show = L(p, ECHO) && L(p, ECHOE);

	if (which == VKILL && L(p, ECHO) && !(L(p, ECHOK) && L(p, ECHOKE) && L(p, ECHOE))) {
		p->head = p->canon;
		echo(p, c);
		if (L(p, ECHOK))
			ldisc_output(p, '\n');
		return;
	}
	if (which == VERASE && L(p, ECHO) && !show && p->head != p->canon)
		echo(p, c);
	if (which == VWERASE)
		while (p->head != p->canon && !word(last(p)))
			erase_one(p, show);
	while (p->head != p->canon && (which != VWERASE || word(last(p)))) {
		erase_one(p, show);
		if (which == VERASE)
			break;
	}
}

static void put_in(struct pty *p, u8 c, bool end)
{
	u32 at = p->head % IN_SIZE;

	if (p->head - p->tail >= IN_SIZE - !end) /* a line's end always fits */
		return;
	p->in[at] = c;
	p->head++;
	if (end) {
		p->ends[at / 64] |= 1UL << (at % 64);
		p->canon = p->head;
	} else {
		p->ends[at / 64] &= ~(1UL << (at % 64));
	}
}

void ldisc_flush(struct pty *p, bool in, bool out)
{
	if (in)
		p->tail = p->canon = p->head;
	if (out)
		p->otail = p->ohead;
	pty_wake(p);
}

static bool signals(struct pty *p, u8 c)
{
	int sig = is(p, VINTR, c) ? SIGINT : is(p, VQUIT, c) ? SIGQUIT : is(p, VSUSP, c) ? SIGTSTP : 0;

	if (!sig)
		return false;
	if (!L(p, NOFLSH))
		ldisc_flush(p, true, true);
	p->stopped = false;
	if (L(p, ECHO))
		echo(p, c);
	if (p->pgrp)
		signal_send_group(p->pgrp, sig);
	return true;
}

void ldisc_input(struct pty *p, u8 c)
{
	u32 i = p->t.c_iflag;
	bool canon = L(p, ICANON);

	if (i & ISTRIP)
		c &= 0x7f;
	if (p->literal) {
		p->literal = false;
		goto plain;
	}
	if (i & IXON) {
		if (is(p, VSTART, c) || is(p, VSTOP, c)) {
			p->stopped = is(p, VSTOP, c) && !is(p, VSTART, c);
			return;
		}
		if (i & IXANY)
			p->stopped = false;
	}
	if (L(p, ISIG) && signals(p, c))
		return;
	if (c == '\r') {
		if (i & IGNCR)
			return;
		if (i & ICRNL)
			c = '\n';
	} else if (c == '\n' && (i & INLCR)) {
		c = '\r';
	}
	if (canon) {
		int e = is(p, VERASE, c) ? VERASE : is(p, VKILL, c) ? VKILL : L(p, IEXTEN) && is(p, VWERASE, c) ? VWERASE : -1;

		if (e >= 0) {
			edit(p, e, c);
			return;
		}
		if (L(p, IEXTEN) && is(p, VLNEXT, c)) {
			p->literal = true;
			if (L(p, ECHO) && L(p, ECHOCTL)) {
				put_out(p, '^');
				put_out(p, '\b');
			}
			return;
		}
		if (L(p, IEXTEN) && L(p, ECHO) && is(p, VREPRINT, c)) {
			echo(p, c);
			ldisc_output(p, '\n');
			for (u32 at = p->canon; at != p->head; at++)
				echo(p, p->in[at % IN_SIZE]);
			return;
		}
		if (is(p, VEOF, c)) {
			put_in(p, DISABLED, true);
			return;
		}
		if (c == '\n' || is(p, VEOL, c) || (L(p, IEXTEN) && is(p, VEOL2, c))) {
			if (L(p, ECHO) || (c == '\n' && L(p, ECHONL)))
				echo(p, c);
			put_in(p, c, true);
			return;
		}
	}
plain:
	if (L(p, ECHO))
		echo(p, c);
	put_in(p, c, false);
}

/* A line without an end does not stop the typist: what is too much of it is dropped. */
bool ldisc_room(const struct pty *p)
{
	return p->head - p->tail < IN_SIZE - 1 || (L(p, ICANON) && p->canon == p->tail);
}

u32 ldisc_ready(const struct pty *p)
{
	u32 n = (L(p, ICANON) ? p->canon : p->head) - p->tail;
	return !L(p, ICANON) && !CC(p, VTIME) && n < CC(p, VMIN) ? 0 : n;
}

static long take(struct pty *p, struct iter *it)
{
	bool canon = L(p, ICANON);
	long done = 0;

	while (it->left && p->tail != (canon ? p->canon : p->head)) {
		u32 at = p->tail % IN_SIZE;
		bool end = canon && (p->ends[at / 64] >> (at % 64) & 1);

		if (end && p->in[at] == DISABLED) { /* end of file is not read, it ends a read */
			p->tail++;
			break;
		}
		if (iter_put(it, &p->in[at], 1) != 1)
			return done ? done : -EFAULT;
		p->tail++;
		done++;
		if (end)
			break;
	}
	if (canon && !it->left && p->tail != p->canon && p->in[p->tail % IN_SIZE] == DISABLED &&
	    (p->ends[p->tail % IN_SIZE / 64] >> (p->tail % 64) & 1))
		p->tail++; /* one right behind what filled the buffer belongs to it */
	pty_wake(p);
	return done;
}

long ldisc_read(struct pty *p, struct iter *it, bool nonblock, const struct file *f)
{
	for (;;) {
		bool canon = L(p, ICANON);
		u32 have = (canon ? p->canon : p->head) - p->tail;
		u32 want = canon ? 1 : MIN((u64)MAX(CC(p, VMIN), 1), it->left);
		u64 deadline = ~0UL;
		int r;

		if (pty_hung(f))
			return 0;
		if (have >= want)
			return take(p, it);
		if (!canon && CC(p, VTIME) && (have || !CC(p, VMIN))) /* between bytes, or for the first */
			deadline = now_ns() + CC(p, VTIME) * (NSEC / 10);
		else if (!canon && !CC(p, VMIN))
			return take(p, it);
		if (nonblock)
			return have ? take(p, it) : -EAGAIN;
		r = wait_on(&p->wq, (L(p, ICANON) ? p->canon : p->head) - p->tail != have || pty_hung(f) || L(p, ICANON) != canon * ICANON, deadline);
		if (r == -ETIMEDOUT)
			return take(p, it);
		if (r)
			return have ? take(p, it) : r;
	}
}

void ldisc_set(struct pty *p, const struct termios2 *t)
{
	bool was = L(p, ICANON);

	p->t = *t;
	if (!was && L(p, ICANON) && p->head != p->tail) { /* what came before is a line */
		u32 at = (p->head - 1) % IN_SIZE;
		p->ends[at / 64] |= 1UL << (at % 64);
		p->canon = p->head;
	} else if (was && !L(p, ICANON)) {
		p->canon = p->tail;
	}
	if (!(t->c_iflag & IXON))
		p->stopped = false;
	pty_wake(p);
}
