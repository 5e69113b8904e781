/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_calls_test.c: random calls, each made here (an image, several layers or a folder of the host, with files in memory above) and on the host (a copy of the same
 * tree on a tmpfs, in a chroot); results, data and attributes must be the same. At the end the two trees are compared whole.
 * Usage: fs_calls_test [STEPS [SEED]]
 */
#include <asm/unistd.h>
#include <linux/openat2.h>
#include "fs_calls.h"

#define SLOTS 12
#define BUF 20000

static const char tree[] =
	"mkdir -p root/d1/d2/d3 root/many root/empty root/proc root/sys root/dev root/tmp && chmod 1777 root/tmp\n"
	"cd root; : > f0; printf hello > f1; head -c 4096 /dev/urandom > f2; head -c 5000 /dev/urandom > d1/f3\n"
	"head -c 10000 /dev/urandom > d1/d2/f4; head -c 100000 /dev/urandom > big; ln f1 d1/hard; ln f1 d1/d2/hard2\n"
	"ln -s f1 l1; ln -s d1/d2 l2; ln -s /d1/f3 d1/l3; ln -s nowhere l4; ln -s l5 l5; ln -s ../f2 d1/l6; mkfifo p1\n"
	"i=0; while [ $i -lt 300 ]; do echo $i > many/name$i; i=$((i+1)); done; chmod 640 f2; head -c 8192 /dev/zero > zero\n"
	"printf end | dd of=sparse bs=1 seek=60000 2>/dev/null; cd ..\n"
	/* mkfs.erofs 1.5 cannot write chunks to a tmpfs */
	"T=$(mktemp -d /var/tmp/ufs-fs-XXXXXX) && cp -a root $T && mkfs.erofs $OPTS $T/image $T/root >/dev/null 2>&1; R=$?; mv $T/image .; rm -rf $T; [ $R = 0 ]\n";

static u64 state;
static u32 rnd(u32 n)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (state >> 33) % n;
}

static const char *const parts[] = { "d1", "d2", "d3", "empty", "f0", "f1", "f2", "f3", "f4", "big", "hard", "hard2", "l1", "l2", "l3", "l4", "l5",
	"l6", "p1", "zero", "sparse", "new1", "new2", "new3", "many", "name7", "name100", "..", ".", "newdir", "x" };

static struct { int host, guest; char path[100]; } slot[SLOTS];
static u8 hbuf[BUF], gbuf[BUF], data[BUF];
static char path1[256], path2[256], what[1024];
static u64 step;

static void fail(long h, long g)
{
	printf("step %lu: %s: host %ld, guest %ld\n", (unsigned long)step, what, h, g);
	host_exit(1);
}

static void same(long h, long g)
{
	if (h != g)
		fail(h, g);
}

static char *make_path(char *p)
{
	u32 n = rnd(10), depth = n < 5 ? 1 : n < 8 ? 2 : 3;
	char *s = p;

	if (rnd(4) == 0)
		*p++ = '/';
	for (u32 i = 0; i < depth; i++) {
		const char *c = parts[rnd(ARRAY_SIZE(parts))];
		p += snprintf(p, 64, "%s%s", i ? "/" : "", c);
	}
	if (rnd(16) == 0)
		*p++ = '/';
	*p = 0;
	return s;
}

#define BOTH(nr, a, b, c, d, e, f) do { \
	long h_ = HOST(nr, a, b, c, d, e, f), g_ = GUEST(nr, a, b, c, d, e, f); \
	same(h_, g_); } while (0)

static void put_fd(long h, long g)
{
	u32 s = rnd(SLOTS);

	if (h < 0 || g < 0) {
		same(h, g);
		return;
	}
	if (slot[s].host >= 0) {
		same(HOST(__NR_close, slot[s].host, 0, 0, 0, 0, 0), GUEST(__NR_close, slot[s].guest, 0, 0, 0, 0, 0));
	}
	slot[s].host = h;
	slot[s].guest = g;
	strlcpy(slot[s].path, what, 100);
}

