/* SPDX-License-Identifier: Apache-2.0 */
/* procfs.h: /proc and /sys: one table of names, a function for the text of each file. */
#ifndef UFS_PROCFS_H
#define UFS_PROCFS_H
#include "vfs.h"

struct pnode {
	struct inode i;
	const struct pentry *e; /* NULL for the roots and numbered ones */
	u8 dir;                 /* enum pdir when it is a directory */
	int pid, tid, fd;       /* tid 0: the process; fd -1: none */
};

typedef void (*show_fn)(struct text *b, struct pnode *n);
struct pentry { u16 name, mode; u8 in, sub, show; };
const char *pentry_name(const struct pentry *e);

struct inode *procfs_create(void);
struct inode *sysfs_create(void);

/* proc_process.c */
struct process *pnode_process(const struct pnode *n);
struct thread *pnode_thread(const struct pnode *n);
struct file *pnode_file(const struct pnode *n);
void show_auxv(struct text *b, struct pnode *n);
void show_cmdline(struct text *b, struct pnode *n);
void show_comm(struct text *b, struct pnode *n);
void show_environ(struct text *b, struct pnode *n);
void show_fdinfo(struct text *b, struct pnode *n);
void show_limits(struct text *b, struct pnode *n);
void show_maps(struct text *b, struct pnode *n);
void show_mountinfo(struct text *b, struct pnode *n);
void show_mounts(struct text *b, struct pnode *n);
void show_stat(struct text *b, struct pnode *n);
void show_statm(struct text *b, struct pnode *n);
void show_status(struct text *b, struct pnode *n);

/* proc_system.c */
void show_boot_id(struct text *b, struct pnode *n);
void show_cpuinfo(struct text *b, struct pnode *n);
void show_hostname(struct text *b, struct pnode *n);
void show_loadavg(struct text *b, struct pnode *n);
void show_meminfo(struct text *b, struct pnode *n);
void show_system_stat(struct text *b, struct pnode *n);
void show_uptime(struct text *b, struct pnode *n);
void show_uuid(struct text *b, struct pnode *n);

/* net/procnet.c */
void show_net_dev(struct text *b, struct pnode *n);
void show_net_if6(struct text *b, struct pnode *n);
void show_net_inet(struct text *b, struct pnode *n); /* tcp, tcp6, udp, udp6 */
void show_net_route(struct text *b, struct pnode *n);
void show_net_route6(struct text *b, struct pnode *n);
void show_net_sockstat(struct text *b, struct pnode *n);
void show_net_unix(struct text *b, struct pnode *n);
#endif
