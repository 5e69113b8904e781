/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c: replace a process's program: execve(2), execveat(2), and the first program of the instance. */
#include "elf.h"
#include "errno.h"
#include "mm.h"
#include "platform.h"
#include "boot_hooks.h"
#include "proc.h"
#include "stack.h"
#include "syscall.h"
#include "vdso.h"
#include <linux/fcntl.h>

#define PIE_BASE 0x555555554000UL
#define ARG_MAX_BYTES (2UL << 20)
#define SCRIPT_DEPTH 5

/* argv or envp in kernel memory. */
struct strings { char **v; int n; size_t bytes; };

static void strings_free(struct strings *s)
{
	for (int i = 0; i < s->n; i++)
		kfree(s->v[i]);
	kfree(s->v);
	memset(s, 0, sizeof(*s));
}

static int strings_add(struct strings *s, char *str)
{
	if (!str)
		return -ENOMEM;
	char **v = s->n % 16 ? s->v : krealloc(s->v, (s->n + 16) * sizeof(char *));
	if (!v) {
		kfree(str);
		return -ENOMEM;
	}
	s->v = v;
	s->v[s->n++] = str;
	s->bytes += strlen(str) + 1;
	return s->bytes + s->n * sizeof(char *) > ARG_MAX_BYTES ? -E2BIG : 0;
}

static char *dup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *d = kmalloc(n);
	return d ? memcpy(d, s, n) : NULL;
}

/* One string of unknown length from the program. */
static char *string_from_user(u64 ua, long *err)
{
	size_t size = 256;
	for (;;) {
		char *buf = kmalloc(size);
		if (!buf) {
			*err = -ENOMEM;
			return NULL;
		}
		long n = strncpy_from_user(buf, (const char *)ua, size);
		if (n >= 0) {
			char *str = dup(buf);
			kfree(buf);
			*err = -ENOMEM;
			return str;
		}
		kfree(buf);
		if (n != -ENAMETOOLONG || size >= 128UL << 10) {
			*err = n == -ENAMETOOLONG ? -E2BIG : n;
			return NULL;
		}
		size *= 8;
	}
}

static long strings_from_user(struct strings *s, u64 uvec)
{
	memset(s, 0, sizeof(*s));
	for (; uvec; uvec += 8) {
		u64 ua;
		long err = get_user(ua, uvec);
		if (err)
			return err;
		if (!ua)
			break;
		char *str = string_from_user(ua, &err);
		if (!str)
			return err;
		err = strings_add(s, str);
		if (err)
			return err;
	}
	return 0;
}

/* "#! interpreter [argument]": argv becomes interpreter, argument, path, argv[1]... */
static long script_args(const char *line, size_t n, const char *path, struct strings *args, char *interp)
{
	size_t i = 2, start, end;
	while (i < n && (line[i] == ' ' || line[i] == '\t'))
		i++;
	for (start = i; i < n && line[i] != ' ' && line[i] != '\t' && line[i] != '\n'; i++)
		;
	if (i == start || i - start >= 256 || i >= n)
		return -ENOEXEC;
	memcpy(interp, line + start, i - start);
	interp[i - start] = 0;
	while (i < n && (line[i] == ' ' || line[i] == '\t'))
		i++;
	for (start = end = i; i < n && line[i] != '\n'; i++)
		if (line[i] != ' ' && line[i] != '\t')
			end = i + 1;
	char opt[256];
	memcpy(opt, line + start, MIN(end - start, sizeof(opt) - 1));
	opt[MIN(end - start, sizeof(opt) - 1)] = 0;

	struct strings out = { 0 };
	long r = strings_add(&out, dup(interp));
	if (!r && opt[0])
		r = strings_add(&out, dup(opt));
	if (!r)
		r = strings_add(&out, dup(path));
	for (int k = 1; !r && k < args->n; k++)
		r = strings_add(&out, dup(args->v[k]));
	strings_free(args);
	*args = out;
	return r;
}