static void compare_stat(const struct stat *h, const struct stat *g)
{
	same(h->st_mode, g->st_mode);
	if (!S_ISDIR(h->st_mode) || g->st_nlink != 1) /* 1: merged from several layers */
		same(h->st_nlink, g->st_nlink);
	same(h->st_uid, g->st_uid);
	same(h->st_gid, g->st_gid);
	same(h->st_rdev, g->st_rdev);
	if (!S_ISDIR(h->st_mode))
		same(h->st_size, g->st_size);
}

static void step_stat(void)
{
	struct stat h, g;
	long a, b;
	u32 kind = rnd(3), s = rnd(SLOTS);
	int nr = kind ? __NR_stat + (kind == 1 ? 0 : 2) : __NR_fstat;

	snprintf(what, sizeof(what), "stat %d %s", nr, kind ? path1 : "fd");
	if (!kind && slot[s].host < 0)
		return;
	a = HOST(nr, kind ? (long)path1 : slot[s].host, &h, 0, 0, 0, 0);
	b = GUEST(nr, kind ? (long)path1 : slot[s].guest, &g, 0, 0, 0, 0);
	same(a, b);
	if (!a)
		compare_stat(&h, &g);
}

static u32 list_sum(const u8 *buf, long n, u32 *count)
{
	u32 sum = 0;

	for (long at = 0; at < n;) {
		u16 len;
		u32 h = 5381;
		memcpy(&len, buf + at + 16, 2);
		for (const char *p = (const char *)buf + at + 19; *p; p++)
			h = h * 33 + (u8)*p;
		sum += (h * 31 + buf[at + 18]) * 2654435761U;
		++*count;
		at += len;
	}
	return sum;
}

/* A directory as the sum of its names and types. */
static void step_list(void)
{
	long h = HOST(__NR_open, path1, O_RDONLY | O_DIRECTORY, 0, 0, 0, 0), g = GUEST(__NR_open, path1, O_RDONLY | O_DIRECTORY, 0, 0, 0, 0), n;
	u32 hs = 0, gs = 0, hc = 0, gc = 0, size = 300 + rnd(3000);

	snprintf(what, sizeof(what), "list %s", path1);
	if (h < 0 || g < 0) {
		same(h, g);
		return;
	}
	while ((n = HOST(__NR_getdents64, h, hbuf, size, 0, 0, 0)) > 0)
		hs += list_sum(hbuf, n, &hc);
	while ((n = GUEST(__NR_getdents64, g, gbuf, size, 0, 0, 0)) > 0)
		gs += list_sum(gbuf, n, &gc);
	same(0, n);
	same(hc, gc);
	same(hs, gs);
	HOST(__NR_close, h, 0, 0, 0, 0, 0);
	GUEST(__NR_close, g, 0, 0, 0, 0, 0);
}

static void step_io(void)
{
	u32 s = rnd(SLOTS), len = rnd(4) ? rnd(6000) : rnd(BUF), kind = rnd(10);
	u64 off = rnd(3) ? rnd(20000) : rnd(1 << 20);
	int hf = slot[s].host, gf = slot[s].guest;
	struct stat st;
	long h, g;

	if (hf < 0 || (!HOST(__NR_fstat, hf, &st, 0, 0, 0, 0) && S_ISFIFO(st.st_mode) && kind > 2))
		return; /* the host counts a pipe's room in pages */
	snprintf(what, sizeof(what), "io %u %s len %u off %lu", kind, slot[s].path, len, (unsigned long)off);
	switch (kind) {
	case 0:
	case 1:
		h = HOST(__NR_pread64, hf, hbuf, len, off, 0, 0);
		g = GUEST(__NR_pread64, gf, gbuf, len, off, 0, 0);
		break;
	case 2:
		h = HOST(__NR_read, hf, hbuf, len, 0, 0, 0);
		g = GUEST(__NR_read, gf, gbuf, len, 0, 0, 0);
		break;
	case 3:
	case 4:
		for (u32 i = 0; i < len; i += 8)
			memcpy(data + i, &(u64){ state + i }, MIN(8U, len - i));
		h = HOST(__NR_pwrite64, hf, data, len, off, 0, 0);
		g = GUEST(__NR_pwrite64, gf, data, len, off, 0, 0);
		same(h, g);
		return;
	case 5:
		h = HOST(__NR_write, hf, data, len, 0, 0, 0);
		g = GUEST(__NR_write, gf, data, len, 0, 0, 0);
		same(h, g);
		return;
	default: {
		static const u32 modes[] = { 0, 1, 3, 3, 3 };
		u32 m = modes[rnd(5)];
		if (off > 1 << 18)
			off >>= 3;
		h = HOST(__NR_fallocate, hf, m, off, len, 0, 0);
		g = GUEST(__NR_fallocate, gf, m, off, len, 0, 0);
		same(h, g);
		return;
	}
	}
	same(h, g);
	if (h > 0 && memcmp(hbuf, gbuf, h)) {
		for (long i = 0; i < h; i++)
			if (hbuf[i] != gbuf[i]) {
				printf("byte %ld of %ld: %x %x\n", i, h, hbuf[i], gbuf[i]);
				break;
			}
		printf("step %lu: %s: data differs\n", (unsigned long)step, what);
		host_exit(1);
	}
}

