/* SPDX-License-Identifier: Apache-2.0 */
/* cred.c: users, groups and capabilities. The instance is the boundary; inside it they only have to add up as on Linux. */
#include "internal.h"
#include "syscall.h"

#define CAP_SETGID 6
#define CAP_SETUID 7
#define CAP_SETPCAP 8
#define CAPS_FILES (0x1fULL | CAP(9) | CAP(27) | CAP(32)) /* CHOWN to FSETID, LINUX_IMMUTABLE, MKNOD, MAC_OVERRIDE */
#define KEEP ((u32)-1)
#define GROUPS_MAX 65536

static bool one_of(u32 id, u32 r, u32 e, u32 s)
{
	return id == KEEP || id == r || id == e || id == s;
}

static bool capable(int cap) { return curproc()->cap_eff & CAP(cap); }

SYSCALL(getuid) { return curproc()->uid; }
SYSCALL(getgid) { return curproc()->gid; }
SYSCALL(geteuid) { return curproc()->euid; }
SYSCALL(getegid) { return curproc()->egid; }

/* Capabilities follow a change of user: leaving root drops them, coming back makes them effective again. */
static void uids_changed(struct process *p, u32 ruid, u32 euid, u32 suid)
{
	bool was_root = !ruid || !euid || !suid, is_root = !p->uid || !p->euid || !p->suid;
	if (was_root && !is_root && !p->keep_caps)
		p->cap_perm = p->cap_eff = 0;
	if (!euid && p->euid)
		p->cap_eff = 0;
	if (euid && !p->euid)
		p->cap_eff = p->cap_perm;
	p->fsuid = p->euid;
}

static void set_uids(u32 r, u32 e, u32 s)
{
	struct process *p = curproc();
	u32 oldr = p->uid, olde = p->euid, olds = p->suid;
	p->uid = r;
	p->euid = e;
	p->suid = s;
	uids_changed(p, oldr, olde, olds);
}

static void set_gids(u32 r, u32 e, u32 s)
{
	struct process *p = curproc();
	p->gid = r;
	p->egid = p->fsgid = e;
	p->sgid = s;
}

SYSCALL(setuid)
{
	struct process *p = curproc();
	u32 u = (u32)a;
	if (u == KEEP)
		return -EINVAL;
	if (capable(CAP_SETUID))
		set_uids(u, u, u);
	else if (u == p->uid || u == p->suid)
		set_uids(p->uid, u, p->suid);
	else
		return -EPERM;
	return 0;
}

SYSCALL(setgid)
{
	struct process *p = curproc();
	u32 g = (u32)a;
	if (g == KEEP)
		return -EINVAL;
	if (capable(CAP_SETGID))
		set_gids(g, g, g);
	else if (g == p->gid || g == p->sgid)
		set_gids(p->gid, g, p->sgid);
	else
		return -EPERM;
	return 0;
}

SYSCALL(setreuid)
{
	struct process *p = curproc();
	u32 nr = (u32)a, ne = (u32)b;
	if (!capable(CAP_SETUID) && ((nr != KEEP && nr != p->uid && nr != p->euid) || !one_of(ne, p->uid, p->euid, p->suid)))
		return -EPERM;
	bool saved = nr != KEEP || (ne != KEEP && ne != p->uid);
	if (ne == KEEP)
		ne = p->euid;
	set_uids(nr == KEEP ? p->uid : nr, ne, saved ? ne : p->suid);
	return 0;
}

SYSCALL(setregid)
{
	struct process *p = curproc();
	u32 nr = (u32)a, ne = (u32)b;
	if (!capable(CAP_SETGID) && ((nr != KEEP && nr != p->gid && nr != p->egid) || !one_of(ne, p->gid, p->egid, p->sgid)))
		return -EPERM;
	bool saved = nr != KEEP || (ne != KEEP && ne != p->gid);
	if (ne == KEEP)
		ne = p->egid;
	set_gids(nr == KEEP ? p->gid : nr, ne, saved ? ne : p->sgid);
	return 0;
}

SYSCALL(setresuid)
{
	struct process *p = curproc();
	u32 v[3] = { (u32)a, (u32)b, (u32)c }, old[3] = { p->uid, p->euid, p->suid };
	for (int i = 0; i < 3; i++) {
		if (!capable(CAP_SETUID) && !one_of(v[i], p->uid, p->euid, p->suid))
			return -EPERM;
		v[i] = v[i] == KEEP ? old[i] : v[i];
	}
	set_uids(v[0], v[1], v[2]);
	return 0;
}

SYSCALL(setresgid)
{
	struct process *p = curproc();
	u32 v[3] = { (u32)a, (u32)b, (u32)c }, old[3] = { p->gid, p->egid, p->sgid };
	for (int i = 0; i < 3; i++) {
		if (!capable(CAP_SETGID) && !one_of(v[i], p->gid, p->egid, p->sgid))
			return -EPERM;
		v[i] = v[i] == KEEP ? old[i] : v[i];
	}
	set_gids(v[0], v[1], v[2]);
	return 0;
}

