/* SPDX-License-Identifier: Apache-2.0 */
/* stack.c: the first stack of a program: strings, argv, envp, auxiliary vector (System V ABI, getauxval(3)). */
#include "stack.h"
#include "errno.h"
#include "mm.h"
#include "platform.h"
#include "random.h"
#include "snapshot.h"
#include <linux/mman.h>
#include <linux/auxvec.h>

#define STACK_TOP 0x7ffffffff000UL
#define STACK_SIZE (8UL << 20)
#define STACK_EAGER (64UL << 10)

struct writer { struct mm *mm; u64 sp; int err; };

static u64 push(struct writer *w, const void *src, size_t n)
{
	w->sp -= n;
	if (!w->err)
		w->err = mm_poke(w->mm, w->sp, src, n);
	return w->sp;
}

static u64 auxv_kept[2 * 24];
static size_t auxv_bytes;

size_t stack_auxv(const u64 **auxv)
{
	*auxv = auxv_kept;
	return auxv_bytes;
}

static void auxv_fill(const struct auxinfo *ai, u64 random, u64 platform, u64 execfn)
{
	struct process *p = curproc();
	u64 *v = auxv_kept;
#define AUX(k, val) do { *v++ = (k); *v++ = (u64)(val); } while (0)
	if (p->vdso)
		AUX(AT_SYSINFO_EHDR, p->vdso);
	AUX(AT_MINSIGSTKSZ, ALIGN_UP(xsave_size + 1200UL, 16));
	AUX(AT_HWCAP, platform_hwcap());
	AUX(AT_PAGESZ, PAGE_SIZE);
	AUX(AT_CLKTCK, 100);
	AUX(AT_PHDR, ai->prog->phdr);
	AUX(AT_PHENT, sizeof(struct elf_phdr));
	AUX(AT_PHNUM, ai->elf->eh.phnum);
	AUX(AT_BASE, ai->interp_base);
	AUX(AT_FLAGS, 0);
	AUX(AT_ENTRY, ai->prog->entry);
	AUX(AT_UID, p->uid);
	AUX(AT_EUID, p->euid);
	AUX(AT_GID, p->gid);
	AUX(AT_EGID, p->egid);
	AUX(AT_SECURE, 0);
	AUX(AT_RANDOM, random);
	AUX(AT_HWCAP2, 2); /* FSGSBASE */
	AUX(AT_EXECFN, execfn);
	AUX(AT_PLATFORM, platform);
	AUX(AT_NULL, 0);
#undef AUX
	auxv_bytes = (char *)v - (char *)auxv_kept;
}

static int push_strings(struct writer *w, char *const s[], int n, u64 *at)
{
	for (int i = n; i-- > 0;)
		at[i] = push(w, s[i], strlen(s[i]) + 1);
	return w->err;
}

long stack_build(struct mm *mm, const struct auxinfo *ai, char *const argv[], int argc, char *const envp[], int envc)
{
	struct process *p = curproc();
	struct writer w = { mm, STACK_TOP - 16, 0 };
	u8 seed[16];
	int prot = PROT_READ | PROT_WRITE | (ai->elf->exec_stack ? PROT_EXEC : 0);
	long r = mm_map(mm, STACK_TOP - STACK_SIZE, STACK_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_STACK, NULL, 0);
	if (r < 0)
		return r;
	mm_set_name(mm, STACK_TOP - PAGE_SIZE, "[stack]");
	r = mm_populate(mm, STACK_TOP - STACK_EAGER, STACK_EAGER, true);
	if (r < 0)
		return r;
	u64 *ptrs = kmalloc((argc + envc + 3) * sizeof(u64));
	if (!ptrs)
		return -ENOMEM;
	u64 execfn = push(&w, ai->execfn, strlen(ai->execfn) + 1);
	push_strings(&w, envp, envc, ptrs + 1 + argc + 1);
	p->env_end = execfn;
	p->env_start = envc ? ptrs[1 + argc + 1] : execfn;
	push_strings(&w, argv, argc, ptrs + 1);
	p->arg_start = argc ? ptrs[1] : p->env_start;
	u64 platform = push(&w, "x86_64", 7);
	random_bytes(seed, sizeof(seed));
	u64 random = push(&w, seed, sizeof(seed));
	p->at_random = random;
	auxv_fill(ai, random, platform, execfn);
	ptrs[0] = argc;
	ptrs[1 + argc] = 0;
	ptrs[1 + argc + 1 + envc] = 0;
	size_t vec = (argc + envc + 3) * sizeof(u64);
	w.sp = ALIGN_DOWN(w.sp - auxv_bytes - vec, 16) + auxv_bytes + vec;
	push(&w, auxv_kept, auxv_bytes);
	push(&w, ptrs, vec);
	kfree(ptrs);
	return w.err ? w.err : (long)w.sp;
}

/* Unless something else is there now. */
void stack_renew(void)
{
	u8 seed[16];
	list_for_each(l, &process_list) {
		struct process *p = list_entry(l, struct process, all);
		const char *name = p->mm && p->at_random ? mm_name(p->mm, p->at_random) : NULL;
		if (!name || *name != '[')
			continue;
		random_bytes(seed, sizeof(seed));
		mm_poke(p->mm, p->at_random, seed, sizeof(seed));
	}
}
