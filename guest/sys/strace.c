/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strace.c: one log line a system call, as strace(1) writes it: [thread] name(arguments) = result.
 *
 * A line is written when the call is over, with what the call put into the program's buffers. What another thread interrupts is
 * written in two, "<unfinished ...>" and "<... resumed>". Nothing is lost: a call waits until the log has room for its line.
 */
#include "strace.h"
#include "mm.h"
#include "net.h"
#include "platform.h"
#include "syscall.h"
#include <asm/unistd.h>

#define LINE_MAX 480
#define STRING_MAX 64
#define DATA_MAX 32

/* Small texts, found by their number or name at the front of each: no pointers, so nothing to relocate. */
static const char names[] =
#define FULL(nr, name) #nr "=" #name "\0"
#define PARTIAL(nr, name) FULL(nr, name)
#define ABSENT(nr, name) FULL(nr, name)
#define PROBED(nr, name) FULL(nr, name)
#define SYS(nr, name, state, note) state(nr, name)
#include "table.def"
	;

/*
 * What the arguments are. d number, u unsigned, x bits, p address, s string, D directory or AT_FDCWD, O open flags, o octal, P protection,
 * M mapping flags, S signal, v strings, i two numbers the call writes, t seconds and nanoseconds, a socket address (its size follows),
 * b data the call reads into (its size follows), B data it takes, z status of a child, l pointer to a file size.
 */
#define NUMBER(x) #x
#define A_(nr, args) NUMBER(nr) "=" args "\0"
#define A(name, args) A_(__NR_##name, args)
static const char specs[] =
	A(read, "dbu") A(write, "dBu") A(pread64, "dbux") A(pwrite64, "dBux") A(open, "sOo") A(openat, "DsOo") A(close, "d") A(stat, "sp") A(lstat, "sp")
	A(fstat, "dp") A(newfstatat, "Dspx") A(statx, "Dsxxp") A(lseek, "ddd") A(mmap, "puPMdx") A(mprotect, "puP") A(munmap, "pu") A(brk, "p")
	A(mremap, "puuxp") A(madvise, "pud") A(access, "so") A(faccessat, "Dso") A(faccessat2, "Dsox") A(execve, "svp") A(execveat, "Dsvpx") A(chdir, "s")
	A(mkdir, "so") A(mkdirat, "Dso") A(rmdir, "s") A(unlink, "s") A(unlinkat, "Dsx") A(rename, "ss") A(renameat, "DsDs") A(renameat2, "DsDsx")
	A(link, "ss") A(linkat, "DsDsx") A(symlink, "ss") A(symlinkat, "sDs") A(readlink, "sbu") A(readlinkat, "Dsbu") A(chmod, "so") A(fchmod, "do")
	A(fchmodat, "Dso") A(chown, "sdd") A(fchownat, "Dsddx") A(truncate, "su") A(ftruncate, "du") A(mknod, "sox") A(mknodat, "Dsox") A(statfs, "sp")
	A(creat, "so") A(utimensat, "Dspx") A(getxattr, "sspu") A(setxattr, "sspux") A(memfd_create, "sx") A(getcwd, "bu") A(getdents64, "dpu") A(dup, "d")
	A(dup2, "dd") A(dup3, "ddO") A(pipe, "i") A(pipe2, "iO") A(fcntl, "ddx") A(ioctl, "dxp") A(flock, "dd") A(socket, "dxd") A(socketpair, "dxdi")
	A(bind, "dad") A(connect, "dad") A(listen, "dd") A(accept, "dpp") A(accept4, "dppx") A(sendto, "dBuxad") A(recvfrom, "dbuxpp") A(sendmsg, "dpx")
	A(recvmsg, "dpx") A(shutdown, "dd") A(setsockopt, "dddpd") A(getsockopt, "dddpp") A(getsockname, "dpp") A(poll, "pud") A(ppoll, "putp")
	A(select, "dpppp") A(pselect6, "dppptp") A(epoll_ctl, "dddp") A(epoll_wait, "dpdd") A(epoll_pwait, "dpddp") A(epoll_create1, "x") A(eventfd2, "ux")
	A(rt_sigaction, "Sppu") A(rt_sigprocmask, "dppu") A(kill, "dS") A(tkill, "dS") A(tgkill, "ddS") A(rt_sigreturn, "") A(pause, "") A(futex, "pxutpu")
	A(nanosleep, "tp") A(clock_nanosleep, "dxtp") A(clock_gettime, "dp") A(clone, "xpppp") A(clone3, "pu") A(fork, "") A(vfork, "") A(exit, "d")
	A(exit_group, "d") A(wait4, "dzxp") A(waitid, "ddpxp") A(getpid, "") A(gettid, "") A(getppid, "") A(getuid, "") A(geteuid, "") A(getgid, "")
	A(getegid, "") A(sched_yield, "") A(setsid, "") A(umask, "o") A(prctl, "dxxxx") A(arch_prctl, "xp") A(prlimit64, "ddpp") A(getrandom, "pux")
	A(set_tid_address, "p") A(set_robust_list, "pu") A(rseq, "pudx") A(uname, "p") A(sysinfo, "p") A(sendfile, "ddlu") A(splice, "dlldux")
	A(copy_file_range, "dlldux") A(fallocate, "dxuu") A(fsync, "d") A(fdatasync, "d") A(readv, "dpu") A(writev, "dpu") A(setpgid, "dd") A(getpgid, "d")
	A(sigaltstack, "pp") A(umount2, "sx") A(mount, "sssxp");