static long put3(u64 a, u64 b, u64 c, u32 x, u32 y, u32 z)
{
	return put_user(x, (u32 *)a) || put_user(y, (u32 *)b) || put_user(z, (u32 *)c) ? -EFAULT : 0;
}

SYSCALL(getresuid) { return put3(a, b, c, curproc()->uid, curproc()->euid, curproc()->suid); }
SYSCALL(getresgid) { return put3(a, b, c, curproc()->gid, curproc()->egid, curproc()->sgid); }

SYSCALL(setfsuid)
{
	struct process *p = curproc();
	u32 old = p->fsuid, u = (u32)a;
	if (u == KEEP || (!capable(CAP_SETUID) && u != old && !one_of(u, p->uid, p->euid, p->suid)))
		return old;
	p->fsuid = u;
	if (!old && u) /* what root may do to files goes and comes with it */
		p->cap_eff &= ~CAPS_FILES;
	else if (old && !u)
		p->cap_eff |= p->cap_perm & CAPS_FILES;
	return old;
}

SYSCALL(setfsgid)
{
	struct process *p = curproc();
	u32 old = p->fsgid, g = (u32)a;
	if (g != KEEP && (capable(CAP_SETGID) || g == old || one_of(g, p->gid, p->egid, p->sgid)))
		p->fsgid = g;
	return old;
}

SYSCALL(getgroups)
{
	struct groups *g = curproc()->groups;
	int n = g ? (int)g->n : 0;
	if ((int)a < 0 || ((int)a && (int)a < n))
		return -EINVAL;
	if ((int)a && n && copy_to_user((void *)b, g->gid, n * sizeof(g->gid[0])))
		return -EFAULT;
	return n;
}

SYSCALL(setgroups)
{
	struct process *p = curproc();
	u32 n = (u32)a;
	struct groups *g = NULL;
	if (!capable(CAP_SETGID))
		return -EPERM;
	if (n > GROUPS_MAX)
		return -EINVAL;
	if (n) {
		g = kmalloc(sizeof(*g) + n * sizeof(g->gid[0]));
		if (!g)
			return -ENOMEM;
		g->n = n;
		if (copy_from_user(g->gid, (void *)b, n * sizeof(g->gid[0]))) {
			kfree(g);
			return -EFAULT;
		}
	}
	kfree(p->groups);
	p->groups = g;
	return 0;
}

/* ---- capabilities ---- */

#define CAP_V1 0x19980330U
#define CAP_V2 0x20071026U
#define CAP_V3 0x20080522U
struct cap_header { u32 version; int pid; };
struct cap_data { u32 effective, permitted, inheritable; };

/* Words of data that the version has; an unknown version is answered with the newest. */
static int cap_words(const struct cap_header *h, void *uhdr)
{
	if (h->version == CAP_V1)
		return 1;
	if (h->version == CAP_V2 || h->version == CAP_V3)
		return 2;
	return put_user(CAP_V3, (u32 *)uhdr) ? -EFAULT : -EINVAL;
}

SYSCALL(capget)
{
	struct cap_header h;
	struct cap_data d2[2];
	if (copy_from_user(&h, (void *)a, sizeof(h)))
		return -EFAULT;
	int n = cap_words(&h, (void *)a);
	if (n < 0)
		return n == -EINVAL && !b ? 0 : n;
	if (h.pid < 0)
		return -EINVAL;
	struct thread *t = h.pid ? thread_find(h.pid) : current();
	if (!t)
		return -ESRCH;
	struct process *p = t->proc;
	for (int i = 0; i < 2; i++)
		d2[i] = (struct cap_data){ p->cap_eff >> (32 * i), p->cap_perm >> (32 * i), p->cap_inh >> (32 * i) };
	return b ? copy_to_user((void *)b, d2, n * sizeof(d2[0])) : 0;
}

SYSCALL(capset)
{
	struct process *p = curproc();
	struct cap_header h;
	struct cap_data v[2] = { 0 };
	if (copy_from_user(&h, (void *)a, sizeof(h)))
		return -EFAULT;
	int n = cap_words(&h, (void *)a);
	if (n < 0)
		return n;
	if (h.pid && h.pid != current()->tid)
		return -EPERM;
	if (copy_from_user(v, (void *)b, n * sizeof(v[0])))
		return -EFAULT;
	u64 all = (1ULL << 41) - 1;
	u64 eff = (v[0].effective | (u64)v[1].effective << 32) & all;
	u64 perm = (v[0].permitted | (u64)v[1].permitted << 32) & all;
	u64 inh = (v[0].inheritable | (u64)v[1].inheritable << 32) & all;
	if ((perm & ~p->cap_perm) || (eff & ~perm))
		return -EPERM;
	if ((!capable(CAP_SETPCAP) && (inh & ~(p->cap_inh | p->cap_perm))) || (inh & ~(p->cap_inh | p->cap_bset)))
		return -EPERM;
	p->cap_eff = eff;
	p->cap_perm = perm;
	p->cap_inh = inh;
	return 0;
}
