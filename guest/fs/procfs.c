/* SPDX-License-Identifier: Apache-2.0 */
/* procfs.c: the trees of /proc and /sys. Inodes are made at look-up and go with their last user. */
#include "procfs.h"

enum pdir {
	NO_DIR, P_ROOT, P_PID, P_TASK, P_TID, P_FD, P_FDINFO, P_PNET, P_SYS, P_KERNEL, P_RANDOM, P_VM, P_NET, P_CORE, P_IPV4, P_FS, P_INOTIFY,
	S_ROOT, S_DEVICES, S_SYSTEM, S_CPU, S_CPU0, S_KERNEL, S_MM, S_THP, S_FS, S_CGROUP, NDIRS
};

#define LINK 0120777
#define DIR 0040555
#define FILE_R 0100444

#define SHOWS(X) \
	X(show_cpuinfo) X(show_loadavg) X(show_meminfo) X(show_system_stat) X(show_uptime) X(show_auxv) X(show_cmdline) \
	X(show_comm) X(show_environ) X(show_limits) X(show_maps) X(show_mountinfo) X(show_mounts) X(show_stat) X(show_statm) \
	X(show_status) X(show_net_dev) X(show_net_if6) X(show_net_route6) X(show_net_route) X(show_net_sockstat) \
	X(show_net_inet) X(show_net_unix) X(show_hostname) X(show_boot_id) X(show_uuid)
#define INDEX(fn) S_##fn,
#define POINTER(fn) fn,
enum { S_none, SHOWS(INDEX) };
static const show_fn shows[] = { NULL, SHOWS(POINTER) };

/* Name and text of each entry, one behind the other, so that an entry needs no pointers. */
#define PLACE_(line) at_##line
#define PLACE(line) PLACE_(line)
#define ENTRY(in, sub, mode, show, name, text) char PLACE(__LINE__)[sizeof(name "\0" text)];
static const struct strings {
#include "procfs.def"
} strings = {
#define ENTRY(in, sub, mode, show, name, text) name "\0" text,
#include "procfs.def"
};
#define ENTRY(in, sub, mode, show, name, text) { offsetof(struct strings, PLACE(__LINE__)), mode, in, sub, show },
static const struct pentry entries[] = {
#include "procfs.def"
};

const char *pentry_name(const struct pentry *e) { return (const char *)&strings + e->name; }

/* Text of a file or a symbolic link that is always the same; empty: there is none. */
static const char *text_of(const struct pentry *e)
{
	const char *name = pentry_name(e);
	return name + strlen(name) + 1;
}

static const struct inode_ops dir_ops, file_ops_ro, file_ops_rw, link_ops, magic_ops;
static const struct file_ops text_fops;

static const struct pentry *dir_entry(u8 dir)
{
	for (u32 i = 0; i < ARRAY_SIZE(entries); i++)
		if (entries[i].sub == dir)
			return &entries[i];
	return NULL;
}

static u64 number(const struct pentry *e, u8 dir, int pid, int tid, int fd)
{
	u64 local = e ? e - entries + 1 : 128 + dir;
	return 0x100 + local + ((u64)(tid ? tid : pid) << 32) + ((u64)(fd + 1) << 9);
}

static struct pnode *make(const struct pentry *e, u8 dir, u32 mode, int pid, int tid, int fd)
{
	struct pnode *n = kzalloc(sizeof(*n));
	struct process *p = pid ? process_find(pid) : NULL;

	if (!n)
		return ERR_PTR(-ENOMEM);
	inode_init(&n->i, S_ISDIR(mode) ? &dir_ops : S_ISLNK(mode) ? &link_ops : mode & 0222 ? &file_ops_rw : &file_ops_ro, mode,
		   dir >= S_ROOT || (e && e->in >= S_ROOT) ? DEV_SYSFS : DEV_PROC);
	n->i.ino = number(e, dir, pid, tid, fd);
	n->i.nlink = S_ISDIR(mode) ? 2 : 1;
	if (p) {
		n->i.uid = p->euid;
		n->i.gid = p->egid;
	}
	n->e = e;
	n->dir = dir;
	n->pid = pid;
	n->tid = tid;
	n->fd = fd;
	return n;
}

static struct pnode *make_entry(const struct pentry *e, const struct pnode *dir)
{
	struct pnode *n = make(e, e->sub, e->mode, dir->pid, dir->tid, -1);

