/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unix.c: AF_UNIX: names, and stream sockets.
 *
 * A name is abstract, a string of bytes that only this table knows, or a path, whose inode the table knows.
 */
#include "sock.h"
#include <linux/stat.h>

#define BUCKETS 32
#define PATH_SIZE 108
#define ADDR_MIN sizeof(u16)

/* Shared by a bound socket, those accepted from it and messages it sent. */
struct uname {
	struct list link;        /* table, while its socket lives */
	struct sock *sk;         /* NULL then */
	struct inode *ino;       /* referenced; NULL: abstract */
	u32 refs, len;
	char path[];             /* len bytes, abstract ones without their leading NUL; paths with the NUL at the end */
};

static struct list table[BUCKETS];

struct uname *uname_get(struct uname *n)
{
	if (n)
		n->refs++;
	return n;
}

void uname_put(struct uname *n)
{
	if (!n || --n->refs)
		return;
	inode_put(n->ino);
	kfree(n);
}

static struct list *bucket(struct inode *ino, const char *s, u32 len)
{
	u32 h = ino ? (u32)ino->ino ^ (u32)ino->dev : 5381;
	for (u32 i = 0; !ino && i < len; i++)
		h = h * 33 + (u8)s[i];
	struct list *l = &table[h % BUCKETS];
	if (unlikely(!l->next))
		list_init(l);
	return l;
}

static struct sock *lookup(struct inode *ino, const char *s, u32 len)
{
	list_for_each(l, bucket(ino, s, len)) {
		struct uname *n = list_entry(l, struct uname, link);
		if (ino ? n->ino && n->ino->ino == ino->ino && n->ino->dev == ino->dev :
			  !n->ino && n->len == len && !memcmp(n->path, s, len))
			return n->sk;
	}
	return NULL;
}

/* ---- addresses ---- */

/* 0 abstract, 1 path (terminated in path), 2 no name, or -EINVAL. */
static int parse(const struct saddr *sa, char path[PATH_SIZE + 1], u32 *len)
{
	if (sa->len < ADDR_MIN || sa->len > ADDR_MIN + PATH_SIZE || sa->family != AF_UNIX)
		return -EINVAL;
	u32 n = sa->len - ADDR_MIN;
	const char *s = (const char *)sa->b + ADDR_MIN;
	if (!n)
		return 2;
	if (!s[0]) {
		*len = n - 1;
		memcpy(path, s + 1, n - 1);
		return 0;
	}
	*len = strnlen(s, n);
	memcpy(path, s, *len);
	path[*len] = 0;
	return 1;
}

void unix_format(const struct uname *n, struct saddr *sa)
{
	sa->family = AF_UNIX;
	sa->len = ADDR_MIN;
	if (!n)
		return;
	sa->b[ADDR_MIN] = 0;
	memcpy(sa->b + ADDR_MIN + !n->ino, n->path, n->len);
	sa->len += n->len + !n->ino;
}

int unix_name(struct sock *sk, struct saddr *sa, bool peer)
{
	if (peer && !sk->peer)
		return -ENOTCONN;
	unix_format(peer ? sk->peer->name : sk->name, sa);
	return 0;
}

/* ---- bind ---- */

static int bind_name(struct sock *sk, struct inode *ino, const char *s, u32 len)
{
	struct uname *n = kmalloc(sizeof(*n) + len + 1);
	if (!n)
		return -ENOMEM;
	*n = (struct uname){ .sk = sk, .ino = ino, .refs = 1, .len = len };
	memcpy(n->path, s, len);
	if (ino)
		n->path[n->len++] = 0;
	list_add(&n->link, bucket(ino, s, len));
	sk->name = n;
	return 0;
}

static int autobind(struct sock *sk)
{
	static u32 next;
	char s[8];
	do
		snprintf(s, sizeof(s), "%05x", next++ & 0xfffff);
	while (lookup(NULL, s, 5));
	return bind_name(sk, NULL, s, 5);
}

int unix_bind(struct sock *sk, const struct saddr *sa)
{
	char path[PATH_SIZE + 1];
	u32 len;
	int kind = parse(sa, path, &len), r;
	if (kind < 0)
		return kind;
	if (kind == 2)
		return sk->name ? 0 : autobind(sk);
	if (sk->name) {
		/* A path that exists is complained about first. */
		struct inode *ino = kind == 1 ? path_lookup_kernel(path, false) : NULL;
		if (!ino || IS_ERR(ino))
			return -EINVAL;
		inode_put(ino);
		return -EADDRINUSE;
	}
	if (kind == 0)
		return lookup(NULL, path, len) ? -EADDRINUSE : bind_name(sk, NULL, path, len);
	struct inode *ino = path_mknod_kernel(path, S_IFSOCK | 0777, 0);
	if (IS_ERR(ino))
		return PTR_ERR(ino) == -EEXIST ? -EADDRINUSE : (int)PTR_ERR(ino);
	r = bind_name(sk, ino, path, len);
	if (r)
		inode_put(ino);
	return r;
}

void unix_unbind(struct sock *sk)
{
	/* The name itself stays for those who ask; nobody finds the socket by it any more. */
	if (sk->name && sk->name->sk == sk) {
		list_del(&sk->name->link);
		sk->name->sk = NULL;
	}
}

