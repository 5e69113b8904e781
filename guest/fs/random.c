/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random.c: random numbers: ChaCha20 with fast key erasure, keyed by the monitor's seed.
 *
 * Each refill makes a block of key stream whose first 32 bytes are the next key, so what was handed out cannot be
 * computed from the state. When the monitor renews the seed (a restored snapshot), what is buffered is dropped.
 */
#include "random.h"
#include "vfs.h"

#define BLOCK 64
#define BUFFER (8 * BLOCK)

static u32 key[8];
static u8 buffer[BUFFER];
static u32 left;          /* unused bytes at the end of buffer */
static u64 seed_seq;
static bool seeded;

#define ROTL(v, n) ((v) << (n) | (v) >> (32 - (n)))
#define QUARTER(a, b, c, d) ( \
	a += b, d ^= a, d = ROTL(d, 16), c += d, b ^= c, b = ROTL(b, 12), \
	a += b, d ^= a, d = ROTL(d, 8), c += d, b ^= c, b = ROTL(b, 7))

static void chacha_block(const u32 k[8], const u32 nonce[4], u32 out[16])
{
	u32 s[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }, x[16];

	memcpy(s + 4, k, 32);
	memcpy(s + 12, nonce, 16);
	memcpy(x, s, sizeof(x));
	for (int i = 0; i < 10; i++) {
		QUARTER(x[0], x[4], x[8], x[12]);
		QUARTER(x[1], x[5], x[9], x[13]);
		QUARTER(x[2], x[6], x[10], x[14]);
		QUARTER(x[3], x[7], x[11], x[15]);
		QUARTER(x[0], x[5], x[10], x[15]);
		QUARTER(x[1], x[6], x[11], x[12]);
		QUARTER(x[2], x[7], x[8], x[13]);
		QUARTER(x[3], x[4], x[9], x[14]);
	}
	for (int i = 0; i < 16; i++)
		out[i] = x[i] + s[i];
}

/* Fills n blocks and replaces the key by what comes before them. */
static void stream(u8 *out, u32 blocks)
{
	u32 nonce[4] = { 0 }, first[16];

	chacha_block(key, nonce, first);
	for (u32 i = 0; i < blocks; i++) {
		u32 block[16];
		nonce[0]++;
		chacha_block(key, nonce, block);
		memcpy(out + i * BLOCK, block, BLOCK);
	}
	memcpy(key, first, sizeof(key));
}

/* Old key and new input both go into the next key. */
static void mix(const u32 k[8], const u32 nonce[4])
{
	u32 out[16];

	chacha_block(k, nonce, out);
	for (int i = 0; i < 8; i++)
		key[i] ^= out[i];
	memset(buffer, 0, sizeof(buffer));
	left = 0;
	stream(NULL, 0);
}

static void reseed(void)
{
	u32 seed[12];

	if (likely(seeded && CTL->seed_seq == seed_seq))
		return;
	seed_seq = CTL->seed_seq;
	for (u32 i = 0; i < sizeof(seed); i++)
		((u8 *)seed)[i] = CTL->seed[i];
	seeded = true;
	mix(seed, seed + 8);
}

void random_bytes(void *out, size_t n)
{
	u8 *p = out;

	reseed();
	while (n) {
		size_t k;
		if (!left) {
			stream(buffer, BUFFER / BLOCK);
			left = BUFFER;
		}
		k = MIN(n, (size_t)left);
		memcpy(p, buffer + BUFFER - left, k);
		memset(buffer + BUFFER - left, 0, k);
		left -= k;
		p += k;
		n -= k;
	}
}

static long random_fill(struct iter *it)
{
	u8 chunk[256];
	long done = 0;

	while (it->left) {
		size_t n = MIN(it->left, sizeof(chunk));
		long r;
		random_bytes(chunk, n);
		r = iter_put(it, chunk, n);
		if (r > 0)
			done += r;
		if (r < (long)n) {
			memset(chunk, 0, sizeof(chunk));
			return done ? done : r;
		}
		if (!(done & 0xfffff) && signal_pending())
			break;
	}
	memset(chunk, 0, sizeof(chunk));
	return done;
}

static long random_read(struct file *f, struct iter *it, u64 *pos) { return random_fill(it); }

/* What the program writes is stirred in and credited with nothing. */
static long random_write(struct file *f, struct iter *it, u64 *pos)
{
	static const u32 nonce[4] = { 1, 1, 1, 1 };
	long done = 0;

	reseed();
	while (it->left) {
		u32 in[8] = { 0 };
		long r = iter_get(it, in, MIN(it->left, sizeof(in)));
		if (r <= 0)
			return done ? done : r;
		mix(in, nonce);
		done += r;
	}
	return done;
}

#define RNDGETENTCNT 0x80045200

static long random_ioctl(struct file *f, u64 cmd, u64 arg)
{
	if (cmd == RNDGETENTCNT)
		return put_user(256, arg);
	return (cmd >> 8 & 0xff) == 'R' ? -EPERM : -ENOTTY;
}

static long random_seek(struct file *f, s64 off, int whence) { return 0; }
static u32 random_poll(struct file *f, struct poll_table *pt) { return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM; }

const struct file_ops random_fops = {
	.read = random_read, .write = random_write, .ioctl = random_ioctl, .seek = random_seek, .poll = random_poll,
};

#define GRND_NONBLOCK 1
#define GRND_RANDOM 2
#define GRND_INSECURE 4

SYSCALL(getrandom)
{
	struct iter it;

	if ((c & ~(u64)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) || (c & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	iter_user(&it, (void *)a, MIN(b, MAX_RW_COUNT));
	return random_fill(&it);
}
