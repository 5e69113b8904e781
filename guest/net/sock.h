/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sock.h: sockets inside the libos.
 *
 *   socket.c   descriptors, system calls but those that move data
 *   msg.c      send*, recv*: headers, addresses, ancillary data
 *   sockopt.c  options               sockioctl.c  ioctl
 *   listen.c   backlogs, accept      stream.c     connected byte streams
 *   dgram.c    message queues        scm.c        descriptors on the way
 *   inet.c     addresses and ports   tcp.c, udp.c AF_INET, AF_INET6
 *   unix.c     AF_UNIX names         unixdgram.c  its datagrams and packets
 *   flow.c     what leaves the guest   netlink.c  which interfaces there are
 *
 * What the program sees of the network: lo with 127.0.0.1 and ::1, eth0 with 10.0.2.15 and fd00::2:15. Everything local
 * stays in here. TCP streams from outside come over the rings, from 10.0.2.2 and a port made from the stream's id; what
 * goes outside becomes a stream, too, if the monitor answers CONNECT.
 */
#ifndef UFS_SOCK_H
#define UFS_SOCK_H
#include "ufs.h"
#include "errno.h"
#include "fs.h"
#include "poll.h"
#include "stream.h"

#include <linux/in.h>

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define SOCK_NONBLOCK 04000
#define SOCK_CLOEXEC 02000000

#define MSG_OOB 1
#define MSG_PEEK 2
#define MSG_CTRUNC 8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_EOR 0x80
#define MSG_WAITALL 0x100
#define MSG_ERRQUEUE 0x2000
#define MSG_NOSIGNAL 0x4000
#define MSG_WAITFORONE 0x10000
#define MSG_CMSG_CLOEXEC 0x40000000

/* What a stream or a message queue inside the guest holds at most: Linux's default, 2 * 106496. */
#define SOCK_LIMIT 212992U
#define BACKLOG_MAX 4096

#define SHUT_RCV 1
#define SHUT_SND 2
#define SHUT_BOTH 3

enum { SS_FREE, SS_LISTEN, SS_CONNECTING, SS_CONNECTED, SS_CLOSED /* was connected */, SS_DEAD /* no descriptor any more */ };

enum { BOUND_PORT = 1, BOUND_ADDR = 2 };

/* A socket address as programs give it. */
struct saddr { u32 len; union { u16 family; u8 b[128]; }; };
/* An IPv4 address is kept as ::ffff:a.b.c.d, whatever the family of the socket. Port in host order. */
struct inaddr { u8 a[16]; u16 port; };
struct cred { s32 pid; u32 uid, gid; };

/* Descriptors on their way in an AF_UNIX message: n references. start, end: bytes of the stream they belong to. */
struct scm { struct list link; u64 start, end; u32 n; struct file *f[]; };
struct scm *scm_alloc(u32 n);             /* NULL when out of memory; counts against the limit: ERR_PTR(-ETOOMANYREFS) */
struct scm *scm_dup(struct scm *s);
void scm_free(struct scm *s);             /* NULL is fine; never recursive, however sockets are in sockets */
void scm_closed(void);                    /* an AF_UNIX socket was closed: perhaps the last way to others */

/* One send or receive. */
struct smsg {
	struct iter it;
	u32 flags;                        /* MSG_* of the call; MSG_DONTWAIT also for O_NONBLOCK files */
	u32 out;                          /* receive: MSG_* for msg_flags */
	struct saddr *addr;               /* destination, or where the sender's goes; NULL none */
	struct scm *scm;
	struct cred cred;
	/* Received, for ancillary data: when, to which address (all zero: it is no datagram of the network), with which TOS. */
	u64 stamp;
	u8 to[16], tos;
};

struct uname;                             /* name of an AF_UNIX socket */
struct sock;
struct skmsg {
	struct list link;
	u32 len;
	struct scm *scm;
	struct cred cred;
	u32 flow;                         /* id, 0 none: who gets the credit */
	struct inaddr from;
	u8 to[16], tos;                   /* address that it was sent to */
	u64 stamp;                        /* when it came, CLOCK_REALTIME */
	struct uname *name;
	u8 data[];
};