static void step_size(void)
{
	u32 s = rnd(SLOTS), whence = rnd(3);
	u64 off = rnd(30000);
	int hf = slot[s].host, gf = slot[s].guest;

	if (hf < 0)
		return;
	snprintf(what, sizeof(what), "size fd %d off %lu", hf, (unsigned long)off);
	if (rnd(2))
		same(HOST(__NR_ftruncate, hf, off, 0, 0, 0, 0), GUEST(__NR_ftruncate, gf, off, 0, 0, 0, 0));
	else
		same(HOST(__NR_lseek, hf, off, whence, 0, 0, 0), GUEST(__NR_lseek, gf, off, whence, 0, 0, 0));
}

static void step_open(void)
{
	static const u32 bits[] = { O_CREAT, O_CREAT, O_TRUNC, O_EXCL, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_PATH };
	u32 flags = rnd(3) | O_NONBLOCK;

	for (u32 i = 0; i < ARRAY_SIZE(bits); i++)
		if (rnd(6) == 0)
			flags |= bits[i];
	if (rnd(30) == 0)
		flags = O_TMPFILE | O_RDWR;
	snprintf(what, sizeof(what), "open %s 0%o", path1, flags);
	put_fd(HOST(__NR_open, path1, flags, 0644, 0, 0, 0), GUEST(__NR_open, path1, flags, 0644, 0, 0, 0));
}

static void step_link(void)
{
	long h, g;

	snprintf(what, sizeof(what), "readlink %s", path1);
	h = HOST(__NR_readlink, path1, hbuf, 100, 0, 0, 0);
	g = GUEST(__NR_readlink, path1, gbuf, 100, 0, 0, 0);
	same(h, g);
	if (h > 0)
		same(0, memcmp(hbuf, gbuf, h));
}

static void step_at(void)
{
	static const char *const dirs[] = { "/", "d1", "d1/d2", "empty", "newdir" };
	const char *d = dirs[rnd(5)];
	long h = HOST(__NR_open, d, O_PATH | O_DIRECTORY, 0, 0, 0, 0), g = GUEST(__NR_open, d, O_PATH | O_DIRECTORY, 0, 0, 0, 0);
	struct stat hs, gs;
	u32 v;

	snprintf(what, sizeof(what), "fstatat %s %s", d, path1);
	if (h < 0 || g < 0) {
		same(h, g);
		return;
	}
	same(HOST(__NR_newfstatat, h, path1, &hs, AT_SYMLINK_NOFOLLOW, 0, 0), GUEST(__NR_newfstatat, g, path1, &gs, AT_SYMLINK_NOFOLLOW, 0, 0));
	v = rnd(8);
	same(HOST(__NR_faccessat2, h, path1, v, AT_EACCESS, 0, 0), GUEST(__NR_faccessat2, g, path1, v, AT_EACCESS, 0, 0));
	HOST(__NR_close, h, 0, 0, 0, 0, 0);
	GUEST(__NR_close, g, 0, 0, 0, 0, 0);
}

