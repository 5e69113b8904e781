/* SPDX-License-Identifier: Apache-2.0 */
/* mqueue.c: POSIX message queues. Their names are their own, in no directory; a queue is gone with its name and its last descriptor. */
#include "vfs.h"
#include "net.h"
#include "poll.h"

#define PRIO_MAX 32768
#define RLIMIT_MSGQUEUE 12
#define SI_MESGQ -3
#define COOKIE_LEN 32

struct attr { s64 flags, max, size, cur, reserved[4]; };
struct msg { struct list link; u32 prio, len; u8 data[]; };
struct mqueue {
	struct inode i;            /* whose it is; a reference for each descriptor and one for the name */
	struct list link, msgs;    /* those with a name; highest priority first */
	struct waitq wq;
	struct attr at;
	u64 charge;
	u32 receivers;             /* that wait: a message for one of them is announced to nobody else */
	int pid, signo;            /* who is told of a message in an empty queue, 0 nobody */
	u64 value;
	struct file *sock;         /* or by a cookie through this socket */
	u8 cookie[COOKIE_LEN];
	char name[];
};

static struct list queues = LIST_INIT(queues);
static u64 charged;

static void mq_free(struct inode *ino)
{
	struct mqueue *q = (void *)ino;

	charged -= q->charge;
	file_put(q->sock);
	list_for_each_safe(l, next, &q->msgs)
		kfree(list_entry(l, struct msg, link));
	kfree(q);
}

static const struct inode_ops mq_inode_ops = { .release = mq_free };

/* Tells who asked for it and forgets him. */
static void tell(struct mqueue *q, bool message)
{
	struct process *p = process_find(q->pid);
	struct ksiginfo si = { .signo = q->signo, .code = SI_MESGQ, .pid = curproc()->pid, .uid = curproc()->uid, .value = q->value };
	struct file *sock = q->sock;

	q->pid = 0;
	q->sock = NULL;
	if (sock) {
		q->cookie[COOKIE_LEN - 1] = message ? 1 : 2;
		netlink_post(sock, q->cookie, COOKIE_LEN);
		file_put(sock);
	} else if (message && p && si.signo) {
		signal_send_process(p, &si);
	}
}

static bool registered(const struct mqueue *q)
{
	struct process *p = q->pid ? process_find(q->pid) : NULL;

	return p && !p->zombie;
}

static void mq_release(struct file *f)
{
	struct mqueue *q = f->priv;

	if (q->pid == curproc()->pid)
		tell(q, false);
}

static u32 mq_poll(struct file *f, struct poll_table *pt)
{
	struct mqueue *q = f->priv;

	poll_wait(pt, &q->wq);
	return (q->at.cur ? POLL_IN : 0) | (q->at.cur < q->at.max ? POLL_OUT : 0);
}

/* Its state, as text. */
static long mq_read(struct file *f, struct iter *it, u64 *pos)
{
	struct mqueue *q = f->priv;
	char s[96];
	u64 bytes = 0, n;

	list_for_each(l, &q->msgs)
		bytes += list_entry(l, struct msg, link)->len;
	n = snprintf(s, sizeof(s), "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", (unsigned long)bytes,
		     q->sock ? 2 : q->pid && !q->signo, q->pid ? q->signo : 0, q->pid);
	if (*pos >= n)
		return 0;
	long r = iter_put(it, s + *pos, MIN(it->left, n - *pos));
	if (r > 0)
		*pos += r;
	return r;
}

static const struct file_ops mq_fops = { .read = mq_read, .poll = mq_poll, .release = mq_release, .seek = noop_seek, .name = "mqueue" };

/* The queue called uname or NULL; its name in name. */
static struct mqueue *find(u64 uname, char *name)
{
	long n = strncpy_from_user(name, (char *)uname, NAME_MAX + 1);

	if (n <= 0)
		return ERR_PTR(n ? n : -ENOENT);
	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return ERR_PTR(-EACCES);
	list_for_each(l, &queues)
		if (!strcmp(list_entry(l, struct mqueue, link)->name, name))
			return list_entry(l, struct mqueue, link);
	return NULL;
}

