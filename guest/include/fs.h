/* SPDX-License-Identifier: Apache-2.0 */
/* fs.h: files, inodes, paths, descriptors, polling. */
#ifndef UFS_FS_H
#define UFS_FS_H
#include "ufs.h"
#include "proc.h"
#include "mm.h"
#include "random.h"

/* One inode layout for all file systems; ops decide. */
struct inode {
	const struct inode_ops *ops;
	u32 refs, mode, nlink, uid, gid;   /* mode with S_IFMT */
	bool ran;                          /* was executed: may be the program of a process */
	u64 ino, dev, rdev, size, blocks;
	u64 atime_ns, mtime_ns, ctime_ns;
	void *priv;
	struct inode *next_dead;               /* inode.c: waiting for release */
	struct watch *watches;                 /* fs/inotify.c */
};
struct stat_k;                            /* struct stat of x86-64 */
struct inode_ops {
	/* Directory. Names are kernel strings of len bytes; results carry a reference; errors as ERR_PTR / negative errno. */
	struct inode *(*lookup)(struct inode *dir, const char *name, size_t len);
	struct inode *(*create)(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev);
	int (*symlink)(struct inode *dir, const char *name, size_t len, const char *target);
	int (*link)(struct inode *dir, const char *name, size_t len, struct inode *target);
	int (*unlink)(struct inode *dir, const char *name, size_t len, bool isdir);
	int (*rename)(struct inode *odir, const char *oname, size_t olen, struct inode *ndir, const char *nname, size_t nlen, u32 flags);
	/* Calls emit for each entry from *pos on; emit returns false when full. */
	int (*readdir)(struct inode *dir, u64 *pos, bool (*emit)(void *arg, const char *name, size_t len, u64 ino, u8 type, u64 next), void *arg);
	long (*readlink)(struct inode *ino, char *buf, size_t n);
	/* Data. */
	long (*read)(struct inode *ino, struct iter *it, u64 off);
	long (*write)(struct inode *ino, struct iter *it, u64 off);
	int (*truncate)(struct inode *ino, u64 size);
	/* The page at byte offset off (page-aligned) for mapping. write: the caller will store to it (shared mapping).
	 * Returns a libos address of PAGE_SIZE bytes: in the physmap (reference taken with page_get) or in the image
	 * window or the files area (never written; there while the file is referenced). ERR_PTR(-ENODEV) if it cannot be mapped, -EFAULT past the end of the
	 * file (SIGBUS), -EPERM if a seal forbids writing. NULL ops: not mappable. */
	void *(*page)(struct inode *ino, u64 off, bool write);
	/* Before a mapping is made, may sleep: afterwards page() does not. 0, or 1: pages are dear to touch, reading is cheaper; negative
	 * errno. NULL: nothing to do. */
	int (*prepare)(struct inode *ino);
	int (*open)(struct inode *ino, struct file *f);     /* may replace f->ops, f->priv */
	int (*setattr)(struct inode *ino);                  /* mode, uid, gid, times were changed */
	void (*release)(struct inode *ino);                 /* last reference is gone */
	struct inode *(*follow)(struct inode *ino, char *path); /* magic link: the inode it leads to, its path (PATH_MAX bytes) */
};
static inline int inode_prepare(struct inode *ino) { return ino->ops->prepare ? ino->ops->prepare(ino) : 0; }
void inode_get(struct inode *ino);
void inode_put(struct inode *ino);
u64 inode_new_number(void);

struct poll_table;                        /* fs/poll.c: registers waiters */
struct file {
	const struct file_ops *ops;
	u32 refs, flags;                       /* O_* status flags and access mode */
	u64 pos;
	struct inode *ino;                     /* NULL for anonymous ones */
	char *path;                            /* absolute, for /proc/self/fd and getcwd; may be NULL */
	void *priv;
	struct list epolls;                    /* fs/epoll.c: registrations on this file */
	struct async *async;                   /* fs/async.c: who gets signals about it, NULL nobody ever */
};
struct file_ops {
	long (*read)(struct file *f, struct iter *it, u64 *pos);
	long (*write)(struct file *f, struct iter *it, u64 *pos);
	long (*ioctl)(struct file *f, u64 cmd, u64 arg);
	/* POLL* bits that hold now; when pt is not NULL, also poll_wait() on each queue that announces changes. */
	u32 (*poll)(struct file *f, struct poll_table *pt);
	long (*seek)(struct file *f, s64 off, int whence); /* NULL: ESPIPE */
	int (*readdir)(struct file *f, u64 *pos, bool (*emit)(void *, const char *, size_t, u64, u8, u64), void *arg);
	void (*release)(struct file *f);                    /* last reference is gone; f->priv is yours */
	const char *name;                                   /* "pipe", "[eventfd]", "socket": /proc/self/fd of anonymous ones */
};
void poll_wait(struct poll_table *pt, struct waitq *q);
#define POLLIN 1
#define POLLPRI 2
#define POLLOUT 4
#define POLLERR 8
#define POLLHUP 0x10
#define POLLNVAL 0x20
#define POLLRDNORM 0x40
#define POLLRDBAND 0x80
#define POLLWRNORM 0x100
#define POLLRDHUP 0x2000

