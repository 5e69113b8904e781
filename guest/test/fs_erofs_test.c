/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_erofs_test.c: images of mkfs.erofs read back, then cut short and with bits turned: never a crash, a hang or a
 * byte outside (the image stands in a block of exactly its size, so that the sanitizer sees each).
 * Usage: fs_erofs_test [ROUNDS [SEED]]
 */
#include "fs_fake.h"
#include "fs_erofs_walk.h"

static u64 state = 1;
static u32 rnd(u32 n)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (state >> 33) % n;
}

static const char tree[] =
	"mkdir -p root/d1/d2 root/many root/empty; cd root; : > f0; printf hello > f1; seq 1 800 | head -c 4096 > f2\n"
	"seq 1 2000 | head -c 5000 > d1/f3; seq 1 5000 | head -c 10000 > d1/d2/f4; ln f1 d1/hard; ln -s ../f2 d1/l6; mkfifo p1\n"
	"mknod null c 1 3 2>/dev/null; i=0; while [ $i -lt 400 ]; do echo $i > many/name$i; i=$((i+1)); done; chown 70000:70001 f2 2>/dev/null\n"
	"printf end | dd of=sparse bs=1 seek=60000 2>/dev/null; cd ..\n"
	"T=$(mktemp -d /var/tmp/ufs-fs-XXXXXX) && cp -a root $T && mkfs.erofs $OPTS $T/image $T/root >/dev/null 2>&1; R=$?; mv $T/image .; rm -rf $T; [ $R = 0 ]\n";

static struct erofs fs;

static int find(const char *path, struct enode *e)
{
	u64 nid = fs.root_nid;

	CHECK_EQ(erofs_inode(&fs, nid, e), 0);
	while (*path) {
		const char *end = strchr(path, '/');
		size_t len = end ? (size_t)(end - path) : strlen(path);
		int r = erofs_lookup(e, path, len, &nid);
		if (r)
			return r;
		r = erofs_inode(&fs, nid, e);
		if (r)
			return r;
		path += len + (end != NULL);
	}
	return 0;
}

static void same_file(const char *dir, const char *path)
{
	static u8 want[1 << 20];
	char full[256];
	struct enode e;
	u64 n, off = 0;

	snprintf(full, sizeof(full), "%s/root/%s", dir, path);
	n = host_load(full, want, sizeof(want));
	CHECK_EQ(find(path, &e), 0);
	CHECK_EQ(e.size, n);
	while (off < n) {
		const u8 *p;
		long run = erofs_map(&e, off, &p);
		CHECK(run > 0 && off + run <= n);
		for (long i = 0; i < run; i++)
			CHECK_EQ(p ? p[i] : 0, want[off + i]);
		off += run;
	}
	CHECK(erofs_map(&e, n, (const u8 *[]){ NULL }) < 0);
}

static bool count(void *arg, const char *name, size_t len, u64 nid, u8 type, u64 next)
{
	++*(long *)arg;
	return true;
}

static void check_whole(const char *dir, u32 uid)
{
	static const char *const files[] = { "f0", "f1", "f2", "d1/f3", "d1/d2/f4", "d1/hard", "many/name0", "many/name399", "sparse" };
	struct enode e, f;
	char link[16];
	u64 pos = 0;
	long n = 0;

	for (u32 i = 0; i < ARRAY_SIZE(files); i++)
		same_file(dir, files[i]);
	CHECK_EQ(find("nothing", &e), -ENOENT);
	CHECK_EQ(find("many/name400", &e), -ENOENT);
	CHECK_EQ(find("many/", &e), 0);
	CHECK_EQ(erofs_readdir(&e, &pos, count, &n), 0);
	CHECK_EQ(n, 402);
	CHECK_EQ(find("d1/l6", &e), 0);
	CHECK_EQ(erofs_readlink(&e, link, sizeof(link)), 5);
	CHECK(!memcmp(link, "../f2", 5));
	CHECK_EQ(find("f1", &e), 0);
	CHECK_EQ(find("d1/hard", &f), 0);
	CHECK_EQ(e.nid, f.nid);
	CHECK_EQ(e.nlink, 2);
	CHECK_EQ(find("f2", &e), 0);
	if (host_is_root()) {
		CHECK_EQ(e.uid, uid);
		CHECK_EQ(find("null", &f), 0);
		CHECK_EQ(f.rdev, 0x103);
	}
	CHECK_EQ(find("p1", &e), 0);
	CHECK_EQ(e.mode & 0170000, 0010000);
}

static void check_refused(u8 *image, u64 size)
{
	char why[128] = "";
	u8 keep = image[1024 + 80];

	image[1024 + 80] |= 2;
	CHECK_EQ(erofs_open(&fs, image, size, why, sizeof(why)), -EOPNOTSUPP);
	CHECK(strchr(why, 'c') && !strncmp(why, "EROFS feature 0x2 (compression", 29));
	image[1024 + 80] = keep;
	CHECK_EQ(erofs_open(&fs, image, 1000, why, sizeof(why)), -EINVAL);
	CHECK_EQ(erofs_open(&fs, image, 0, why, sizeof(why)), -EINVAL);
	image[1024] ^= 1;
	CHECK_EQ(erofs_open(&fs, image, size, why, sizeof(why)), -EINVAL);
	image[1024] ^= 1;
}

static void damage(const u8 *image, u64 size, u32 rounds)
{
	u64 intact = visit_image(image, size), meta = 1024;

	CHECK(intact);
	for (u32 i = 0; i < rounds; i++) {
		u64 n = rnd(3) ? size : 1024 + rnd(size - 1024);
		u8 *m = malloc(n);
		memcpy(m, image, n);
		for (u32 k = rnd(6); k; k--) {
			u64 at = rnd(2) ? meta + rnd(MIN(n - meta, 8192)) : rnd(n);
			if (rnd(3))
				m[at] ^= 1 << rnd(8);
			else
				m[at] = rnd(2) ? 0xff : 0;
		}
		visit_image(m, n);
		free(m);
	}
}

int main(int argc, char **argv)
{
	static const char *const opts[] = { "", "-Enoinline_data", "--chunksize=4096", "-Eforce-inode-extended", "-Eforce-inode-compact --force-uid=5 --force-gid=6", "-T0 --chunksize=16384" };
	u32 rounds = argc > 1 ? atoi(argv[1]) : 400;
	u8 *image = malloc(FAKE_IMAGE_MAX), *exact;
	char script[2048], path[128];

	state = argc > 2 ? atoi(argv[2]) : 1;
	for (u32 i = 0; i < ARRAY_SIZE(opts); i++) {
		const char *dir;
		u64 size;
		snprintf(script, sizeof(script), "OPTS='%s'\n%s", opts[i], tree);
		dir = host_folder(script);
		snprintf(path, sizeof(path), "%s/image", dir);
		size = host_load(path, image, FAKE_IMAGE_MAX);
		exact = malloc(size);
		memcpy(exact, image, size);
		CHECK_EQ(erofs_open(&fs, exact, size, path, sizeof(path)), 0);
		check_whole(dir, strncmp(opts[i], "-Eforce-inode-compact", 21) ? 70000 : 5);
		damage(exact, size, rounds);
		check_refused(exact, size);
		free(exact);
		host_remove();
	}
	free(image);
	return 0;
}