static const char errnos[] =
	"1=PERM\0" "2=NOENT\0" "3=SRCH\0" "4=INTR\0" "5=IO\0" "6=NXIO\0" "7=2BIG\0" "8=NOEXEC\0" "9=BADF\0" "10=CHILD\0" "11=AGAIN\0" "12=NOMEM\0" "13=ACCES\0"
	"14=FAULT\0" "16=BUSY\0" "17=EXIST\0" "18=XDEV\0" "19=NODEV\0" "20=NOTDIR\0" "21=ISDIR\0" "22=INVAL\0" "23=NFILE\0" "24=MFILE\0" "25=NOTTY\0"
	"26=TXTBSY\0" "27=FBIG\0" "28=NOSPC\0" "29=SPIPE\0" "30=ROFS\0" "31=MLINK\0" "32=PIPE\0" "33=DOM\0" "34=RANGE\0" "35=DEADLK\0" "36=NAMETOOLONG\0"
	"38=NOSYS\0" "39=NOTEMPTY\0" "40=LOOP\0" "61=NODATA\0" "75=OVERFLOW\0" "88=NOTSOCK\0" "89=DESTADDRREQ\0" "90=MSGSIZE\0" "92=NOPROTOOPT\0"
	"93=PROTONOSUPPORT\0" "94=SOCKTNOSUPPORT\0" "95=OPNOTSUPP\0" "97=AFNOSUPPORT\0" "98=ADDRINUSE\0" "99=ADDRNOTAVAIL\0" "101=NETUNREACH\0"
	"103=CONNABORTED\0" "104=CONNRESET\0" "106=ISCONN\0" "107=NOTCONN\0" "110=TIMEDOUT\0" "111=CONNREFUSED\0" "114=ALREADY\0" "115=INPROGRESS\0"
	"512=RESTARTSYS\0" "513=RESTARTNOINTR\0" "514=RESTARTNOHAND\0";

static const char signals[] =
	"1=HUP\0" "2=INT\0" "3=QUIT\0" "4=ILL\0" "5=TRAP\0" "6=ABRT\0" "7=BUS\0" "8=FPE\0" "9=KILL\0" "10=USR1\0" "11=SEGV\0" "12=USR2\0" "13=PIPE\0"
	"14=ALRM\0" "15=TERM\0" "17=CHLD\0" "18=CONT\0" "19=STOP\0" "20=TSTP\0" "21=TTIN\0" "22=TTOU\0" "23=URG\0" "24=XCPU\0" "26=VTALRM\0" "27=PROF\0"
	"28=WINCH\0" "29=IO\0" "31=SYS\0";

static const char open_bits[] = "1=WRONLY\0" "2=RDWR\0" "64=CREAT\0" "128=EXCL\0" "256=NOCTTY\0" "512=TRUNC\0" "1024=APPEND\0" "2048=NONBLOCK\0"
	"65536=DIRECTORY\0" "131072=NOFOLLOW\0" "524288=CLOEXEC\0" "2097152=PATH\0" "4194304=TMPFILE\0";
static const char prot_bits[] = "1=READ\0" "2=WRITE\0" "4=EXEC\0";
static const char map_bits[] = "1=SHARED\0" "2=PRIVATE\0" "16=FIXED\0" "32=ANONYMOUS\0" "256=GROWSDOWN\0" "2048=DENYWRITE\0" "16384=NORESERVE\0"
	"32768=POPULATE\0" "131072=STACK\0" "1048576=FIXED_NOREPLACE\0";

struct line { size_t n; char s[LINE_MAX]; };

/* The call that has not returned yet, unless another thread's came between. */
static struct line pending;
static int pending_tid;

