/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_folder_test.c: files of the host's folder: contents by reading and by mapping, what the cache lets go, replaced files, and answers
 * that are nonsense: those may give errors and wrong contents, never a crash, a hang or a leak.
 * Usage: fs_folder_test [ROUNDS [SEED]]
 */
#include <asm/unistd.h>
#include "fs_calls.h"
#include "../fs/hostfs.h"

static const char tree[] =
	"mkdir -p root/sub/deep root/many root/proc; cd root; : > s0; printf a > s1; head -c 4095 /dev/urandom > s4095; head -c 57344 /dev/urandom > s56k\n"
	"head -c 57345 /dev/urandom > s56k1; head -c 300000 /dev/urandom > s300k; head -c 4194304 /dev/urandom > s4m; head -c 4194305 /dev/urandom > s4m1\n"
	"head -c 9000001 /dev/urandom > s9m; ln -s sub/deep link; mkfifo fifo; i=0; while [ $i -lt 40 ]; do head -c 400000 /dev/urandom > many/f$i; i=$((i+1)); done\n"
	"mkdir rep; printf first > rep/file; printf one > rep/other\n"
	"mkdir dirs; seq -f dirs/d%g 300 | xargs mkdir; for k in $(seq 20); do seq -f dirs/d%g/this-is-a-file-with-a-long-name-$k 300; done | xargs touch; cd ..\n";
static const char *const names[] = { "s0", "s1", "s4095", "s56k", "s56k1", "s300k", "s4m", "s4m1", "s9m" };

static u64 state;
static u8 want[9100000], got[600000];
static u32 rnd(u32 n)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (state >> 33) % n;
}

struct run { const char *root; u32 rounds; };

static u64 load(const struct run *r, const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", r->root, name);
	return host_load(path, want, sizeof(want));
}

static void read_random(int fd, u64 size, u32 times)
{
	while (times--) {
		u64 off = rnd(4) ? rnd(size + 10) : size - rnd(MIN(size, 5000) + 1), n = rnd(3) ? rnd(5000) : rnd(sizeof(got));
		long r = GUEST(__NR_pread64, fd, got, n, off, 0, 0);
		CHECK_EQ(r, off >= size ? 0 : MIN(n, size - off));
		CHECK(!memcmp(got, want + off, r));
	}
}

static void same_pages(struct inode *ino, u64 size, u32 times)
{
	while (size && times--) {
		u64 off = ALIGN_DOWN(times ? rnd(size) : size - 1, PAGE_SIZE), n = MIN(size - off, PAGE_SIZE);
		u8 *page = ino->ops->page(ino, off, false);
		CHECK(!IS_ERR(page));
		CHECK(!memcmp(page, want + off, n));
		for (u64 i = n; i < PAGE_SIZE; i++)
			CHECK_EQ(page[i], 0);
		if ((u64)page < UFS_FILES_VA || (u64)page >= UFS_FILES_VA + UFS_FILES_MAX)
			page_put(page);
	}
}

static int open_guest(const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "/%s", name);
	return GUEST(__NR_open, path, O_RDONLY, 0, 0, 0, 0);
}

static int contents(void *arg)
{
	struct run *r = arg;

	folder_open(r->root);
	fake_folder(1);
	fake_layers(NULL, 0, 64 << 20);
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		u64 size = load(r, names[i]);
		int fd = open_guest(names[i]), how;
		CHECK(fd >= 0);
		if (i % 3)
			read_random(fd, size, 60);
		folder_refuse = i == 8 ? 0 : i == 7 ? 12 : 0;
		folder_stale = i == 5 || i == 8;
		how = inode_prepare(fd_peek(fd)->ino);
		CHECK_EQ(how, size > HOST_LOAD_MAX && !folder_refuse);
		u64 asked = folder_requests;
		same_pages(fd_peek(fd)->ino, size, 300);
		CHECK_EQ(folder_requests, asked); /* a fault asks nobody */
		read_random(fd, size, 60);
		GUEST(__NR_close, fd, 0, 0, 0, 0, 0);
	}
	CHECK_EQ(open_guest("fifo"), -ENXIO);
	CHECK(open_guest("link") >= 0);
	return 0;
}