struct file *file_alloc(const struct file_ops *ops, u32 flags, void *priv); /* refs 1; NULL out of memory */
void file_get(struct file *f);
void file_put(struct file *f);

/* fs/pipe.c: both ends of a new pipe, each with one reference; flags: O_NONBLOCK of both. 0 or -ENOMEM. */
int pipe_pair(struct file **r, struct file **w, u32 flags);

/* Descriptors (fs/fdtable.c). */
struct fdtable *fdtable_create(void);
struct fdtable *fdtable_copy(struct fdtable *t);
void fdtable_get(struct fdtable *t);
void fdtable_put(struct fdtable *t);
void fdtable_cloexec(struct fdtable *t);              /* at exec */
struct file *fd_get(int fd);                          /* referenced; NULL: EBADF, also for what was opened with O_PATH */
struct file *fd_get_any(int fd);                      /* that too: for calls that only pass it on */
struct file *fd_get_from(struct fdtable *t, int fd);  /* of another process */
/* Is there a descriptor left? 0 or -EMFILE. */
int fd_room(void);
/* Lowest free descriptor >= min; takes over the caller's reference on success. fd, -EMFILE. */
int fd_install(struct file *f, int min, bool cloexec);
int fd_install_at(struct fdtable *t, int fd, struct file *f, bool cloexec);
int fd_close(struct fdtable *t, int fd);              /* 0 or -EBADF */
void fd_each(struct fdtable *t, bool (*fn)(int fd, struct file *f, void *arg), void *arg);

/* Paths (fs/path.c). */
struct fsctx { u32 refs; u32 umask; char *cwd; struct inode *cwd_ino, *root; }; /* root: NULL unless chroot changed it */
struct fsctx *fsctx_create(void);
struct fsctx *fsctx_copy(struct fsctx *c);
void fsctx_get(struct fsctx *c);
void fsctx_put(struct fsctx *c);
/* Open by path from the kernel (exec, boot). ERR_PTR on error. */
#define O_EXEC_KERNEL 040 /* for file_open_kernel: only a file that can hold a program, others are not even opened */
struct file *file_open_kernel(const char *path, u32 flags, u32 mode);
long file_read_kernel(struct file *f, void *buf, size_t n, u64 off);
/* The inode at an absolute path (follow: a last symbolic link too), referenced; ERR_PTR on error. */
int procfs_pid(const struct file *f); /* of which process f is the folder in /proc; -EBADF: none */
struct inode *path_lookup_kernel(const char *path, bool follow);
/* Makes a node (S_IFSOCK for AF_UNIX) relative to the current directory; its inode, referenced; -EEXIST if the name is taken. */
struct inode *path_mknod_kernel(const char *path, u32 mode, u64 rdev);
/* May current do this (4 read, 2 write, 1 execute or search)? 0 or -EACCES. */
int inode_may(struct inode *ino, int mask);
/* Is it open for writing? Then it is not executed (fs/open.c). */
bool inode_written(const struct inode *ino);
/* An unnamed file in memory, for shared anonymous mappings (fs/memfd.c); its inode, referenced; ERR_PTR on error. */
struct inode *shm_inode_create(u64 size);
/* fs/epoll.c: the last reference to f goes, drop the registrations in f->epolls. */
void epoll_file_gone(struct file *f);
void tty_session_end(int sid); /* fs/pty.c: its leader is gone */
void fs_init(void);   /* mounts: EROFS image + overlay at /, proc, dev, tmp */
void console_open_std(struct fdtable *t); /* descriptors 0, 1, 2 */
bool console_is_ctty(void);               /* is it a terminal, and that of current's session */
int console_open_tty(struct file *f);     /* f becomes the console's terminal; -ENXIO if it is none */
#endif
