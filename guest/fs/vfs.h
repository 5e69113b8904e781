/* SPDX-License-Identifier: Apache-2.0 */
/* vfs.h: what the files of guest/fs share: walking paths, opening, mounts, text of generated files. */
#ifndef UFS_VFS_H
#define UFS_VFS_H
#include "errno.h"
#include "fs.h"
#include "platform.h"
#include "syscall.h"
#include "time.h"
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/inotify.h>
#include <linux/stat.h>

#undef PATH_MAX
#undef NAME_MAX
#define PATH_MAX 4096
#define NAME_MAX 255
#define RLIMIT_FSIZE 1
#define RLIMIT_NOFILE 7
#define O_ACCMODE_PATH (O_ACCMODE | O_PATH)
#define MAX_RW_COUNT 0x7ffff000UL /* Linux moves no more in one call */
#define MAX_FILE_SIZE 0x7ffffffffffff000UL
#define IN_USER(dfd) ((int)(dfd))
#define S_IALL 07777

#define MAY_EXEC 1
#define MAY_WRITE 2
#define MAY_READ 4

/* Capabilities that files ask for. */
#define CAP_CHOWN 0
#define CAP_DAC_OVERRIDE 1
#define CAP_DAC_READ_SEARCH 2
#define CAP_FOWNER 3
#define CAP_FSETID 4
#define CAP_SYS_CHROOT 18
#define CAP_SYS_ADMIN 21
#define CAP_SYS_RESOURCE 24
#define CAP_MKNOD 27
#define CAP_LEASE 28
#define CAP_SETFCAP 31
static inline bool capable(int cap)
{
	struct thread *t = current();
	return !t || !t->proc || t->proc->cap_eff >> cap & 1; /* boot may all */
}

/* Device numbers as stat shows them (st_dev). */
#define DEV_ROOT 0x15
#define DEV_PROC 0x16
#define DEV_DEVTMP 0x17
#define DEV_SYSFS 0x18
#define DEV_SHM 0x19
#define DEV_PTS 0x1a
#define DEV_TMP 0x1b /* where the root is read-only */
#define DEV_ANON 0xd
#define DEV_PIPE 0xc
static inline u64 mkdev(u32 major, u32 minor)
{
	return (u64)(major & 0xfffff000) << 32 | (u64)(major & 0xfff) << 8 | (u64)(minor & 0xffffff00) << 12 | (minor & 0xff);
}

/* ---- fdtable.c ---- */
struct fdtable {
	u32 refs, cap, hint; /* hint: no free descriptor is below it */
	struct file **f;
	u64 *cloexec;
};
static inline struct file *fd_peek(int fd)
{
	struct fdtable *t = curproc()->files;
	return (u32)fd < t->cap ? t->f[fd] : NULL;
}
int fd_close(struct fdtable *t, int fd);
int fd_set_cloexec(int fd, bool on);
bool fd_is_cloexec(int fd);

/* ---- inode.c ---- */
void inode_init(struct inode *ino, const struct inode_ops *ops, u32 mode, u32 dev);
bool inode_owner(const struct inode *ino); /* may current change mode and times */
void inode_fill_owner(struct inode *ino, const struct inode *dir);
bool in_group(u32 gid);                      /* is it one of current's, as files see them */
void inode_drop_setid(struct inode *ino, bool always); /* a change of data or (always) of owner takes the set-id bits away */

/* ---- file.c: operations of regular files and directories ---- */
extern const struct file_ops regular_fops, directory_fops, path_fops;
long generic_seek(struct file *f, s64 off, int whence);
static inline bool file_readable(const struct file *f) { return (f->flags & O_ACCMODE_PATH) == O_RDONLY || (f->flags & O_ACCMODE_PATH) == O_RDWR; }
static inline bool file_writable(const struct file *f) { return (f->flags & O_ACCMODE_PATH) == O_WRONLY || (f->flags & O_ACCMODE_PATH) == O_RDWR; }
/* Checks RLIMIT_FSIZE and the largest size: bytes that may be written at off, or -EFBIG (with SIGXFSZ). */
long file_size_limit(u64 off, u64 n);

/* ---- path.c ---- */
#define W_FOLLOW 1     /* follow a symbolic link in the last component */
#define W_PARENT 2     /* stop before the last component */
#define W_MISSING 4    /* the last component need not exist (O_CREAT: it may not end in a slash either) */
#define W_EMPTY 8      /* an empty path names the descriptor itself */
#define W_DIRECTORY 16 /* the result must be a directory */
#define PATH_LOST "/..." /* how walk.abs starts below directories that no path reaches */
enum walk_last { LAST_NORM, LAST_DOT, LAST_DOTDOT, LAST_ROOT, LAST_MAGIC };
struct walk {
	struct inode *dir;     /* directory of the last component, when last is LAST_NORM */
	struct inode *ino;     /* result; NULL after W_PARENT and for a missing one */
	const char *name;      /* last component, not terminated */
	u32 len;
	u32 resolve;           /* RESOLVE_* of openat2, set by the caller between walk_get and walk_path */
	enum walk_last last;
	bool slash;            /* the path ended in a slash */
	bool busy;
	struct file *magic;    /* LAST_MAGIC: the open file behind a /proc/PID/fd link that has no inode */
	struct inode *base;    /* RESOLVE_IN_ROOT: what stands for / in this walk; referenced */
	u32 baselen;
	u32 abslen;
	char abs[PATH_MAX];    /* the absolute path walked so far */
	char work[PATH_MAX];   /* what is left to walk */
};
struct walk *walk_get(void); /* NULL: no memory */
void walk_put(struct walk *w);
/* Walks w->work from the directory dfd. */
int walk_path(struct walk *w, int dfd, int flags);
/* All in one for a path of the program; *out is to be given back with walk_put, also when an error is returned it is done. */
int walk_user(struct walk **out, int dfd, const char *upath, int flags);
/* The inode of a path, referenced. AT_EMPTY_PATH works through flags. */
struct inode *walk_inode(int dfd, const char *upath, int flags);
/* Set by a follow op that found an open file without an inode; see walk.magic. */
extern struct file *walk_magic_file;