static __attribute__((format(printf, 2, 3))) void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(l->s + l->n, LINE_MAX - l->n, fmt, ap);
	va_end(ap);
	l->n = MIN(l->n + (size_t)MAX(n, 0), (size_t)LINE_MAX - 1);
}

static const char *after_number(const char *s, u64 *n)
{
	for (*n = 0; *s >= '0' && *s <= '9'; s++)
		*n = *n * 10 + (*s - '0');
	return s + 1;
}

/* The text that follows number= in table, or NULL. */
static const char *by_number(const char *table, u64 number)
{
	for (const char *s = table; *s; s += strlen(s) + 1) {
		u64 n;
		const char *text = after_number(s, &n);
		if (n == number)
			return text;
	}
	return NULL;
}

const char *syscall_name(u64 nr)
{
	return by_number(names, nr);
}

static void put_bits(struct line *l, const char *prefix, const char *table, u64 v, const char *none)
{
	const char *bar = "";
	if (none) {
		put(l, "%s%s", prefix, none);
		bar = "|";
	}
	for (const char *s = table; *s; s += strlen(s) + 1) {
		u64 bit;
		const char *text = after_number(s, &bit);
		if (!(v & bit))
			continue;
		put(l, "%s%s%s", bar, prefix, text);
		bar = "|";
		v &= ~bit;
	}
	if (v || !*bar)
		put(l, "%s0x%lx", bar, (unsigned long)v);
}

static void put_quoted(struct line *l, const char *s, size_t n, bool more)
{
	put(l, "\"");
	for (size_t i = 0; i < n; i++) {
		u8 c = s[i];
		if (c == '\n')
			put(l, "\\n");
		else if (c == '"' || c == '\\')
			put(l, "\\%c", c);
		else if (c >= 32 && c < 127)
			put(l, "%c", c);
		else
			put(l, "\\%o", c);
	}
	put(l, more ? "\"..." : "\"");
}

static void put_pointer(struct line *l, u64 v)
{
	if (v)
		put(l, "0x%lx", (unsigned long)v);
	else
		put(l, "NULL");
}

static void put_data(struct line *l, u64 ua, u64 n)
{
	char buf[DATA_MAX];
	size_t k = MIN(n, (u64)DATA_MAX);
	if (copy_from_user(buf, (void *)ua, k))
		put_pointer(l, ua);
	else
		put_quoted(l, buf, k, n > k);
}

static void put_string(struct line *l, u64 ua)
{
	char buf[STRING_MAX];
	long n = strncpy_from_user(buf, (const char *)ua, sizeof(buf));
	if (!ua || (n < 0 && n != -ENAMETOOLONG))
		put_pointer(l, ua);
	else
		put_quoted(l, buf, n < 0 ? STRING_MAX - 1 : n, n < 0);
}

static void put_strings(struct line *l, u64 ua)
{
	u64 s;
	put(l, "[");
	for (int i = 0; !get_user(s, ua + i * 8) && s; i++) {
		if (i)
			put(l, ", ");
		if (i == 8) {
			put(l, "...");
			break;
		}
		put_string(l, s);
	}
	put(l, "]");
}

static void put_address(struct line *l, u64 ua, u64 len)
{
	u8 b[STRING_MAX] = { 0 };
	if (!ua || len < 2 || copy_from_user(b, (void *)ua, MIN(len, sizeof(b) - 1)))
		return put_pointer(l, ua);
	if (b[0] == 1)
		put(l, "{unix %s%s}", b[2] ? "" : "@", (char *)b + (b[2] ? 2 : 3));
	else if (b[0] == 2)
		put(l, "{%u.%u.%u.%u:%u}", b[4], b[5], b[6], b[7], b[2] << 8 | b[3]);
	else
		put(l, "{family %u, port %u}", b[0], b[2] << 8 | b[3]);
}

static void put_pair(struct line *l, u64 ua, char kind)
{
	s64 v[2];
	int fd[2];
	if (kind == 'i' ? copy_from_user(fd, (void *)ua, sizeof(fd)) : copy_from_user(v, (void *)ua, sizeof(v)))
		put_pointer(l, ua);
	else if (kind == 'i')
		put(l, "[%d, %d]", fd[0], fd[1]);
	else
		put(l, "{%ld.%lu}", (long)v[0], (unsigned long)v[1]);
}