struct sock_ops {
	int (*bind)(struct sock *sk, const struct saddr *sa);
	int (*connect)(struct sock *sk, const struct saddr *sa, bool nonblock);
	int (*listen)(struct sock *sk);                     /* before the first listen(): name and conflicts */
	void (*accepted)(struct sock *sk);                  /* sk leaves the backlog */
	struct sock *(*child)(struct sock *ls, struct sock *from); /* the listener's end for a connecting socket; NULL out of memory */
	long (*send)(struct sock *sk, struct smsg *m);
	long (*recv)(struct sock *sk, struct smsg *m);
	u32 (*poll)(struct sock *sk, struct poll_table *pt);
	int (*shutdown)(struct sock *sk, int how);
	int (*name)(struct sock *sk, struct saddr *sa, bool peer);
	void (*from)(struct sock *sk, const struct skmsg *msg, struct saddr *sa);
	void (*release)(struct sock *sk);
};

/* Options that are plain numbers, in the order of the table in sockopt.c. */
enum {
	OPT_REUSEADDR, OPT_REUSEPORT, OPT_KEEPALIVE, OPT_BROADCAST, OPT_OOBINLINE, OPT_DONTROUTE, OPT_PRIORITY, OPT_PASSCRED,
	OPT_RCVLOWAT, OPT_MARK, OPT_BUSY_POLL, OPT_SNDBUF, OPT_RCVBUF, OPT_NODELAY, OPT_CORK, OPT_KEEPIDLE, OPT_KEEPINTVL, OPT_KEEPCNT,
	OPT_SYNCNT, OPT_LINGER2, OPT_DEFER_ACCEPT, OPT_QUICKACK, OPT_USER_TIMEOUT, OPT_FASTOPEN, OPT_NOTSENT_LOWAT, OPT_TOS, OPT_TTL,
	OPT_MTU_DISCOVER, OPT_RECVERR, OPT_BIND_NO_PORT, OPT_MCAST_TTL, OPT_MCAST_LOOP, OPT_V6ONLY, OPT_TCLASS, OPT_V6_HOPS,
	OPT_V6_MTU_DISCOVER, OPT_V6_RECVERR, OPT_V6_MCAST_HOPS, OPT_V6_MCAST_LOOP, OPT_TIMESTAMP, OPT_TIMESTAMPNS, OPT_NO_CHECK, OPT_PKTINFO,
	OPT_RECVTTL, OPT_RECVTOS, OPT_FREEBIND, OPT_MCAST_ALL, OPT_MINTTL, OPT_V6_PKTINFO, OPT_V6_RECVHOPS, OPT_V6_RECVTCLASS, OPT_MCAST_IF,
	OPT_MAXSEG, OPT_FASTOPEN_CONNECT, OPT_RENO,
	OPT_COUNT
};

struct sock {
	struct inode ino;                 /* its references are the socket's */
	const struct sock_ops *ops;
	u8 family, type, proto, state;
	u8 shut;                          /* SHUT_* */
	bool external;                    /* stream over the rings */
	bool nospace;                     /* a writer found no room and wants to hear of some */
	u8 bufs;                          /* set by the program: 1 SO_SNDBUF, 2 SO_RCVBUF */
	u8 bound;                         /* by bind(), not by itself: BOUND_* */
	bool fin_seen;                    /* the monitor sent EOF */
	bool in_progress;                 /* connect() said so and has not been asked again */
	int err;                          /* SO_ERROR, positive */
	int linger;                       /* seconds, -1 off */
	struct waitq wq;
	u64 rcvtimeo, sndtimeo;           /* ns, 0 none */
	s32 opt[OPT_COUNT];
	/* connected */
	struct sock *peer;                /* referenced; may be SS_DEAD */
	struct xstream x;                 /* x.rx also holds what came from inside the guest */
	u64 rx_pos;                       /* bytes read from x.rx ever */
	struct list scms;
	struct cred cred, peercred, rxcred; /* own, of the peer at connect, of the last sender */
	/* listening, waiting to be accepted, waiting to get into a backlog */
	struct list backlog, connectors, in_backlog;
	u32 nback, maxback;
	/* messages */
	struct list msgs, starved, in_starved; /* starved: senders that found this queue full */
	u32 msgbytes, nmsgs;
	/* names */
	struct inaddr local, remote;
	struct file *file;                /* NULL: not accepted yet, or closed */
	struct list in_gc;                /* scm.c: reachable, to be looked into */
	u32 inflight;                     /* scm.c: references by messages */
	bool reached;
	struct list in_all;               /* every socket: /proc/net */
	struct list flows;                /* UDP: to addresses outside */
	u32 nflows;
	struct list in_ports, in_conns;
	struct uname *name;
	u32 nlpid;
};