/* openat2 below a directory, with each way to confine it. */
static void step_confined(void)
{
	static const char *const dirs[] = { "/", "d1", "d1/d2", "newdir" };
	static const u64 resolve[] = { RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, 0, 0x100 };
	struct open_how how = { rnd(4) ? O_PATH : O_RDONLY | O_NONBLOCK, 0, resolve[rnd(ARRAY_SIZE(resolve))] };
	const char *d = dirs[rnd(4)];
	long h, g, hd = HOST(__NR_open, d, O_PATH | O_DIRECTORY, 0, 0, 0, 0), gd = GUEST(__NR_open, d, O_PATH | O_DIRECTORY, 0, 0, 0, 0);
	struct stat hs, gs;

	snprintf(what, sizeof(what), "openat2 %s %s resolve %lx", d, path1, (unsigned long)how.resolve);
	if (hd < 0 || gd < 0) {
		same(hd, gd);
		return;
	}
	h = HOST(__NR_openat2, hd, path1, &how, sizeof(how), 0, 0);
	g = GUEST(__NR_openat2, gd, path1, &how, sizeof(how), 0, 0);
	same(HOST(__NR_close, hd, 0, 0, 0, 0, 0), GUEST(__NR_close, gd, 0, 0, 0, 0, 0));
	if (h < 0 || g < 0) {
		same(h, g);
		return;
	}
	same(HOST(__NR_fstat, h, &hs, 0, 0, 0, 0), GUEST(__NR_fstat, g, &gs, 0, 0, 0, 0));
	compare_stat(&hs, &gs);
	same(HOST(__NR_close, h, 0, 0, 0, 0, 0), GUEST(__NR_close, g, 0, 0, 0, 0, 0));
}

static void step_times(void)
{
	static const s64 ns[] = { 0, 5, 999999999, 1000000000, 0x3fffffff, 0x3ffffffe, -1 };
	s64 ts[4] = { rnd(1000000), ns[rnd(7)], rnd(1000000), ns[rnd(7)] };
	struct stat hs, gs;
	long h;

	snprintf(what, sizeof(what), "utimensat %s %ld %ld", path1, (long)ts[1], (long)ts[3]);
	h = HOST(__NR_utimensat, AT_FDCWD, path1, ts, AT_SYMLINK_NOFOLLOW, 0, 0);
	same(h, GUEST(__NR_utimensat, AT_FDCWD, path1, ts, AT_SYMLINK_NOFOLLOW, 0, 0));
	if (h || HOST(__NR_lstat, path1, &hs, 0, 0, 0, 0))
		return;
	same(0, GUEST(__NR_lstat, path1, &gs, 0, 0, 0, 0));
	if (ts[1] >= 0 && ts[1] < 1000000000)
		same(hs.st_atime * 1000000000 + hs.st_atime_nsec, gs.st_atime * 1000000000 + gs.st_atime_nsec);
	if (ts[3] >= 0 && ts[3] < 1000000000)
		same(hs.st_mtime * 1000000000 + hs.st_mtime_nsec, gs.st_mtime * 1000000000 + gs.st_mtime_nsec);
}

static void step_cwd(void)
{
	long h, g;

	snprintf(what, sizeof(what), "chdir %s", path1);
	h = HOST(__NR_chdir, path1, 0, 0, 0, 0, 0);
	g = GUEST(__NR_chdir, path1, 0, 0, 0, 0, 0);
	same(h, g);
	h = HOST(__NR_getcwd, hbuf, 1000, 0, 0, 0, 0);
	g = GUEST(__NR_getcwd, gbuf, 1000, 0, 0, 0, 0);
	snprintf(what, sizeof(what), "getcwd after chdir %s: %s, %s", path1, h > 0 ? (char *)hbuf : "", g > 0 ? (char *)gbuf : "");
	same(h, g);
	if (h > 0)
		same(0, memcmp(hbuf, gbuf, h));
	if (rnd(2))
		BOTH(__NR_chdir, "/", 0, 0, 0, 0, 0);
}