/* One argument; over: the call has returned ret. */
static void put_argument(struct line *l, char kind, u64 v, u64 next, bool over, long ret)
{
	const char *name;
	u64 word;
	switch (kind) {
	case 'd': put(l, "%d", (int)v); break;
	case 'u': put(l, "%lu", (unsigned long)v); break;
	case 'o': put(l, "0%o", (u32)v); break;
	case 's': put_string(l, v); break;
	case 'v': put_strings(l, v); break;
	case 'D':
		if ((int)v == -100)
			put(l, "AT_FDCWD");
		else
			put(l, "%d", (int)v);
		break;
	case 'O': put_bits(l, "O_", open_bits, (u32)v, v & 3 ? NULL : "RDONLY"); break;
	case 'P': put_bits(l, "PROT_", prot_bits, v, v ? NULL : "NONE"); break;
	case 'M': put_bits(l, "MAP_", map_bits, v, NULL); break;
	case 'S':
		name = by_number(signals, v);
		if (name)
			put(l, "SIG%s", name);
		else
			put(l, "%d", (int)v);
		break;
	case 'B': put_data(l, v, next); break;
	case 'a': put_address(l, v, next); break;
	case 't': put_pair(l, v, kind); break;
	case 'b':
		if (over && ret >= 0)
			put_data(l, v, MIN((u64)ret, next));
		else
			put_pointer(l, v);
		break;
	case 'i':
		if (over && ret >= 0)
			put_pair(l, v, kind);
		else
			put_pointer(l, v);
		break;
	case 'z':
		if (over && ret > 0 && v && !get_user(word, v))
			put(l, "[0x%x]", (u32)word);
		else
			put_pointer(l, v);
		break;
	case 'l':
		if (v && !get_user(word, v))
			put(l, "[%lu]", (unsigned long)word);
		else
			put_pointer(l, v);
		break;
	case 'x': put(l, "0x%lx", (unsigned long)v); break;
	default: put_pointer(l, v);
	}
}

static void put_call(struct line *l, const struct regs *r, bool over, long ret)
{
	const u64 v[7] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };
	const char *name = syscall_name(r->orig_rax);
	if (!name) {
		put(l, "syscall_%lu", (unsigned long)r->orig_rax);
		name = "";
	}
	const char *spec = by_number(specs, r->orig_rax);
	if (!spec)
		spec = "xxxxxx";
	put(l, "%s(", name);
	for (int i = 0; spec[i]; i++) {
		if (i && spec[i - 1] == 'O' && spec[i] == 'o' && !(v[i - 1] & 0x400040))
			break; /* a mode only where a file is made */
		if (i)
			put(l, ", ");
		put_argument(l, spec[i], v[i], v[i + 1], over, ret);
	}
	put(l, ")");
}

static void emit(struct line *l)
{
	l->n = MIN(l->n, (size_t)LINE_MAX - 2);
	l->s[l->n++] = '\n';
	console_write_kernel(UFS_CONN_STDERR, l->s, l->n);
}

void strace_flush(void)
{
	if (!pending_tid)
		return;
	pending_tid = 0;
	put(&pending, " <unfinished ...>");
	emit(&pending);
}

void strace_enter(const struct regs *r)
{
	struct line l = { 0 };
	console_wait_room(4 * LINE_MAX);
	put(&l, "[%d] ", current()->tid);
	put_call(&l, r, false, 0);
	strace_flush();
	pending = l;
	pending_tid = current()->tid;
	if (r->orig_rax == 60 || r->orig_rax == 231) /* exit, exit_group: no return */
		strace_flush();
}

static void put_result(struct line *l, u64 nr, long ret)
{
	const char *name = ret < 0 ? by_number(errnos, -ret) : NULL;
	if (name)
		put(l, " = -1 E%s", name);
	else if (ret > 0xffffffffL) /* an address */
		put(l, " = 0x%lx", (unsigned long)ret);
	else
		put(l, " = %ld", ret);
}

void strace_leave(const struct regs *r, u64 nr, long ret)
{
	struct line l = { 0 };
	if (pending_tid != current()->tid) {
		const char *name = syscall_name(nr);
		put(&l, "[%d] <... %s resumed>", current()->tid, name ? name : "?");
	} else if (r->orig_rax == ~0ULL) { /* other registers are there now */
		l = pending;
		pending_tid = 0;
	} else {
		put(&l, "[%d] ", current()->tid);
		put_call(&l, r, true, ret);
		if (pending_tid != current()->tid) { /* reading the program's memory let others run */
			l.n = 0;
			put(&l, "[%d] <... resumed>", current()->tid);
		}
		pending_tid = 0;
	}
	put_result(&l, nr, ret);
	emit(&l);
}

void strace_signal(int signo)
{
	struct line l = { 0 };
	const char *name = by_number(signals, signo);
	strace_flush();
	put(&l, "[%d] --- SIG%s (%d) ---", current()->tid, name ? name : "RT", signo);
	emit(&l);
}
