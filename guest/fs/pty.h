/* SPDX-License-Identifier: Apache-2.0 */
/* pty.h: pseudo terminals: the pair (pty.c), its line discipline (ldisc.c), its ioctls and sessions (ptyctl.c). */
#ifndef UFS_PTY_H
#define UFS_PTY_H
#include "poll.h"
#include "vfs.h"
#include <asm/ioctls.h>
#include <asm/termbits.h>

#define IN_SIZE 4096U
#define OUT_SIZE 8192U

/* Positions count up modulo 2^32; what is typed after `canon` can still be edited. */
struct pty {
	struct list link;
	struct inode *node;          /* /dev/pts/INDEX, while the master is open */
	struct waitq wq;             /* everybody waits here: few do */
	struct termios2 t;
	u16 winsize[4];
	int sid, pgrp;               /* whose controlling terminal, its foreground group; 0 none */
	u32 index, refs;
	u32 slaves, gen;             /* open ones; a hangup starts a new generation */
	bool master, locked, was_open, stopped, literal, exclusive;
	u32 head, tail, canon;       /* of in */
	u32 ohead, otail;
	u64 ends[IN_SIZE / 64];      /* which byte of in ends a line */
	u8 in[IN_SIZE], out[OUT_SIZE];
};

/* Both sides of a pair have the pty as priv; a slave's generation is its pos. */
bool pty_is_master(const struct file *f);
static inline bool pty_hung(const struct file *f) { return (u32)f->pos != ((struct pty *)f->priv)->gen; }
struct file *pty_peer(struct pty *p, u32 flags); /* another slave */
void pty_hangup(struct pty *p);
static inline void pty_wake(struct pty *p) { waitq_wake(&p->wq, POLL_IN | POLL_OUT | POLLHUP); }

/* ldisc.c */
static inline u32 out_room(const struct pty *p) { return OUT_SIZE - (p->ohead - p->otail); }
bool ldisc_room(const struct pty *p);        /* for another byte of input */
u32 ldisc_ready(const struct pty *p);        /* bytes that a reader gets */
void ldisc_input(struct pty *p, u8 c);
bool ldisc_output(struct pty *p, u8 c);      /* false: no room */
long ldisc_read(struct pty *p, struct iter *it, bool nonblock, const struct file *f);
void ldisc_flush(struct pty *p, bool in, bool out);
void ldisc_set(struct pty *p, const struct termios2 *t);

/* ptyctl.c */
long pty_ioctl(struct file *f, u64 cmd, u64 arg);
int pty_background(const struct pty *p, int sig); /* may current go on? 0, -EIO, -ERESTARTSYS */
void pty_take(struct pty *p);                /* becomes the controlling terminal of current's session */
struct pty *pty_of_session(int sid);
#endif