/* More files than the cache may hold: the pages of those that nobody has open go. */
static int eviction(void *arg)
{
	struct run *r = arg;
	char name[64];

	folder_open(r->root);
	fake_folder(2);
	fake_total = 16 << 20;
	fake_layers(NULL, 0, 64 << 20);
	for (u32 i = 0; i < 900; i++) { /* listings go and come again */
		struct stat st;
		snprintf(name, sizeof(name), "/dirs/d%u/this-is-a-file-with-a-long-name-%u", 1 + rnd(300), 1 + rnd(22));
		CHECK_EQ(GUEST(__NR_stat, name, &st, 0, 0, 0, 0), atoi(strrchr(name, '-') + 1) > 20 ? -ENOENT : 0);
		if (i % 3)
			continue;
		*strrchr(name, '/') = 0;
		int fd = open_guest(name + 1), n = 0;
		for (long len; (len = GUEST(__NR_getdents64, fd, got, 300, 0, 0, 0)) > 0;)
			for (long at = 0; at < len; at += *(u16 *)(got + at + 16))
				n++;
		CHECK_EQ(n, 22);
		GUEST(__NR_close, fd, 0, 0, 0, 0, 0);
	}
	for (u32 i = 0; i < 120; i++) {
		snprintf(name, sizeof(name), "many/f%u", rnd(40));
		u64 size = load(r, name);
		int fd = open_guest(name);
		CHECK(fd >= 0);
		CHECK(inode_prepare(fd_peek(fd)->ino) >= 0);
		same_pages(fd_peek(fd)->ino, size, 5);
		GUEST(__NR_close, fd, 0, 0, 0, 0, 0);
		CHECK(fake_pages <= (16 << 20) / 8 / 4096 + 200);
	}
	return 0;
}

/* More large files than the area holds: those that nobody has mapped make room. */
static int full(void *arg)
{
	struct run *r = arg;
	char name[64];
	int keep;

	host_shell("cd %s && mkdir large && for i in $(seq 60); do truncate -s 9M large/f$i; printf $i | dd of=large/f$i conv=notrunc 2>/dev/null; done", r->root);
	folder_open(r->root);
	fake_folder(4);
	fake_layers(NULL, 0, 64 << 20);
	keep = open_guest("s9m");
	u64 size = load(r, "s9m");
	CHECK_EQ(inode_prepare(fd_peek(keep)->ino), 1);
	for (u32 i = 1; i <= 60; i++) {
		snprintf(name, sizeof(name), "large/f%u", i);
		int fd = open_guest(name);
		CHECK(fd >= 0);
		CHECK_EQ(inode_prepare(fd_peek(fd)->ino), 1);
		const char *page = fd_peek(fd)->ino->ops->page(fd_peek(fd)->ino, 0, false);
		CHECK(!IS_ERR(page));
		CHECK_EQ(atoi(page), i);
		GUEST(__NR_close, fd, 0, 0, 0, 0, 0);
	}
	load(r, "s9m");
	same_pages(fd_peek(keep)->ino, size, 100);
	return 0;
}

/* A file that is another under the same name: ESTALE, then its new self. */
static int replaced(void *arg)
{
	struct run *r = arg;
	int fd;

	folder_open(r->root);
	fake_folder(3);
	fake_layers(NULL, 0, 64 << 20);
	fd = open_guest("rep/file");
	CHECK(fd >= 0);
	host_shell("cd %s/rep && printf other > new && mv new file", r->root);
	CHECK_EQ(GUEST(__NR_read, fd, got, 100, 0, 0, 0), 5);
	CHECK(!memcmp(got, "other", 5));
	fd = open_guest("rep/other");
	host_shell("cd %s/rep && printf longer > new && mv new other", r->root);
	CHECK_EQ(inode_prepare(fd_peek(fd)->ino), 0);
	CHECK_EQ(GUEST(__NR_read, fd, got, 100, 0, 0, 0), 6);
	CHECK(!memcmp(got, "longer", 6));
	/* Not when something of the old one was seen. */
	fd = open_guest("s4m");
	CHECK_EQ(GUEST(__NR_read, fd, got, 100, 0, 0, 0), 100);
	host_shell("cd %s && cp s4m new && mv new s4m", r->root);
	CHECK_EQ(GUEST(__NR_pread64, fd, got, 100, 3000000, 0, 0), -ESTALE);
	fd = open_guest("s1");
	folder_stale = 2;
	CHECK_EQ(GUEST(__NR_read, fd, got, 100, 0, 0, 0), -ESTALE);
	return 0;
}

