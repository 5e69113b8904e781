/* SPDX-License-Identifier: Apache-2.0 */
/* copy.c: from file to file without the program: sendfile, splice, tee, copy_file_range. */
#include "vfs.h"

#define CHUNK_ORDER 4
#define CHUNK (PAGE_SIZE << CHUNK_ORDER)

struct chunk { u8 *p; size_t size; };

static bool chunk_alloc(struct chunk *c)
{
	c->size = CHUNK;
	c->p = page_alloc(CHUNK_ORDER, 0);
	if (!c->p) {
		c->size = PAGE_SIZE;
		c->p = page_alloc(0, 0);
	}
	return c->p;
}

/* Reads once (at most n bytes) and writes that. Bytes that could not be written are not taken from in: positions
 * move only by what was written, and a pipe gets them back. */
static long move(struct file *in, u64 *ipos, struct file *out, u64 *opos, struct chunk *c, u64 n)
{
	u64 pos = *ipos, done = 0;
	struct iter it;
	long got, r = 0;

	iter_kernel(&it, c->p, MIN(n, c->size));
	got = in->ops->read(in, &it, &pos);
	if (got <= 0)
		return got;
	while (done < (u64)got) {
		iter_kernel(&it, c->p + done, got - done);
		r = out->ops->write(out, &it, opos);
		if (r <= 0)
			break;
		done += r;
	}
	*ipos += done;
	if (done) {
		notify(in->ino, IN_ACCESS);
		notify(out->ino, IN_MODIFY);
	}
	if (done < (u64)got && file_is_pipe(in))
		pipe_unread(in, c->p + done, got - done);
	return done ? (long)done : r;
}

static long move_all(struct file *in, u64 *ipos, struct file *out, u64 *opos, u64 count)
{
	struct chunk c;
	u64 done = 0;
	long r = 0;

	count = MIN(count, MAX_RW_COUNT);
	if (!count)
		return 0;
	if (!chunk_alloc(&c))
		return -ENOMEM;
	while (done < count) {
		r = move(in, ipos, out, opos, &c, count - done);
		if (r <= 0)
			break;
		done += r;
		if (signal_pending())
			break;
	}
	page_put(c.p);
	return done ? (long)done : r;
}

/* Both descriptors referenced and fit for copying, or negative errno. */
static int get_pair(int ifd, int ofd, struct file **in, struct file **out)
{
	*in = fd_get(ifd);
	*out = fd_get(ofd);
	if (*in && *out && file_readable(*in) && file_writable(*out)) {
		if ((*in)->ops->read && (*out)->ops->write)
			return 0;
		file_put(*in);
		file_put(*out);
		return -EINVAL;
	}
	file_put(*in);
	file_put(*out);
	return -EBADF;
}

SYSCALL(sendfile)
{
	struct file *in, *out;
	u64 pos = 0;
	long r = get_pair((int)b, (int)a, &in, &out);

	if (r)
		return r;
	r = -EFAULT;
	if (c && get_user(pos, c))
		goto done;
	r = !in->ops->seek && c ? -ESPIPE : -EINVAL;
	if ((c && !in->ops->seek) || (s64)pos < 0 || (out->flags & O_APPEND) || !in->ino ||
	    !(S_ISREG(in->ino->mode) || (S_ISCHR(in->ino->mode) && in->ops->seek)))
		goto done;
	r = move_all(in, c ? &pos : &in->pos, out, &out->pos, d);
	if (c && r > 0 && put_user(pos, c))
		r = -EFAULT;
done:
	file_put(in);
	file_put(out);
	return r;
}

#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_ALL 15

static long splice_files(struct file *in, u64 *ipos, struct file *out, u64 *opos, u64 len, bool nonblock)
{
	struct chunk c;
	long r;

	if (file_is_pipe(out)) { /* no more than fits, so that the caller can go on to empty it */
		r = pipe_wait_room(out, nonblock || (out->flags & O_NONBLOCK));
		if (r < 0)
			return r;
		len = MIN(len, (u64)r);
	}
	if (file_is_pipe(in)) {
		r = pipe_wait_data(in, nonblock || (in->flags & O_NONBLOCK));
		if (r <= 0)
			return r;
		len = MIN(len, (u64)r);
	}
	if (!chunk_alloc(&c))
		return -ENOMEM;
	r = move(in, ipos, out, opos, &c, len);
	page_put(c.p);
	return r;
}