static struct mqueue *create(const char *name, u32 mode, const struct attr *at)
{
	bool may = capable(CAP_SYS_RESOURCE);

	if (at->max <= 0 || at->size <= 0 || at->max > (may ? 65536 : 10) || at->size > (may ? 16 << 20 : 8192))
		return ERR_PTR(-EINVAL);
	u64 charge = (at->size + 48) * at->max + MIN(at->max, PRIO_MAX) * 48; /* as Linux counts */
	if (charged + charge > curproc()->rlim[RLIMIT_MSGQUEUE].cur)
		return ERR_PTR(-EMFILE);
	struct mqueue *q = kzalloc(sizeof(*q) + strlen(name) + 1);
	if (!q)
		return ERR_PTR(-ENOMEM);
	inode_init(&q->i, &mq_inode_ops, (mode & S_IALL & ~curproc()->fs->umask) | S_IFREG, DEV_ANON);
	inode_fill_owner(&q->i, NULL);
	list_init(&q->msgs);
	waitq_init(&q->wq);
	q->at.max = at->max;
	q->at.size = at->size;
	charged += q->charge = charge;
	strlcpy(q->name, name, NAME_MAX + 1);
	list_add(&q->link, &queues);
	return q;
}

SYSCALL(mq_open)
{
	static const u8 mask[3] = { MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE };
	struct attr at = { .max = 10, .size = 8192 };
	char name[NAME_MAX + 1];
	int r = fd_room();

	if (d && copy_from_user(&at, (void *)d, sizeof(at)))
		return -EFAULT;
	struct mqueue *q = r ? ERR_PTR(r) : find(a, name);
	if (!q)
		q = b & O_CREAT ? create(name, c, &at) : ERR_PTR(-ENOENT);
	else if (!IS_ERR(q) && (r = (b & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) ? -EEXIST
				    : (b & O_ACCMODE) == O_ACCMODE ? -EINVAL : inode_may(&q->i, mask[b & O_ACCMODE])))
		q = ERR_PTR(r);
	if (IS_ERR(q))
		return PTR_ERR(q);
	struct file *file = file_alloc(&mq_fops, b & (O_ACCMODE | O_NONBLOCK), q);
	if (!file)
		return -ENOMEM;
	inode_get(file->ino = &q->i);
	r = fd_install(file, 0, true);
	if (r < 0)
		file_put(file);
	return r;
}

SYSCALL(mq_unlink)
{
	char name[NAME_MAX + 1];
	struct mqueue *q = find(a, name);

	if (!q || IS_ERR(q))
		return q ? PTR_ERR(q) : -ENOENT;
	if (!inode_owner(&q->i))
		return -EPERM;
	q->i.nlink = 0;
	list_del(&q->link);
	inode_put(&q->i);
	return 0;
}

/* The open queue fd, referenced, once the absolute time at utime was looked at. */
static struct file *get(int fd, u64 utime, u64 *deadline)
{
	struct kts ts;
	int r = utime ? get_timespec((void *)utime, &ts) : 0;

	if (r)
		return ERR_PTR(r);
	*deadline = utime ? clock_to_mono(0, ts_to_ns(&ts)) : ~0ULL;
	struct file *f = fd_get(fd);
	if (f && f->ops == &mq_fops)
		return f;
	file_put(f);
	return ERR_PTR(-EBADF);
}

static long send(struct mqueue *q, struct file *f, u64 from, u32 len, u32 prio, u64 deadline)
{
	long r = 0;

	if (!file_writable(f))
		return -EBADF;
	if (len > q->at.size)
		return -EMSGSIZE;
	struct msg *m = kmalloc(sizeof(*m) + len);
	if (!m)
		return -ENOMEM;
	m->prio = prio;
	m->len = len;
	if (copy_from_user(m->data, (void *)from, len))
		r = -EFAULT;
	else if (q->at.cur == q->at.max)
		r = f->flags & O_NONBLOCK ? -EAGAIN : wait_on(&q->wq, q->at.cur < q->at.max, deadline);
	if (r) {
		kfree(m);
		return r;
	}
	struct list *l = q->msgs.prev;
	while (l != &q->msgs && list_entry(l, struct msg, link)->prio < prio)
		l = l->prev;
	list_add(&m->link, l);
	if (!q->at.cur++ && !q->receivers && registered(q))
		tell(q, true);
	waitq_wake(&q->wq, POLL_IN);
	return 0;
}

