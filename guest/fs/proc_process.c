/* SPDX-License-Identifier: Apache-2.0 */
/* proc_process.c: texts of /proc/PID. */
#include "../proc/stack.h"
#include "procfs.h"

#define CLOCK_TICKS 100 /* a second, for stat */

struct process *pnode_process(const struct pnode *n) { return process_find(n->pid); }

struct thread *pnode_thread(const struct pnode *n) { return thread_find(n->tid ? n->tid : n->pid); }

struct file *pnode_file(const struct pnode *n)
{
	struct process *p = pnode_process(n);
	struct fdtable *t = p ? p->files : NULL;

	return t && (u32)n->fd < t->cap ? t->f[n->fd] : NULL;
}

/* Only the running process's memory is there to be read. */
static bool is_self(const struct pnode *n) { return n->pid == curproc()->pid; }

void show_auxv(struct text *b, struct pnode *n)
{
	const u64 *v;
	size_t len = stack_auxv(&v);

	if (is_self(n))
		text_write(b, v, len);
}

void show_cmdline(struct text *b, struct pnode *n)
{
	struct process *p = pnode_process(n);
	if (p->cmdline)
		text_write(b, p->cmdline, p->cmdline_len);
}

void show_comm(struct text *b, struct pnode *n)
{
	struct thread *t = pnode_thread(n);
	text_printf(b, "%s\n", t ? t->name : "");
}

void show_environ(struct text *b, struct pnode *n)
{
	struct process *p = pnode_process(n);
	char chunk[256];

	if (!is_self(n) || p->env_end <= p->env_start)
		return;
	for (u64 at = p->env_start; at < p->env_end && !b->failed;) {
		size_t k = MIN(p->env_end - at, sizeof(chunk));
		if (copy_from_user(chunk, (void *)at, k))
			return;
		text_write(b, chunk, k);
		at += k;
	}
}

void show_fdinfo(struct text *b, struct pnode *n)
{
	struct file *f = pnode_file(n);

	if (f)
		text_printf(b, "pos:\t%lu\nflags:\t0%o\nmnt_id:\t%d\nino:\t%lu\n", (unsigned long)(f->ops->seek ? f->pos : 0), f->flags,
			    20, (unsigned long)(f->ino ? f->ino->ino : 0));
}

static void limit_value(struct text *b, u64 v)
{
	if (v == ~0UL)
		text_printf(b, "%-21s", "unlimited");
	else
		text_printf(b, "%-21lu", (unsigned long)v);
}

void show_limits(struct text *b, struct pnode *n)
{
	static const struct { char name[24], unit[10]; } l[16] = {
		{ "Max cpu time", "seconds" }, { "Max file size", "bytes" }, { "Max data size", "bytes" }, { "Max stack size", "bytes" },
		{ "Max core file size", "bytes" }, { "Max resident set", "bytes" }, { "Max processes", "processes" },
		{ "Max open files", "files" }, { "Max locked memory", "bytes" }, { "Max address space", "bytes" },
		{ "Max file locks", "locks" }, { "Max pending signals", "signals" }, { "Max msgqueue size", "bytes" },
		{ "Max nice priority", "" }, { "Max realtime priority", "" }, { "Max realtime timeout", "us" },
	};
	struct process *p = pnode_process(n);

	text_printf(b, "%-26s%-21s%-21s%-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (int i = 0; i < 16; i++) {
		text_printf(b, "%-26s", l[i].name);
		limit_value(b, p->rlim[i].cur);
		limit_value(b, p->rlim[i].max);
		text_printf(b, "%-10s\n", l[i].unit);
	}
}

static void show_map(const struct mapinfo *m, void *arg)
{
	struct text *b = arg;
	size_t line = b->n;
	u64 dev = m->ino ? m->ino->dev : 0;

	text_printf(b, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)m->start, (unsigned long)m->end, m->prot & 1 ? 'r' : '-',
		    m->prot & 2 ? 'w' : '-', m->prot & 4 ? 'x' : '-', m->flags & 1 ? 's' : 'p', (unsigned long)m->off, (u32)(dev >> 8 & 0xfff),
		    (u32)(dev & 0xff), (unsigned long)(m->ino ? m->ino->ino : 0));
	if (m->name) {
		while (b->n - line < 73 && !b->failed)
			text_write(b, " ", 1);
		text_printf(b, "%s", m->name);
	}
	text_write(b, "\n", 1);
}

void show_maps(struct text *b, struct pnode *n)
{
	struct process *p = pnode_process(n);
	if (p->mm)
		mm_each(p->mm, show_map, b);
}

void show_mounts(struct text *b, struct pnode *n)
{
	for (int i = 0; i < nmounts; i++)
		text_printf(b, "%s %s %s %s 0 0\n", mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].opts);
}