static void step_once(void)
{
	u32 op = rnd(36), v;

	make_path(path1);
	make_path(path2);
	snprintf(what, sizeof(what), "op %u %s %s", op, path1, path2);
	switch (op) {
	case 0:
	case 1: BOTH(__NR_mkdir, path1, 0755, 0, 0, 0, 0); break;
	case 2: BOTH(__NR_rmdir, path1, 0, 0, 0, 0, 0); break;
	case 3:
	case 4: BOTH(__NR_unlink, path1, 0, 0, 0, 0, 0); break;
	case 5:
	case 6: BOTH(__NR_rename, path1, path2, 0, 0, 0, 0); break;
	case 7:
		v = rnd(4);
		BOTH(__NR_renameat2, AT_FDCWD, path1, AT_FDCWD, path2, v, 0);
		break;
	case 8: BOTH(__NR_link, path1, path2, 0, 0, 0, 0); break;
	case 9: BOTH(__NR_symlink, path2, path1, 0, 0, 0, 0); break;
	case 10:
		v = rnd(20000);
		BOTH(__NR_truncate, path1, v, 0, 0, 0, 0);
		break;
	case 11:
		v = rnd(010000) & ~01000U; /* sticky: the host may have its own rules for others' files there */
		BOTH(__NR_chmod, path1, v | 0700, 0, 0, 0, 0);
		break;
	case 12: BOTH(__NR_mknod, path1, S_IFIFO | 0600, 0, 0, 0, 0); break;
	case 13:
		v = rnd(8);
		BOTH(__NR_access, path1, v, 0, 0, 0, 0);
		break;
	case 14: step_list(); break;
	case 15: step_link(); break;
	case 16: step_at(); break;
	case 17: step_cwd(); break;
	case 18:
		v = rnd(3) ? ~0U : 7;
		BOTH(__NR_lchown, path1, v, 5, 0, 0, 0);
		break;
	case 19: step_size(); break;
	case 20: step_confined(); break;
	case 21: step_times(); break;
	case 22:
	case 23: step_stat(); break;
	case 24:
	case 25:
	case 26: step_open(); break;
	default: step_io();
	}
}

static void compare_file(const char *path)
{
	long h = HOST(__NR_open, path, O_RDONLY, 0, 0, 0, 0), g = GUEST(__NR_open, path, O_RDONLY, 0, 0, 0, 0), n;

	same(h < 0, g < 0);
	if (h < 0)
		return;
	do {
		n = HOST(__NR_read, h, hbuf, BUF, 0, 0, 0);
		same(n, GUEST(__NR_read, g, gbuf, BUF, 0, 0, 0));
		if (n > 0)
			same(0, memcmp(hbuf, gbuf, n));
	} while (n > 0);
	HOST(__NR_close, h, 0, 0, 0, 0, 0);
	GUEST(__NR_close, g, 0, 0, 0, 0, 0);
}

static void compare_tree(char *path, int depth)
{
	size_t len = strlen(path);
	long fd = HOST(__NR_open, *path ? path : "/", O_RDONLY | O_DIRECTORY, 0, 0, 0, 0), n;
	u8 *buf = malloc(8192);

	snprintf(path1, sizeof(path1), "%s/", path);
	step_list();
	CHECK(fd >= 0 && depth < 60);
	while ((n = HOST(__NR_getdents64, fd, buf, 8192, 0, 0, 0)) > 0) {
		for (long at = 0; at < n;) {
			const char *name = (const char *)buf + at + 19;
			struct stat h, g;
			u16 reclen;
			memcpy(&reclen, buf + at + 16, 2);
			at += reclen;
			if (!strcmp(name, ".") || !strcmp(name, ".."))
				continue;
			snprintf(path + len, 200, "/%s", name);
			if (!strcmp(path, "/proc") || !strcmp(path, "/sys") || !strcmp(path, "/dev"))
				continue;
			snprintf(what, sizeof(what), "final %s", path);
			same(HOST(__NR_lstat, path, &h, 0, 0, 0, 0), GUEST(__NR_lstat, path, &g, 0, 0, 0, 0));
			compare_stat(&h, &g);
			if (S_ISREG(h.st_mode))
				compare_file(path);
			if (S_ISDIR(h.st_mode))
				compare_tree(path, depth + 1);
		}
	}
	path[len] = 0;
	HOST(__NR_close, fd, 0, 0, 0, 0, 0);
	free(buf);
}

/* The same tree once more as a folder for the guest. Opening a FIFO of the host is not for it. */
static const char folder[] = "rm root/p1; cp -a root lower\n";

/* And as three layers: the lowest has too much and old things, the middle one takes away what is too much and has some of the files, so has the
 * highest. */