/* Opens the ELF file behind path, following interpreter lines; args are rewritten on the way. */
static struct file *open_program(const char *path, int flags, struct strings *args, char *final, size_t n)
{
	char head[256], interp[256];
	strlcpy(final, path, n);
	for (int depth = 0; depth <= SCRIPT_DEPTH; depth++) {
		struct file *f = file_open_kernel(final, O_RDONLY | O_EXEC_KERNEL | (depth ? 0 : flags), 0);
		if (IS_ERR(f))
			return f;
		if (!(f->ino->mode & 0111)) {
			file_put(f);
			return ERR_PTR(-EACCES);
		}
		long got = inode_may(f->ino, 1) ? -EACCES : inode_written(f->ino) ? -ETXTBSY : 0;
		if (got) {
			file_put(f);
			return ERR_PTR(got);
		}
		got = file_read_kernel(f, head, sizeof(head), 0);
		if (got < 2 || head[0] != '#' || head[1] != '!') {
			f->ino->ran = true;
			return f;
		}
		file_put(f);
		long r = script_args(head, got, final, args, interp);
		if (r)
			return ERR_PTR(r);
		strlcpy(final, interp, n);
	}
	return ERR_PTR(-ELOOP);
}

struct loaded { u64 entry, sp; };

static long load(struct mm *mm, struct elf *e, const char *execfn, struct strings *args, struct strings *env, struct loaded *out)
{
	struct elf_image prog, interp = { 0 };
	long r = elf_map(mm, e, PIE_BASE, &prog);
	if (r)
		return r;
	mm_set_brk(mm, prog.end);
	out->entry = prog.entry;
	if (e->interp[0]) {
		struct file *f = file_open_kernel(e->interp, O_RDONLY, 0);
		if (IS_ERR(f)) {
			klog("%s needs the loader %s, which the image does not have", execfn, e->interp);
			return PTR_ERR(f);
		}
		struct elf *ie = kmalloc(sizeof(*ie));
		r = ie ? elf_read(f, ie) : -ENOMEM;
		if (!r)
			r = elf_map(mm, ie, 0, &interp);
		kfree(ie);
		file_put(f);
		if (r)
			return r;
		out->entry = interp.entry;
	}
	curproc()->vdso = vdso_map(mm);
	struct auxinfo ai = { e, &prog, interp.bias, execfn };
	r = stack_build(mm, &ai, args->v, args->n, env->v, env->n);
	if (r < 0)
		return r;
	out->sp = r;
	return 0;
}

static void regs_reset(struct regs *r, const struct loaded *l)
{
	memset(r, 0, sizeof(*r));
	r->orig_rax = ~0ULL;
	r->rip = l->entry;
	r->rsp = l->sp;
	r->cs = UFS_USER_CS;
	r->ss = UFS_USER_SS;
	r->rflags = 0x202;
}

static void remember_names(struct process *p, const char *path, const char *exe, struct strings *args)
{
	const char *base = strrchr(path, '/');
	strlcpy(p->exe, exe, sizeof(p->exe));
	memset(current()->name, 0, sizeof(current()->name));
	strlcpy(current()->name, base ? base + 1 : path, sizeof(current()->name));
	char *line = kmalloc(args->bytes + 1);
	if (!line)
		return;
	kfree(p->cmdline);
	p->cmdline = line;
	p->cmdline_len = args->bytes;
	for (int i = 0; i < args->n; i++) {
		size_t n = strlen(args->v[i]) + 1;
		memcpy(line, args->v[i], n);
		line += n;
	}
}

/* Make mm the current one; the old one loses this process's reference. */
static void take_mm(struct process *p, struct mm *mm)
{
	struct mm *old = p->mm;
	p->mm = mm;
	if (old != mm) {
		mm_activate(mm);
		if (old)
			mm_put(old);
	}
}

