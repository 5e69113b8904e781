/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c: the two rings to the monitor: sending, taking, dispatching.
 *
 * An exit is dear, so sending only stores bytes: the monitor sees them at the next IDLE or at its own tick. The
 * doorbell rings when the tx ring is over half full, and when the monitor waits for room that was made here.
 * Credits bound what the program can have in the ring, so the monitor can always empty it: fullness passes.
 */
#include "ring.h"
#include "net.h"
#include "stream.h"
#include "mm.h"
#include "proc.h"
#include "platform.h"
#include "errno.h"

#define RX ((const u8 *)(ufs_shared + UFS_RX_OFF))
#define TX ((u8 *)(ufs_shared + UFS_TX_OFF))
/* What payload leaves free, so that control messages get through. */
#define TX_RESERVE 4096U

struct waitq queue_room = WAITQ_INIT(queue_room);

/* Our own indices. The shared copies are only written: what stands there is not ours to trust. */
static u64 rx_tail, tx_head;
static u64 bell_head;          /* tx_head when the doorbell last rang for fullness */
static bool polling;           /* dispatching: not again from inside */
static bool tx_busy;           /* a message is being filled from user memory, which can fault and log */
static bool room_wanted;
static struct list starved = LIST_INIT(starved); /* struct room_waiter */

/* Control messages that found no room. They must not get lost, and data must not overtake them. */
struct held { struct list link; u16 type; u32 conn, arg, len; u8 data[]; };
static struct list held = LIST_INIT(held);

static u32 tx_used(void)
{
	u64 tail = CTL->tx_tail;
	s64 used = ring_used(UFS_TX_SIZE, tx_head, tail);
	if (unlikely(used < 0))
		panic("tx ring: the monitor's index 0x%llx does not go with ours, 0x%llx", (unsigned long long)tail, (unsigned long long)tx_head);
	return (u32)used;
}

/* Stores made before are visible to the monitor before what is loaded next is read. */
static inline void full_fence(void) { __asm__ volatile("lock orl $0, (%%rsp)" : : : "memory", "cc"); }

static void ring_bell(void)
{
	bell_head = tx_head;
	doorbell(UFS_BELL_QUEUE, 0);
}

static void publish(u16 type, u32 conn, u32 arg, u32 len)
{
	struct ufs_msg m = { .len = len, .type = type, .conn = conn, .arg = arg };
	ring_write(TX, UFS_TX_SIZE, tx_head, &m, RING_HDR);
	barrier();
	tx_head += ring_space(len);
	CTL->tx_head = tx_head;
	if (unlikely(tx_head - bell_head > UFS_TX_SIZE / 4) && tx_used() > UFS_TX_SIZE / 2)
		ring_bell();
}

u32 queue_data_room(void)
{
	if (unlikely(tx_busy || !list_empty(&held)))
		return 0;
	u32 room = UFS_TX_SIZE - tx_used();
	return room <= TX_RESERVE + RING_HDR ? 0 : MIN(room - TX_RESERVE - RING_HDR, (u32)UFS_MSG_MAX);
}

bool queue_send(u16 type, u32 conn, u32 arg, const void *data, u32 len)
{
	bool room;
	if (type == UFS_MSG_DATA)
		room = queue_data_room() >= len && len <= UFS_MSG_MAX;
	else
		room = !tx_busy && UFS_TX_SIZE - tx_used() >= ring_space(len);
	if (unlikely(!room))
		return false;
	ring_write(TX, UFS_TX_SIZE, tx_head + RING_HDR, data, len);
	publish(type, conn, arg, len);
	return true;
}

int queue_send_iter(u16 type, u32 conn, struct iter *it, u32 len)
{
	len = MIN(len, it->left);
	iter_touch(*it, len); /* a page that the host must be asked for: not while the ring is taken */
	if (queue_data_room() < len || len > UFS_MSG_MAX)
		return 0;
	tx_busy = true;
	u64 at = tx_head + RING_HDR;
	u32 first = ring_first(UFS_TX_SIZE, at, len);
	long n = iter_get(it, TX + (at & (UFS_TX_SIZE - 1)), first);
	if (n == (long)first && len > first) {
		long r = iter_get(it, TX, len - first);
		n += r > 0 ? r : 0;
	}
	tx_busy = false;
	if (n <= 0)
		return n < 0 ? (int)n : 1;
	publish(type, conn, 0, n);
	return 1;
}

void queue_hurry(void)
{
	if (percpu.nrun && !tx_busy) /* else it looks when we go idle */
		ring_bell();
}