/* ---- socket.c ---- */
struct sock *sock_alloc(int family, int type, int proto, const struct sock_ops *ops);
static inline void sock_get(struct sock *sk) { inode_get(&sk->ino); }
static inline void sock_put(struct sock *sk) { if (sk) inode_put(&sk->ino); }
/* The protocol's end of a socket that has no descriptor (any more); drops the reference. */
void sock_end(struct sock *sk);
extern struct list socks;                 /* by in_all */
struct cred cred_current(void);
void sigpipe(void);
struct sock *sock_from_fd(int fd, struct file **f);  /* *f is referenced; ERR_PTR */
extern const struct file_ops socket_fops;
int addr_from_user(struct saddr *sa, u64 uaddr, u64 len);
int addr_to_user(const struct saddr *sa, u64 uaddr, u64 ulen);

/* Waits until cond; 0, -EAGAIN after the time-out, -ERESTARTSYS or -EINTR. */
#define sock_wait(sk, cond, deadline) ({                                                  \
	int w_ = (queue_poll(), (cond)) ? 0 : wait_on(&(sk)->wq, cond, deadline);         \
	w_ == -ETIMEDOUT ? -EAGAIN : w_ == -ERESTARTSYS && (deadline) != ~0ULL ? -EINTR : w_; })

/* ---- listen.c ---- */
int sock_listen(struct sock *sk, int backlog);
struct sock *sock_accept(struct sock *ls, bool nonblock);
void sock_unaccept(struct sock *ls, struct sock *sk); /* no descriptor for it: back to the front */
bool backlog_full(struct sock *ls);
void backlog_add(struct sock *ls, struct sock *sk);
/* Connects sk to ls now, or makes it wait in ls->connectors (SS_CONNECTING). 0 or -ENOMEM. */
int listener_connect(struct sock *ls, struct sock *sk);
void connect_failed(struct sock *sk, int err); /* who waited is told */
void listener_stop(struct sock *ls);      /* ends what is in the backlog, refuses who waits */

/* ---- stream.c ---- */
void stream_pair(struct sock *a, struct sock *b);
long stream_send(struct sock *sk, struct smsg *m);
long stream_recv(struct sock *sk, struct smsg *m);
u32 stream_poll(struct sock *sk, struct poll_table *pt);
u32 listen_poll(struct sock *sk);
int stream_shutdown(struct sock *sk, int how);
void stream_fin(struct sock *sk, u8 shut); /* the other side will not send (SHUT_RCV), or neither (SHUT_BOTH) */
void stream_reset(struct sock *sk, int err);
void stream_release(struct sock *sk);
bool stream_writable(struct sock *sk);

/* ---- dgram.c ---- */
struct skmsg *skmsg_alloc(size_t len);    /* empty; NULL */
struct skmsg *skmsg_new(struct smsg *m, size_t len); /* takes m->scm; ERR_PTR */
void skmsg_free(struct skmsg *msg);
bool dgram_room(struct sock *to, size_t len);
void dgram_deliver(struct sock *to, struct skmsg *msg);
long dgram_recv(struct sock *sk, struct smsg *m);
void dgram_purge(struct sock *sk);

