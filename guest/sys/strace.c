/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strace.c: system calls for the log. The monitor's side writes the lines (internal/calltrace): it has the names and says what to
 * fetch for which call. Sent from here are registers and what they point to (struct ufs_trace).
 *
 * A record is sent when the call is over, with what the call put into the program's buffers. What another thread interrupts is
 * sent in two. Nothing is lost: a call waits until the log has room for its line.
 */
#include "strace.h"
#include "mm.h"
#include "net.h"
#include "platform.h"
#include "syscall.h"

#define STRING_MAX 64
#define DATA_MAX 32
#define STRINGS_MAX 8

struct record {
	struct ufs_trace h;
	u8 data[UFS_TRACE_MAX - sizeof(struct ufs_trace)];
	u32 n; /* bytes of data */
};

/* The call that has not returned yet, unless another thread's came between. */
static struct record pending;
static int pending_tid;

static void begin(struct record *c, u64 nr)
{
	c->n = 0;
	c->h = (struct ufs_trace){ .tid = current()->tid, .nr = nr };
}

static void send(u32 kind, const struct record *c)
{
	console_trace(kind, c, sizeof(c->h) + c->n);
}

/* Takes the piece of len bytes that stands behind what there is; a negative len: there is none. */
static void piece(struct record *c, u32 arg, long len, u32 bytes)
{
	if (len < 0)
		return;
	c->data[c->n] = arg;
	c->data[c->n + 1] = len;
	c->n += 2 + bytes;
}

static bool room(const struct record *c) { return c->n + 2 + STRING_MAX <= sizeof(c->data); }

static long fetch_string(struct record *c, u32 arg, u64 ua)
{
	long n = ua && room(c) ? strncpy_from_user((char *)c->data + c->n + 2, (const char *)ua, STRING_MAX) : -EFAULT;
	if (n == -ENAMETOOLONG)
		n = STRING_MAX;
	piece(c, arg, n, n);
	return n;
}

static void fetch_strings(struct record *c, u32 arg, u64 ua)
{
	u64 s;
	for (int i = 0; !get_user(s, ua + i * 8) && s && room(c); i++) {
		if (i == STRINGS_MAX)
			return piece(c, arg, 255, 0);
		if (fetch_string(c, arg, s) < 0 && room(c)) {
			memcpy(c->data + c->n + 2, &s, sizeof(s));
			piece(c, arg, 254, sizeof(s));
		}
	}
}

static void fetch(struct record *c, const struct regs *r, bool over, long ret)
{
	const u32 *what = (const u32 *)((const char *)BOOT + BOOT->trace);
	u32 kinds = r->orig_rax < BOOT->trace_calls ? what[r->orig_rax] : 0;
	begin(c, r->orig_rax);
	memcpy(c->h.arg, (u64[]){ r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 }, sizeof(c->h.arg));
	c->h.ret = ret;
	for (u32 i = 0; kinds; i++, kinds >>= 4) {
		u64 ua = c->h.arg[i], n = i < 5 ? c->h.arg[i + 1] : 0;
		u32 kind = kinds & 7;
		if (kinds & UFS_TRACE_AFTER && (!over || ret < 0))
			continue;
		if (kind == UFS_TRACE_STRING)
			fetch_string(c, i, ua);
		else if (kind == UFS_TRACE_STRINGS)
			fetch_strings(c, i, ua);
		if (kind < UFS_TRACE_DATA)
			continue;
		if (kind >= UFS_TRACE_4)
			n = 4 << (kind - UFS_TRACE_4);
		else if (kinds & UFS_TRACE_AFTER)
			n = MIN(n, (u64)ret);
		n = MIN(n, kind == UFS_TRACE_ADDRESS ? STRING_MAX - 1 : (u64)DATA_MAX);
		if (room(c) && !copy_from_user(c->data + c->n + 2, (void *)ua, n))
			piece(c, i, n, n);
	}
}

void strace_flush(void)
{
	if (!pending_tid)
		return;
	pending_tid = 0;
	send(UFS_TRACE_UNFINISHED, &pending);
}

void strace_enter(const struct regs *r)
{
	struct record c;
	console_wait_room(4 * UFS_TRACE_CREDIT);
	fetch(&c, r, false, 0);
	strace_flush();
	pending = c;
	pending_tid = current()->tid;
	if (r->orig_rax == 60 || r->orig_rax == 231) /* exit, exit_group: no return */
		strace_flush();
}

void strace_leave(const struct regs *r, u64 nr, long ret)
{
	struct record c;
	u32 kind = UFS_TRACE_CALL;
	if (pending_tid == current()->tid) {
		if (r->orig_rax == ~0ULL) /* other registers are there now */
			c = pending;
		else
			fetch(&c, r, true, ret);
	}
	if (pending_tid != current()->tid) { /* also if reading the program's memory let others run */
		begin(&c, nr);
		kind = UFS_TRACE_RESUMED;
	} else {
		pending_tid = 0;
	}
	c.h.ret = ret;
	send(kind, &c);
}

void strace_signal(int signo)
{
	struct record c;
	strace_flush();
	begin(&c, signo);
	send(UFS_TRACE_SIGNAL, &c);
}

void strace_absent(u64 nr)
{
	struct record c;
	begin(&c, nr);
	send(UFS_TRACE_ABSENT, &c);
}
