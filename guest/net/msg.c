/* SPDX-License-Identifier: Apache-2.0 */
/* msg.c: sendto, recvfrom, sendmsg, recvmsg and their plural forms: headers, addresses, ancillary data. */
#include "sock.h"
#include "syscall.h"
#include <asm/socket.h>
#include <linux/in6.h>

#define SOL_IP 0
#define SOL_IPV6 41
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define SCM_MAX_FD 253
#define IOV_MAX 1024
#define IOV_FAST 8

struct msghdr_k { u64 name; s32 namelen; u32 pad0; u64 iov, niov, control, controllen; u32 flags, pad1; };
struct cmsghdr_k { u64 len; s32 level, type; };
struct mmsghdr_k { struct msghdr_k hdr; u32 len, pad; };
#define CMSG_ALIGN(n) ALIGN_UP((u64)(n), 8ULL)

/* ---- ancillary data, sending ---- */

static int take_rights(struct smsg *m, u64 udata, u64 len)
{
	u32 n = len / 4, before = m->scm ? m->scm->n : 0;
	int fd;
	if (n > SCM_MAX_FD - before)
		return -EINVAL;
	if (!n)
		return 0;
	struct scm *s = scm_alloc(before + n), *old = m->scm;
	if (!s || IS_ERR(s))
		return s ? (int)PTR_ERR(s) : -ENOMEM;
	/* Several lists of one message arrive as one. */
	for (u32 i = 0; i < before; i++) {
		s->f[i] = old->f[i];
		old->f[i] = NULL;
	}
	scm_free(old);
	m->scm = s;
	for (u32 i = before; i < before + n; i++) {
		if (get_user(fd, udata + 4 * (i - before)))
			return -EFAULT;
		if (!(s->f[i] = fd_get_any(fd)))
			return -EBADF;
	}
	return 0;
}

static int take_credentials(struct smsg *m, u64 udata, u64 len)
{
	struct cred c, own = cred_current();
	struct process *p = curproc();
	if (len != sizeof(c))
		return -EINVAL;
	if (get_user(c, udata))
		return -EFAULT;
	if (p->euid && (c.pid != own.pid || (c.uid != p->uid && c.uid != p->euid) || (c.gid != p->gid && c.gid != p->egid)))
		return -EPERM;
	m->cred = c;
	return 0;
}

/* What a datagram should be sent with: 0, or -EINVAL for what there is not. */
static int take_info(struct smsg *m, const struct cmsghdr_k *h, u64 udata, u64 n)
{
	struct { u32 ifindex; u8 spec[4], addr[4]; } info;
	u32 v = 0;
	if (h->level == SOL_IP && h->type == IP_PKTINFO) {
		if (n != sizeof(info))
			return -EINVAL;
		if (get_user(info, udata))
			return -EFAULT;
		memset(m->to, 0, 16);
		memset(m->to + 10, 0xff, 2);
		memcpy(m->to + 12, info.spec, 4);
		return inet_local(m->to) ? 0 : -EINVAL;
	}
	if (h->level == SOL_IPV6 && h->type == IPV6_PKTINFO) {
		if (n < 20)
			return -EINVAL;
		if (copy_from_user(m->to, (void *)udata, 16))
			return -EFAULT;
		return inet_local(m->to) ? 0 : -EINVAL;
	}
	if (!(h->level == SOL_IP && (h->type == IP_TOS || h->type == IP_TTL)) &&
	    !(h->level == SOL_IPV6 && (h->type == IPV6_TCLASS || h->type == IPV6_HOPLIMIT))) {
		unsupported_once("ancillary data", (u64)h->level << 32 | (u32)h->type);
		return -EINVAL;
	}
	if (n != 4 && (n != 1 || h->type != IP_TOS))
		return -EINVAL;
	if (copy_from_user(&v, (void *)udata, n))
		return -EFAULT;
	if (h->type == IP_TOS || h->type == IPV6_TCLASS)
		m->tos = v;
	return 0;
}