/* ---- fsctx.c, mount.c ---- */
extern struct inode *root_inode;
struct inode *root_here(void); /* what / is to current; borrowed */
struct mount { struct inode *covered, *root; const char *path, *type, *opts; };
extern struct mount mounts[];
extern int nmounts;
struct inode *mount_cross_down(struct inode *ino); /* takes and gives a reference */
struct inode *mount_cross_up(struct inode *ino);   /* root of a mount -> what it covers */
struct inode *root_create(void);
static inline bool has_lower_root(void) { return BOOT->layers || (BOOT->flags & UFS_BOOT_FILES); }
struct inode *dev_create(void);
bool read_only_root(const struct inode *ino); /* it is in the root file system, and nobody may change that */
struct inode *memory_create(u64 limit, u32 dev, const char *type, u32 mode);

/* ---- open.c ---- */
bool inode_running(const struct inode *ino); /* is it the program of a process */
struct file *open_walked(struct walk *w, int dfd, u32 flags, u32 mode);

/* ---- stat.c ---- */
void stat_file(struct file *f, struct stat *st);
void stat_inode(const struct inode *ino, struct stat *st);
const char *anon_name(const struct file *f, char *buf, size_t n); /* as /proc/self/fd shows it */

/* ---- tmpfs.c, for O_TMPFILE and statfs ---- */
struct inode *tmpfs_tmpfile(struct inode *dir, u32 mode, bool linkable);
bool tmpfs_usage(const struct inode *ino, u64 *limit, u64 *used);
int tmpfs_linkable(const struct inode *ino);
/* The first offset from off on with data (or in a hole: the end is one); what is not in memory is all data. off is below the size. */
long tmpfs_next(struct inode *ino, u64 off, bool data);
int tmpfs_fallocate(struct inode *ino, u32 mode, u64 off, u64 len);
long tmpfs_seals(struct inode *ino, bool add, u32 seals);

/* ---- pipe.c ---- */
int fifo_open(struct inode *ino, struct file *f);
bool file_is_pipe(const struct file *f);
long pipe_unread(struct file *f, const void *p, size_t n);
long pipe_size(struct file *f, bool set, u64 n);
long pipe_wait_data(struct file *f, bool nonblock); /* bytes there, 0 at the end, or negative errno */
long pipe_wait_room(struct file *f, bool nonblock);
long pipe_tee(struct file *in, struct file *out, u64 n); /* copies what is there and fits, without taking it */

/* ---- devfs.c, random.c ---- */
extern const struct file_ops random_fops, snapdev_fops;
void snapdev_open(struct file *f);
int chrdev_open(struct inode *ino, struct file *f, bool noctty);
bool chrdev_known(u64 rdev);

/* ---- pty.c ---- */
bool pty_device(u64 rdev);
int pty_open(u64 rdev, struct file *f, bool noctty);
struct inode *pts_create(struct inode *root); /* what is mounted at /dev/pts; takes root (NULL if there is none) */

/* ---- inotify.c: what happened, to those who watch. Costs a test of watch_count when nobody does. ---- */
struct moved { struct inode *ino, *from, *to, *replaced; const char *old, *new; u32 oldlen, newlen; };
extern u32 watch_count;
void notify_watches(struct inode *ino, u32 mask, u32 cookie, const char *name, u32 len); /* ino's own watches */
void notify_inode(struct inode *ino, u32 mask);                                           /* its own and its directory's */
void notify_moved(const struct moved *m);
void notify_gone(struct inode *ino);                                                      /* from inode_put */
static inline void notify(struct inode *ino, u32 mask)
{
	if (unlikely(watch_count) && ino)
		notify_inode(ino, mask);
}
static inline void notify_name(struct inode *dir, u32 mask, bool isdir, const char *name, u32 len)
{
	if (unlikely(watch_count))
		notify_watches(dir, mask | (isdir ? IN_ISDIR : 0), 0, name, len);
}

/* ---- lock.c ---- */
extern u32 lock_count;
void locks_drop(struct inode *ino, const void *owner);
long lock_fcntl(int fd, struct file *f, int cmd, u64 arg);

/* ---- times ---- */
static inline void ktime_from_ns(u64 ns, unsigned long *sec, unsigned long *nsec) { *sec = ns / NSEC; *nsec = ns % NSEC; }

/* ---- text of generated files ---- */
struct text { char *p; size_t n, cap; bool failed; };
void text_printf(struct text *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_write(struct text *b, const void *s, size_t n);

/* ---- uname.c ---- */
#define UFS_OSRELEASE "6.1.0-unifaas"
#define UFS_OSVERSION "#1 SMP UniFaaS"
const char *boot_hostname(void);
void set_hostname(const char *name, u32 n);
const char *boot_string(u32 off); /* a string of the boot block, "" if it is not inside */
/* async.c */
long async_set(struct file *f, int fd, bool on); /* -ENOTTY: not this kind of file */
long async_owner(struct file *f, bool set, int owner);
long async_owner_ex(struct file *f, bool set, u64 arg); /* struct f_owner_ex */
long async_signal(struct file *f, bool set, u64 signo);
void async_gone(struct file *f);                 /* f->async is not NULL */
#endif