/* ---- inet.c ---- */
struct sock *inet_create(int family, int type, int proto);
int inet_parse(struct sock *sk, const struct saddr *sa, struct inaddr *out, bool bind);
void inet_format(struct sock *sk, const struct inaddr *in, struct saddr *sa);
int inet_bind(struct sock *sk, const struct saddr *sa);
int inet_autobind(struct sock *sk);
void inet_unbind(struct sock *sk);
void inet_disconnect(struct sock *sk);    /* keeps what bind() gave */
int inet_name(struct sock *sk, struct saddr *sa, bool peer);
bool inet_covers(struct sock *sk, const u8 a[16]);    /* does its local address take what is sent to a? */
bool inet_overlap(struct sock *a, struct sock *b);
bool inet_local(const u8 a[16]);          /* loopback, any, our own addresses */
/* May what sk sends to an address outside leave? 0, or what Linux says: no route, a broadcast, from 127.0.0.1. */
int inet_outbound(struct sock *sk, const u8 dst[16]);
void inet_this_host(struct inaddr *a);    /* as a destination, any means loopback */
void inet_source(struct sock *sk, const u8 dst[16]);  /* local address of a connected socket that was bound to any */
bool inaddr_any(const u8 a[16]);
bool inaddr_same(const struct inaddr *a, const struct inaddr *b);
bool inaddr_v4(const u8 a[16]);
bool inaddr_loopback(const u8 a[16]);
struct list *inet_bucket(bool udp, u16 port);
extern const u8 inet_guest[16], inet_guest6[16], inet_host[16];
extern const struct sock_ops tcp_ops, udp_ops, netlink_ops;

/* ---- flow.c ---- */
bool outbound_allowed(void);
bool outbound_loopback(const u8 dst[16]); /* a loopback address that is the host's if it is nobody's here */
int outbound_errno(u32 arg);              /* what the monitor gave as an errno: one that is */
u32 outbound_open(u32 proto, const struct inaddr *to); /* sends CONNECT; the new stream's id */
int flow_send(struct sock *sk, const struct inaddr *to, struct skmsg *msg); /* takes msg over; 0 or negative errno */
void flow_taken(u32 conn, u32 n);         /* n bytes that came were read */
void flow_close_all(struct sock *sk);

/* ---- netif.c ---- */
/* The interfaces: index 1 is lo, 2 is eth0. Flags as netlink gives them; the ioctl gives the lower half. */
#define NETIFS 2
extern const struct netif { char name[5]; u8 prefix, prefix6, mac[6]; u8 addr6[16]; u8 addr[4], mask[4], bcast[4]; u32 flags, mtu; u16 hw; } netifs[NETIFS];
/* The routes of the main table; the defaults are there when something leads outside. */
struct route { u8 dst[16], via[16]; u8 family, prefix, ifindex; bool has_via; u16 metric; };
u32 net_routes(struct route r[4]);

/* ---- unix.c ---- */
struct sock *unix_create(int type);
int unix_bind(struct sock *sk, const struct saddr *sa);
/* The live socket that sa names, referenced; ERR_PTR. */
struct sock *unix_find(const struct saddr *sa, int type);
int unix_name(struct sock *sk, struct saddr *sa, bool peer);
void unix_format(const struct uname *n, struct saddr *sa);
void unix_unbind(struct sock *sk);
struct uname *uname_get(struct uname *n);
void uname_put(struct uname *n);
extern const struct sock_ops unix_stream_ops, unix_dgram_ops, unix_packet_ops;

/* ---- sockopt.c, sockioctl.c ---- */
void sockopt_init(struct sock *sk);
u8 tcp_state(struct sock *sk);            /* as /proc/net/tcp has it */
long sock_ioctl(struct file *f, u64 cmd, u64 arg);

#include "time.h"
static inline u64 deadline_in(u64 timeo)
{
	u64 now = now_ns();
	return !timeo || timeo > ~0ULL - 1 - now ? ~0ULL : now + timeo;
}
#endif