	/* These lead to what is open or entered, whatever its name is now. */
	if (!IS_ERR(n) && e->in == P_PID && (!strcmp(pentry_name(e), "cwd") || !strcmp(pentry_name(e), "root")))
		n->i.ops = &magic_ops;
	return n;
}

static long parse(const char *s, size_t len)
{
	long v = 0;

	if (!len || len > 9 || (len > 1 && s[0] == '0'))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + s[i] - '0';
	}
	return v;
}

static struct pnode *numbered(const struct pnode *dir, long v)
{
	struct process *p;
	struct thread *t;
	struct pnode *n;

	switch (dir->dir) {
	case P_ROOT:
		p = process_find(v);
		t = p ? NULL : thread_find(v);
		if (t && t->proc)
			p = t->proc;
		return p ? make(NULL, P_PID, DIR, p->pid, 0, -1) : ERR_PTR(-ENOENT);
	case P_TASK:
		t = thread_find(v);
		if (!t || !t->proc || t->proc->pid != dir->pid)
			return ERR_PTR(-ENOENT);
		return make(NULL, P_TID, DIR, dir->pid, v, -1);
	case P_FD:
	case P_FDINFO:
		n = make(NULL, NO_DIR, dir->dir == P_FD ? 0120700 : FILE_R, dir->pid, dir->tid, v);
		if (IS_ERR(n))
			return n;
		if (!pnode_file(n)) {
			inode_put(&n->i);
			return ERR_PTR(-ENOENT);
		}
		if (dir->dir == P_FD)
			n->i.ops = &magic_ops;
		return n;
	}
	return ERR_PTR(-ENOENT);
}

static struct pnode *parent(const struct pnode *n)
{
	const struct pentry *e;

	switch (n->dir) {
	case P_ROOT:
	case S_ROOT: return make(NULL, n->dir, DIR, 0, 0, -1);
	case P_PID: return make(NULL, P_ROOT, DIR, 0, 0, -1);
	case P_TID: return make(dir_entry(P_TASK), P_TASK, DIR, n->pid, 0, -1);
	}
	e = dir_entry(n->dir);
	if (e->in == P_PID)
		return make(NULL, n->tid ? P_TID : P_PID, DIR, n->pid, n->tid, -1);
	return make(dir_entry(e->in), e->in, DIR, 0, 0, -1);
}

/* The roots are the inodes that are mounted. */
static struct inode *pdir_lookup(struct inode *ino, const char *name, size_t len)
{
	struct pnode *dir = container_of(ino, struct pnode, i), *n = NULL;
	u8 in = dir->dir == P_TID ? P_PID : dir->dir;
	long v = parse(name, len);

	if (name[0] == '.' && len == 1) {
		inode_get(ino);
		return ino;
	}
	if (name[0] == '.' && name[1] == '.' && len == 2) {
		n = parent(dir);
		for (int i = 0; i < nmounts && !IS_ERR(n) && (n->dir == P_ROOT || n->dir == S_ROOT); i++) {
			if (mounts[i].root->dev != n->i.dev)
				continue;
			inode_put(&n->i);
			inode_get(mounts[i].root);
			return mounts[i].root;
		}
	} else if (v >= 0) {
		n = numbered(dir, v);
	} else {
		for (u32 i = 0; i < ARRAY_SIZE(entries) && !n; i++) {
			const struct pentry *e = &entries[i];
			if (e->in == in && !strncmp(pentry_name(e), name, len) && !pentry_name(e)[len] && !(dir->dir == P_TID && e->sub == P_TASK))
				n = make_entry(e, dir);
		}
		if (n && in == P_PID && !IS_ERR(n) && !pnode_process(n)) {
			inode_put(&n->i);
			n = NULL;
		}
	}
	if (!n)
		return ERR_PTR(-ENOENT);
	return IS_ERR(n) ? (void *)n : &n->i;
}

struct lister { bool (*emit)(void *, const char *, size_t, u64, u8, u64); void *arg; u64 *pos; const struct pnode *dir; bool full; };

