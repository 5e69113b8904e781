/* SPDX-License-Identifier: Apache-2.0 */
/* socket.c: sockets as descriptors, and the system calls that make, name and connect them. */
#include "sock.h"
#include "syscall.h"
#include "platform.h"
#include <linux/stat.h>

/* ---- sockets ---- */

struct list socks = LIST_INIT(socks);

static void destroy(struct inode *ino)
{
	struct sock *sk = container_of(ino, struct sock, ino);
	list_del(&sk->in_all);
	xs_free(&sk->x);
	uname_put(sk->name);
	kfree(sk);
}

static const struct inode_ops sock_inode_ops = { .release = destroy };

struct cred cred_current(void)
{
	struct process *p = curproc();
	return (struct cred){ p->pid, p->euid, p->egid };
}

struct sock *sock_alloc(int family, int type, int proto, const struct sock_ops *ops)
{
	struct sock *sk = kzalloc(sizeof(*sk));
	if (!sk)
		return NULL;
	sk->ino.ops = &sock_inode_ops;
	sk->ino.refs = sk->ino.nlink = 1;
	sk->ino.mode = S_IFSOCK | 0777;
	sk->ino.ino = inode_new_number();
	sk->ino.dev = 8; /* sockfs has no device; any number no mount has */
	sk->ops = ops;
	sk->family = family;
	sk->type = type;
	sk->proto = proto;
	sk->linger = -1;
	waitq_init(&sk->wq);
	xs_init(&sk->x, 0, &sk->wq);
	struct list *lists[] = { &sk->scms, &sk->backlog, &sk->connectors, &sk->in_backlog, &sk->msgs, &sk->starved,
		&sk->in_starved, &sk->in_ports, &sk->in_conns, &sk->flows, &sk->in_gc };
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_init(lists[i]);
	sockopt_init(sk);
	list_add_tail(&sk->in_all, &socks);
	return sk;
}

void sock_end(struct sock *sk)
{
	sk->ops->release(sk);
	sk->state = SS_DEAD;
	sock_put(sk);
}

void sigpipe(void)
{
	signal_send_thread(current(), &(struct ksiginfo){ .signo = SIGPIPE, .code = SI_KERNEL });
}

/* ---- as files ---- */

static long sock_read(struct file *f, struct iter *it, u64 *pos)
{
	struct sock *sk = f->priv;
	struct smsg m = { .it = *it, .flags = f->flags & SOCK_NONBLOCK ? MSG_DONTWAIT : 0 };
	if (!it->left) /* unlike recv() of nothing, which waits for something */
		return 0;
	long r = sk->ops->recv(sk, &m);
	*it = m.it;
	scm_free(m.scm);
	return r;
}

static long sock_write(struct file *f, struct iter *it, u64 *pos)
{
	struct sock *sk = f->priv;
	struct smsg m = { .it = *it, .flags = f->flags & SOCK_NONBLOCK ? MSG_DONTWAIT : 0 };
	if (sk->family == AF_UNIX)
		m.cred = cred_current();
	long r = sk->ops->send(sk, &m);
	*it = m.it;
	return r;
}

static u32 sock_poll(struct file *f, struct poll_table *pt)
{
	struct sock *sk = f->priv;
	return sk->ops->poll(sk, pt);
}

static void sock_release(struct file *f)
{
	struct sock *sk = f->priv;
	bool unix_socket = sk->family == AF_UNIX;
	f->ino = NULL;
	sk->file = NULL;
	sock_end(sk);
	if (unix_socket)
		scm_closed();
}

const struct file_ops socket_fops = {
	.read = sock_read, .write = sock_write, .ioctl = sock_ioctl, .poll = sock_poll, .release = sock_release, .name = "socket",
};

/* A descriptor for sk, which it takes over on success. */
static long sock_install(struct sock *sk, u32 flags)
{
	struct file *f = file_alloc(&socket_fops, 2 /* O_RDWR */ | (flags & SOCK_NONBLOCK), sk);
	if (!f)
		return -ENOMEM;
	f->ino = &sk->ino;
	sk->ino.uid = curproc()->euid;
	sk->ino.gid = curproc()->egid;
	sk->file = f;
	int fd = fd_install(f, 0, flags & SOCK_CLOEXEC);
	if (fd < 0) {
		sk->file = NULL;
		static const struct file_ops nothing;
		f->ops = &nothing; /* the socket stays open */
		f->ino = NULL;
		file_put(f);
	}
	return fd;
}

struct sock *sock_from_fd(int fd, struct file **f)
{
	*f = fd_get(fd);
	if (!*f)
		return ERR_PTR(-EBADF);
	if ((*f)->ops == &socket_fops)
		return (*f)->priv;
	file_put(*f);
	return ERR_PTR(-ENOTSOCK);
}

/* ---- addresses ---- */

int addr_from_user(struct saddr *sa, u64 uaddr, u64 len)
{
	if ((int)len < 0 || len > sizeof(sa->b))
		return -EINVAL;
	sa->len = len;
	sa->family = AF_UNSPEC;
	return copy_from_user(sa->b, (void *)uaddr, len);
}

int addr_to_user(const struct saddr *sa, u64 uaddr, u64 ulen)
{
	int room;
	if (get_user(room, ulen))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (copy_to_user((void *)uaddr, sa->b, MIN((u32)room, sa->len)))
		return -EFAULT;
	return put_user(sa->len, ulen);
}

/* ---- system calls ---- */