SYSCALL(splice)
{
	struct file *in, *out;
	u64 ipos = 0, opos = 0;
	long r;

	if (f & ~(u64)SPLICE_F_ALL)
		return -EINVAL;
	if (!e)
		return 0;
	r = get_pair((int)a, (int)c, &in, &out);
	if (r)
		return r;
	r = -EINVAL;
	if ((!file_is_pipe(in) && !file_is_pipe(out)) || (file_is_pipe(in) && in->priv == out->priv) || (out->flags & O_APPEND) ||
	    (in->ino && S_ISDIR(in->ino->mode)))
		goto done;
	r = -ESPIPE;
	if ((b && file_is_pipe(in)) || (d && file_is_pipe(out)))
		goto done;
	r = -EINVAL;
	if ((b && !in->ops->seek) || (d && !out->ops->seek))
		goto done;
	r = -EFAULT;
	if ((b && get_user(ipos, b)) || (d && get_user(opos, d)))
		goto done;
	r = -EINVAL;
	if ((s64)ipos < 0 || (s64)opos < 0)
		goto done;
	r = splice_files(in, b ? &ipos : &in->pos, out, d ? &opos : &out->pos, MIN(e, MAX_RW_COUNT), f & SPLICE_F_NONBLOCK);
	if (r > 0 && ((b && put_user(ipos, b)) || (d && put_user(opos, d))))
		r = -EFAULT;
done:
	file_put(in);
	file_put(out);
	return r;
}

SYSCALL(tee)
{
	struct file *in, *out;
	long r;

	if (d & ~(u64)SPLICE_F_ALL)
		return -EINVAL;
	if (!c)
		return 0;
	r = get_pair((int)a, (int)b, &in, &out);
	if (r)
		return r;
	r = -EINVAL;
	if (file_is_pipe(in) && file_is_pipe(out) && in->priv != out->priv) {
		r = pipe_wait_data(in, (d & SPLICE_F_NONBLOCK) || (in->flags & O_NONBLOCK));
		if (r > 0)
			r = pipe_wait_room(out, (d & SPLICE_F_NONBLOCK) || (out->flags & O_NONBLOCK));
		if (r > 0)
			r = pipe_tee(in, out, c);
	}
	file_put(in);
	file_put(out);
	return r;
}

SYSCALL(copy_file_range)
{
	struct file *in, *out;
	u64 ipos, opos, len = MIN(e, MAX_RW_COUNT);
	long r = -EBADF;

	in = fd_get((int)a);
	out = fd_get((int)c);
	if (!in || !out)
		goto done;
	r = -EINVAL;
	if (f)
		goto done;
	if (!in->ino || !out->ino || !S_ISREG(in->ino->mode) || !S_ISREG(out->ino->mode)) {
		r = (in->ino && S_ISDIR(in->ino->mode)) || (out->ino && S_ISDIR(out->ino->mode)) ? -EISDIR : -EINVAL;
		goto done;
	}
	r = -EBADF;
	if (!file_readable(in) || !file_writable(out) || (out->flags & O_APPEND))
		goto done;
	ipos = in->pos;
	opos = out->pos;
	r = -EFAULT;
	if ((b && get_user(ipos, b)) || (d && get_user(opos, d)))
		goto done;
	r = -EXDEV;
	if (in->ino->dev != out->ino->dev)
		goto done;
	r = -EOVERFLOW;
	if ((s64)ipos < 0 || (s64)opos < 0 || (s64)(ipos + len) < 0 || (s64)(opos + len) < 0)
		goto done;
	r = 0;
	if (ipos >= in->ino->size)
		goto done;
	len = MIN(len, in->ino->size - ipos);
	r = -EINVAL;
	if (in->ino == out->ino && ipos < opos + len && opos < ipos + len)
		goto done;
	r = move_all(in, &ipos, out, &opos, len);
	if (r <= 0)
		goto done;
	if (!b)
		in->pos = ipos;
	if (!d)
		out->pos = opos;
	if ((b && put_user(ipos, b)) || (d && put_user(opos, d)))
		r = -EFAULT;
done:
	file_put(in);
	file_put(out);
	return r;
}