void show_mountinfo(struct text *b, struct pnode *n)
{
	for (int i = 0; i < nmounts; i++) {
		const char *o = mounts[i].opts;
		text_printf(b, "%d %d 0:%u / %s %s - %s %s %.2s\n", 20 + i, i == 0 ? 1 : i >= 4 ? 23 : 20, (u32)mounts[i].root->dev, mounts[i].path,
			    o, mounts[i].type, mounts[i].type, o);
	}
}

static char state_letter(const struct thread *t)
{
	switch (t ? t->state : T_DEAD) {
	case T_RUNNABLE: return 'R';
	case T_BLOCKED: return 'S';
	case T_STOPPED: return 'T';
	default: return 'Z';
	}
}

static void get_mm(struct process *p, struct mmstat *st)
{
	memset(st, 0, sizeof(*st));
	if (p->mm)
		mm_stat(p->mm, st);
}

void show_stat(struct text *b, struct pnode *n)
{
	struct process *p = pnode_process(n);
	struct thread *t = pnode_thread(n);
	unsigned long ticks = (n->tid && t ? t->cpu_ns : process_cpu_ns(p)) / (NSEC / CLOCK_TICKS);
	struct mmstat st;

	get_mm(p, &st);
	text_printf(b, "%d (%s) %c %d %d %d 0 -1 0 0 0 0 0 %lu 0 0 0 20 0 %d 0 ", n->tid ? n->tid : p->pid, t ? t->name : "", state_letter(t),
		    p->parent ? p->parent->pid : 0, p->pgid, p->sid, ticks, p->nthreads);
	text_printf(b, "%lu %lu %lu ", (unsigned long)(p->start_ns / (NSEC / CLOCK_TICKS)), (unsigned long)st.vsize,
		    (unsigned long)(st.rss / PAGE_SIZE));
	text_printf(b, "18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 %lu %lu %lu %lu 0\n", (unsigned long)p->arg_start,
		    (unsigned long)p->env_start, (unsigned long)p->env_start, (unsigned long)p->env_end);
}

void show_statm(struct text *b, struct pnode *n)
{
	struct mmstat st;

	get_mm(pnode_process(n), &st);
	text_printf(b, "%lu %lu 0 %lu 0 %lu 0\n", (unsigned long)(st.vsize / PAGE_SIZE), (unsigned long)(st.rss / PAGE_SIZE),
		    (unsigned long)(st.text / PAGE_SIZE), (unsigned long)((st.data + st.stack) / PAGE_SIZE));
}

void show_status(struct text *b, struct pnode *n)
{
	struct process *p = pnode_process(n);
	struct thread *t = pnode_thread(n);
	struct mmstat st;
	char s = state_letter(t);

	get_mm(p, &st);
	text_printf(b, "Name:\t%s\nUmask:\t%04o\nState:\t%c (%s)\n", t ? t->name : "", p->fs ? p->fs->umask : 0, s,
		    s == 'R' ? "running" : s == 'S' ? "sleeping" : s == 'T' ? "stopped" : "zombie");
	text_printf(b, "Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", p->pid, n->tid ? n->tid : p->pid, p->parent ? p->parent->pid : 0);
	text_printf(b, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", p->uid, p->euid, p->euid, p->euid, p->gid, p->egid, p->egid, p->egid);
	text_printf(b, "FDSize:\t%u\nGroups:\t \n", p->files ? p->files->cap : 0);
	text_printf(b, "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t       0 kB\nVmPin:\t       0 kB\n", (unsigned long)st.vsize >> 10,
		    (unsigned long)st.vsize >> 10);
	text_printf(b, "VmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\nVmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\nVmSwap:\t       0 kB\n",
		    (unsigned long)st.rss >> 10, (unsigned long)st.rss >> 10, (unsigned long)st.data >> 10, (unsigned long)st.stack >> 10,
		    (unsigned long)st.text >> 10);
	u64 ignored, caught;
	signal_sets(p, &ignored, &caught);
	text_printf(b, "Threads:\t%d\nSigQ:\t0/%lu\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n", p->nthreads,
		    (unsigned long)p->rlim[11].cur, (unsigned long)(t ? t->sigpending : 0), (unsigned long)p->sigpending,
		    (unsigned long)(t ? t->sigmask : 0), (unsigned long)ignored, (unsigned long)caught);
	text_printf(b, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016x\nNoNewPrivs:\t%d\n", (unsigned long)p->cap_inh,
		    (unsigned long)p->cap_perm, (unsigned long)p->cap_eff, (unsigned long)p->cap_bset, 0, p->no_new_privs);
	text_printf(b, "Seccomp:\t0\nCpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
}