static struct sock *create(int family, int type, int proto)
{
	if (type < 0 || type > 10)
		return ERR_PTR(-EINVAL);
	switch (family) {
	case AF_UNIX:
		return proto && proto != AF_UNIX ? ERR_PTR(-EPROTONOSUPPORT) : unix_create(type);
	case AF_INET:
	case AF_INET6:
		return inet_create(family, type, proto);
	case AF_NETLINK: {
		if (type != SOCK_RAW && type != SOCK_DGRAM)
			return ERR_PTR(-ESOCKTNOSUPPORT);
		if (proto != 0) /* NETLINK_ROUTE */
			return ERR_PTR(-EPROTONOSUPPORT);
		struct sock *sk = sock_alloc(family, type, proto, &netlink_ops);
		return sk ? sk : ERR_PTR(-ENOMEM);
	}
	}
	return ERR_PTR(-EAFNOSUPPORT);
}

#define TYPE_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

SYSCALL(socket)
{
	if (b & ~(u64)(0xf | TYPE_FLAGS))
		return -EINVAL;
	struct sock *sk = create((int)a, b & 0xf, (int)c);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	sk->cred = cred_current();
	long fd = sock_install(sk, b);
	if (fd < 0)
		sock_end(sk);
	return fd;
}

SYSCALL(socketpair)
{
	if (b & ~(u64)(0xf | TYPE_FLAGS))
		return -EINVAL;
	struct sock *s[2];
	long fd[2];
	if ((int)a != AF_UNIX) {
		s[0] = create((int)a, b & 0xf, (int)c);
		if (IS_ERR(s[0]))
			return PTR_ERR(s[0]);
		sock_end(s[0]);
		return -EOPNOTSUPP;
	}
	for (int i = 0; i < 2; i++) {
		s[i] = create(AF_UNIX, b & 0xf, (int)c);
		if (IS_ERR(s[i])) {
			if (i)
				sock_end(s[0]);
			return PTR_ERR(s[i]);
		}
		s[i]->cred = cred_current();
	}
	stream_pair(s[0], s[1]);
	for (int i = 0; i < 2; i++)
		if ((fd[i] = sock_install(s[i], b)) < 0) {
			if (i)
				fd_close(curproc()->files, fd[0]);
			else
				sock_end(s[0]);
			sock_end(s[1]);
			return fd[i];
		}
	int out[2] = { fd[0], fd[1] };
	if (put_user(out[0], d) || put_user(out[1], d + 4)) {
		fd_close(curproc()->files, out[0]);
		fd_close(curproc()->files, out[1]);
		return -EFAULT;
	}
	return 0;
}

SYSCALL(bind)
{
	struct file *file;
	struct saddr sa;
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = addr_from_user(&sa, b, (u32)c);
	if (!r)
		r = sk->ops->bind(sk, &sa);
	file_put(file);
	return r;
}

SYSCALL(connect)
{
	struct file *file;
	struct saddr sa;
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = addr_from_user(&sa, b, (u32)c);
	if (!r)
		r = sa.len < sizeof(sa.family) ? -EINVAL : sk->ops->connect(sk, &sa, file->flags & SOCK_NONBLOCK);
	file_put(file);
	return r;
}

SYSCALL(listen)
{
	struct file *file;
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = sk->ops->listen ? sock_listen(sk, (int)b) : -EOPNOTSUPP;
	file_put(file);
	return r;
}

static long do_accept(int fd, u64 uaddr, u64 ulen, u32 flags)
{
	struct file *file;
	if (flags & ~(u32)TYPE_FLAGS)
		return -EINVAL;
	struct sock *ls = sock_from_fd(fd, &file), *sk;
	if (IS_ERR(ls))
		return PTR_ERR(ls);
	long r = ls->ops->listen ? -EINVAL : -EOPNOTSUPP;
	if (ls->state != SS_LISTEN)
		goto out;
	sk = sock_accept(ls, file->flags & SOCK_NONBLOCK);
	r = PTR_ERR(sk);
	if (IS_ERR(sk))
		goto out;
	if (uaddr) {
		struct saddr sa = { .len = 0 };
		sk->ops->name(sk, &sa, true);
		r = addr_to_user(&sa, uaddr, ulen);
		if (r) {
			sock_end(sk);
			goto out;
		}
	}
	r = sock_install(sk, flags);
	if (r < 0)
		sock_unaccept(ls, sk);
	else if (sk->ops->accepted)
		sk->ops->accepted(sk);
out:
	file_put(file);
	return r;
}

SYSCALL(accept) { return do_accept((int)a, b, c, 0); }
SYSCALL(accept4) { return do_accept((int)a, b, c, (u32)d); }

static long do_name(int fd, u64 uaddr, u64 ulen, bool peer)
{
	struct file *file;
	struct saddr sa = { .len = 0 };
	struct sock *sk = sock_from_fd(fd, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = sk->ops->name(sk, &sa, peer);
	if (!r)
		r = addr_to_user(&sa, uaddr, ulen);
	file_put(file);
	return r;
}

SYSCALL(getsockname) { return do_name((int)a, b, c, false); }
SYSCALL(getpeername) { return do_name((int)a, b, c, true); }

SYSCALL(shutdown)
{
	struct file *file;
	struct sock *sk = sock_from_fd((int)a, &file);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	long r = (u32)b > 2 ? -EINVAL : sk->ops->shutdown ? sk->ops->shutdown(sk, (int)b) : -EOPNOTSUPP;
	file_put(file);
	return r;
}

void net_init(void)
{
}