static int take_control(struct sock *sk, struct smsg *m, u64 ucontrol, u64 len)
{
	struct cmsghdr_k h;
	if (len > 20480)
		return -ENOBUFS;
	for (u64 at = 0; len - at >= sizeof(h); at += CMSG_ALIGN(h.len)) {
		int r = 0;
		if (get_user(h, ucontrol + at))
			return -EFAULT;
		if (h.len < sizeof(h) || h.len > len - at)
			return -EINVAL;
		u64 data = ucontrol + at + sizeof(h), n = h.len - sizeof(h);
		if (h.level == SOL_SOCKET && (h.type == SCM_RIGHTS || h.type == SCM_CREDENTIALS)) {
			if (sk->family == AF_UNIX)
				r = h.type == SCM_RIGHTS ? take_rights(m, data, n) : take_credentials(m, data, n);
		} else if (h.level == SOL_SOCKET || sk->family == AF_UNIX) {
			r = h.level == SOL_SOCKET ? -EINVAL : 0;
		} else if (sk->type == SOCK_DGRAM) {
			r = take_info(m, &h, data, n);
		}
		if (r)
			return r;
		if (CMSG_ALIGN(h.len) > len - at)
			break;
	}
	return 0;
}

/* ---- ancillary data, receiving ---- */

/* Room that is left in the program's control buffer. */
struct ctl { u64 at, left; };

static void put_cmsg(struct ctl *c, struct smsg *m, int level, int type, const void *data, u32 len)
{
	struct cmsghdr_k h = { sizeof(h) + len, level, type };
	if (c->left < sizeof(h)) {
		m->out |= MSG_CTRUNC;
		return;
	}
	if (c->left < h.len) {
		m->out |= MSG_CTRUNC;
		h.len = c->left;
	}
	if (copy_to_user((void *)c->at, &h, sizeof(h)) || copy_to_user((void *)(c->at + sizeof(h)), data, h.len - sizeof(h)))
		return;
	u64 n = MIN(CMSG_ALIGN(h.len), c->left);
	c->at += n;
	c->left -= n;
}

/* As many descriptors as there is room for; the rest is closed by scm_free(). */
static void put_rights(struct ctl *c, struct smsg *m)
{
	struct scm *s = m->scm;
	struct cmsghdr_k h = { 0, SOL_SOCKET, SCM_RIGHTS };
	u32 max = c->left > sizeof(h) ? (c->left - sizeof(h)) / 4 : 0, n = 0;
	for (; n < MIN(max, s->n); n++) {
		int fd = fd_install(s->f[n], 0, m->flags & MSG_CMSG_CLOEXEC);
		if (fd < 0)
			break;
		file_get(s->f[n]);
		if (put_user(fd, c->at + sizeof(h) + 4 * n)) {
			fd_close(curproc()->files, fd);
			break;
		}
	}
	if (n < s->n)
		m->out |= MSG_CTRUNC;
	if (!n)
		return;
	h.len = sizeof(h) + 4 * n;
	if (put_user(h, c->at))
		return;
	u64 used = MIN(CMSG_ALIGN(h.len), c->left);
	c->at += used;
	c->left -= used;
}