static void want_room(void)
{
	room_wanted = true;
	CTL->tx_wanted = 1;
	full_fence();
	/* The monitor takes what is there before it lets us run on. */
	if (!tx_busy)
		ring_bell();
}

void queue_want_room(struct room_waiter *w)
{
	if (list_empty(&w->link))
		list_add_tail(&w->link, &starved);
	if (!room_wanted)
		want_room();
}

void queue_control(u16 type, u32 conn, u32 arg) { queue_control_data(type, conn, arg, NULL, 0); }

void queue_control_data(u16 type, u32 conn, u32 arg, const void *data, u32 len)
{
	if (likely(list_empty(&held)) && queue_send(type, conn, arg, data, len))
		return;
	struct held *h = kmalloc(sizeof(*h) + len);
	if (!h)
		return; /* out of memory with a full ring: this instance ends anyway */
	*h = (struct held){ .type = type, .conn = conn, .arg = arg, .len = len };
	memcpy(h->data, data, len);
	list_add_tail(&h->link, &held);
	if (!room_wanted)
		want_room();
}

/* Somebody waits for room in the tx ring: is there some now? */
static void room_check(void)
{
	if (tx_busy || tx_used() > UFS_TX_SIZE / 2)
		return;
	list_for_each_safe(l, nx, &held) {
		struct held *h = list_entry(l, struct held, link);
		if (!queue_send(h->type, h->conn, h->arg, h->data, h->len))
			return;
		list_del(l);
		kfree(h);
	}
	room_wanted = false;
	CTL->tx_wanted = 0;
	while (!list_empty(&starved)) {
		struct room_waiter *w = list_first(&starved, struct room_waiter, link);
		list_del(&w->link);
		waitq_wake(w->wq, POLLOUT | POLLWRNORM);
	}
	waitq_wake(&queue_room, POLLOUT | POLLWRNORM);
}

static void dispatch(const struct ufs_msg *m)
{
	u64 at = rx_tail + RING_HDR;
	struct spans s = { .p = RX + (at & (UFS_RX_SIZE - 1)), .n = ring_first(UFS_RX_SIZE, at, m->len), .p2 = RX };
	s.n2 = m->len - s.n;
	switch (m->type) {
	case UFS_MSG_DATA:
	case UFS_MSG_EOF:
	case UFS_MSG_RESET:
	case UFS_MSG_CREDIT:
	case UFS_MSG_CONNECTED:
	case UFS_MSG_ERROR:
	case UFS_MSG_TERMINAL:
		if (m->conn < UFS_CONN_FIRST)
			console_message(m, &s);
		else if (!flow_message(m, &s) && !job_message(m, &s))
			tcp_message(m, &s);
		break;
	case UFS_MSG_SPAWN:
		job_spawn(m->conn, &s);
		break;
	case UFS_MSG_OPEN:
		tcp_open(m->conn, m->arg);
		break;
	case UFS_MSG_FILE_REPLY:
		host_message(m, &s);
		break;
	case UFS_MSG_TABLES:
		restore_tables(&s);
		break;
	case UFS_MSG_FREED:
		free_done(&s);
		break;
	case UFS_MSG_RESTORE:
		restore_done(m->arg, &s);
		break;
	case UFS_MSG_SIGNAL: {
		struct ksiginfo si = { .signo = m->arg, .code = SI_KERNEL };
		if (init_process && m->arg >= 1 && m->arg <= NSIG)
			signal_send_process(init_process, &si);
		break;
	}
	default:
		panic("rx ring: message of unknown type %u (conn %u, arg %u)", m->type, m->conn, m->arg);
	}
}

bool queue_rx_ready(void)
{
	return CTL->rx_head != rx_tail;
}

void queue_poll(void)
{
	if (unlikely(room_wanted))
		room_check();
	if (likely(!queue_rx_ready()) || polling)
		return;
	polling = true;
	u64 head;
	while ((head = CTL->rx_head) != rx_tail) {
		struct ufs_msg m;
		barrier();
		if (ring_peek(RX, UFS_RX_SIZE, head, rx_tail, &m) != 1)
			panic("rx ring: head 0x%llx with tail 0x%llx is no message", (unsigned long long)head, (unsigned long long)rx_tail);
		dispatch(&m);
		rx_tail += ring_space(m.len);
		barrier();
		CTL->rx_tail = rx_tail;
	}
	polling = false;
	full_fence();
	if (CTL->rx_wanted)
		ring_bell();
}

void queue_init(void)
{
	CTL->next_timer = ~0ULL;
	tx_used(); /* a monitor that starts with other indices than zero is caught here */
}
