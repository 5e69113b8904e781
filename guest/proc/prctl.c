/* SPDX-License-Identifier: Apache-2.0 */
/* prctl.c: prctl, arch_prctl, personality. */
#include "internal.h"
#include "syscall.h"
#include <linux/prctl.h>

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004
#define ARCH_GET_XCOMP_SUPP 0x1021
#define ARCH_GET_XCOMP_PERM 0x1022
#define CAP_LAST 40

static long capbset(int op, u64 cap)
{
	struct process *p = curproc();
	if (cap > CAP_LAST)
		return -EINVAL;
	if (op == PR_CAPBSET_READ)
		return p->cap_bset >> cap & 1;
	if (!(p->cap_eff & CAP(8)))
		return -EPERM;
	p->cap_bset &= ~CAP(cap);
	return 0;
}

static long set_name(const char *uname)
{
	char name[16];
	long n = strncpy_from_user(name, uname, sizeof(name));
	if (n == -EFAULT)
		return n;
	name[15] = 0; /* longer ones are cut */
	memset(current()->name, 0, sizeof(name));
	strlcpy(current()->name, name, sizeof(name));
	return 0;
}

SYSCALL(prctl)
{
	struct process *p = curproc();
	bool rest = c || d || e;
	switch ((int)a) {
	case PR_SET_NAME: return set_name((const char *)b);
	case PR_GET_NAME: return copy_to_user((void *)b, current()->name, sizeof(current()->name));
	case PR_SET_PDEATHSIG:
		if (b > NSIG)
			return -EINVAL;
		p->pdeath_sig = b;
		return 0;
	case PR_GET_PDEATHSIG: return put_user(p->pdeath_sig, (int *)b);
	case PR_SET_DUMPABLE:
		if (b > 1)
			return -EINVAL;
		p->dumpable = b;
		return 0;
	case PR_GET_DUMPABLE: return p->dumpable;
	case PR_SET_KEEPCAPS:
		if (b > 1)
			return -EINVAL;
		p->keep_caps = b;
		return 0;
	case PR_GET_KEEPCAPS: return p->keep_caps;
	case PR_SET_NO_NEW_PRIVS:
		if (b != 1 || rest)
			return -EINVAL;
		p->no_new_privs = true;
		return 0;
	case PR_GET_NO_NEW_PRIVS: return b || rest ? -EINVAL : p->no_new_privs;
	case PR_SET_CHILD_SUBREAPER: p->subreaper = b; return 0;
	case PR_GET_CHILD_SUBREAPER: return put_user((int)p->subreaper, (int *)b);
	case PR_CAPBSET_READ: case PR_CAPBSET_DROP: return capbset((int)a, b);
	case PR_SET_TIMERSLACK: p->timer_slack = (s64)b > 0 ? b : 50000; return 0;
	case PR_GET_TIMERSLACK: return p->timer_slack;
	case PR_SET_TIMING: return b ? -EINVAL : 0;
	case PR_GET_TIMING: return 0;
	case PR_GET_SECCOMP: return 0;
	case PR_GET_SECUREBITS: return 0;
	case PR_GET_TSC: return put_user(1, (int *)b); /* PR_TSC_ENABLE */
	case PR_SET_TSC: return b == 1 ? 0 : -EINVAL;
	case PR_SET_THP_DISABLE:
		if (rest)
			return -EINVAL;
		p->thp_disable = b;
		return 0;
	case PR_GET_THP_DISABLE: return b || rest ? -EINVAL : p->thp_disable;
	case PR_CAP_AMBIENT:
		if (b == PR_CAP_AMBIENT_IS_SET)
			return c > CAP_LAST ? -EINVAL : 0;
		if (b == PR_CAP_AMBIENT_CLEAR_ALL)
			return 0;
		if (b == PR_CAP_AMBIENT_LOWER)
			return c > CAP_LAST ? -EINVAL : 0;
		break;
	case PR_GET_TID_ADDRESS: return put_user((u64)current()->clear_child_tid, b);
	case PR_SET_VMA: return -EINVAL; /* names of anonymous memory: as a kernel without them */
	}
	unsupported_once("prctl", a);
	return -EINVAL;
}

SYSCALL(arch_prctl)
{
	switch ((int)a) {
	case ARCH_SET_FS:
		if (b >= UFS_USER_END)
			return -EPERM;
		platform_set_fsbase(b);
		return 0;
	case ARCH_SET_GS:
		if (b >= UFS_USER_END)
			return -EPERM;
		platform_set_gsbase(b);
		return 0;
	case ARCH_GET_FS: return put_user(platform_fsbase(), (u64 *)b);
	case ARCH_GET_GS: return put_user(platform_gsbase(), (u64 *)b);
	case ARCH_GET_XCOMP_SUPP: case ARCH_GET_XCOMP_PERM: return put_user(xsave_mask, (u64 *)b);
	}
	return -EINVAL; /* shadow stacks and the like: as a CPU without them */
}

/* Only the plain Linux personality, with and without randomised addresses, which there are none of. */
SYSCALL(personality)
{
	static const u32 no_randomize = 0x40000;
	if ((u32)a == 0xffffffffU || !((u32)a & ~no_randomize))
		return 0;
	unsupported_once("personality", a);
	return -EINVAL;
}