static void put_info(struct ctl *c, struct sock *sk, struct smsg *m)
{
	if (m->stamp && sk->opt[OPT_TIMESTAMP]) {
		struct ktv tv = { m->stamp / NSEC, m->stamp % NSEC / 1000 };
		put_cmsg(c, m, SOL_SOCKET, SO_TIMESTAMP_OLD, &tv, sizeof(tv));
	} else if (m->stamp && sk->opt[OPT_TIMESTAMPNS]) {
		struct kts ts = ns_to_ts(m->stamp);
		put_cmsg(c, m, SOL_SOCKET, SO_TIMESTAMPNS_OLD, &ts, sizeof(ts));
	}
	if (sk->type != SOCK_DGRAM || sk->family == AF_UNIX || inaddr_any(m->to))
		return;
	bool v4 = inaddr_v4(m->to);
	u32 ttl = 64, ifindex = inaddr_loopback(m->to) ? 1 : 2, tclass = m->tos;
	if (v4 && sk->opt[OPT_PKTINFO]) {
		struct { u32 ifindex; u8 spec[4], addr[4]; } info = { ifindex, { 0 }, { 0 } };
		memcpy(info.spec, m->to + 12, 4);
		memcpy(info.addr, m->to + 12, 4);
		put_cmsg(c, m, SOL_IP, IP_PKTINFO, &info, sizeof(info));
	}
	if (v4 && sk->opt[OPT_RECVTTL])
		put_cmsg(c, m, SOL_IP, IP_TTL, &ttl, 4);
	if (v4 && sk->opt[OPT_RECVTOS])
		put_cmsg(c, m, SOL_IP, IP_TOS, &m->tos, 1);
	if (sk->family != AF_INET6)
		return;
	if (sk->opt[OPT_V6_PKTINFO]) {
		struct { u8 addr[16]; u32 ifindex; } info = { { 0 }, ifindex };
		memcpy(info.addr, m->to, 16);
		put_cmsg(c, m, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
	if (!v4 && sk->opt[OPT_V6_RECVHOPS])
		put_cmsg(c, m, SOL_IPV6, IPV6_HOPLIMIT, &ttl, 4);
	if (!v4 && sk->opt[OPT_V6_RECVTCLASS])
		put_cmsg(c, m, SOL_IPV6, IPV6_TCLASS, &tclass, 4);
}

/* ---- one message with a header ---- */

/* Brings the header and its vector in; *vec is kmalloc'ed if it is not fast. */
static int get_header(struct msghdr_k *h, u64 uh, struct iter *it, struct iovec *fast, struct iovec **vec)
{
	*vec = fast;
	if (get_user(*h, uh))
		return -EFAULT;
	if (h->niov > IOV_MAX)
		return -EMSGSIZE;
	if (h->niov > IOV_FAST && !(*vec = kmalloc(h->niov * sizeof(**vec)))) {
		*vec = fast;
		return -ENOMEM;
	}
	if (copy_from_user(*vec, (void *)h->iov, h->niov * sizeof(**vec)))
		return -EFAULT;
	return iter_iov(it, *vec, h->niov);
}

static long send_header(struct file *f, struct sock *sk, u64 uh, u32 flags)
{
	struct iovec fast[IOV_FAST], *vec;
	struct msghdr_k h;
	struct saddr sa;
	struct smsg m = { .flags = flags | (f->flags & SOCK_NONBLOCK ? MSG_DONTWAIT : 0) };
	long r = get_header(&h, uh, &m.it, fast, &vec);
	if (!r && h.name && h.namelen) {
		if (h.namelen > (s32)sizeof(sa.b))
			h.namelen = sizeof(sa.b);
		r = addr_from_user(&sa, h.name, (u32)h.namelen);
		m.addr = &sa;
	}
	m.cred = cred_current();
	if (!r && h.control && h.controllen)
		r = take_control(sk, &m, h.control, h.controllen);
	if (!r)
		r = sk->ops->send(sk, &m);
	scm_free(m.scm);
	if (vec != fast)
		kfree(vec);
	return r;
}

static long recv_header(struct file *f, struct sock *sk, u64 uh, u32 flags)
{
	struct iovec fast[IOV_FAST], *vec;
	struct msghdr_k h;
	struct saddr sa = { .len = 0 };
	struct smsg m = { .flags = flags | (f->flags & SOCK_NONBLOCK ? MSG_DONTWAIT : 0) };
	long r = get_header(&h, uh, &m.it, fast, &vec);
	if (!r && h.name) {
		if (h.namelen < 0)
			r = -EINVAL;
		m.addr = &sa;
	}
	if (!r)
		r = sk->ops->recv(sk, &m);
	if (vec != fast)
		kfree(vec);
	if (r < 0)
		goto out;
	struct ctl c = { h.control, h.control ? h.controllen : 0 };
	if (sk->opt[OPT_PASSCRED] && sk->family == AF_UNIX)
		put_cmsg(&c, &m, SOL_SOCKET, SCM_CREDENTIALS, &m.cred, sizeof(m.cred));
	put_info(&c, sk, &m);
	if (m.scm)
		put_rights(&c, &m);
	if (h.name && copy_to_user((void *)h.name, sa.b, MIN((u32)h.namelen, sa.len)))
		r = -EFAULT;
	h.namelen = sa.len;
	h.controllen = h.control ? c.at - h.control : 0;
	h.flags = m.out | (flags & MSG_CMSG_CLOEXEC);
	if ((h.name && put_user(h.namelen, uh + offsetof(struct msghdr_k, namelen))) ||
	    put_user(h.controllen, uh + offsetof(struct msghdr_k, controllen)) ||
	    put_user(h.flags, uh + offsetof(struct msghdr_k, flags)))
		r = -EFAULT;
out:
	scm_free(m.scm);
	return r;
}

/* ---- system calls ---- */

#define RW_MAX 0x7ffff000UL

static int user_range(struct iter *it, u64 ubuf, u64 n)
{
	n = MIN(n, RW_MAX);
	if (!access_ok((void *)ubuf, n))
		return -EFAULT;
	iter_user(it, (void *)ubuf, n);
	return 0;
}

SYSCALL(sendto)
{
	struct file *file;
	struct saddr sa;
	struct smsg m = { .flags = (u32)d };
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = user_range(&m.it, b, c);
	if (file->flags & SOCK_NONBLOCK)
		m.flags |= MSG_DONTWAIT;
	if (!r && e) {
		r = addr_from_user(&sa, e, (u32)f);
		m.addr = &sa;
	}
	if (sk->family == AF_UNIX)
		m.cred = cred_current();
	if (!r)
		r = sk->ops->send(sk, &m);
	file_put(file);
	return r;
}

SYSCALL(recvfrom)
{
	struct file *file;
	struct saddr sa = { .len = 0 };
	struct smsg m = { .flags = (u32)d };
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = user_range(&m.it, b, c);
	if (file->flags & SOCK_NONBLOCK)
		m.flags |= MSG_DONTWAIT;
	if (e)
		m.addr = &sa;
	if (!r)
		r = sk->ops->recv(sk, &m);
	if (r >= 0 && e) {
		int bad = addr_to_user(&sa, e, f);
		r = bad ? bad : r;
	}
	scm_free(m.scm);
	file_put(file);
	return r;
}

SYSCALL(sendmsg)
{
	struct file *file;
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = send_header(file, sk, b, (u32)c);
	file_put(file);
	return r;
}

SYSCALL(recvmsg)
{
	struct file *file;
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = recv_header(file, sk, b, (u32)c);
	file_put(file);
	return r;
}

SYSCALL(sendmmsg)
{
	struct file *file;
	struct sock *sk = sock_from_fd((int)a, &file);
	u32 n = MIN((u32)c, (u32)IOV_MAX), i;
	long r = 0;
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	for (i = 0; i < n; i++) {
		u64 at = b + i * sizeof(struct mmsghdr_k);
		r = send_header(file, sk, at, (u32)d);
		if (r < 0)
			break;
		if (put_user((u32)r, at + offsetof(struct mmsghdr_k, len))) {
			r = -EFAULT;
			break;
		}
	}
	file_put(file);
	return i ? (long)i : r;
}

SYSCALL(recvmmsg)
{
	struct file *file;
	u64 deadline;
	u32 n = MIN((u32)c, (u32)IOV_MAX), i, flags = (u32)d;
	long r = poll_deadline((void *)e, &deadline);
	if (r)
		return r;
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	for (i = 0; i < n;) {
		u64 at = b + i * sizeof(struct mmsghdr_k);
		r = recv_header(file, sk, at, flags & ~MSG_WAITFORONE);
		if (r < 0)
			break;
		if (put_user((u32)r, at + offsetof(struct mmsghdr_k, len))) {
			r = -EFAULT;
			break;
		}
		i++;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (deadline != ~0ULL && now_ns() >= deadline) /* looked at after a message only, as on Linux */
			break;
	}
	if (i && r < 0 && r != -EAGAIN && r != -EINTR && r != -ERESTARTSYS)
		sk->err = -r;
	file_put(file);
	return i ? (long)i : r;
}
