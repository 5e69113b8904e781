/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rseq.c: restartable sequences: stretches of program code that are left for their abort handler when the thread loses
 * the CPU or runs a signal handler inside. With one vCPU the CPU number in the area is always 0.
 */
#include "internal.h"
#include "syscall.h"

#define RSEQ_SIZE 32 /* of the first version; later ones only add fields that need not be written */
#define UNREGISTER 1

struct rseq_area { u32 cpu_id_start, cpu_id; u64 cs; u32 flags, node_id, mm_cid, pad; };
struct rseq_cs { u32 version, flags; u64 start, len, abort; };

static long area_reset(u64 area, u32 cpu_id)
{
	u32 cpu[2] = { 0, cpu_id }, node[2] = { 0, 0 };
	return copy_to_user((void *)area, cpu, sizeof(cpu)) ||
		copy_to_user((void *)(area + offsetof(struct rseq_area, node_id)), node, sizeof(node)) ? -EFAULT : 0;
}

SYSCALL(rseq)
{
	struct thread *t = current();
	u32 len = (u32)b, sig = (u32)d;
	if ((int)c == UNREGISTER) {
		if (!t->rseq || t->rseq != a || t->rseq_len != len)
			return -EINVAL;
		if (t->rseq_sig != sig)
			return -EPERM;
		t->rseq = 0;
		return area_reset(a, (u32)-1);
	}
	if ((int)c)
		return -EINVAL;
	if (t->rseq)
		return t->rseq != a || t->rseq_len != len ? -EINVAL : t->rseq_sig != sig ? -EPERM : -EBUSY;
	if (len < RSEQ_SIZE || (a & 31))
		return -EINVAL;
	if (!access_ok((void *)a, len) || area_reset(a, 0))
		return -EFAULT;
	t->rseq = a;
	t->rseq_len = len;
	t->rseq_sig = sig;
	return 0;
}

/* False: the program has put nonsense into its area. */
static bool abort_sequence(struct thread *t, struct regs *r)
{
	struct rseq_cs cs;
	u64 ucs = t->rseq + offsetof(struct rseq_area, cs), at, none = 0;
	u32 sig;
	if (get_user(at, ucs))
		return false;
	if (!at)
		return true;
	if (get_user(cs, at) || cs.version || cs.start >= UFS_USER_END || cs.abort >= UFS_USER_END || cs.start + cs.len >= UFS_USER_END ||
	    cs.start + cs.len < cs.start || cs.abort - cs.start < cs.len || get_user(sig, cs.abort - sizeof(sig)) || sig != t->rseq_sig)
		return false;
	if (copy_to_user((void *)ucs, &none, sizeof(none)))
		return false;
	if (r->rip - cs.start < cs.len)
		r->rip = cs.abort;
	return true;
}

void rseq_fix(struct regs *r)
{
	struct thread *t = current();
	t->rseq_event = false;
	if (t->rseq && !abort_sequence(t, r)) {
		t->rseq = 0; /* once is enough */
		signal_force(SIGSEGV, SI_KERNEL, 0, t->trap_no, t->trap_err);
	}
}