SYSCALL(mq_timedsend)
{
	u64 deadline;
	struct file *file = get((int)a, e, &deadline);

	if (IS_ERR(file))
		return PTR_ERR(file);
	long r = (u32)d >= PRIO_MAX ? -EINVAL : send(file->priv, file, b, MIN(c, ~0U), d, deadline);
	file_put(file);
	return r;
}

static long receive(struct mqueue *q, struct file *f, u64 to, u64 len, u64 uprio, u64 deadline)
{
	long r = 0;

	if (!file_readable(f))
		return -EBADF;
	if (len < (u64)q->at.size)
		return -EMSGSIZE;
	if (!q->at.cur && (f->flags & O_NONBLOCK))
		return -EAGAIN;
	q->receivers++;
	r = wait_on(&q->wq, q->at.cur, deadline);
	q->receivers--;
	if (r)
		return r;
	struct msg *m = list_first(&q->msgs, struct msg, link);
	list_del(&m->link);
	q->at.cur--;
	waitq_wake(&q->wq, POLL_OUT);
	r = (uprio && put_user(m->prio, (u32 *)uprio)) || copy_to_user((void *)to, m->data, m->len) ? -EFAULT : (long)m->len;
	kfree(m);
	return r;
}

SYSCALL(mq_timedreceive)
{
	u64 deadline;
	struct file *file = get((int)a, e, &deadline);

	if (IS_ERR(file))
		return PTR_ERR(file);
	long r = receive(file->priv, file, b, c, d, deadline);
	file_put(file);
	return r;
}

struct ksigevent { u64 value; s32 signo, notify; u32 pad[12]; };
enum { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD };

static long listen(struct mqueue *q, const struct ksigevent *ev)
{
	struct file *sock = NULL;
	u8 cookie[COOKIE_LEN];

	if (ev->notify == SIGEV_THREAD) {
		if (copy_from_user(cookie, (void *)ev->value, sizeof(cookie)))
			return -EFAULT;
		sock = fd_get(ev->signo);
		int r = sock ? netlink_post(sock, NULL, 0) : -EBADF;
		if (r || registered(q)) {
			file_put(sock);
			return r ? r : -EBUSY;
		}
		memcpy(q->cookie, cookie, sizeof(cookie));
	}
	if (registered(q))
		return -EBUSY;
	file_put(q->sock); /* of one that has ended */
	q->sock = sock;
	q->pid = curproc()->pid;
	q->signo = ev->notify == SIGEV_SIGNAL ? ev->signo : 0;
	q->value = ev->value;
	return 0;
}

SYSCALL(mq_notify)
{
	struct ksigevent ev;
	u64 none;

	if (b && copy_from_user(&ev, (void *)b, sizeof(ev)))
		return -EFAULT;
	if (b && ((u32)ev.notify > SIGEV_THREAD || (ev.notify == SIGEV_SIGNAL && (u32)ev.signo > NSIG)))
		return -EINVAL;
	struct file *file = get((int)a, 0, &none);
	if (IS_ERR(file))
		return PTR_ERR(file);
	struct mqueue *q = file->priv;
	long r = 0;
	if (b)
		r = listen(q, &ev);
	else if (q->pid == curproc()->pid)
		tell(q, false);
	file_put(file);
	return r;
}

SYSCALL(mq_getsetattr)
{
	struct attr at;
	u64 none;

	if (b && copy_from_user(&at, (void *)b, sizeof(at)))
		return -EFAULT;
	if (b && (at.flags & ~(s64)O_NONBLOCK))
		return -EINVAL;
	struct file *file = get((int)a, 0, &none);
	if (IS_ERR(file))
		return PTR_ERR(file);
	struct attr old = ((struct mqueue *)file->priv)->at;
	old.flags = file->flags & O_NONBLOCK;
	if (b)
		file->flags = (file->flags & ~O_NONBLOCK) | at.flags;
	file_put(file);
	return c && copy_to_user((void *)c, &old, sizeof(old)) ? -EFAULT : 0;
}