struct sock *unix_find(const struct saddr *sa, int type)
{
	char path[PATH_SIZE + 1];
	u32 len;
	int kind = parse(sa, path, &len);
	struct sock *sk;
	if (kind < 0)
		return ERR_PTR(kind);
	if (kind == 2)
		return ERR_PTR(-EINVAL);
	if (kind == 0) {
		sk = lookup(NULL, path, len);
	} else {
		struct inode *ino = path_lookup_kernel(path, true);
		if (IS_ERR(ino))
			return (void *)ino;
		int r = inode_may(ino, 2);
		sk = r || (ino->mode & S_IFMT) != S_IFSOCK ? NULL : lookup(ino, NULL, 0);
		inode_put(ino);
		if (r)
			return ERR_PTR(r);
	}
	if (!sk)
		return ERR_PTR(-ECONNREFUSED);
	if (sk->type != type)
		return ERR_PTR(-EPROTOTYPE);
	sock_get(sk);
	return sk;
}

/* ---- streams and packets: connections ---- */

static int unix_listen(struct sock *sk)
{
	return sk->name ? 0 : -EINVAL;
}

static struct sock *unix_child(struct sock *ls, struct sock *from)
{
	struct sock *sk = sock_alloc(AF_UNIX, ls->type, 0, ls->ops);
	if (sk) {
		sk->cred = ls->cred;
		sk->name = uname_get(ls->name);
		sk->opt[OPT_PASSCRED] = ls->opt[OPT_PASSCRED];
	}
	return sk;
}

static int unix_connect(struct sock *sk, const struct saddr *sa, bool nonblock)
{
	if (sa->family != AF_UNIX)
		return -EINVAL;
	struct sock *ls = unix_find(sa, sk->type);
	if (IS_ERR(ls))
		return PTR_ERR(ls);
	int r = sk->state == SS_CONNECTED || sk->state == SS_CLOSED ? -EISCONN : sk->state == SS_CONNECTING ? -EALREADY : -EINVAL;
	if (sk->state != SS_FREE)
		goto out;
	r = -ECONNREFUSED;
	if (ls->state != SS_LISTEN || ls->shut & SHUT_RCV)
		goto out;
	r = -EAGAIN;
	if (nonblock && backlog_full(ls))
		goto out;
	sk->cred = cred_current();
	r = listener_connect(ls, sk);
	if (!r && sk->state == SS_CONNECTING) {
		u64 deadline = deadline_in(sk->sndtimeo);
		r = sock_wait(sk, sk->state != SS_CONNECTING, deadline);
		if (sk->state == SS_CONNECTING) {
			list_del(&sk->in_backlog);
			sk->state = SS_FREE;
		} else {
			r = -sk->err;
			sk->err = 0;
		}
	}
out:
	sock_put(ls);
	return r;
}

static long unix_stream_send(struct sock *sk, struct smsg *m)
{
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (m->addr && m->addr->len)
		return sk->state == SS_CONNECTED ? -EISCONN : -EOPNOTSUPP;
	return stream_send(sk, m);
}

static long unix_stream_recv(struct sock *sk, struct smsg *m)
{
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	return stream_recv(sk, m);
}

static void unix_release(struct sock *sk)
{
	unix_unbind(sk);
	stream_release(sk);
}

const struct sock_ops unix_stream_ops = {
	.bind = unix_bind, .connect = unix_connect, .listen = unix_listen, .child = unix_child, .send = unix_stream_send,
	.recv = unix_stream_recv, .poll = stream_poll, .shutdown = stream_shutdown, .name = unix_name, .release = unix_release,
};

/* Packets: connections of unix.c with the queue of unixdgram.c. */
long unix_dgram_send(struct sock *sk, struct smsg *m);
long unix_packet_recv(struct sock *sk, struct smsg *m);
u32 unix_dgram_poll(struct sock *sk, struct poll_table *pt);

static void unix_packet_release(struct sock *sk)
{
	unix_unbind(sk);
	if (sk->nmsgs && sk->state == SS_CONNECTED && sk->peer && sk->peer->state != SS_DEAD)
		stream_reset(sk->peer, ECONNRESET);
	stream_release(sk);
	dgram_purge(sk);
}

const struct sock_ops unix_packet_ops = {
	.bind = unix_bind, .connect = unix_connect, .listen = unix_listen, .child = unix_child, .send = unix_dgram_send,
	.recv = unix_packet_recv, .poll = unix_dgram_poll, .shutdown = stream_shutdown, .name = unix_name, .release = unix_packet_release,
};

struct sock *unix_create(int type)
{
	const struct sock_ops *ops = type == SOCK_STREAM ? &unix_stream_ops : type == SOCK_SEQPACKET ? &unix_packet_ops :
		type == SOCK_DGRAM || type == SOCK_RAW ? &unix_dgram_ops : NULL;
	if (!ops)
		return ERR_PTR(-ESOCKTNOSUPPORT);
	struct sock *sk = sock_alloc(AF_UNIX, type == SOCK_RAW ? SOCK_DGRAM : type, 0, ops);
	return sk ? sk : ERR_PTR(-ENOMEM);
}