static void spoil(struct ufs_msg *m, u8 *payload)
{
	if (rnd(3))
		return;
	switch (rnd(5)) {
	case 0: m->arg = rnd(2) ? rnd(200) : rnd(1 << 30) * 4U; break;
	case 1: m->len = rnd(m->len + 1); break;
	case 2: m->len = MIN(m->len + rnd(5000), (u32)UFS_MSG_MAX); break;
	case 3: m->conn = rnd(100); break;
	default:
		for (u32 k = rnd(20); m->len && k; k--)
			payload[rnd(MIN(m->len, 300U))] = rnd(256);
	}
}

static void anything(void)
{
	static const char *const words[] = { "s0", "s1", "s300k", "s9m", "s4m", "sub", "deep", "many", "f1", "f2", "link", "fifo", "none", ".." };
	char path[128] = "/";
	struct stat st;
	int fd;

	for (u32 i = 0, n = 1 + rnd(3); i < n; i++) {
		size_t len = strlen(path);
		snprintf(path + len, sizeof(path) - len, "%s%s", i ? "/" : "", words[rnd(ARRAY_SIZE(words))]);
	}
	switch (rnd(6)) {
	case 0: GUEST(__NR_stat, path, &st, 0, 0, 0, 0); return;
	case 1: GUEST(__NR_unlink, path, 0, 0, 0, 0, 0); return;
	case 2: GUEST(__NR_rename, path, "/elsewhere", 0, 0, 0, 0); return;
	case 3: GUEST(__NR_readlink, path, got, 100, 0, 0, 0); return;
	}
	fd = GUEST(__NR_open, path, rnd(4) ? O_RDONLY : O_RDWR, 0, 0, 0, 0);
	if (fd < 0)
		return;
	struct inode *ino = fd_peek(fd)->ino;
	for (u32 i = 0; i < 4; i++) {
		GUEST(__NR_pread64, fd, got, rnd(sizeof(got)), rnd(10000000), 0, 0);
		GUEST(__NR_getdents64, fd, got, 3000, 0, 0, 0);
		if (!rnd(4))
			GUEST(__NR_pwrite64, fd, got, rnd(10000), rnd(1000000), 0, 0);
	}
	if (S_ISREG(ino->mode) && ino->ops->page && rnd(2) && inode_prepare(ino) == 0 && ino->size) {
		void *page = ino->ops->page(ino, ALIGN_DOWN(rnd(MIN(ino->size, 1UL << 30)), PAGE_SIZE), false);
		if (!IS_ERR(page) && ((u64)page < UFS_FILES_VA || (u64)page >= UFS_FILES_VA + UFS_FILES_MAX))
			page_put(page);
	}
	GUEST(__NR_close, fd, 0, 0, 0, 0, 0);
}

static int nonsense(void *arg)
{
	struct run *r = arg;

	folder_open(r->root);
	fake_folder(state);
	fake_layers(NULL, 0, 64 << 20);
	fake_spoil = spoil;
	fake_gives_up = true; /* an answer that never comes ends the thread's wait */
	for (u32 i = 0; i < r->rounds; i++)
		anything();
	return 0;
}

int main(int argc, char **argv)
{
	u32 rounds = argc > 1 ? atoi(argv[1]) : 1500, seeds = 6;
	char root[128];
	struct run r = { root, rounds };

	host_map();
	snprintf(root, sizeof(root), "%s/root", host_folder(tree));
	state = argc > 2 ? atoi(argv[2]) : 1;
	if (host_fork_run(contents, &r) || host_fork_run(eviction, &r) || host_fork_run(full, &r) || host_fork_run(replaced, &r))
		return 1;
	for (u32 i = 0; i < seeds; i++) {
		state = (argc > 2 ? atoi(argv[2]) : 1) + i;
		if (host_fork_run(nonsense, &r)) {
			printf("fs_folder_test: nonsense, seed %lu\n", (unsigned long)state);
			return 1;
		}
	}
	return 0;
}