static long exec_strings(const char *path, int flags, struct strings *args, struct strings *env)
{
	struct process *p = curproc();
	struct elf *e = kmalloc(sizeof(*e));
	char *final = kmalloc(4096);
	struct file *f = e && final ? open_program(path, flags, args, final, 4096) : ERR_PTR(-ENOMEM);
	long r = IS_ERR(f) ? PTR_ERR(f) : elf_read(f, e);
	struct mm *mm = NULL;
	struct loaded l;
	bool first = p->mm == mm_boot && !p->exe[0];
	u64 old_vdso = p->vdso;
	if (!r) {
		mm = first ? mm_boot : mm_create();
		r = mm ? load(mm, e, path, args, env, &l) : -ENOMEM;
		if (!r && p->exec_waiter) /* another thread was first while this one waited for the file, and has ended it */
			r = -EINTR;
		if (r && mm && !first)
			mm_put(mm);
	}
	if (!IS_ERR(f)) {
		if (f->path)
			strlcpy(final, f->path, 4096);
		file_put(f);
	}
	kfree(e);
	if (r) {
		p->vdso = old_vdso;
		kfree(final);
		return r;
	}
	/* Point of no return. */
	exec_other_threads_end();
	take_mm(p, mm);
	fdtable_cloexec(p->files);
	sighand_exec(p->sighand);
	remember_names(p, path, final, args);
	kfree(final);
	struct thread *t = current();
	t->clear_child_tid = NULL;
	t->robust_list = NULL;
	memset(&t->sigalt, 0, sizeof(t->sigalt));
	t->sigalt.ss_flags = SS_DISABLE;
	fpu_init(t->xsave);
	fpu_restore(t->xsave);
	platform_set_fsbase(0);
	platform_set_gsbase(0);
	t->fsbase = t->gsbase = 0;
	regs_reset(t->regs, &l);
	exec_done(p);
	return 0;
}

long exec_program(const char *path, char *const argv[], int argc, char *const envp[], int envc)
{
	struct strings args = { 0 }, env = { 0 };
	long r = 0;
	for (int i = 0; !r && i < argc; i++)
		r = strings_add(&args, dup(argv[i]));
	for (int i = 0; !r && i < envc; i++)
		r = strings_add(&env, dup(envp[i]));
	if (!r)
		r = exec_strings(path, 0, &args, &env);
	strings_free(&args);
	strings_free(&env);
	return r;
}

void exec_failed(const char *path, long r)
{
	static const struct { u8 errno; const char *text; } why[] = {
		{ ENOENT, "its interpreter or loader is missing" }, { E2BIG, "arguments and environment are too long" },
		{ EACCES, "permission denied" }, { ENOEXEC, "not a program for this machine" }, { ENOMEM, "not enough memory" },
		{ ELOOP, "too many symbolic links or interpreters" },
	};
	const char *text = "";
	for (size_t i = 0; i < sizeof(why) / sizeof(*why); i++)
		if (why[i].errno == -r)
			text = why[i].text;
	klog("cannot execute %s: %s (error %ld)", path, text, -r);
	process_exit((r == -ENOENT ? 127 : 126) << 8);
}

static long do_execve(const char *path, int flags, u64 uargv, u64 uenvp)
{
	struct strings args, env = { 0 };
	long r = strings_from_user(&args, uargv);
	if (!r)
		r = strings_from_user(&env, uenvp);
	if (!r && !args.n)
		r = strings_add(&args, dup(""));
	if (!r)
		r = exec_strings(path, flags, &args, &env);
	strings_free(&args);
	strings_free(&env);
	return r;
}

SYSCALL(execve)
{
	char *path = kmalloc(4096);
	if (!path)
		return -ENOMEM;
	long r = strncpy_from_user(path, (const char *)a, 4096);
	if (r >= 0)
		r = r ? do_execve(path, 0, b, c) : -ENOENT;
	kfree(path);
	return r;
}

#define FD_ROOM 32

SYSCALL(execveat)
{
	char *buf = kmalloc(FD_ROOM + 4096), *path = buf + FD_ROOM, prefix[FD_ROOM];
	if (!buf)
		return -ENOMEM;
	long r = strncpy_from_user(path, (const char *)b, 4096);
	if (r >= 0 && (e & ~(u64)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)))
		r = -EINVAL;
	if ((r > 0 && path[0] != '/' && (int)a != AT_FDCWD) || (r == 0 && (e & AT_EMPTY_PATH))) {
		struct file *f = fd_get_any((int)a);
		if (!f) {
			r = -EBADF;
		} else if (r) {
			int n = snprintf(prefix, sizeof(prefix), "/proc/self/fd/%d/", (int)a);
			path = memcpy(path - n, prefix, n);
		} else {
			r = f->path ? (long)strlcpy(path, f->path, 4096) : -EACCES;
		}
		file_put(f);
	}
	if (r >= 0)
		r = r ? do_execve(path, e & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0, c, d) : -ENOENT;
	kfree(buf);
	return r;
}