static bool emit_number(struct lister *l, int v, u8 type, u64 base)
{
	char name[12];
	int len = snprintf(name, sizeof(name), "%d", v);
	u8 sub = l->dir->dir == P_ROOT ? P_PID : l->dir->dir == P_TASK ? P_TID : NO_DIR;
	bool fd = sub == NO_DIR;

	if (base + v < *l->pos)
		return true;
	if (!l->emit(l->arg, name, len, number(NULL, sub, fd ? l->dir->pid : v, fd ? l->dir->tid : 0, fd ? v : -1), type, base + v + 1)) {
		l->full = true;
		return false;
	}
	*l->pos = base + v + 1;
	return true;
}

static bool emit_fd(int fd, struct file *f, void *arg)
{
	struct lister *l = arg;
	return emit_number(l, fd, l->dir->dir == P_FD ? 10 : 8, 1000);
}

/* Smallest number not below min in a list of processes or threads, which have no order. */
static int next_pid(const struct process *of, int min)
{
	int best = 0;

	if (!of) {
		list_for_each(l, &process_list) {
			int pid = list_entry(l, struct process, all)->pid;
			if (pid >= min && (!best || pid < best))
				best = pid;
		}
	} else {
		list_for_each(l, &of->threads) {
			int tid = list_entry(l, struct thread, siblings)->tid;
			if (tid >= min && (!best || tid < best))
				best = tid;
		}
	}
	return best;
}

/* Positions: 0 ".", 1 "..", 2.. the table, from 1000 numbers. */
static int pdir_readdir(struct inode *ino, u64 *pos, bool (*emit)(void *, const char *, size_t, u64, u8, u64), void *arg)
{
	struct pnode *dir = container_of(ino, struct pnode, i);
	struct lister l = { emit, arg, pos, dir, false };
	u8 in = dir->dir == P_TID ? P_PID : dir->dir;
	struct process *p = dir->pid ? pnode_process(dir) : NULL;

	if (dir->pid && !p)
		return -ENOENT;
	for (; *pos < 2; ++*pos)
		if (!emit(arg, "..", *pos + 1, ino->ino, 4, *pos + 1))
			return 0;
	for (; *pos < 2 + ARRAY_SIZE(entries); ++*pos) {
		const struct pentry *e = &entries[*pos - 2];
		if (e->in != in || (dir->dir == P_TID && e->sub == P_TASK))
			continue;
		if (!emit(arg, pentry_name(e), strlen(pentry_name(e)), number(e, e->sub, dir->pid, dir->tid, -1), e->mode >> 12, *pos + 1))
			return 0;
	}
	if (*pos < 1000)
		*pos = 1000;
	if ((dir->dir == P_FD || dir->dir == P_FDINFO) && p->files) {
		fd_each(p->files, emit_fd, &l);
	} else if (dir->dir == P_ROOT || dir->dir == P_TASK) {
		int v;
		while ((v = next_pid(dir->dir == P_ROOT ? NULL : p, *pos - 1000)) && emit_number(&l, v, 4, 1000))
			;
	}
	return 0;
}

static long plink_readlink(struct inode *ino, char *buf, size_t n)
{
	struct pnode *l = container_of(ino, struct pnode, i);
	struct process *p;
	struct file *f;

	if (l->fd >= 0) {
		f = pnode_file(l);
		if (!f)
			return -ENOENT;
		if (!f->path)
			anon_name(f, buf, n);
		else
			snprintf(buf, n, "%s%s", f->path, f->ino && !f->ino->nlink ? " (deleted)" : "");
		return strlen(buf);
	}
	if (l->e->in == P_ROOT && !*text_of(l->e))
		return pentry_name(l->e)[0] == 's' ? snprintf(buf, n, "%d", curproc()->pid) : snprintf(buf, n, "%d/task/%d", curproc()->pid, current()->tid);
	p = pnode_process(l);
	if (l->e->in == P_PID && (!p || !p->fs))
		return -ENOENT;
	if (*text_of(l->e))
		return MIN(strlcpy(buf, text_of(l->e), n), n - 1);
	return MIN(strlcpy(buf, pentry_name(l->e)[0] == 'c' ? p->fs->cwd : p->exe, n), n - 1);
}

static struct inode *plink_follow(struct inode *ino, char *path)
{
	struct pnode *l = container_of(ino, struct pnode, i);
	struct inode *to = NULL;
	struct process *p;
	struct file *f;