static const char layers[] =
	"for i in 0 1 2; do cp -a root $i; done\n"
	"echo old > 0/f2; echo junk > 0/gone; mkdir -p 0/gonedir/sub 0/d1/gone2; echo x > 0/gonedir/sub/x; echo x > 0/many/extra; echo x > 0/empty/junk\n"
	"rm 0/zero; mkdir 0/zero; echo x > 0/zero/inside; ln -s nowhere 0/d1/link; rm 0/d1/l6; mkdir -p 0/d1/l6/x; rmdir 2/empty\n"
	"find 1 2 -type f -links 1 -name '*[13579]' -delete; rm -r 2/d1/d2/d3 2/many; rm 2/big\n"
	"mknod 1/gone c 0 0; mknod 1/gonedir c 0 0; mknod 1/d1/gone2 c 0 0; mknod 1/many/extra c 0 0; mknod 1/d1/link c 0 0\n";
static const char layer_images[] =
	"cd %s && T=$(mktemp -d /var/tmp/ufs-fs-XXXXXX) && for i in 0 1 2; do mkfs.erofs %s $T/$i.img $i >/dev/null 2>&1 || exit 1; mv $T/$i.img .; done; rm -rf $T";

enum { ONE_IMAGE, LAYERS, FOLDER, KINDS };
struct run { u64 steps, seed; const char *dir, *lower; u32 kind; struct ufs_layer layer[3]; };

static int run(void *arg)
{
	struct run *r = arg;
	static char path[16384];

	if (r->kind == FOLDER) {
		folder_open(r->lower);
		fake_folder(r->seed);
	}
	host_enter(r->dir);
	state = r->seed;
	for (u32 i = 0; i < SLOTS; i++)
		slot[i].host = -1;
	fake_layers(r->layer, r->kind == ONE_IMAGE ? 1 : r->kind == LAYERS ? 3 : 0, 256 << 20);
	for (step = 0; step < r->steps; step++)
		step_once();
	snprintf(what, sizeof(what), "chdir");
	BOTH(__NR_chdir, "/", 0, 0, 0, 0, 0);
	compare_tree(path, 0);
	CHECK((r->kind == FOLDER) == (folder_requests > 20));
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const opts[] = { "", "-Enoinline_data", "--chunksize=4096" };
	u64 steps = argc > 1 ? atoi(argv[1]) : 4000, seed = argc > 2 ? atoi(argv[2]) : 1;
	char script[8192], root[128], lower[128];

	if (!host_is_root()) {
		printf("fs_calls_test: skipped, chroot needs root\n");
		return 0;
	}
	host_map();
	for (u32 k = 0; k < 12; k++) {
		struct run r = { .steps = steps, .seed = seed + k, .dir = root, .lower = lower, .kind = k % KINDS };
		const char *dir;
		int st;
		snprintf(script, sizeof(script), "OPTS=%s\n%s%s%s", opts[k / KINDS % 3], tree, r.kind == LAYERS ? layers : "", r.kind == FOLDER ? folder : "");
		dir = host_folder(script);
		if (r.kind == LAYERS) {
			snprintf(root, sizeof(root), "%s/1/empty", dir);
			host_opaque(root); /* what the lowest layer has in it does not show */
			host_shell(layer_images, dir, opts[k / KINDS % 3]);
		}
		for (u32 i = 0; i < (r.kind == FOLDER ? 0 : r.kind == LAYERS ? 3 : 1); i++) {
			snprintf(root, sizeof(root), r.kind == LAYERS ? "%s/%u.img" : "%s/image", dir, i);
			r.layer[i].offset = i ? ALIGN_UP(r.layer[i - 1].offset + r.layer[i - 1].size, HUGE_SIZE) : 0;
			r.layer[i].size = host_load(root, (u8 *)UFS_IMAGE_VA + r.layer[i].offset, FAKE_IMAGE_MAX - r.layer[i].offset);
		}
		snprintf(root, sizeof(root), "%s/root", dir);
		snprintf(lower, sizeof(lower), "%s/lower", dir);
		st = host_fork_run(run, &r);
		host_remove();
		if (st) {
			printf("fs_calls_test: kind %u options \"%s\" seed %lu: exit %d\n", r.kind, opts[k / KINDS % 3], (unsigned long)r.seed, st);
			return 1;
		}
	}
	return 0;
}