	if (l->fd >= 0) {
		f = pnode_file(l);
		if (!f)
			return ERR_PTR(-ENOENT);
		if (f->path)
			strlcpy(path, f->path, PATH_MAX);
		else
			anon_name(f, path, PATH_MAX);
		file_get(f);
		walk_magic_file = f;
		to = f->ino;
	} else {
		p = pnode_process(l);
		if (!p || !p->fs)
			return ERR_PTR(-ENOENT);
		to = pentry_name(l->e)[0] == 'c' ? p->fs->cwd_ino : p->fs->root ? p->fs->root : root_inode;
		strlcpy(path, pentry_name(l->e)[0] == 'c' ? p->fs->cwd : "/", PATH_MAX);
	}
	if (to)
		inode_get(to);
	return to;
}

/* The whole text is made at the first read and at each read from the start. */
static long text_read(struct file *f, struct iter *it, u64 *pos)
{
	struct pnode *n = container_of(f->ino, struct pnode, i);
	struct text *b = f->priv;
	long r;

	if (!*pos || !b->p) {
		b->n = 0;
		b->failed = false;
		if (n->pid && !pnode_process(n))
			return -ESRCH;
		if (n->fd >= 0)
			show_fdinfo(b, n);
		else if (n->e->show)
			shows[n->e->show](b, n);
		else
			text_write(b, text_of(n->e), strlen(text_of(n->e)));
		if (b->failed)
			return -ENOMEM;
	}
	if (*pos >= b->n)
		return 0;
	r = iter_put(it, b->p + *pos, MIN(it->left, b->n - *pos));
	if (r > 0)
		*pos += r;
	return r;
}

static long text_write_op(struct file *f, struct iter *it, u64 *pos)
{
	struct inode *ino = f->ino;
	return ino->ops->write ? ino->ops->write(ino, it, *pos) : -EINVAL;
}

static long text_seek(struct file *f, s64 off, int whence)
{
	return whence == 2 ? -EINVAL : generic_seek(f, off, whence);
}

static void text_release(struct file *f)
{
	struct text *b = f->priv;

	if (b)
		kfree(b->p);
	kfree(b);
}

static int pfile_open(struct inode *ino, struct file *f)
{
	f->priv = kzalloc(sizeof(struct text));
	if (!f->priv)
		return -ENOMEM;
	f->ops = &text_fops;
	return 0;
}

/* comm, the one file that can be written: the name of a thread. */
static long comm_write(struct inode *ino, struct iter *it, u64 off)
{
	struct pnode *n = container_of(ino, struct pnode, i);
	struct thread *t = pnode_thread(n);
	char name[16] = { 0 };
	size_t all = it->left;
	long r;

	if (!t)
		return -ESRCH;
	r = iter_get(it, name, MIN(all, sizeof(name) - 1));
	if (r < 0)
		return r;
	for (u32 i = 0; i < sizeof(name); i++)
		if (name[i] == '\n')
			name[i] = 0;
	memcpy(t->name, name, sizeof(name));
	return all;
}

static void pnode_release(struct inode *ino) { kfree(container_of(ino, struct pnode, i)); }

static const struct inode_ops dir_ops = { .lookup = pdir_lookup, .readdir = pdir_readdir, .release = pnode_release };
static const struct inode_ops file_ops_ro = { .open = pfile_open, .release = pnode_release };
static const struct inode_ops file_ops_rw = { .open = pfile_open, .write = comm_write, .release = pnode_release };
static const struct inode_ops link_ops = { .readlink = plink_readlink, .release = pnode_release };
static const struct inode_ops magic_ops = { .readlink = plink_readlink, .follow = plink_follow, .release = pnode_release };
static const struct file_ops text_fops = { .read = text_read, .write = text_write_op, .seek = text_seek, .release = text_release };

struct inode *procfs_create(void)
{
	struct pnode *n = make(NULL, P_ROOT, DIR, 0, 0, -1);
	return IS_ERR(n) ? NULL : &n->i;
}

struct inode *sysfs_create(void)
{
	struct pnode *n = make(NULL, S_ROOT, DIR, 0, 0, -1);
	return IS_ERR(n) ? NULL : &n->i;
}

int procfs_pid(const struct file *f)
{
	struct pnode *n = f->ino && f->ino->ops == &dir_ops ? container_of(f->ino, struct pnode, i) : NULL;
	return n && n->dir == P_PID ? n->pid : -EBADF;
}
